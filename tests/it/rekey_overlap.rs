//! `vault rekey --overlap`: verifiers go on with their former tokens until its end, and what stops is said first.

use keyvault_core::clock::{Clock, Moment};
use keyvault_core::codec::Extensions;
use keyvault_core::crypto::SystemRng;
use keyvault_core::name::TokenName;
use keyvault_core::secret::SecretBytes;
use keyvault_issue::record::{Api, Ascending, Bounds, Mark, Prefix, Reaction};
use keyvault_vault::audit::Actor;
use keyvault_vault::issued::{self, SetsSeen};
use keyvault_vault::state::pin::Pins;
use keyvault_vault::unlock::passphrase::Passphrase;
use keyvault_vault::unlock::token::Token;
use keyvault_vault::{
    Access, Holder, Holders, NewIssuer, NewToken, Notices, TokenError, Vault, VaultError,
    World as VaultWorld, token,
};
use pretty_assertions::assert_eq;

use crate::harness::{PASSPHRASE, World, days};

const API: [u8; 16] = [2; 16];
const REKEY: [&str; 5] = ["vault", "rekey", "--keep-passphrase", "--recovery-file", "code"];

fn with_world<T>(world: &World, act: impl FnOnce(&mut Vault, &VaultWorld<'_>) -> T) -> T {
    let pins = Pins::in_folder(world.pins());
    let mut vault = Vault::open(&world.vault(), &pins).unwrap();
    let clock = world.clock();
    let vault_world = VaultWorld {
        clock: &clock as &dyn Clock,
        rng: &SystemRng,
        actor: Actor::default(),
        pins,
        holders: Holders::in_folder(world.pins(), Holder { command: String::new(), pid: 0 }),
        notices: Notices::told_by(&|notice| panic!("{notice:?}")),
        waiting: &|_, _| (),
    };
    act(&mut vault, &vault_world)
}

fn access(vault: &mut Vault) -> Access {
    let passphrase = Passphrase::new(&SecretBytes::copy_from(PASSPHRASE.as_bytes())).unwrap();
    vault.open_passphrase(&passphrase).unwrap()
}

/// An API with the verifier `gateway`, whose token is returned, and the issuer `portal`.
fn with_machines(world: &World) -> Token {
    let prefix = Prefix::parse("kv").unwrap();
    let shop = Api {
        id: API,
        name: "shop".parse().unwrap(),
        mark: Mark::parse("aa").unwrap(),
        prefix,
        prefixes: Ascending::of([prefix]),
        reaction: Reaction::Alert,
        usage_keys: Ascending::default(),
        issuers: Ascending::default(),
        verifiers: Ascending::default(),
        extensions: Extensions::default(),
    };
    let name = |text| TokenName::parse(text).unwrap();
    let gateway = NewToken { name: name("gateway"), scopes: Vec::new(), keys: Vec::new(), expires: None };
    let portal = NewIssuer {
        name: name("portal"),
        api: API,
        mark: Mark::parse("bb").unwrap(),
        bounds: Bounds { longest_life: 1, keys: 1, ..Bounds::default() },
        expires: Some(Moment(i64::MAX)),
    };
    with_world(world, |vault, world| {
        let access = access(vault);
        issued::create_api(vault, &access, world, &shop).unwrap();
        token::create_issuer(vault, &access, world, &portal).unwrap();
        token::create_verifier(vault, &access, world, &gateway, &[API]).unwrap().token
    })
}

fn reads(world: &World, token: &Token) -> Result<SetsSeen, VaultError> {
    with_world(world, |vault, world| issued::read_sets(vault, token, world))
}

fn token_in(answer: &serde_json::Value, name: &str) -> Token {
    let tokens = answer["tokens"].as_array().unwrap();
    let named = tokens.iter().find(|token| token["name"] == name).unwrap();
    Token::parse(named["token"].as_str().unwrap().as_bytes()).unwrap()
}

#[test]
fn a_verifier_reads_with_its_former_token_until_the_end_of_the_overlap() {
    let world = World::own();
    let former = with_machines(&world);
    reads(&world, &former).unwrap();
    let answer = world.run(&[&REKEY[..], &["--overlap", "24h", "--yes", "--json"]].concat()).ok().json();
    assert_eq!(answer["overlap_until"], "2040-05-18T08:00:00.000Z");
    let present = token_in(&answer, "gateway");
    for token in [&former, &present] {
        assert!(reads(&world, token).unwrap().apis[&API].is_ok());
    }
    // Changes in between reach both.
    world.run(&["generate", "a"]).ok();
    let seen = reads(&world, &present).unwrap().change;
    assert_eq!(reads(&world, &former).unwrap().change, seen);
    world.run(&["vault", "check"]).ok();
    world.advance(days(1));
    let over = reads(&world, &former).err().unwrap();
    assert!(matches!(over, VaultError::Token(TokenError::FormerOver { .. })), "{over:?}");
    world.run(&["generate", "b"]).ok();
    let gone = reads(&world, &former).err().unwrap();
    assert!(matches!(gone, VaultError::Token(TokenError::OpensNothing)), "{gone:?}");
    reads(&world, &present).unwrap();
    world.run(&["vault", "check"]).ok();
    world.run(&["audit", "verify"]).ok();
}

#[test]
fn the_preview_says_which_machines_stop_and_which_go_on() {
    let world = World::own();
    let former = with_machines(&world);
    world.run(&REKEY).fails_with(
        2,
        "
            0 keys would be sealed under a new root key.
            Slots that would no longer open the vault: slot 2 (recovery code).
            Tokens that would get a new secret, and whose bundles would no longer open anything: gateway, portal.
            Verifiers and issuers that would stop until each has its new token: gateway, portal.
            To let verifiers go on meanwhile, use `--overlap 24h`.
            Every session would end.
            The passphrase stays: anyone who knows it can open every new copy of the vault too.
            error: This cannot be undone, and there is no terminal to prompt on.
                   Use `--yes` to confirm.
        ",
    );
    world.run(&[&REKEY[..], &["--overlap", "24h"]].concat()).fails_with(
        2,
        "
            0 keys would be sealed under a new root key.
            Slots that would no longer open the vault: slot 2 (recovery code).
            Tokens that would get a new secret, and whose bundles would no longer open anything: gateway, portal.
            Verifiers that would go on with their present tokens until 2040-05-18 08:00: gateway.
            Until it has its new token, a verifier believes anyone who had a session or the root key before the rekey.
            Issuers that would stop until each has its new token: portal.
            Every session would end.
            The passphrase stays: anyone who knows it can open every new copy of the vault too.
            error: This cannot be undone, and there is no terminal to prompt on.
                   Use `--yes` to confirm.
        ",
    );
    let ran = world.run(&[&REKEY[..], &["--overlap", "24h", "--yes"]].concat()).ok();
    let told = "Of the old ones, those of verifiers go on until 2040-05-18 08:00; the others no longer open anything.";
    assert!(ran.err.contains(told), "{}", ran.err);
    reads(&world, &former).unwrap();
    // A rekey without an overlap ends what the one before let go on.
    std::fs::remove_file(world.home().join("code")).unwrap();
    let answer = world.run(&[&REKEY[..], &["--yes", "--json"]].concat()).ok().json();
    assert_eq!(answer["overlap_until"], serde_json::Value::Null);
    assert!(matches!(reads(&world, &former), Err(VaultError::Token(TokenError::OpensNothing))));
}

#[test]
fn an_overlap_is_at_most_a_week() {
    let world = World::own();
    for overlap in ["8d", "0s", "-1h", "soon"] {
        world.run(&[&REKEY[..], &["--overlap", overlap, "--yes"]].concat()).fails(2, "--overlap");
    }
    // Without a verifier there is nothing that goes on.
    let answer = world.run(&[&REKEY[..], &["--overlap", "7d", "--yes", "--json"]].concat()).ok().json();
    assert_eq!(answer["overlap_until"], serde_json::Value::Null);
}
