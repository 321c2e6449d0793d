//! The system: the one room with `unsafe`, and the only one that knows what Linux is.
//!
//! Each file wraps one thing that the standard library does not do, or does otherwise than a vault needs it. Every
//! descriptor that is opened here is close-on-exec. Nothing here decides anything about keys.

pub mod alloc;
pub mod exec;
pub mod files;
pub mod keyring;
pub mod startup;
pub mod tty;
pub mod who;
