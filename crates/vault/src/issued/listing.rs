//! The owner's word on what issuers wrote: each of the owner's changes lists their headers as they are.

use keyvault_issue::issuer;
use keyvault_issue::record::Ascending;
use keyvault_issue::set::{Kind, List, LoadedSet};

use super::{keys_of, named, owners_set, put_list, sealed, signed, verified_list};
use crate::error::VaultError;
use crate::file::open::World;
use crate::tx::VerifiedTx;

/// Lists the issuers' sets whose headers are above the listed ones. A set that a verifier would not take, or that uses an id
/// again, keeps its place in the list, and the change goes on; the result is the fault of each such set, in words.
pub(crate) fn list_raised(tx: &mut VerifiedTx<'_>, world: &World<'_>) -> Result<Vec<String>, VaultError> {
    let mut faults = Vec::new();
    // Rows that are none are for a check to find; whoever can write the file could stop each change with them.
    let Ok(headers) = tx.rows.set_headers() else { return Ok(faults) };
    if headers.is_empty() {
        return Ok(faults);
    }
    let Ok(list) = verified_list(tx) else { return Ok(faults) };
    let mut next = list.sets().to_vec();
    for row in headers {
        let signed = signed(&row);
        let Ok(header) = signed.unverified() else { continue };
        let listed = list.set(&row.set);
        let is_listed = listed.is_some_and(|listed| listed.header == signed.hash());
        if is_listed || header.set != row.set || header.count(Kind::Api).0 > 0 {
            continue;
        }
        let Some(owner) = owners_set(tx, &header.api)? else { continue };
        let pages = tx.rows.set_pages(&row.set)?;
        let keys = keys_of(&tx.daily.issued, &header.api, &row.set);
        let raised = issuer::accept(&list, &owner, &signed, None, world.now())
            .and_then(|header| LoadedSet::load(header, &keys, pages.iter().map(sealed)))
            .and_then(|set| issuer::raise(listed, None, &set, world.now()));
        match raised {
            Ok(raised) => {
                next.retain(|listed| listed.set != row.set);
                next.push(raised);
            }
            Err(error) => {
                let entry = owner.api().and_then(|api| api.issuers.find(&row.set));
                let whose =
                    entry.map_or_else(|| named(&row.set), |entry| format!("set of issuer {}", entry.name));
                faults.push(format!("{whose} not listed: {error}"));
            }
        }
    }
    if List(Ascending::of(next.iter().copied())).encode()
        != List(Ascending::of(list.sets().to_vec())).encode()
    {
        put_list(tx, next)?;
    }
    Ok(faults)
}
