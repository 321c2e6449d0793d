//! A vault with tokens and a keyring's slot, and one of its tokens' bearers as docs/FORMAT.md §10 has it.

use std::collections::BTreeMap;

use data_encoding::BASE64;
use keyvault_core::clock::Moment;
use keyvault_core::crypto::{self, SealingKey, Signed, SigningKey, sha256};
use keyvault_core::name::EnvName;
use keyvault_exec::release::Selection;
use keyvault_vault::audit::Action;
use keyvault_vault::unlock::keyring_entry::KeyringSecret;
use keyvault_vault::unlock::token::Token;
use keyvault_vault::{
    BearerKeys, Credential, NewKey, NewToken, Purpose, Sought, Supply, Terms, Vault, slot, token,
};
use serde_json::{Value, json};

use super::bases::{Base, DAY, Lab, START, key, name};
use super::content;
use super::forge::{At, Forge, Tag, at, context, pad, unpad};
use super::vector::hex;
use crate::by_hand::{Decoder, Encoder};

/// When the token `ci` expires.
pub(crate) const CI_EXPIRES: i64 = START + 60 * DAY;

/// The vault in two stages of its life, and what opens it.
pub(crate) struct Machines {
    /// Before the last change.
    pub(crate) earlier: Base,
    /// As the vectors have it.
    pub(crate) now: Base,
    /// Tokens by name; `renewed` is the one before the renewal.
    tokens: BTreeMap<&'static str, String>,
    /// The entry in the keyring.
    pub(crate) keyring: String,
    /// The bundle of `ci`.
    pub(crate) bundle: String,
    /// The vault's file.
    pub(crate) file: Vec<u8>,
}

fn printed(token: &Token) -> String {
    String::from_utf8(token.text().expose().to_vec()).unwrap()
}

impl Lab {
    fn token(&mut self, new: &NewToken) -> String {
        self.act(|vault, access, world| printed(&token::create(vault, access, world, new).unwrap().token))
    }

    /// A token's bearer reads a key.
    fn read_with(&mut self, token: &str, of: &str) {
        let bearer = BearerKeys::of(&Token::parse(token.as_bytes()).unwrap(), None);
        let (path, pins) = (self.path(), self.pins());
        self.act(|_, _, world| {
            let mut supply = Supply::Granted(Vault::open(&path, &pins).unwrap(), bearer);
            let purpose = Purpose { action: Action::Exec, detail: "make".to_owned() };
            let only = Selection { only: vec![name(of)], ..Selection::default() };
            content::take(supply.begin(world).unwrap(), &only, purpose).unwrap();
        });
    }
}

impl Machines {
    pub(crate) fn new() -> Self {
        let mut lab = Lab::new("machines");
        lab.add(key("a", "value-a-1", &["s"]));
        lab.add(NewKey {
            variable: Some(EnvName::parse("B_URL").unwrap()),
            expires: Some(Moment(START + 90 * DAY)),
            ..key("b", "value-b-1", &["s", "t"])
        });
        lab.add(key("c/token", "value-c-1", &["t"]));
        lab.add(key("d", "value-d-1", &[]));
        let new = |token: &str, scopes: &[&str], keys: &[&str]| NewToken {
            name: token.parse().unwrap(),
            scopes: scopes.iter().map(|scope| scope.parse().unwrap()).collect(),
            keys: keys.iter().map(|key| name(key)).collect(),
            expires: None,
        };
        let ci = NewToken { expires: Some(Moment(CI_EXPIRES)), ..new("ci", &["s"], &[]) };
        let mut tokens = BTreeMap::from([
            ("ci", lab.token(&ci)),
            ("named", lab.token(&new("named", &["none-yet"], &["a", "d"]))),
            ("nothing", lab.token(&new("nothing", &["none-yet"], &[]))),
            ("revoked", lab.token(&new("revoked", &["s"], &[]))),
            ("renewed", lab.token(&new("again", &["t"], &[]))),
        ]);
        lab.act(|vault, access, world| {
            token::revoke(vault, access, world, &"revoked".parse().unwrap()).unwrap();
        });
        let again = lab.act(|vault, access, world| {
            printed(&token::renew(vault, access, world, &"again".parse().unwrap()).unwrap().token)
        });
        tokens.insert("again", again);
        let secret = KeyringSecret::create(&lab.rng).unwrap();
        let keyring = lab.act(|vault, access, world| {
            slot::add(vault, access, world, Credential::Keyring(&secret)).unwrap();
            secret.entry(&vault.identity()).unwrap()
        });
        let keyring = String::from_utf8(keyring.expose().to_vec()).unwrap();
        let ci = tokens["ci"].clone();
        lab.read_with(&ci, "a");
        lab.read_with(&ci, "b");
        let earlier = lab.base("machines-earlier", "");
        lab.rotate("a", Some(b"value-a-2"), Terms { grace: 30 * DAY, expires: None });
        lab.read_with(&ci, "a");
        let bundle = lab.act(|vault, access, world| {
            token::bundle(vault, access, world, &"ci".parse().unwrap()).unwrap().text
        });
        let sought = Sought::Scopes(vec!["t".parse().unwrap()]);
        let session = lab.act(|vault, access, world| {
            printed(&token::begin_session(vault, access, world, &sought, (3_600_000, "1h")).unwrap().token)
        });
        tokens.insert("session", session);
        let mut now = lab.base(
            "machines",
            "A keyring's slot; tokens by scope and by name, one for nothing, one revoked, one renewed, one of a session.",
        );
        now.more = tokens.iter().map(|(name, token)| (format!("token {name}"), token.clone())).collect();
        now.more.push(("keyring".to_owned(), keyring.clone()));
        let (bundle, file) = (String::from_utf8(bundle).unwrap(), std::fs::read(lab.path()).unwrap());
        Self { earlier, now, tokens, keyring, bundle, file }
    }

    pub(crate) fn token(&self, name: &str) -> &str {
        &self.tokens[name]
    }
}

/// A version in a grant: number, whether it is previous, the end of its grace, key and hash.
type GrantedVersion = (u32, bool, Option<i64>, SealingKey, [u8; 32]);

/// A grant.
struct Grant {
    name: String,
    variable: String,
    expires: Option<i64>,
    versions: Vec<GrantedVersion>,
}

impl Grant {
    fn decode(plain: &[u8]) -> Self {
        let mut from = Decoder::new(plain);
        let grant = Self {
            name: from.text().unwrap().to_owned(),
            variable: from.text().unwrap().to_owned(),
            expires: {
                from.list(|from| from.text().map(drop)).unwrap();
                let expires = from.option(Decoder::i64).unwrap();
                // No vector has a key that is public, disabled, or of a kind.
                assert_eq!(from.fixed(3), Ok(&[0; 3][..]));
                expires
            },
            versions: from
                .list(|from| {
                    Ok((
                        from.u32()?,
                        from.u8()? == 1,
                        from.option(Decoder::i64)?,
                        SealingKey::from_bytes(from.fixed(32)?).unwrap(),
                        from.array()?,
                    ))
                })
                .unwrap(),
        };
        assert_eq!(from.u32(), Ok(0));
        from.end().unwrap();
        grant
    }

    fn content(&self, now: i64, value: impl Fn(u32) -> Vec<u8>) -> Value {
        let good = |grace: &Option<i64>| grace.is_none_or(|until| until > now);
        let current = self.versions.iter().find(|version| !version.1).unwrap().0;
        let previous = self.versions.iter().find(|(_, previous, grace, ..)| *previous && good(grace));
        json!({
            "name": self.name,
            "variable": self.variable,
            "expires": self.expires,
            "version": current,
            "value": hex(&value(current)),
            "previous": previous.map(|(number, ..)| json!([number, hex(&value(*number))])),
        })
    }
}

/// A token's bearer, in a vault whose keys it does not have.
pub(crate) struct Bearer<'f> {
    pub(crate) forge: &'f Forge,
    pub(crate) id: Tag,
    reader: SealingKey,
}

impl<'f> Bearer<'f> {
    pub(crate) fn of(forge: &'f Forge, token: &str) -> Self {
        let secret = SealingKey::derive_from(&token.as_bytes()[4..69], "keyvault token", &[]);
        let id = secret.derive("keyvault token id", &[]).expose()[..16].try_into().unwrap();
        Self { forge, id, reader: secret.derive("keyvault token reader", &[]) }
    }

    fn key(&self, purpose: &str) -> SealingKey {
        self.reader.derive(&format!("keyvault token {purpose}"), &self.forge.identity.whole())
    }

    /// The condition of the token's rows.
    pub(crate) fn mine(&self) -> String {
        format!("token = x'{}'", hex(&self.id))
    }

    pub(crate) fn change(&self) -> u64 {
        self.forge.number(&format!("SELECT change FROM token_view WHERE {}", self.mine())).cast_unsigned()
    }

    fn sealed_view(&self) -> Vec<u8> {
        self.forge.blob(&format!("SELECT sealed FROM token_view WHERE {}", self.mine()))
    }

    /// The signed text of the view.
    pub(crate) fn view(&self) -> Vec<u8> {
        let place = at("token_view", &self.id, 0, self.change());
        let plain =
            unpad(&self.forge.open(&self.key("view"), "keyvault token view", place, &self.sealed_view()));
        Decoder::new(&plain).bytes().unwrap().to_vec()
    }

    /// Puts a text in the view's place, signed by the owner.
    pub(crate) fn put_view(&self, text: &[u8]) {
        let signature = self.forge.keys.signing.sign(Signed::View, &self.forge.identity, text);
        self.put_signed_view(text, &signature);
    }

    pub(crate) fn put_signed_view(&self, text: &[u8], signature: &[u8]) {
        self.put_padded_view(&pad(&Encoder::new().bytes(text).bytes(signature).finish()));
    }

    pub(crate) fn put_padded_view(&self, padded: &[u8]) {
        let place = at("token_view", &self.id, 0, self.change());
        let sealed = self.forge.seal(&self.key("view"), "keyvault token view", place, padded);
        self.forge.put("token_view", "sealed", &self.mine(), &sealed);
    }

    /// A machine's memory of the view.
    pub(crate) fn pin_state(&self) -> String {
        hex(&sha256(&self.sealed_view()))
    }

    fn grant_place<'a>(&'a self, key: &'a Tag) -> At<'a> {
        At { bound: &self.id, ..at("token_grant", key, 0, 0) }
    }

    pub(crate) fn grant(&self, key: &Tag) -> Vec<u8> {
        let condition = format!("{} AND key = x'{}'", self.mine(), hex(key));
        let sealed = self.forge.blob(&format!("SELECT sealed FROM token_grant WHERE {condition}"));
        let place = self.grant_place(key);
        unpad(&self.forge.open(&self.key("grants"), "keyvault token grant", place, &sealed))
    }

    /// Puts a grant in place of the one that is there, and has the view name it.
    pub(crate) fn put_padded_grant(&self, key: &Tag, padded: &[u8]) {
        let place = self.grant_place(key);
        let sealed = self.forge.seal(&self.key("grants"), "keyvault token grant", place, padded);
        self.forge.put(
            "token_grant",
            "sealed",
            &format!("{} AND key = x'{}'", self.mine(), hex(key)),
            &sealed,
        );
        self.bind();
    }

    /// Adds a grant, and has the view name it.
    pub(crate) fn add_grant(&self, key: &Tag, plain: &[u8]) {
        let sealed =
            self.forge.seal(&self.key("grants"), "keyvault token grant", self.grant_place(key), &pad(plain));
        self.forge.sql(&format!(
            "INSERT INTO token_grant VALUES (x'{}', x'{}', x'{}')",
            hex(&self.id),
            hex(key),
            hex(&sealed)
        ));
        self.bind();
    }

    /// The view anew, with the grants that there are.
    pub(crate) fn bind(&self) {
        let rows = self.granted();
        self.put_view(&self.view_of(&rows));
    }

    /// The view's text with these grants.
    fn view_of(&self, rows: &[(Tag, Vec<u8>)]) -> Vec<u8> {
        let hashes = rows.iter().flat_map(|(key, sealed)| [&key[..], &sha256(sealed)].concat());
        let hash = sha256(&[&b"keyvault token grants"[..], &hashes.collect::<Vec<u8>>()].concat());
        let view = self.view();
        let count = u32::try_from(rows.len()).unwrap().to_le_bytes();
        [&view[..view.len() - 44], &count, &hash, &[0; 8]].concat()
    }

    /// The view with the grants that there are, as the bearer would make it: signed by a key of its own.
    pub(crate) fn bind_itself(&self) -> SigningKey {
        let own = SigningKey::of_seed(self.key("view"));
        let text = self.view_of(&self.granted());
        self.put_signed_view(&text, &own.sign(Signed::View, &self.forge.identity, &text));
        own
    }

    fn granted(&self) -> Vec<(Tag, Vec<u8>)> {
        let query = format!("SELECT key, sealed FROM token_grant WHERE {} ORDER BY key", self.mine());
        let mut statement = self.forge.connection.prepare(&query).unwrap();
        let rows = statement.query_map([], |row| Ok((row.get::<_, Vec<u8>>(0)?, row.get(1)?))).unwrap();
        rows.map(|row| row.map(|(key, sealed)| (key.try_into().unwrap(), sealed)).unwrap()).collect()
    }

    /// Its reads, as events with their padding.
    pub(crate) fn reads(&self) -> Vec<(Option<u64>, Vec<u8>)> {
        self.forge.events_in(&self.id, &self.key("audit events"))
    }

    /// Its whole ledger anew with these events.
    pub(crate) fn put_reads(&self, first: SealingKey, events: &[(Option<u64>, Vec<u8>)]) {
        let keys = [&self.key("audit events"), &self.key("audit append")];
        self.forge.put_chain_in(&self.id, first, keys, events);
    }

    /// The key of a version's value, as it was granted.
    pub(crate) fn value_key(&self, id: &Tag, version: u32) -> SealingKey {
        let grant = Grant::decode(&self.grant(id));
        grant.versions.into_iter().find(|(number, ..)| *number == version).unwrap().3
    }

    /// The bearer's keys at a moment.
    pub(crate) fn content(&self, now: i64) -> Value {
        let keys = self.granted().into_iter().map(|(id, _)| {
            let grant = Grant::decode(&self.grant(&id));
            grant.content(now, |number| {
                let (.., key, hash) = grant.versions.iter().find(|version| version.0 == number).unwrap();
                let query =
                    format!("SELECT sealed FROM version WHERE key = x'{}' AND version = {number}", hex(&id));
                let sealed = self.forge.blob(&query);
                assert_eq!(sha256(&sealed), *hash);
                let place = at("version", &id, number, 0);
                unpad(&self.forge.open(key, "keyvault value", place, &sealed))
            })
        });
        in_order(keys.collect())
    }

    /// Opens a bundle's text: its change and its content.
    pub(crate) fn bundle(&self, text: &str) -> (u64, Vec<u8>) {
        let body: String = text.lines().skip(1).collect();
        let bytes = BASE64.decode(body.as_bytes()).unwrap();
        let change = u64::from_le_bytes(bytes[36..44].try_into().unwrap());
        let place = at("bundle", &self.id, 0, change);
        let plain = self.forge.open(&self.key("bundle"), "keyvault bundle", place, &bytes[44..]);
        let signed = unpad(&plain);
        (change, Decoder::new(&signed).bytes().unwrap().to_vec())
    }

    /// The padded plaintext of a bundle with this content, signed by a key.
    pub(crate) fn signed_content(&self, content: &[u8], signing: &SigningKey, named: &SigningKey) -> Vec<u8> {
        let signature = signing.sign(Signed::Bundle, &self.forge.identity, content);
        let signer = named.signer().encode();
        pad(&Encoder::new().bytes(content).bytes(&signature).bytes(&signer).finish())
    }

    /// A bundle with this content, signed by the owner.
    pub(crate) fn owners_bundle(&self, change: u64, content: &[u8]) -> String {
        let signing = &self.forge.keys.signing;
        self.bundle_of(change, &self.signed_content(content, signing, signing))
    }

    /// A bundle with this padded content.
    pub(crate) fn bundle_of(&self, change: u64, padded: &[u8]) -> String {
        let identity = &self.forge.identity;
        let place = context(identity, at("bundle", &self.id, 0, change));
        let sealed =
            crypto::seal(&self.key("bundle"), "keyvault bundle", &place, padded, &self.forge.rng).unwrap();
        let whole = Encoder::new()
            .fixed(&identity.vault_id)
            .u32(identity.epoch)
            .fixed(&self.id)
            .u64(change)
            .fixed(&sealed);
        in_lines(&whole.finish())
    }

    pub(crate) fn bundle_content(&self, text: &str, now: i64) -> Value {
        let (_, plain) = self.bundle(text);
        let mut from = Decoder::new(&plain);
        from.fixed(1 + 16 + 8).unwrap();
        from.text().unwrap();
        from.i64().unwrap();
        from.option(Decoder::i64).unwrap();
        let keys = from.list(|from| {
            from.fixed(16)?;
            let grant = Grant::decode(from.bytes()?);
            let values = from.list(|from| Ok((from.u32()?, unpad(from.bytes()?))))?;
            let values: BTreeMap<u32, Vec<u8>> = values.into_iter().collect();
            Ok(grant.content(now, |number| values[&number].clone()))
        });
        in_order(keys.unwrap())
    }
}

/// Bytes as a bundle's text.
pub(crate) fn in_lines(bytes: &[u8]) -> String {
    let body = BASE64.encode(bytes);
    let lines = body.as_bytes().chunks(76).map(|line| format!("{}\n", std::str::from_utf8(line).unwrap()));
    format!("keyvault bundle 1\n{}", lines.collect::<String>())
}

/// The bytes of a bundle's text.
pub(crate) fn out_of_lines(text: &str) -> Vec<u8> {
    BASE64.decode(text.lines().skip(1).collect::<String>().as_bytes()).unwrap()
}

fn in_order(mut keys: Vec<Value>) -> Value {
    keys.sort_by_key(|key| key["name"].as_str().map(str::to_owned));
    json!({ "keys": keys })
}
