//! The worked example of docs/FORMAT.md, recomputed: each line `name = hex` of it must be what the program makes, and
//! what the formulas of that page make when they are followed by hand.

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::atomic::AtomicU8;
use std::sync::atomic::Ordering::Relaxed;

use keyvault_core::clock::{Moment, Rng, RngError};
use keyvault_core::codec;
use keyvault_core::crypto::{self, SealingKey, Signed, SigningKey, sha256};
use keyvault_core::identity::{Identity, Place};
use keyvault_core::recipe::{Recipe, ValueKind};
use keyvault_vault::unlock::recovery::RecoveryCode;
use keyvault_vault::unlock::token::Token;
use keyvault_vault::{BearerKeys, Bundle};

use crate::by_hand::Encoder;

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

fn hex(bytes: &[u8]) -> String {
    data_encoding::HEXLOWER.encode(bytes)
}

fn example() -> Result<BTreeMap<&'static str, String>, Box<dyn std::error::Error>> {
    let identity = Identity { vault_id: *b"0123456789abcdef", epoch: 1 };
    let root = SealingKey::from_bytes(&[7; 32]).ok_or("32 bytes")?;
    let daily = root.derive("keyvault root daily", &identity.whole());
    let index = daily.derive("keyvault daily blind index", &identity.whole());
    let tree = daily.derive("keyvault daily tree", &identity.whole());
    let state = daily.derive("keyvault daily state", &identity.whole());
    let metadata = daily.derive("keyvault daily metadata", &identity.whole());

    let tag = index.digest(&[b"keyvault blind index", &[3], b"stripe/live"]);
    let row = [&[3], &tag[..]].concat();
    let place = Place { table: "object", row: &row, version: 0, field: "sealed", revision: 1, bound: &[] };
    let context = identity.context(&place);
    let padded = codec::pad(b"hello")?;
    let sealed =
        crypto::seal(&metadata, "keyvault object", &context, padded.expose(), &Counting(AtomicU8::new(0)))?;
    let hash = sha256(&sealed);
    let leaf = tree.digest(&[b"keyvault tree leaf", &[3], &tag, &1_u64.to_le_bytes(), &hash]);
    let [a, b, c, ..] = tag;
    let bucket = (u32::from(a) << 16 | u32::from(b) << 8 | u32::from(c)) >> 6;
    let bucket_digest = tree.digest(&[b"keyvault tree bucket", &bucket.to_le_bytes(), &tag, &leaf]);
    let lower = 65 + (bucket >> 6);
    let body = Encoder::new().u64(1 << (bucket & 63)).fixed(&bucket_digest).finish();
    let node_digest = tree.digest(&[b"keyvault tree node", &lower.to_le_bytes(), &body]);
    let seed = daily.derive("keyvault daily signing", &identity.whole());
    let public = crypto::ed25519_public(seed.expose()).ok_or("a seed")?;
    let signer = Encoder::new().u32(1).u8(1).bytes(&public).finish();
    let record = Encoder::new()
        .u32(1)
        .fixed(&identity.vault_id)
        .u32(1)
        .u64(1)
        .i64(0)
        .fixed(&node_digest)
        .u64(1)
        .fixed(&[1; 32])
        .fixed(&sha256(&[0; 4]))
        .u8(1)
        .fixed(sha256(&[b"keyvault signer", &signer[..]].concat()).get(..16).ok_or("32 bytes")?)
        .fixed(&[0; 32])
        .u32(0)
        .finish();
    let signature = SigningKey::of_seed(seed).sign(Signed::Record, &identity, &record);
    let both = Encoder::new().bytes(&record).bytes(&signature).finish();
    let entry = Encoder::new().u64(0).option(Some(1), Encoder::u64).fixed(&[0; 32]).bytes(&sealed).finish();
    let first_key = SealingKey::from_bytes(&[9; 32]).ok_or("32 bytes")?;
    let code = RecoveryCode::create(&Counting(AtomicU8::new(0)))?;
    let recipe = Recipe::new(ValueKind::Token, None, None)?;

    Ok(BTreeMap::from([
        ("whole", hex(&identity.whole())),
        ("daily", hex(daily.expose())),
        ("metadata", hex(metadata.expose())),
        ("tag", hex(&tag)),
        ("context", hex(&context)),
        ("padded", hex(padded.expose())),
        ("sealed", hex(&sealed)),
        ("leaf", hex(&leaf)),
        ("bucket", bucket.to_string()),
        ("bucket digest", hex(&bucket_digest)),
        ("node", lower.to_string()),
        ("node body", hex(&body)),
        ("node digest", hex(&node_digest)),
        ("record", hex(&record)),
        ("signer", hex(&signer)),
        ("signature", hex(&signature)),
        ("record mac", hex(&state.mac(&[b"keyvault state record", &both]))),
        ("record hash", hex(&sha256(&both))),
        ("entry mac", hex(&first_key.mac(&[b"keyvault audit entry", &entry]))),
        ("next key", hex(first_key.derive("keyvault audit step", &[]).expose())),
        ("recovery code", String::from_utf8_lossy(code.text()?.expose()).into_owned()),
        ("recipe", hex(&codec::encode(&recipe))),
    ]))
}

/// The token of the bytes 00, 01, …, and a bundle of no keys under it, made by the formulas of §10.
fn token_example() -> Result<BTreeMap<&'static str, String>, Box<dyn std::error::Error>> {
    let identity = Identity { vault_id: *b"0123456789abcdef", epoch: 1 };
    let daily =
        SealingKey::from_bytes(&[7; 32]).ok_or("32 bytes")?.derive("keyvault root daily", &identity.whole());
    let signing = SigningKey::of_seed(daily.derive("keyvault daily signing", &identity.whole()));
    let signer = signing.signer();
    let token = Token::create(&signer.id(), &Counting(AtomicU8::new(0)))?;
    let text = token.text().expose();
    let secret = SealingKey::derive_from(text.get(4..69).ok_or("75 characters")?, "keyvault token", &[]);
    let id = secret.derive("keyvault token id", &[]);
    let reader = secret.derive("keyvault token reader", &[]);
    assert_eq!(
        (Some(token.id().as_slice()), token.reader().expose()),
        (id.expose().get(..16), &reader.expose()[..])
    );
    let view = reader.derive("keyvault token view", &identity.whole());
    let bundle = reader.derive("keyvault token bundle", &identity.whole());
    let id = token.id();
    let place = Place { table: "bundle", row: &id, version: 0, field: "sealed", revision: 7, bound: &[] };
    let inside = Encoder::new().u8(1).fixed(&id).u64(7).bytes(b"ci").i64(0).u8(0).u32(0).u32(0).finish();
    let signature = signing.sign(Signed::Bundle, &identity, &inside);
    let signed = Encoder::new().bytes(&inside).bytes(&signature).bytes(&signer.encode()).finish();
    let padded = codec::pad(&signed)?;
    let context = identity.context(&place);
    let rng = Counting(AtomicU8::new(0));
    let sealed = crypto::seal(&bundle, "keyvault bundle", &context, padded.expose(), &rng)?;
    let whole = Encoder::new().fixed(&identity.vault_id).u32(1).fixed(&id).u64(7).fixed(&sealed).finish();
    let base64 = data_encoding::BASE64.encode(&whole);
    let lines: Vec<_> = base64.as_bytes().chunks(76).map(String::from_utf8_lossy).collect();
    let file = format!("keyvault bundle 1\n{}\n", lines.join("\n"));
    let opened = Bundle::open(file.as_bytes(), Path::new(""), &BearerKeys::of(&token, None), Moment(0))?;
    assert_eq!((opened.label.change, opened.content.name.as_str()), (7, "ci"));
    Ok(BTreeMap::from([
        ("token", String::from_utf8_lossy(text).into_owned()),
        ("token id", hex(&id)),
        ("reader", hex(reader.expose())),
        ("token view", hex(view.expose())),
        ("bundle content", hex(&inside)),
        ("bundle", base64),
    ]))
}

#[test]
fn the_worked_example_is_what_the_program_makes() -> Result<(), Box<dyn std::error::Error>> {
    let page = include_str!("../../docs/FORMAT.md");
    let mut example = example()?;
    example.append(&mut token_example()?);
    let wrong: Vec<_> = example
        .iter()
        .map(|(name, value)| format!("    {name} = {value}"))
        .filter(|line| !page.lines().any(|found| found == line))
        .collect();
    assert!(wrong.is_empty(), "docs/FORMAT.md must say:\n{}", wrong.join("\n"));
    Ok(())
}

#[test]
fn derive_and_seal_follow_the_formulas_by_hand() -> Result<(), Box<dyn std::error::Error>> {
    let key = SealingKey::from_bytes(&[7; 32]).ok_or("32 bytes")?;
    let mut derived = [0; 32];
    let info = [&[3][..], b"abc", &2_u32.to_le_bytes(), b"xy"].concat();
    assert!(crypto::hkdf_sha256(&[7; 32], &[], &info, &mut derived));
    assert_eq!(key.derive("abc", b"xy").expose(), &derived);

    let sealed = crypto::seal(&key, "abc", b"xy", b"hello", &Counting(AtomicU8::new(0)))?;
    let (salt, rest) = sealed.split_at(24);
    let mut keys = [0; 64];
    let info = [&[3][..], b"abc", salt, &2_u32.to_le_bytes(), b"xy"].concat();
    assert!(crypto::hkdf_sha256(&[7; 32], &[], &info, &mut keys));
    assert_eq!(rest.get(..32), keys.get(32..));
    Ok(())
}

#[test]
fn the_page_has_the_schema_word_for_word() {
    let page = include_str!("../../docs/FORMAT.md");
    let schema = include_str!("../../crates/vault/src/store/schema.rs");
    let statements = schema
        .lines()
        .map(str::trim)
        .filter_map(|line| line.strip_prefix("\"CREATE "))
        .map(|line| line.trim_end_matches(&['"', ','][..]));
    let missing: Vec<_> =
        statements.filter(|statement| !page.contains(&format!("CREATE {statement}"))).collect();
    assert_eq!(missing, Vec::<&str>::new());
}
