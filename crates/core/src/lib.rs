//! Values and algorithms that all crates of keyvault share. No I/O: callers hand in the time and the random numbers.

#![forbid(unsafe_code)]

pub mod clock;
pub mod codec;
pub mod crypto;
pub mod identity;
pub mod name;
pub mod recipe;
pub mod secret;
pub mod text;
