//! Key pairs and values of an alphabet: other programs read the pairs, and a rotation repeats the recipe.

use pretty_assertions::assert_eq;

use crate::harness::World;

const PAIRS: [&str; 6] =
    ["ed25519", "ecdsa-p256", "ecdsa-p384", "ssh-ed25519", "ssh-ecdsa-p256", "ssh-ecdsa-p384"];

fn public_half_by_others(kind: &str) -> &'static str {
    if kind.starts_with("ssh-") { "ssh-keygen -y -f private" } else { "openssl pkey -in private -pubout" }
}

#[test]
fn other_programs_find_the_same_public_half_in_the_private_one() {
    let world = World::own();
    for kind in PAIRS {
        world.run(&["generate", kind, "--recipe", kind]).ok();
        for _ in 0..2 {
            world.sh(&format!("umask 077; keyvault show {kind} --reveal > private")).ok();
            let theirs = world.sh(public_half_by_others(kind)).ok().out;
            assert_eq!(world.run(&["show", kind, "--public"]).ok().out, theirs, "{kind}");
            if kind.starts_with("ssh-") {
                assert!(theirs.ends_with(&format!(" {kind}\n")), "the comment is the key's name: {theirs}");
            }
            // The next one is another pair of the same kind.
            world.run(&["rotate", kind]).ok();
            assert!(world.run(&["show", kind, "--public"]).ok().out != theirs, "{kind}");
        }
        let json = world.run(&["show", kind, "--json"]).ok().json();
        assert!(json["public_key"].is_string(), "{json}");
    }
}

#[test]
fn openssl_finds_nothing_wrong_with_an_ecdsa_key() {
    let world = World::own();
    for (kind, curve) in [("ecdsa-p256", "prime256v1"), ("ecdsa-p384", "secp384r1")] {
        world.run(&["generate", kind, "--recipe", kind]).ok();
        world.sh(&format!("umask 077; keyvault show {kind} --reveal > private")).ok();
        let told = world.sh("openssl pkey -in private -check -noout -text").ok().out;
        assert!(told.contains("Key is valid") && told.contains(curve), "{told}");
        world.sh("echo text > text; openssl dgst -sha256 -sign private -out signature text").ok();
        world.sh(&format!("keyvault show {kind} --public > public")).ok();
        world.sh("openssl dgst -sha256 -verify public -signature signature text").ok();
    }
}

#[test]
fn a_value_has_only_the_characters_of_its_alphabet_and_keeps_it_when_it_is_rotated() {
    let world = World::own();
    for (alphabet, characters, length) in
        [("hex", "0123456789abcdef", 64), ("digits", "0123456789", 78), ("-_xyz", "-_xyz", 111)]
    {
        let name = format!("key/{length}");
        let all_of =
            |value: &str| value.len() == length && value.chars().all(|each| characters.contains(each));
        let first =
            world.run(&["generate", &name, "--alphabet", alphabet, "--print"]).ok().out.trim().to_owned();
        assert!(all_of(&first), "{first}");
        world.run(&["rotate", &name]).ok();
        let next = world.run(&["show", &name, "--reveal"]).ok().out.trim().to_owned();
        assert!(all_of(&next) && next != first, "{next}");
    }
    let args = ["generate", "pin", "--recipe", "password", "--alphabet", "digits", "--length", "20"];
    let made = world.run(&args).ok().out;
    assert_eq!(made, "pin is generated (password of digits, 66 bits of entropy); variable PIN\n");
    let prefixed = ["generate", "p", "--alphabet", "hex", "--prefix", "sk_", "--print"];
    assert!(world.run(&prefixed).ok().out.starts_with("sk_"));
}

#[test]
fn an_alphabet_that_is_none_is_refused() {
    let world = World::own();
    let of = |rest: &[&str]| world.run(&[&["generate", "a"], rest].concat());
    of(&["--alphabet", "base36"]).fails(2, "is not one of digits, hex, lower, upper, alpha, base32");
    of(&["--alphabet", "aab"]).fails(2, "has to have 2 to 94 different visible ASCII characters");
    of(&["--alphabet", "hex", "--recipe", "uuid"]).fails(2, "`uuid` takes no alphabet.");
    of(&["--alphabet", "digits", "--length", "19"])
        .fails(2, "`token` needs a length of at least 20 characters");
    assert!(!world.run(&["list"]).ok().out.contains("token"));
}
