//! Files: safe opening, locks, folders in memory.

pub mod fault;
pub mod lock;
pub mod memory_folder;
pub mod modes;
pub mod private;
pub mod sync_conflicts;
pub mod sync_service;
pub mod untrusted;
pub mod vault_file;
