//! Keys: their record, their versions, and every change of them.

pub(crate) mod copy;
pub(crate) mod disable;
pub(crate) mod edit;
pub(crate) mod history;
pub(crate) mod import;
pub(crate) mod record;
pub(crate) mod removal;
pub(crate) mod rotate;
pub(crate) mod tombstones;
pub(crate) mod versions;

pub use self::copy::copy;
pub use self::disable::{Switched, disable, enable};
pub(crate) use self::edit::{all_existing, not_found};
pub use self::edit::{check_new, create, edit, list, list_beside_issued, public_values, reveal, show};
pub use self::history::usage;
pub use self::import::{import, preview_import};
pub use self::removal::{remove, removed, removed_names, removed_of_name, undelete, wipe, wipe_removed};
pub use self::rotate::{due, history, is_revoked_value, revoke, rollback, rotate};
pub(crate) use self::rotate::{of_scope, settle};
pub(crate) use self::versions::KEPT;
pub use crate::tx::names::names;
