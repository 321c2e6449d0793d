//! One file for each verb: its arguments, whose comments are its help, and one function.

pub(crate) mod add;
pub(crate) mod audit;
pub(crate) mod bundle;
pub(crate) mod completions;
pub(crate) mod doctor;
pub(crate) mod edit;
pub(crate) mod exec;
pub(crate) mod export;
pub(crate) mod generate;
pub(crate) mod history;
pub(crate) mod import;
pub(crate) mod init;
pub(crate) mod list;
pub(crate) mod lock;
pub(crate) mod man;
pub(crate) mod project;
pub(crate) mod remove;
pub(crate) mod revoke;
pub(crate) mod rollback;
pub(crate) mod rotate;
pub(crate) mod show;
pub(crate) mod status;
pub(crate) mod token;
pub(crate) mod tour;
pub(crate) mod unlock;
pub(crate) mod vault;
