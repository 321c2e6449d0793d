//! Starting, watching and describing processes.

pub mod actor;
pub mod alloc;
pub mod caller_streams;
pub mod child;
pub mod cores;
pub mod deadline;
pub mod descriptors;
pub mod exec;
#[cfg(target_os = "linux")]
mod forget;
pub mod interpreter;
pub mod interrupt;
pub mod output;
pub mod output_reader;
pub mod session_leader;
pub mod signal_group;
pub mod signal_names;
pub mod signals;
pub mod startup;
