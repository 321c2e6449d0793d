//! Sentences about the keys of our own API.

use keyvault_vault::issued::{IssuedError, Noun};

use super::remedy::{Remedy, failed, not_found, refused, usage};
use super::vault::did_you_mean;

/// The remedy for an error with an issued key, an API, a client, or a role.
pub(super) fn issued(error: &IssuedError) -> Remedy {
    match error {
        IssuedError::Exists(name) => {
            refused(format!("Nothing was changed. To get a new secret: keyvault rotate {name}"))
        }
        IssuedError::Held(_) => refused("Nothing was changed. Choose another name."),
        IssuedError::NoValue(name) => refused(format!("To get a new secret: keyvault rotate {name}")),
        IssuedError::Missing { noun, wanted, near } => {
            let add = match noun {
                Noun::Api => format!("Add it first: keyvault api add {wanted}"),
                Noun::Client => format!("Add it first: keyvault client add {wanted}"),
                Noun::Role => format!("Add it first: keyvault role add {wanted} --scope SCOPE"),
            };
            not_found(did_you_mean(near.as_ref(), &add))
        }
        IssuedError::Taken { noun, wanted } => refused(format!(
            "Nothing was changed. Change it with `keyvault {} edit {wanted}`.",
            command(*noun)
        )),
        IssuedError::InUse { noun: Noun::Client, named, .. } => refused(format!(
            "Revoke them, or give them another client. `keyvault list --issued --client {named}` lists them."
        )),
        IssuedError::InUse { .. } => {
            refused("Revoke them, or take the role from them: keyvault edit NAME --unrole ROLE")
        }
        IssuedError::NoPrefix { api, prefix } => {
            refused(format!("Give it to the API first: keyvault api edit {api} --prefix {prefix}"))
        }
        IssuedError::NotItsScope { .. } | IssuedError::NotItsRole { .. } => not_found("Nothing was changed."),
        IssuedError::Issuers(id) => {
            refused(format!("Nothing was changed. To refuse it: keyvault disable {id}"))
        }
        IssuedError::EndsBeforeItBegins => usage("Nothing was changed. Choose a later `--expires`."),
        IssuedError::NoLifetime(_) => {
            usage("Nothing was changed. Set an expiry: `--expires 90d`, or `--expires never`.")
        }
        IssuedError::ClientRemoved(name) => refused(format!(
            "Nothing was changed. Give it another client first: keyvault edit {name} --client CLIENT"
        )),
        IssuedError::NoMark => failed("Nothing was changed."),
    }
}

fn command(noun: Noun) -> &'static str {
    match noun {
        Noun::Api => "api",
        Noun::Client => "client",
        Noun::Role => "role",
    }
}
