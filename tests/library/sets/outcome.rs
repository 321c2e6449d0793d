//! A verifier reads a vector, through the library.

use keyvault_core::clock::Moment;
use keyvault_core::codec::decode;
use keyvault_core::crypto::{SealingKey, Signer};
use keyvault_core::identity::Identity;
use keyvault_issue::hold::{Finding, HoldLog, Seen};
use keyvault_issue::issuer::{self, Beyond, Pinned};
use keyvault_issue::record::{Id, Period};
use keyvault_issue::set::{
    Kind, LoadedSet, Origin, PageKeys, SealedPage, SetError, SignedHeader, VerifiedHeader, VerifiedList,
};
use keyvault_issue::standing::{Counter, Lookup, Sets, Standing};
use serde_json::{Map, Value, json};

fn bytes(value: &Value) -> Vec<u8> {
    data_encoding::HEXLOWER.decode(value.as_str().unwrap().as_bytes()).unwrap()
}

fn array<const N: usize>(value: &Value) -> [u8; N] {
    bytes(value).try_into().unwrap()
}

fn header(set: &Value) -> SignedHeader {
    SignedHeader { text: bytes(&set["header"]), signature: bytes(&set["signature"]) }
}

fn pages(set: &Value) -> Vec<SealedPage<'static>> {
    let page = |row: &Value| SealedPage {
        kind: u8::try_from(row[0].as_u64().unwrap()).unwrap(),
        page: u32::try_from(row[1].as_u64().unwrap()).unwrap(),
        sealed: bytes(&row[2]).into(),
    };
    set["pages"].as_array().unwrap().iter().map(page).collect()
}

/// The name of a reason, as the vectors have it.
fn reason(error: SetError) -> &'static str {
    match error {
        SetError::List => "list",
        SetError::ListMalformed => "list-malformed",
        SetError::HeaderMalformed => "header-malformed",
        SetError::HeaderNewer(_) => "header-newer",
        SetError::OtherVault => "other-vault",
        SetError::OtherApi => "other-api",
        SetError::Origin => "origin",
        SetError::OriginNewer => "origin-newer",
        SetError::NotListed => "not-listed",
        SetError::NoIssuer => "no-issuer",
        SetError::IssuerNewer(_) => "issuer-newer",
        SetError::IssuerEnded => "issuer-ended",
        SetError::IssuerPast => "issuer-past",
        SetError::Older => "older",
        SetError::Forked => "forked",
        SetError::Number => "number",
        SetError::TooManyKeys => "too-many-keys",
        SetError::TooManyClients => "too-many-clients",
        SetError::Shape => "shape",
        SetError::PageMissing { .. } => "page-missing",
        SetError::PageExtra => "page-extra",
        SetError::PageLong { .. } => "page-long",
        SetError::PageSeal { .. } => "page-seal",
        SetError::PageMalformed { .. } => "page-malformed",
        SetError::Count => "count",
        SetError::Root => "root",
        SetError::NamesRoot => "names-root",
        SetError::ApiNewer => "api-newer",
        SetError::LoadWhole => "load-whole",
        SetError::Reused(_) => "reused",
    }
}

fn beyond(beyond: Beyond) -> &'static str {
    match beyond {
        Beyond::Imported => "imported",
        Beyond::Prefix => "prefix",
        Beyond::Role(_) => "role",
        Beyond::Client => "client",
        Beyond::ClientName => "client-name",
        Beyond::NoExpiry => "no-expiry",
        Beyond::Life => "life",
    }
}

fn standing(of: Standing) -> String {
    match of {
        Standing::Active => "active".to_owned(),
        Standing::NotYet => "not-yet".to_owned(),
        Standing::Expired => "expired".to_owned(),
        Standing::Held => "held".to_owned(),
        Standing::Disabled => "disabled".to_owned(),
        Standing::Revoked => "revoked".to_owned(),
        Standing::Refused(out) => format!("refused: {}", beyond(out)),
        Standing::Decoy => "decoy".to_owned(),
    }
}

fn finding(of: &Finding) -> String {
    match of {
        Finding::Damaged(number) => format!("damaged {number}"),
        Finding::Forged(number) => format!("forged {number}"),
        Finding::Shorter { found, seen } => format!("shorter {found} of {seen}"),
        Finding::Other(number) => format!("other {number}"),
    }
}

fn key(sets: &Sets, id: &str, now: Moment) -> Value {
    let credential = match sets.find(&Id::parse(id).unwrap()) {
        Lookup::Key(credential) => credential,
        Lookup::Unavailable => return json!("unavailable"),
        Lookup::Unknown => return json!("unknown"),
    };
    let counter = |counter: &Counter| if *counter == Counter::Key { "key" } else { "client" };
    let limits = credential.limits();
    let limits = limits.iter().map(|((counts, name), limit)| {
        json!([counter(counts), name, limit.count, limit.per, limit.burst, limit.cost])
    });
    let quotas = credential.quotas();
    let quotas = quotas.iter().map(|((counts, period), amount)| {
        json!([counter(counts), if *period == Period::Day { "day" } else { "month" }, amount])
    });
    json!({
        "standing": standing(credential.standing(now)),
        "client": credential.client().map(|client| client.name.as_str()),
        "ends": credential.ends().map(|end| end.0),
        "scopes": credential.scopes(),
        "limits": limits.collect::<Vec<_>>(),
        "quotas": quotas.collect::<Vec<_>>(),
    })
}

/// Reads a vector from its list to its keys.
pub(crate) fn outcome(vector: &Value) -> Value {
    read(vector).unwrap_or_else(|error| json!({ "refused": reason(error) }))
}

fn read(vector: &Value) -> Result<Value, SetError> {
    let now = Moment(vector["now"].as_i64().unwrap());
    let epoch = u32::try_from(vector["epoch"].as_u64().unwrap()).unwrap();
    let identity = Identity { vault_id: array(&vector["vault"]), epoch };
    let origin = Origin { identity, owner: Signer::decode(&bytes(&vector["owner"])).unwrap() };
    let api_key = SealingKey::from_bytes(&bytes(&vector["api_key"])).unwrap();
    let list = VerifiedList::verify(&bytes(&vector["list"]), &array(&vector["bound"]), origin)?;

    let owners = &vector["owners"];
    let verified = VerifiedHeader::of_owner(&list, &array(&vector["api"]), &header(owners))?;
    let fresh = verified.is_fresh(now);
    let mut keys = PageKeys::of_api(&api_key, &verified.header().set);
    if let Some(names) = vector["names_key"].as_str() {
        let names = SealingKey::from_bytes(&bytes(&json!(names))).unwrap();
        keys = keys.with(Kind::Names, names);
    }
    let owner = LoadedSet::load(verified, &keys, pages(owners))?;

    let mut taken = Vec::new();
    let mut issuers = Map::new();
    for issuers_set in vector["issuers"].as_array().unwrap() {
        let name = issuers_set["set"].as_str().unwrap();
        let pinned = vector["pins"].get(name);
        let pinned = pinned.map(|pin| Pinned { number: pin[0].as_u64().unwrap(), hash: array(&pin[1]) });
        let accepted = issuer::accept(&list, &owner, &header(issuers_set), pinned.as_ref(), now);
        let loaded = accepted.and_then(|accepted| {
            let keys = PageKeys::of_api(&api_key, &accepted.header().set);
            LoadedSet::load(accepted, &keys, pages(issuers_set))
        });
        let word = match &loaded {
            Ok(set) => match set.unreadable() {
                0 => "taken".to_owned(),
                count => format!("taken, {count} unreadable"),
            },
            Err(error) => reason(*error).to_owned(),
        };
        issuers.insert(name.to_owned(), json!(word));
        taken.extend(loaded);
    }

    let mut logs = Vec::new();
    let mut holds = Map::new();
    for verifier in owner.api().unwrap().verifiers.iter() {
        let name = super::forge::hex(&verifier.id);
        let none = json!([]);
        let rows = vector["holds"].get(&name).unwrap_or(&none).as_array().unwrap();
        let rows: Vec<_> = rows.iter().map(bytes).collect();
        let seen = vector["seen"].get(&name).map_or_else(Seen::default, |seen| decode(&bytes(seen)).unwrap());
        let rows = rows.iter().map(Vec::as_slice);
        let log = HoldLog::read(owner.api().unwrap(), verifier, &api_key, &identity, rows, &seen);
        let held: Vec<_> = log.all().map(|(id, _)| id.as_str().to_owned()).collect();
        let findings: Vec<_> = log.findings().iter().map(finding).collect();
        holds.insert(name, json!({ "held": held, "findings": findings }));
        logs.push(log);
    }
    let mut names: Vec<_> = owner.names().map(|named| named.name.as_str().to_owned()).collect();
    names.sort();
    let (sets, refused) = Sets::join(&list, owner, taken, logs, now);
    assert!(refused.is_empty(), "{refused:?}");
    let ask = vector["ask"].as_array().unwrap().iter().map(|id| id.as_str().unwrap());
    let found: Map<_, _> = ask.map(|id| (id.to_owned(), key(&sets, id, now))).collect();
    Ok(json!({ "fresh": fresh, "names": names, "issuers": issuers, "holds": holds, "keys": found }))
}
