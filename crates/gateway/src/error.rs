use std::io;
use std::net::SocketAddr;
use std::path::PathBuf;

use crate::config::Fault;

/// The reason for which the gateway does not start, or keeps the configuration that it has.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    #[error("cannot read {}: {error}", path.display())]
    Read { path: PathBuf, error: io::Error },
    #[error("{} is not a usable configuration:\n{}", path.display(), lines(faults))]
    Config { path: PathBuf, faults: Vec<Fault> },
    #[error("cannot listen on {address}: {error}")]
    Listen { address: SocketAddr, error: io::Error },
    #[error("{}: {what}", path.display())]
    Tls { path: PathBuf, what: String },
    #[error("cannot start a worker: {0}")]
    Worker(io::Error),
    #[error("`{0}` cannot be changed while the gateway runs. Restart it.")]
    Fixed(&'static str),
    #[error("{0}")]
    Keys(String),
}

fn lines(faults: &[Fault]) -> String {
    faults.iter().map(ToString::to_string).collect::<Vec<_>>().join("\n")
}
