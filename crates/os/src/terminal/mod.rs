//! The caller's terminal, and one of our own for a child.

pub mod line;
pub mod prompt;
pub mod pty;
