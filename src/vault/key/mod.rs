//! Keys: their record, their versions, and every change of them.

pub(in crate::vault) mod edit;
pub(in crate::vault) mod history;
pub(in crate::vault) mod import;
pub(in crate::vault) mod record;
pub(in crate::vault) mod rotate;
pub(in crate::vault) mod tombstones;
pub(in crate::vault) mod versions;
