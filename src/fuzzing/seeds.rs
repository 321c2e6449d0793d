//! The first files of each corpus: what this program writes itself.
//!
//! `KEYVAULT_SEEDS=write cargo test --lib seeds` writes them anew.

use std::cell::Cell;
use std::collections::{BTreeMap, BTreeSet};
use std::error::Error;
use std::path::Path;

use super::machines::LABEL;
use super::{IDENTITY, TARGETS};
use crate::exchange;
use crate::project::edit;
use keyvault_core::clock::{Moment, Rng, RngError};
use keyvault_core::codec::{self, Decoder, Encoder, Extensions, Malformed};
use keyvault_core::crypto::Cost;
use keyvault_core::name::{EnvName, KeyName, Scope, TagKey};
use keyvault_core::recipe::{Recipe, ValueKind};
use keyvault_vault::audit::{Action, Actor, ChangeMark, Event, KeyRef, Outcome};
use keyvault_vault::state::pin::Pin;
use keyvault_vault::state::{Node, Record};
use keyvault_vault::unlock::token::Token;
use keyvault_vault::unlock::{
    keyfile::KeyFile, keys::Root, passphrase::Passphrase, recovery::RecoveryCode, slot,
};
use keyvault_vault::{KeyRecord, Version, VersionState};

type Seeds = Vec<(&'static str, &'static str, Vec<u8>)>;

/// 0, 1, 2, … instead of chance.
struct Counting(Cell<u8>);

impl Rng for Counting {
    fn fill(&self, target: &mut [u8]) -> Result<(), RngError> {
        for byte in target {
            *byte = self.0.replace(self.0.get().wrapping_add(1));
        }
        Ok(())
    }
}

#[test]
fn the_seeds_are_what_this_program_writes_and_each_is_taken() -> Result<(), Box<dyn Error>> {
    let corpus = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/corpus");
    let write = std::env::var_os("KEYVAULT_SEEDS").is_some_and(|wish| wish == "write");
    let seeds = [slots()?, state()?, keys()?, events(), files()?, projects()?, machines()?, outputs()];
    let seeds: Seeds = seeds.concat();
    for (target, name, bytes) in seeds {
        let file = corpus.join(target).join(format!("seed-{name}"));
        if write {
            std::fs::create_dir_all(corpus.join(target))?;
            std::fs::write(&file, &bytes)?;
        }
        assert!(std::fs::read(&file).is_ok_and(|kept| kept == bytes), "{}", file.display());
        let taken = TARGETS.iter().find(|(known, _)| *known == target).map(|(_, take)| take(&bytes));
        assert_eq!(taken, Some(true), "{target} {name}");
    }
    Ok(())
}

fn slots() -> Result<Seeds, Box<dyn Error>> {
    let rng = Counting(Cell::new(0));
    let root = Root::create(&rng)?;
    let code = RecoveryCode::create(&rng)?;
    let passphrase =
        Passphrase::new(&keyvault_core::secret::SecretBytes::copy_from(b"correct horse battery staple"))?;
    let by_passphrase = slot::seal_passphrase(1, &root, &passphrase, Cost::FLOOR, &IDENTITY, &rng)?;
    let by_code = slot::seal_recovery(2, &root, &code, &IDENTITY, &rng)?;
    let by_file = slot::seal_key_file(3, &root, &KeyFile::create(&rng)?, &IDENTITY, &rng)?;
    let text = code.text()?;
    let sloppy = String::from_utf8_lossy(text.expose()).to_lowercase().replace('-', " ").replace('0', "o");
    Ok(vec![
        ("slot_header", "passphrase", by_passphrase.header),
        ("slot_header", "recovery", by_code.header),
        ("slot_header", "key-file", by_file.header),
        ("recovery_code", "as-printed", text.expose().to_vec()),
        ("recovery_code", "as-typed", sloppy.into_bytes()),
    ])
}

/// Two fields of a later version.
fn extensions() -> Result<Extensions, Malformed> {
    let fields = Encoder::new().u32(2).fixed(&[1, 0, 0, 0, 0, 0, 3, 0, 1, 0, 0, 0, 7]).finish();
    Decoder::new(&fields).extensions()
}

fn state() -> Result<Seeds, Box<dyn Error>> {
    let first = Record {
        change: 1,
        time: Moment(0),
        root: [1; 16],
        audit_count: 1,
        audit_head: [2; 32],
        signer: [4; 16],
        previous: [0; 32],
        extensions: Extensions::default(),
    };
    let more = Encoder::new().u32(2).fixed(&[1, 0, 0, 0, 0, 0, 3, 0, 1, 0, 0, 0, 7]).finish();
    let extensions = Decoder::new(&more).extensions()?;
    let later =
        Record { change: (1 << 62) - 1, time: Moment(-1), previous: [3; 32], extensions, ..first.clone() };
    let node = |children: &[u32]| {
        let mut node = Node::default();
        children.iter().zip(1..).for_each(|(child, digest)| node.set(*child, Some([digest; 16])));
        node.body()
    };
    let pin = |path: &str| {
        let pin = Pin::of_token(7, [0xA5; 32], Path::new(path));
        Pin { vault_id: [0xB6; 16], epoch: Some(2), resolved: [0xC7; 16], ..pin }.encode()
    };
    Ok(vec![
        ("state_record", "first", first.encode(&IDENTITY)),
        ("state_record", "later", later.encode(&IDENTITY)),
        ("tree_node", "one-child", node(&[0])),
        ("tree_node", "some-children", node(&[0, 31, 32, 63])),
        ("pin_file", "plain", pin("/home/ada/.local/share/keyvault/vault.db")?),
        ("pin_file", "odd-path", pin("/\"\\\u{1}\u{FFFD}😀")?),
    ])
}

fn keys() -> Result<Seeds, Box<dyn Error>> {
    let bare = KeyRecord {
        id: [1; 16],
        revision: 1,
        name: KeyName::parse("stripe/live")?,
        variable: EnvName::parse("STRIPE_LIVE")?,
        scopes: BTreeSet::new(),
        tags: BTreeMap::new(),
        note: String::new(),
        created: Moment(0),
        expires: None,
        recipe: None,
        versions: Vec::new(),
        next_version: 1,
        extensions: Extensions::default(),
    };
    let version = |number, state| Version {
        number,
        state,
        created: Moment(1),
        since: Moment(2),
        grace_until: (state == VersionState::Previous).then_some(Moment(3)),
        fingerprint: [4; 6],
        digest: (state != VersionState::Revoked).then_some([5; 16]),
        due: (state == VersionState::Retired).then_some(Moment(6)),
        made_by: "ada@engine".to_owned(),
        public: (state == VersionState::Current).then(|| "ssh-ed25519 AAAA".to_owned()),
        reason: if state == VersionState::Revoked { "leaked" } else { "" }.to_owned(),
    };
    let states = [
        VersionState::Revoked,
        VersionState::Retired,
        VersionState::Previous,
        VersionState::Current,
        VersionState::Pending,
    ];
    let full = KeyRecord {
        scopes: ["app", "team:a/b"].into_iter().map(Scope::parse).collect::<Result<_, _>>()?,
        tags: [("env", "prod"), ("owner", "")]
            .into_iter()
            .map(|(key, value)| Ok((TagKey::parse(key)?, value.to_owned())))
            .collect::<Result<_, keyvault_core::name::NameError>>()?,
        note: "for the shop\n".to_owned(),
        expires: Some(Moment(i64::MAX)),
        recipe: Some(Recipe::new(ValueKind::Token, Some(40), Some("sk-"))?),
        versions: (1..).zip(states).map(|(number, state)| version(number, state)).collect(),
        next_version: 6,
        ..bare.clone()
    };
    let pair = KeyRecord { recipe: Some(Recipe::new(ValueKind::SshEd25519, None, None)?), ..bare.clone() };
    Ok(vec![
        ("row", "bare", bare.encode()),
        ("row", "key-pair", pair.encode()),
        ("row", "full", full.encode()),
        ("row", "padded", codec::pad(&bare.encode())?.expose().to_vec()),
    ])
}

fn events() -> Seeds {
    let read = Event {
        time: Moment(0),
        action: Action::Exec,
        outcome: Outcome::Refused,
        actor: Actor::default(),
        keys: Vec::new(),
        detail: String::new(),
        change: None,
        extensions: Extensions::default(),
    };
    let change = Event {
        action: Action::Rotate,
        outcome: Outcome::Done,
        actor: Actor {
            user: "ada".to_owned(),
            host: "engine".to_owned(),
            pid: 42,
            program: "make".to_owned(),
            terminal: Some("/dev/pts/0".to_owned()),
            job: Some("build 7".to_owned()),
        },
        keys: ["a", "b/c"].map(|name| KeyRef { name: name.to_owned(), version: 2 }).to_vec(),
        detail: "grace 7d".to_owned(),
        change: Some(ChangeMark { number: 3, previous: [9; 32] }),
        ..read.clone()
    };
    let padded = codec::pad(&change.encode()).map(|padded| padded.expose().to_vec()).unwrap_or_default();
    vec![
        ("audit_entry", "read", read.encode()),
        ("audit_entry", "change", change.encode()),
        ("audit_entry", "padded", padded),
    ]
}

fn machines() -> Result<Seeds, Box<dyn Error>> {
    let text = |encoder: Encoder, text: &&str| encoder.bytes(text.as_bytes());
    let moment = |encoder: Encoder, at: i64| encoder.i64(at);
    let grant = Encoder::new()
        .bytes(b"stripe/live")
        .bytes(b"STRIPE_LIVE")
        .list(&["app", "team:a/b"], text)
        .option(Some(7), moment)
        .list(&[(1, 1, Some(9)), (2, 0, None)], |encoder, (number, state, grace)| {
            encoder.u32(*number).u8(*state).option(*grace, moment).fixed(&[3; 32]).fixed(&[4; 32])
        })
        .extensions(&extensions()?)
        .finish();
    let record = |kind, name: &[u8], expires| -> Result<Vec<u8>, Malformed> {
        Ok(Encoder::new()
            .u8(kind)
            .bytes(name)
            .fixed(&[1; 16])
            .fixed(&[2; 32])
            .fixed(&[3; 32])
            .list(&["deploy"], text)
            .list(&[[4; 16]], |encoder, id| encoder.fixed(id))
            .i64(0)
            .option(expires, moment)
            .option(None, moment)
            .bytes(b"ada@engine")
            .option(Some(6), |encoder, change| encoder.u64(change).fixed(&[7; 16]))
            .u64(1)
            .fixed(&[8; 32])
            .list(&[[9; 16]], |encoder, place| encoder.fixed(place).u64(2).fixed(&[10; 32]))
            .extensions(&extensions()?)
            .finish())
    };
    let value = codec::pad(b"sk-1")?;
    let content = Encoder::new()
        .u8(1)
        .fixed(&LABEL.token)
        .u64(LABEL.change)
        .bytes(b"ci")
        .i64(0)
        .option(None, moment)
        .list(&[[4; 16]], |encoder, id| {
            encoder
                .fixed(id)
                .bytes(&grant)
                .list(&[1, 2], |encoder, number| encoder.u32(*number).bytes(value.expose()))
        })
        .extensions(&Extensions::default())
        .finish();
    let file = data_encoding::BASE64.encode(&[1; 200]);
    let line = format!(
        r#"{{"format":1,"vault":"{id}","epoch":1,"token":"{id}","place":"{id}","seq":0,"before":"{mac}","event":"AAAA","mac":"{mac}"}}"#,
        id = "01".repeat(16),
        mac = "02".repeat(32)
    );
    Ok(vec![
        ("token", "plain", Token::create(&[0xA5; 16], &Counting(Cell::new(0)))?.text().expose().to_vec()),
        ("grant", "two-versions", grant),
        ("token_record", "active", record(1, b"ci", Some(5))?),
        ("token_record", "session", record(2, b"session/1a2b3c4d", Some(5))?),
        ("bundle", "content", content),
        ("bundle", "file", format!("keyvault bundle 1\n{file}\n").into_bytes()),
        ("reads", "first", line.into_bytes()),
    ])
}

fn outputs() -> Seeds {
    let given = |first: u8, values: &[&str], output: &str| {
        let mut bytes = vec![first];
        for value in values {
            bytes.push(u8::try_from(value.len()).unwrap_or(u8::MAX));
            bytes.extend_from_slice(value.as_bytes());
        }
        bytes.extend_from_slice(output.as_bytes());
        bytes
    };
    let forms = "p/w 1+2 cC93IDErMg== L3cgMSsy 702f7720312b32 p%2Fw%201%2B2 p%2Fw+1%2B2 p\\/w 1+2";
    vec![
        ("masker", "one-value", given(1, &["p/w 1+2"], forms)),
        ("masker", "byte-by-byte", given(2, &["abcdef", "defghi"], "xabcdefghi abcdefgh")),
        (
            "masker",
            "lines",
            given(
                23,
                &["-----BEGIN\nabcd\n-----END\n", "abc", "é\"\\"],
                "-----BEGIN\r\n abcd\r\n\\u00e9\\\"",
            ),
        ),
    ]
}

fn files() -> Result<Seeds, Box<dyn Error>> {
    let values = ["sk-1/2+3==", "", "$(id) \"`x`\"", "1\n2", "it's", "1\r\n2", "C:\\", "a'b\"c`d", "ä😀"];
    let names = ["A", "B_1", "c.d", "e-f", "export", "G", "H", "I", "J"];
    let entries: Vec<(&str, &[u8])> = names.into_iter().zip(values.map(str::as_bytes)).collect();
    let by_hand = "\u{FEFF}# c\r\nexport A = 'x\ny' # z\nB: \"\\n\\r\" \nC=`\\``\nA=$x\u{2028}\nD=\"'#\n";
    let escapes = r#"{"A":"\u00e4\ud83d\ude00\n\\","":"","A":"$x"}"#;
    Ok(vec![
        ("dotenv", "every-style", exchange::write_dotenv(&entries)?.expose().to_vec()),
        ("dotenv", "by-hand", by_hand.as_bytes().to_vec()),
        ("json_import", "every-value", exchange::write_json(&entries)?.expose().to_vec()),
        ("json_import", "escapes", escapes.as_bytes().to_vec()),
        ("json_import", "empty", exchange::write_json(&[])?.expose().to_vec()),
    ])
}

fn projects() -> Result<Seeds, Box<dyn Error>> {
    let entries = [("STRIPE_KEY", "shop/STRIPE_KEY"), ("b.c", "shop/b.c")];
    let entries = entries.map(|(variable, key)| Ok((EnvName::parse(variable)?, KeyName::parse(key)?)));
    let entries: Vec<_> = entries.into_iter().collect::<Result<_, keyvault_core::name::NameError>>()?;
    let every_field = "# c\n[keys] # d\nA = 'a/b'\nB = { key = \"c\", optional = true, description = \"\\u0041\" }\n\
        C.template = \"x{{{a}}}{b|url}\"\nC.required = false\n[keys.\"d.e\"]\nkey = 'd'\ndefault = ''\n\
        [profiles.prod.keys]\nA = 'p'\n[profiles]\nempty = {}\n";
    Ok(vec![
        ("project_file", "start", edit::start(Some("./x.json"), &entries).into_bytes()),
        ("project_file", "every-field", every_field.as_bytes().to_vec()),
        ("references", "every-form", b"a kv://b/c. {{kv://d?version=2}}e\nkv://f?version=1 mkv://x".to_vec()),
        ("references", "whole", b"kv://db/password?version=12".to_vec()),
    ])
}
