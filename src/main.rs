//! The process: the real world handed to [`keyvault::cli`].

fn main() {}
