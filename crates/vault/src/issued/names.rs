//! Names of issued keys, looked up without opening a set: held and issued keys share one name space, and whoever adds or
//! lists held keys does not wait for a million issued ones.

use borsh::{BorshDeserialize, BorshSerialize};
use std::collections::BTreeMap;

use keyvault_core::clock::Moment;
use keyvault_core::codec::{self, Extensions};
use keyvault_core::crypto::SealingKey;
use keyvault_core::name::{KeyName, NameError};
use keyvault_issue::ApiId;
use keyvault_issue::record::{Id, NamedKey, State};
use keyvault_issue::set::{Kind, LoadedSet, VerifiedHeader, names_key};

use super::error::IssuedError;
use super::{sealed, signed, verified_list};
use crate::error::VaultError;
use crate::file::open::{Access, Vault};
use crate::tx::VerifiedTx;

/// The field of a name's extensions that says of a removed key how it comes back.
const REMOVED: u16 = 1;
/// The field of a header's extensions with the number of names that are of removed keys.
pub(super) const REMOVED_COUNT: u16 = 1;

/// A removed key, as its entry among the names keeps it.
#[derive(Debug, Clone, PartialEq, Eq, BorshSerialize, BorshDeserialize)]
pub(super) struct Gone {
    pub(super) name: KeyName,
    pub(super) since: Moment,
    /// The states of its ids before.
    pub(super) was: BTreeMap<Id, State>,
}

impl Gone {
    pub(super) fn of(entry: &NamedKey) -> Option<Self> {
        codec::decode(entry.extensions.get(REMOVED)?).ok()
    }

    /// The name that keeps the entry while the key's own is free for others.
    pub(super) fn keeper(id: &Id) -> Result<KeyName, NameError> {
        KeyName::parse(&format!("_removed/{id}"))
    }

    pub(super) fn extensions(&self) -> Extensions {
        Extensions::default().with(REMOVED, codec::encode(self))
    }
}

/// How many issued keys there are, by the signed headers alone: those of the owner that have a name, and those of issuers.
pub fn count(vault: &mut Vault, access: &Access) -> Result<u64, VaultError> {
    vault.read(access, |tx| count_in(tx))
}

pub(crate) fn count_in(tx: &VerifiedTx<'_>) -> Result<u64, VaultError> {
    let headers = tx.rows.set_headers()?;
    if headers.is_empty() {
        return Ok(0);
    }
    let list = verified_list(tx)?;
    let count = |row| {
        let header = signed(row).unverified().ok()?;
        list.set(&header.set).filter(|listed| listed.header == signed(row).hash())?;
        let removed = header.extensions.get(REMOVED_COUNT).and_then(|bytes| codec::decode::<u32>(bytes).ok());
        Some(u64::from(match header.count(Kind::Api) {
            (0, _) => header.count(Kind::Keys).1,
            _ => header.count(Kind::Names).1.saturating_sub(removed.unwrap_or(0)),
        }))
    };
    Ok(headers.iter().filter_map(count).sum())
}

/// Returns `true` if an issued key has the name.
pub fn is_issued(vault: &mut Vault, access: &Access, name: &KeyName) -> Result<bool, VaultError> {
    vault.read(access, |tx| Ok(named(tx, name)?.is_some()))
}

/// The sets of the owner as far as a name is looked up in them.
pub(crate) struct Lookup(Vec<(VerifiedHeader, SealingKey)>);

impl Lookup {
    /// Verifies the headers; without issued keys there are none.
    pub(crate) fn begin(tx: &VerifiedTx<'_>) -> Result<Self, VaultError> {
        let headers = tx.rows.set_headers()?;
        if headers.is_empty() {
            return Ok(Self(Vec::new()));
        }
        let list = verified_list(tx)?;
        let of_owner = |row| {
            let signed = signed(row);
            let header = VerifiedHeader::of_owner(&list, &signed.unverified().ok()?.api, &signed).ok()?;
            Some((header, names_key(&tx.daily.issued, &row.set)))
        };
        Ok(Self(headers.iter().filter_map(of_owner).collect()))
    }

    /// The API and the entry of a name. One page is opened, and not held against the root: whoever has the vault's everyday
    /// keys wrote it. An older one refuses a name that is free, or does not refuse one that is taken.
    pub(crate) fn find(
        &self,
        tx: &VerifiedTx<'_>,
        name: &KeyName,
    ) -> Result<Option<(ApiId, NamedKey)>, VaultError> {
        for (header, key) in &self.0 {
            let set = header.header().set;
            let Some(page) = LoadedSet::page_of_name(header, name) else { continue };
            let Some(row) = tx.rows.set_page(&set, Kind::Names as u8, page)? else { continue };
            if let Some(entry) = LoadedSet::glance_at_name(header, key, &sealed(&row), name) {
                return Ok(Some((header.header().api, entry)));
            }
        }
        Ok(None)
    }

    /// Refuses the name of an issued key for a held one.
    pub(crate) fn refuse(&self, tx: &VerifiedTx<'_>, name: &KeyName) -> Result<(), VaultError> {
        match self.find(tx, name)? {
            Some(_) => Err(IssuedError::Exists(name.clone()).into()),
            None => Ok(()),
        }
    }
}

/// The API and the entry of one name.
pub(crate) fn named(tx: &VerifiedTx<'_>, name: &KeyName) -> Result<Option<(ApiId, NamedKey)>, VaultError> {
    Lookup::begin(tx)?.find(tx, name)
}

/// Refuses the name of an issued key for a held one.
pub(crate) fn refuse_issued(tx: &VerifiedTx<'_>, name: &KeyName) -> Result<(), VaultError> {
    Lookup::begin(tx)?.refuse(tx, name)
}
