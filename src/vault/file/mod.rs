//! The vault as a file: creating, opening, backing up, restoring, and noticing a rollback.

pub(in crate::vault) mod backup;
pub(in crate::vault) mod busy;
pub(in crate::vault) mod create;
pub(in crate::vault) mod open;
pub(in crate::vault) mod restore_guard;
pub(in crate::vault) mod rollback_alarm;
pub(in crate::vault) mod working_copy;
