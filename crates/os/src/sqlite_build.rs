//! How the linked SQLite was compiled.
#![allow(unsafe_code, reason = "rusqlite does not offer it")]

use std::ffi::CStr;

/// Returns `true` if SQLite was compiled with this option, named without `SQLITE_`.
pub fn has_option(name: &CStr) -> bool {
    // SAFETY: a C string, which is only read during the call.
    unsafe { rusqlite::ffi::sqlite3_compileoption_used(name.as_ptr()) != 0 }
}
