//! The caller's terminal, and one of our own for a child.

mod line;
pub mod prompt;
pub mod pty;
