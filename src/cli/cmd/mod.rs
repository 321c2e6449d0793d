//! One file for each verb: its arguments, whose comments are its help, and one function.

pub mod add;
pub mod audit;
pub mod bundle;
pub mod completions;
pub mod doctor;
pub mod edit;
pub mod exec;
pub mod export;
pub mod generate;
pub mod history;
pub mod import;
pub mod init;
pub mod list;
pub mod lock;
pub mod man;
pub mod project;
pub mod remove;
pub mod revoke;
pub mod rollback;
pub mod rotate;
pub mod show;
pub mod status;
pub mod token;
pub mod tour;
pub mod unlock;
pub mod vault;
