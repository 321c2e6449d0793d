//! Sets of issued keys in the vault's file: which there are, and that they are those of the state record. What is in them
//! is for `keyvault-issue` to say.

use std::rc::Rc;

use keyvault_core::clock::{Moment, Rng};
use keyvault_core::crypto::{Hash, SealingKey, SigningKey};
use keyvault_core::identity::Identity;
use keyvault_issue::issuer::{self, MAX_RISE};
use keyvault_issue::record::Ascending;
use keyvault_issue::set::{
    Changes, Draft, Kind, List, Listed, LoadedSet, Origin, PageKeys, SealedPage, SetError, SignedHeader,
    SignerKind, VerifiedHeader, VerifiedList, Written, api_key, names_key, narrowings,
};
use keyvault_issue::{ApiId, SetId, VerifierId};

mod api;
#[cfg(test)]
mod attacks;
mod client;
mod deciding;
mod edit;
mod entries;
mod error;
#[cfg(test)]
pub(crate) mod fixture;
#[cfg(test)]
mod former_tokens;
mod holds;
mod issuer_side;
mod listing;
mod machine;
mod mint;
mod names;
mod narrow;
mod owner_side;
mod removal;
mod role;
mod state;
mod verifier_side;
mod verifying;
mod view;
mod watch;

pub use self::deciding::{Decision, decide_holds};
pub(crate) use self::entries::{Entries, follow_tokens, owners_set, refuse_mark};
pub use self::holds::hold;
pub(crate) use self::holds::note_holds;
pub use self::issuer_side::{IssuersView, write_set};
pub(crate) use self::listing::list_raised;
pub use keyvault_issue::standing::Standing;

pub use self::api::{ApiEdit, ApiSummary, add_api, api, apis, default_api, edit_api};
pub use self::client::{
    ClientEdit, ClientView, add_client, clients, edit_client, missing_client, remove_client, switch_client,
};
pub use self::edit::{Edit, Part, edit};
pub use self::error::{IssuedError, Noun};
pub use self::mint::{Minted, New, Terms, issue, rotate};
pub(crate) use self::names::{Lookup, count_in, named as named_key, refuse_issued};
pub use self::names::{count, is_issued};
pub use self::owner_side::{change_api, create_api};
pub use self::removal::{Removed, remove, removed, undelete, wipe};
pub use self::role::{RoleView, add_role, edit_role, remove_role, roles};
pub use self::state::{Switch, switch};
pub use self::verifier_side::{ApiSets, SetsSeen, read_sets};
pub use self::verifying::{ApiToVerify, granted_to_verify, to_verify};
pub use self::view::{Former, Key, among, list, show};
pub use self::watch::{data_version, still_there};

use crate::error::VaultError;
use crate::file::open::World;
use crate::state::StateError;
use crate::store::{PageRow, SetRow, Tx};
use crate::tx::VerifiedTx;
use crate::unlock::keys::DailyKeys;

/// A set that verified, with its sealed pages.
#[derive(Debug, Clone)]
pub(crate) struct Carried {
    api: ApiId,
    set: LoadedSet,
    header: SignedHeader,
    pages: Vec<PageRow>,
    /// The key that seals the API's pages and logs in the epoch that the set was found in.
    api_key: Rc<SealingKey>,
    /// The logs of the API's verifiers, as far as each holds, beside the owner's set.
    holds: Vec<(VerifierId, Vec<Vec<u8>>)>,
}

/// The sets that the record proves, the owners' before those of their issuers; and what does not hold.
#[derive(Default)]
pub(crate) struct Found {
    pub(crate) sets: Vec<Carried>,
    /// Set and fault.
    pub(crate) faults: Vec<(String, String)>,
    pub(crate) lost: Lost,
}

/// Sets that the record proves and that do not hold.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct Lost {
    /// The list does not hold, so it is unknown which sets there were; it had some.
    pub(crate) list: bool,
    /// How many listed ones.
    pub(crate) sets: usize,
}

/// The sets of a vault that a backup is to replace.
#[derive(Debug, Clone, Default)]
pub(crate) struct Replaced(pub(crate) Vec<Carried>);

impl PartialEq for Replaced {
    fn eq(&self, other: &Self) -> bool {
        self.0.iter().map(|carried| &carried.header).eq(other.0.iter().map(|carried| &carried.header))
    }
}

/// Writes the rows of a set that was signed, and lists it.
pub fn put(tx: &mut VerifiedTx<'_>, set: &SetId, written: &Written) -> Result<(), VaultError> {
    let header = written.header.unverified().map_err(|error| fault(set, error))?;
    let listed = verified_list(tx)?.sets().iter().copied().filter(|listed| listed.set != *set).collect();
    if written.pages.iter().any(|page| page.kind == Kind::Api as u8) {
        tx.entries.wrote_api(header.api);
    }
    put_pages(tx.rows, set, header.number, written)?;
    put_header(tx, *set, &written.header, listed)
}

/// Writes the pages of a set under a header of this number.
fn put_pages(rows: &Tx<'_>, set: &SetId, number: u64, written: &Written) -> Result<(), VaultError> {
    for kind in &written.replaced {
        rows.delete_set_pages(set, *kind as u8)?;
    }
    for page in &written.pages {
        rows.put_set_page(&PageRow {
            set: *set,
            kind: page.kind,
            page: page.page,
            change: number,
            sealed: page.sealed.to_vec(),
        })?;
    }
    Ok(())
}

/// The owner's sets and those of issuers as the record proves them, for a look at what is issued.
pub fn sets(tx: &VerifiedTx<'_>) -> Result<Vec<LoadedSet>, VaultError> {
    let found = find(tx)?;
    match found.faults.into_iter().next() {
        Some((row, what)) => Err(apart(&format!("{row}: {what}"))),
        None => Ok(found.sets.into_iter().map(|carried| carried.set).collect()),
    }
}

/// Everything about sets that holds, and everything that does not.
pub(crate) fn find(tx: &VerifiedTx<'_>) -> Result<Found, VaultError> {
    let mut found = Found::default();
    let headers = tx.rows.set_headers()?;
    let list = match verified_list(tx) {
        Ok(list) => list,
        Err(VaultError::State(error)) => {
            found.faults.push(("issued_list".to_owned(), error.to_string()));
            found.lost.list = tx.sets != List::hash(&List::default().encode());
            return Ok(found);
        }
        Err(error) => return Err(error),
    };
    for listed in list.sets() {
        if !headers.iter().any(|row| row.set == listed.set) {
            found.faults.push((named(&listed.set), "has no header".to_owned()));
        }
    }
    let is_owners = |row: &&SetRow| {
        signed(row).unverified().is_ok_and(|header| header.set == row.set && header.count(Kind::Api).0 > 0)
    };
    let (owners, others): (Vec<_>, Vec<_>) = headers.iter().partition(is_owners);
    let keys = |api: &ApiId, set: &SetId| keys_of(&tx.daily.issued, api, set);
    let (mut pages, mut known_holds) = (0, 0);
    for (row, is_owners) in owners.iter().map(|row| (row, true)).chain(others.iter().map(|row| (row, false)))
    {
        let header = signed(row);
        let rows = tx.rows.set_pages(&row.set)?;
        pages += rows.len() as u64;
        let loaded = header.unverified().and_then(|claimed| {
            if claimed.set != row.set {
                return Err(SetError::HeaderMalformed);
            }
            let verified = if is_owners {
                VerifiedHeader::of_owner(&list, &claimed.api, &header)?
            } else {
                let own = found.sets.iter().find(|own| own.api == claimed.api).ok_or(SetError::NoIssuer)?;
                issuer::accept(&list, &own.set, &header, None, now(tx))?
            };
            LoadedSet::load(verified, &keys(&claimed.api, &row.set), rows.iter().map(sealed))
        });
        match loaded {
            Ok(set) => {
                let api = set.header().header().api;
                let logs = holds::of_set(tx, &set)?;
                known_holds += logs.rows;
                found.faults.extend(logs.faults);
                let api_key = Rc::new(api_key(&tx.daily.issued, &api));
                found.sets.push(Carried { api, set, header, pages: rows, api_key, holds: logs.held });
            }
            Err(error) => found.faults.push((named(&row.set), error.to_string())),
        }
    }
    let is_found = |set: &SetId| found.sets.iter().any(|own| own.set.header().header().set == *set);
    found.lost.sets = list.sets().iter().filter(|listed| !is_found(&listed.set)).count();
    let [all_pages, holds] = tx.rows.count_set_rows()?;
    if all_pages != pages {
        found.faults.push(("issued_page".to_owned(), "has rows of no set".to_owned()));
    }
    if holds != known_holds {
        found.faults.push(("issued_hold".to_owned(), "has rows of no verifier".to_owned()));
    }
    Ok(found)
}

/// Keeps in the sets of a backup what the replaced vault refused, under numbers above those of both. An issuer's set that
/// went on there comes along, unless it was sealed in another epoch.
pub(crate) fn keep_irrevocable(
    tx: &mut VerifiedTx<'_>,
    replaced: &Replaced,
    world: &World<'_>,
) -> Result<(), VaultError> {
    let own = find(tx)?.sets;
    for other in &replaced.0 {
        let theirs = other.set.header().header();
        let Some(mine) = own.iter().find(|own| own.set.header().header().set == theirs.set) else { continue };
        let ours = mine.set.header().header();
        if mine.set.api().is_some() {
            let mut changes = narrowings(&mine.set, &other.set, world.now());
            changes.put.api = holds::with_logs_of(other, &mine.set, changes.put.api);
            let draft =
                Draft { number: next_number(tx, ours.number.max(theirs.number)), ..draft_of(tx, &mine.set) };
            let keys = keys_of(&tx.daily.issued, &mine.api, &theirs.set);
            let written = mine.set.change(&draft, &changes, &keys, &tx.daily.signing, world.rng);
            let written = written.map_err(|error| apart(&format!("{}: {error}", named(&theirs.set))))?;
            put(tx, &theirs.set, &written)?;
            holds::carry(tx, other, world.rng)?;
        } else if theirs.number > ours.number && theirs.identity == tx.identity {
            for kind in Kind::ALL {
                tx.rows.delete_set_pages(&theirs.set, kind as u8)?;
            }
            other.pages.iter().try_for_each(|page| tx.rows.put_set_page(page))?;
            let list = verified_list(tx)?;
            let listed = list.sets().iter().copied().filter(|listed| listed.set != theirs.set).collect();
            put_header(tx, theirs.set, &other.header, listed)?;
        }
    }
    Ok(())
}

/// Signs sets again whose numbers readers may have seen exceeded, where nothing tells how far: those of the owner get the
/// number of this change, which is above all of them; those of issuers one that no issuer can have reached either.
pub(crate) fn rise_above(tx: &mut VerifiedTx<'_>, above: u64, world: &World<'_>) -> Result<(), VaultError> {
    for carried in find(tx)?.sets {
        let own = carried.set.header().header();
        let is_owners = carried.set.api().is_some();
        if is_owners && own.number > above {
            continue;
        }
        let floor = if is_owners { own.number } else { own.number.saturating_add(MAX_RISE) };
        let draft = Draft { number: next_number(tx, floor), ..draft_of(tx, &carried.set) };
        entries::rewrite(tx, &carried, &draft, &Changes::default(), world)?;
    }
    Ok(())
}

/// The header of a set that the owner signs again.
fn draft_of(tx: &VerifiedTx<'_>, set: &LoadedSet) -> Draft {
    let own = set.header().header();
    Draft {
        identity: tx.identity,
        api: own.api,
        set: own.set,
        // Nothing but this change has seen a header that it wrote.
        number: if tx.entries.wrote(&own.set, own.number) { own.number } else { next_number(tx, own.number) },
        time: tx.current.record.time,
        fresh_until: own.fresh_until,
        signer: SignerKind::Epoch,
        extensions: own.extensions.clone(),
    }
}

/// The number of a header that this change writes above another.
fn next_number(tx: &VerifiedTx<'_>, above: u64) -> u64 {
    tx.next_change().max(above.saturating_add(1))
}

fn keys_of(issued: &SealingKey, api: &ApiId, set: &SetId) -> PageKeys {
    PageKeys::of_api(&api_key(issued, api), set).with(Kind::Names, names_key(issued, set))
}

/// Seals what was carried over again, under the keys and the signature of another epoch; in the same epoch it stays as it
/// is. All other rows about sets go.
pub(crate) fn carry(
    tx: &mut VerifiedTx<'_>,
    old: (&DailyKeys, &Identity),
    carried: &[Carried],
    rng: &dyn Rng,
) -> Result<(), VaultError> {
    tx.rows.clear_sets()?;
    tx.sets = List::hash(&List::default().encode());
    for carried in carried {
        let own = carried.set.header().header();
        let (header, pages) = if *old.1 == tx.identity {
            (carried.header.clone(), carried.pages.clone())
        } else {
            reseal(carried, &draft_of(tx, &carried.set), old.0, tx.daily, rng)?
        };
        pages.iter().try_for_each(|page| tx.rows.put_set_page(page))?;
        holds::carry(tx, carried, rng)?;
        let listed = verified_list(tx)?.sets().to_vec();
        put_header(tx, own.set, &header, listed)?;
    }
    Ok(())
}

fn reseal(
    carried: &Carried,
    draft: &Draft,
    old: &DailyKeys,
    new: &DailyKeys,
    rng: &dyn Rng,
) -> Result<(SignedHeader, Vec<PageRow>), VaultError> {
    let keys = |issued: &SealingKey| keys_of(issued, &draft.api, &draft.set);
    let signing: &SigningKey = &new.signing;
    let pages = carried.pages.iter().map(sealed);
    let written = carried
        .set
        .reseal(pages, &keys(&old.issued), draft, &keys(&new.issued), signing, rng)
        .map_err(|error| apart(&format!("{}: {error}", named(&draft.set))))?;
    let pages = written.pages.into_iter().map(|page| PageRow {
        set: draft.set,
        kind: page.kind,
        page: page.page,
        change: draft.number,
        sealed: page.sealed.into_owned(),
    });
    Ok((written.header, pages.collect()))
}

/// Writes a header, and the list with it.
fn put_header(
    tx: &mut VerifiedTx<'_>,
    set: SetId,
    header: &SignedHeader,
    others: Vec<Listed>,
) -> Result<(), VaultError> {
    let number = header.unverified().map_err(|error| fault(&set, error))?.number;
    let row = SetRow { set, header: header.text.clone(), signature: header.signature.clone() };
    tx.rows.put_set_header(&row)?;
    tx.entries.written.insert(set, number);
    put_list(tx, others.into_iter().chain([Listed { set, number, header: header.hash() }]))
}

fn put_list(tx: &mut VerifiedTx<'_>, listed: impl IntoIterator<Item = Listed>) -> Result<(), VaultError> {
    let list = List(Ascending::of(listed)).encode();
    tx.rows.put_set_list(&list)?;
    tx.sets = List::hash(&list);
    Ok(())
}

fn signed(row: &SetRow) -> SignedHeader {
    SignedHeader { text: row.header.clone(), signature: row.signature.clone() }
}

/// The list of sets, held against the hash that the record has, or that this change will put there.
fn verified_list(tx: &VerifiedTx<'_>) -> Result<VerifiedList, VaultError> {
    let origin = Origin { identity: tx.identity, owner: tx.daily.signing.signer() };
    let bound: &Hash = &tx.sets;
    VerifiedList::verify(&tx.rows.set_list()?, bound, origin).map_err(|error| apart(&error.to_string()))
}

/// The record's time: a check of what was written does not depend on when it is made.
fn now(tx: &VerifiedTx<'_>) -> Moment {
    tx.current.record.time
}

fn sealed(row: &PageRow) -> SealedPage<'_> {
    SealedPage { kind: row.kind, page: row.page, sealed: (&*row.sealed).into() }
}

fn named(set: &SetId) -> String {
    format!("set {}", data_encoding::HEXLOWER.encode(set))
}

fn fault(set: &SetId, error: SetError) -> VaultError {
    apart(&format!("{}: {error}", named(set)))
}

fn apart(what: &str) -> VaultError {
    StateError::Apart { what: what.to_owned() }.into()
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "a test may fail")]
mod tests {
    use keyvault_core::crypto::Cost;
    use keyvault_issue::record::{Id, State};
    use keyvault_issue::set::Found as Looked;

    use super::fixture::{API, SET, key, passphrase, revoked, vault, world};
    use super::*;
    use crate::audit::Action;
    use crate::{Access, Credential, Vault, check, slot};

    fn state_of(vault: &mut Vault, access: &Access) -> Option<State> {
        let sets = vault.read(access, |tx| sets(tx)).unwrap();
        match sets.first()?.key(&Id::parse("aa0000000001").unwrap()) {
            Looked::Record(key) => Some(key.state.clone()),
            Looked::Newer | Looked::Absent => None,
        }
    }

    #[test]
    fn a_set_goes_through_a_check_a_rekey_and_a_restore() {
        let folder = tempfile::tempdir().unwrap();
        let world = world(folder.path());
        let (mut vault, access) = vault(&world);
        let passphrase = passphrase();
        let before = vault.read(&access, |tx| Ok(Replaced(find(tx)?.sets))).unwrap();
        assert_eq!(state_of(&mut vault, &access), Some(State::Active));
        assert_eq!(check::run(&mut vault, &access).unwrap().findings, []);

        let credential = Credential::Passphrase(&passphrase, Cost::FLOOR);
        slot::rekey(&mut vault, &access, &world, &[credential], &[&access], &|_| ()).unwrap();
        let access = vault.open_passphrase(&passphrase).unwrap();
        assert_eq!(state_of(&mut vault, &access), Some(State::Active));
        assert_eq!(check::run(&mut vault, &access).unwrap().findings, []);

        // The set as it was before, revoked: a restore does not bring the key back.
        let replaced = vault.read(&access, |tx| Ok(Replaced(find(tx)?.sets))).unwrap();
        assert_ne!(before, replaced);
        let number = vault
            .change(&access, &world, |tx| {
                let carried = replaced.0.first().unwrap();
                let mut changes = Changes::default();
                changes.put.keys.push(key(revoked()));
                let keys = keys_of(&tx.daily.issued, &API, &SET);
                let draft = Draft { number: 70, ..draft_of(tx, &carried.set) };
                let written =
                    carried.set.change(&draft, &changes, &keys, &tx.daily.signing, world.rng).unwrap();
                put(tx, &SET, &written)?;
                let after = Replaced(find(tx)?.sets);
                put_back(tx, carried)?;
                keep_irrevocable(tx, &after, &world)?;
                let number = tx.rows.set_pages(&SET)?.iter().map(|page| page.change).max().unwrap();
                Ok((number, world.event(Action::Restore, Vec::new(), String::new())))
            })
            .unwrap();
        assert_eq!((state_of(&mut vault, &access), number), (Some(revoked()), 71));
        assert_eq!(check::run(&mut vault, &access).unwrap().findings, []);
    }

    /// The rows of a set as a backup has them.
    fn put_back(tx: &mut VerifiedTx<'_>, carried: &Carried) -> Result<(), VaultError> {
        for kind in Kind::ALL {
            tx.rows.delete_set_pages(&SET, kind as u8)?;
        }
        carried.pages.iter().try_for_each(|page| tx.rows.put_set_page(page))?;
        put_header(tx, SET, &carried.header, Vec::new())
    }
}
