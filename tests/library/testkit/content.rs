//! A vault's content as JSON: once as the second implementation reads it, once as the library does.

use std::collections::BTreeMap;

use keyvault_core::clock::Moment;
use keyvault_core::name::{EnvName, Scope};
use keyvault_core::recipe::Alphabet;
use keyvault_exec::release::{self, Preview, ReleaseError, Released, Selection};
use keyvault_vault::audit::Action;
use keyvault_vault::{
    Access, KeyRecord, Looking, Purpose, Reading, Status, Supply, Taking, Vault, VersionState, World, check,
    key, slot, supply,
};
use serde_json::{Value, json};

use super::forge::{Fields, Forge, KEY, OWN_LOG, Tag, unpad};
use super::vector::hex;

const STATES: [&str; 6] = ["", "pending", "current", "previous", "retired", "revoked"];
const ORIGINS: [&str; 4] = ["", "generated", "given", "minted"];
const SLOTS: [&str; 5] = ["", "passphrase", "recovery code", "keyring", "key file"];
const RECIPES: [&str; 14] = [
    "",
    "token",
    "password",
    "hex",
    "base64",
    "base64url",
    "uuid",
    "passphrase",
    "ed25519",
    "ssh-ed25519",
    "ecdsa-p256",
    "ecdsa-p384",
    "ssh-ecdsa-p256",
    "ssh-ecdsa-p384",
];

fn u32_of(bytes: &[u8]) -> u32 {
    u32::from_le_bytes(bytes[..4].try_into().unwrap())
}

fn i64_of(bytes: &[u8]) -> i64 {
    i64::from_le_bytes(bytes[..8].try_into().unwrap())
}

fn option(bytes: &[u8]) -> Option<&[u8]> {
    (bytes[0] == 1).then_some(&bytes[1..])
}

fn u64_of(bytes: &[u8]) -> u64 {
    u64::from_le_bytes(bytes[..8].try_into().unwrap())
}

fn text_of(bytes: &[u8]) -> String {
    String::from_utf8(bytes[4..].to_vec()).unwrap()
}

fn texts(mut bytes: &[u8]) -> Vec<String> {
    let mut texts = Vec::new();
    bytes = &bytes[4..];
    while !bytes.is_empty() {
        let len = u32_of(bytes) as usize;
        texts.push(text_of(&bytes[..4 + len]));
        bytes = &bytes[4 + len..];
    }
    texts
}

/// The vault in this forge, at a moment.
pub(crate) fn forged(forge: &Forge, now: i64) -> Value {
    let mut statement = forge.connection.prepare("SELECT tag FROM object WHERE id >> 56 = 3").unwrap();
    let tags = statement.query_map([], |row| row.get::<_, Tag>(0)).unwrap().map(Result::unwrap);
    let mut keys: Vec<Fields> = tags.map(|tag| Fields::of(&unpad(&forge.padded(KEY, &tag)))).collect();
    keys.sort_by_key(|key| text_of(key.get("name")));
    let mut scopes: BTreeMap<String, Vec<String>> = BTreeMap::new();
    for key in &keys {
        for scope in texts(key.get("scopes")) {
            scopes.entry(scope).or_default().push(text_of(key.get("name")));
        }
    }
    let mut statement = forge.connection.prepare("SELECT id, header FROM slot ORDER BY id").unwrap();
    let slots = statement.query_map([], |row| Ok((row.get::<_, i64>(0)?, row.get::<_, Vec<u8>>(1)?)));
    let slots: Vec<Value> = slots
        .unwrap()
        .map(Result::unwrap)
        .map(|(id, header)| json!([id, SLOTS[usize::from(header[0])]]))
        .collect();
    json!({
        "vault": hex(&forge.identity.vault_id),
        "epoch": forge.identity.epoch,
        "change": forge.record().change,
        "entries": forge.number(&format!("SELECT count(*) FROM log WHERE {OWN_LOG}")),
        "slots": slots,
        "scopes": scopes,
        "keys": keys.iter().map(|key| forged_key(forge, key, now)).collect::<Vec<_>>(),
    })
}

fn forged_key(forge: &Forge, key: &Fields, now: i64) -> Value {
    let expires = option(key.get("expires")).map(i64_of);
    let id = key.get("id").try_into().unwrap();
    let mut versions = Vec::new();
    let mut has_current = false;
    for place in 1..=u32_of(key.get("count")) {
        let get = |field: &str| key.get(&format!("{field} {place}"));
        let number = u32_of(get("number"));
        let grace = option(get("grace")).map(i64_of);
        let state = STATES[usize::from(get("state")[0])];
        has_current |= state == "current";
        let over = state == "previous" && grace.is_some_and(|until| until <= now);
        versions.push(json!({
            "number": number,
            "state": if over { "retired" } else { state },
            "origin": ORIGINS[usize::from(get("origin")[0])],
            "created": i64_of(get("created")),
            "created_change": u64_of(get("created by")),
            "since": i64_of(get("since")),
            "since_change": u64_of(get("since change")),
            "grace_until": grace,
            "fingerprint": hex(get("fingerprint")),
            "due": option(get("due")).map(i64_of),
            "made_by": text_of(get("made by")),
            "public": option(get("public")).map(text_of),
            "reason": text_of(get("reason")),
            "value": option(get("digest")).map(|_| hex(&forge.value(&id, number))),
        }));
    }
    let disabled = option(key.get("disabled"));
    let status = match expires {
        _ if disabled.is_some() => "disabled",
        _ if !has_current => "revoked",
        Some(expires) if expires <= now => "expired",
        _ => "active",
    };
    let tags = texts(key.get("tags"));
    let tags: BTreeMap<&String, &String> = tags.chunks(2).map(|pair| (&pair[0], &pair[1])).collect();
    json!({
        "id": hex(key.get("id")),
        "name": text_of(key.get("name")),
        "variable": text_of(key.get("variable")),
        "scopes": texts(key.get("scopes")),
        "tags": tags,
        "note": text_of(key.get("note")),
        "created": i64_of(key.get("created")),
        "expires": expires,
        "status": status,
        "recipe": option(key.get("recipe")).map(|recipe| {
            let alphabet = 9 + u32_of(&recipe[5..]) as usize;
            json!({
                "kind": RECIPES[usize::from(recipe[0])],
                "length": u32_of(&recipe[1..]),
                "prefix": text_of(&recipe[5..alphabet]),
                "alphabet": text_of(&recipe[alphabet..]),
            })
        }),
        "owner": text_of(key.get("owner")),
        "display_name": text_of(key.get("display name")),
        "value_kind": key.get("kind of value")[0],
        "public": key.get("public")[0] == 1,
        "disabled": disabled.map(|disabled| json!([i64_of(disabled), text_of(&disabled[8..])])),
        "decoy": option(key.get("decoy")),
        "rotate_every": option(key.get("rotate every")).map(u64_of),
        "warn": option(key.get("warn")).map(u64_of),
        "unit": option(key.get("unit")).map(hex),
        "rotation": option(key.get("rotation")).map(|rotation| json!({
            "mode": rotation[0],
            "step": rotation[1],
            "attempt": hex(&rotation[2..18]),
            "version": u32_of(&rotation[18..]),
            "deadline": i64_of(&rotation[22..]),
            "outcome": rotation[30],
        })),
        "last_change": u64_of(key.get("last change")),
        "next_version": u32_of(key.get("next")),
        "versions": versions,
    })
}

/// Takes keys for places that take any value.
pub(crate) fn take(
    reading: Reading<'_, Taking>,
    selection: &Selection,
    purpose: Purpose,
) -> Result<Released, ReleaseError> {
    Ok(release::stage(reading, selection)?.fit_anywhere()?.commit(purpose)?)
}

/// The staged release, without a commit.
pub(crate) fn preview(reading: Reading<'_, Looking>, selection: &Selection) -> Result<Preview, ReleaseError> {
    Ok(release::stage(reading, selection)?.fit_anywhere()?.preview())
}

/// The keys that the library gives a token's bearer.
pub(crate) fn held(supply: &mut Supply, world: &World<'_>) -> Value {
    let mut take = |selection: &Selection| {
        let purpose = Purpose { action: Action::Exec, detail: String::new() };
        take(supply.begin(world)?, selection, purpose)
    };
    let all = match take(&Selection { all: true, ..Selection::default() }) {
        Ok(all) => Some(all),
        // Nothing was granted.
        Err(ReleaseError::Refused(_)) => None,
        Err(ReleaseError::Vault(error)) => panic!("{error}"),
    };
    let mut keys = Vec::new();
    for found in all.iter().flat_map(Released::values) {
        let previous = Selection { previous: vec![found.name.clone()], ..Selection::default() };
        let previous = take(&previous).ok();
        let previous = previous.as_ref().and_then(|previous| previous.values().last());
        keys.push(json!({
            "name": found.name.as_str(),
            "variable": found.variable.as_ref().map(EnvName::as_str),
            "expires": found.expires.map(|Moment(expires)| expires),
            "version": found.version,
            "value": hex(found.value.expose()),
            "previous": previous.map(|found| json!([found.version, hex(found.value.expose())])),
        }));
    }
    keys.sort_by_key(|key| key["name"].as_str().map(str::to_owned));
    json!({ "keys": keys })
}

/// The vault as the library sees it. Of values that it does not hand out only the fingerprint is known, which a check
/// holds against the value; those are taken from `expected`.
pub(crate) fn seen(vault: &mut Vault, access: &Access, world: &World<'_>, expected: &Value) -> Value {
    let now = world.now();
    let checked = check::run(vault, access).unwrap();
    assert_eq!(checked.findings, []);
    let identity = vault.identity();
    let change = checked.change;
    let entries = check::audit_log(vault, access).unwrap().entries;
    let slots = slot::list(vault, access).unwrap();
    let names = key::names(vault, access).unwrap();
    let items = key::list(vault, access).unwrap();
    let mut scopes: BTreeMap<String, Vec<String>> = BTreeMap::new();
    for item in &items {
        assert!(names.keys.contains(&item.name));
        assert_eq!(key::show(vault, access, &item.name).unwrap(), *item);
        for scope in &item.scopes {
            scopes.entry(scope.to_string()).or_default().push(item.name.to_string());
        }
    }
    assert_eq!(names.keys.len(), items.len());
    assert_eq!(
        names.scopes.iter().map(Scope::to_string).collect::<Vec<_>>(),
        scopes.keys().cloned().collect::<Vec<_>>()
    );
    for (scope, members) in &scopes {
        let selection =
            Selection { scopes: vec![scope.parse().unwrap()], skip_expired: true, ..Selection::default() };
        let active = items
            .iter()
            .filter(|item| members.contains(&item.name.to_string()) && item.status(now) == Status::Active);
        let active: Vec<_> = active.map(|item| item.name.clone()).collect();
        // A variable that runs code is not handed out.
        let unfit = |item: &KeyRecord| EnvName::parse(item.variable.as_str()).is_err();
        if active.is_empty() || items.iter().any(unfit) {
            continue;
        }
        let mut taken = preview(supply::look(vault, access, world).unwrap(), &selection).unwrap().keys;
        taken.sort();
        assert_eq!(taken.into_iter().map(|(name, _)| name).collect::<Vec<_>>(), active, "{scope}");
    }
    let mut keys = Vec::new();
    for (place, item) in items.iter().enumerate() {
        keys.push(seen_key(vault, access, world, item, &expected["keys"][place]));
    }
    json!({
        "vault": identity.vault_hex(),
        "epoch": identity.epoch,
        "change": change,
        "entries": entries,
        "slots": slots.iter().map(|slot| json!([slot.id, slot.kind.name()])).collect::<Vec<_>>(),
        "scopes": scopes,
        "keys": keys,
    })
}

fn seen_key(
    vault: &mut Vault,
    access: &Access,
    world: &World<'_>,
    item: &KeyRecord,
    expected: &Value,
) -> Value {
    let now = world.now();
    let status = item.status(now);
    let mut versions = Vec::new();
    for (place, version) in item.versions.iter().enumerate() {
        let state = version.state_at(now);
        let readable = matches!(state, VersionState::Current | VersionState::Previous)
            && !matches!(status, Status::Disabled | Status::Expired)
            && version.digest.is_some();
        let revealed = key::reveal(vault, access, world, &item.name, Some(version.number));
        let value = match revealed {
            Ok((_, value)) if readable => Value::String(hex(value.expose())),
            Err(_) if !readable && version.digest.is_some() => {
                let value = expected["versions"][place]["value"].clone();
                assert!(value.is_string());
                value
            }
            Err(_) if !readable => Value::Null,
            other => panic!("{} version {}: {other:?}", item.name, version.number),
        };
        versions.push(json!({
            "number": version.number,
            "state": state.name(),
            "origin": ORIGINS[version.origin as usize],
            "created": version.created.0,
            "created_change": version.created_change,
            "since": version.since.0,
            "since_change": version.since_change,
            "grace_until": version.grace_until.map(|until| until.0),
            "fingerprint": version.fingerprint_hex(),
            "due": version.due.map(|due| due.0),
            "made_by": version.made_by,
            "public": version.public,
            "reason": version.reason,
            "value": value,
        }));
    }
    json!({
        "id": hex(&item.id),
        "name": item.name.as_str(),
        "variable": item.variable.as_str(),
        "scopes": item.scopes.iter().map(Scope::as_str).collect::<Vec<_>>(),
        "tags": item.tags.iter().map(|(key, value)| (key.as_str(), value)).collect::<BTreeMap<_, _>>(),
        "note": item.note,
        "created": item.created.0,
        "expires": item.expires.map(|Moment(expires)| expires),
        "status": status.name(),
        "recipe": item.recipe.as_ref().map(|recipe| json!({
            "kind": recipe.kind().name(),
            "length": recipe.length().unwrap_or(0),
            "prefix": recipe.prefix(),
            "alphabet": recipe.alphabet().map(Alphabet::characters).unwrap_or_default(),
        })),
        "owner": item.owner,
        "display_name": item.display_name,
        "value_kind": item.value_kind,
        "public": item.public,
        "disabled": item.disabled.as_ref().map(|disabled| json!([disabled.since.0, disabled.reason])),
        "decoy": item.decoy.map(|decoy| [decoy.alarm as u8, decoy.on_trip as u8]),
        "rotate_every": item.rotate_every,
        "warn": item.warn,
        "unit": item.unit.map(|unit| hex(&unit)),
        "rotation": item.rotation.map(|rotation| json!({
            "mode": rotation.mode as u8,
            "step": rotation.step as u8,
            "attempt": hex(&rotation.attempt),
            "version": rotation.version,
            "deadline": rotation.deadline.0,
            "outcome": rotation.outcome as u8,
        })),
        "last_change": item.last_change,
        "next_version": item.next_version,
        "versions": versions,
    })
}
