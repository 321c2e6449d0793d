//! Keys: their record, their versions, and every change of them.

pub(crate) mod edit;
pub(crate) mod history;
pub(crate) mod import;
pub(crate) mod record;
pub(crate) mod rotate;
pub(crate) mod tombstones;
pub(crate) mod versions;
