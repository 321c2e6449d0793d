//! The first files of each corpus: what this program writes itself.
//!
//! `KEYVAULT_SEEDS=write cargo test --lib seeds` rewrites them.

use std::error::Error;
use std::path::Path;
use std::sync::atomic::AtomicU8;
use std::sync::atomic::Ordering::Relaxed;

use super::issued_seeds::seeds as issued;
use super::machines::LABEL;
use super::{IDENTITY, TARGETS};
use crate::exchange;
use crate::project::{VariableSource, edit};
use keyvault_core::clock::{Moment, Rng, RngError};
use keyvault_core::codec::{self, Extensions};
use keyvault_core::crypto::Cost;
use keyvault_core::name::{EnvName, KeyName, Scope, TagKey};
use keyvault_core::recipe::{Recipe, ValueKind};
use keyvault_vault::audit::{Action, Actor, ChangeMark, Event, KeyRef, Outcome};
use keyvault_vault::state::pin::Pin;
use keyvault_vault::state::{Node, Record, SignedBy};
use keyvault_vault::unlock::token::Token;
use keyvault_vault::unlock::{
    keyfile::KeyFile, keys::Root, passphrase::Passphrase, recovery::RecoveryCode, slot,
};
use keyvault_vault::{
    Alarm, Decoy, Disabled, KeyRecord, OnTrip, Rotation, RotationMode, RotationOutcome, RotationStep,
    Version, VersionOrigin, VersionState,
};

pub(super) type Seeds = Vec<(&'static str, &'static str, Vec<u8>)>;

/// 0, 1, 2, … instead of chance.
struct Counting(AtomicU8);

impl Rng for Counting {
    fn fill(&self, target: &mut [u8]) -> Result<(), RngError> {
        for byte in target {
            *byte = self.0.fetch_add(1, Relaxed);
        }
        Ok(())
    }
}

#[test]
fn the_seeds_are_what_this_program_writes_and_each_is_taken() -> Result<(), Box<dyn Error>> {
    let corpus = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/corpus");
    let write = std::env::var_os("KEYVAULT_SEEDS").is_some_and(|wish| wish == "write");
    let seeds =
        [slots()?, state()?, keys()?, events(), files()?, projects()?, machines()?, outputs(), issued()];
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
    let rng = Counting(AtomicU8::new(0));
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
pub(super) fn extensions() -> Extensions {
    Extensions::default().with(1, Vec::new()).with(3, vec![7])
}

fn state() -> Result<Seeds, Box<dyn Error>> {
    let first = Record {
        change: 1,
        time: Moment(0),
        root: [1; 16],
        audit_count: 1,
        audit_head: [2; 32],
        sets: [5; 32],
        signer: SignedBy::Epoch([4; 16]),
        previous: [0; 32],
        extensions: Extensions::default(),
    };
    let later = Record {
        change: (1 << 62) - 1,
        time: Moment(-1),
        previous: [3; 32],
        extensions: extensions(),
        ..first.clone()
    };
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
    let (name, variable) = (KeyName::parse("stripe/live")?, EnvName::parse("STRIPE_LIVE")?);
    let bare = KeyRecord { revision: 1, ..KeyRecord::new([1; 16], name, variable, Moment(0)) };
    let version = |number, state| Version {
        since: Moment(2),
        since_change: 3,
        grace_until: (state == VersionState::Previous).then_some(Moment(3)),
        fingerprint: [4; 6],
        digest: (state != VersionState::Revoked).then_some([5; 16]),
        due: (state == VersionState::Retired).then_some(Moment(6)),
        made_by: "ada@engine".to_owned(),
        public: (state == VersionState::Current).then(|| "ssh-ed25519 AAAA".to_owned()),
        reason: if state == VersionState::Revoked { "leaked" } else { "" }.to_owned(),
        ..Version::new(number, state, VersionOrigin::Generated, (Moment(1), 2))
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
        owner: "payments".to_owned(),
        display_name: "Stripe, live".to_owned(),
        value_kind: 9,
        public: true,
        disabled: Some(Disabled { since: Moment(8), reason: "leaked?".to_owned() }),
        decoy: Some(Decoy { alarm: Alarm::Raised, on_trip: OnTrip::Lock }),
        rotate_every: Some(30 * 86_400_000),
        warn: Some(1),
        unit: Some([7; 16]),
        rotation: Some(Rotation {
            mode: RotationMode::Mint,
            step: RotationStep::Ask,
            attempt: [8; 16],
            version: 5,
            deadline: Moment(9),
            outcome: RotationOutcome::Unknown,
        }),
        last_change: 4,
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
    // The structures with secrets in them are the crate's own; tuples of what is in them have the same encoding.
    let versions = [(1_u32, 1_u8, Some(9_i64)), (2, 0, None)];
    let versions = versions.map(|(number, state, grace)| (number, state, grace, [3_u8; 32], [4_u8; 32]));
    let scopes = &["app", "team:a/b"][..];
    let told = (Some(7_i64), true, false, 0_u8);
    let grant = ("stripe/live", "STRIPE_LIVE", scopes, told, &versions[..], extensions());
    let grant = codec::encode(&grant);
    let rule = (&["deploy"][..], &[[4_u8; 16]][..]);
    let times = (0_i64, Some(5_i64), None::<i64>);
    let read = (1_u64, [8_u8; 32], &[([9_u8; 16], 2_u64, [10_u8; 32])][..]);
    let record = |kind: u8, name: &str, apis: &[([u8; 16], Option<[u8; 16]>)]| {
        let head = (name, kind, [1_u8; 16], [2_u8; 32], [3_u8; 32]);
        codec::encode(&(
            head,
            rule,
            times,
            "ada@engine",
            Some((6_u64, [7_u8; 16])),
            read,
            (apis, extensions()),
        ))
    };
    let ledger = |id: u8, state: u8, count: u64| ([id; 16], &[5_u8; 104][..], state, count, [id; 32]);
    let ledgers = codec::encode(&("", &[ledger(1, 1, 3), ledger(2, 2, 1)][..], extensions()));
    let value = codec::pad(b"sk-1")?;
    let values = [1_u32, 2].map(|version| (version, value.expose()));
    let keys = &[([4_u8; 16], grant.as_slice(), &values[..])][..];
    let head = (1_u8, LABEL.token, LABEL.change);
    let content = codec::encode(&(head, "ci", 0_i64, None::<i64>, keys, Extensions::default()));
    let file = data_encoding::BASE64.encode(&[1; 200]);
    let line = format!(
        r#"{{"format":1,"vault":"{id}","epoch":1,"token":"{id}","place":"{id}","seq":0,"before":"{mac}","event":"AAAA","mac":"{mac}"}}"#,
        id = "01".repeat(16),
        mac = "02".repeat(32)
    );
    Ok(vec![
        ("token", "plain", Token::create(&[0xA5; 16], &Counting(AtomicU8::new(0)))?.text().expose().to_vec()),
        ("grant", "two-versions", grant),
        ("token_record", "active", record(1, "ci", &[])),
        ("token_record", "session", record(2, "session/1a2b3c4d", &[])),
        ("token_record", "verifier", record(3, "gateway", &[([11_u8; 16], None)])),
        ("ledgers", "two", ledgers),
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
    let entries = entries.map(|(variable, key)| {
        Ok((None, EnvName::parse(variable)?, VariableSource::Key(KeyName::parse(key)?)))
    });
    let entries: Vec<_> = entries.into_iter().collect::<Result<_, keyvault_core::name::NameError>>()?;
    let every_field = "# c\n[keys] # d\nA = 'a/b'\nB = { key = \"c\", optional = true, description = \"\\u0041\" }\n\
        C.template = \"x{{{a}}}{b|url}\"\nC.required = false\n[keys.\"d.e\"]\nkey = 'd'\ndefault = ''\n\
        [keys.PORT]\nvalue = '3000'\n[profiles.prod.keys]\nA = 'p'\n[profiles]\nempty = {}\n";
    Ok(vec![
        ("project_file", "start", edit::start(Some("./x.json"), &entries).into_bytes()),
        ("project_file", "every-field", every_field.as_bytes().to_vec()),
        ("references", "every-form", b"a kv://b/c. {{kv://d?version=2}}e\nkv://f?version=1 mkv://x".to_vec()),
        ("references", "whole", b"kv://db/password?version=12".to_vec()),
    ])
}
