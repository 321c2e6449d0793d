//! The program: a configuration from a file, signals, and the end.

use std::path::Path;

use tokio::runtime::Builder;
use tokio::signal::unix::{SignalKind, signal};

use crate::config::Config;
use crate::error::StartError;
use crate::gateway::Gateway;
use crate::log::Log;

/// Reads the configuration at `path`.
pub fn read_config(path: &Path) -> Result<Config, StartError> {
    let text = std::fs::read_to_string(path);
    let text = text.map_err(|error| StartError::Read { path: path.to_owned(), error })?;
    Config::parse(&text).map_err(|faults| StartError::Config { path: path.to_owned(), faults })
}

/// Runs a gateway until SIGTERM or SIGINT. SIGHUP has it read its configuration again; one that is not usable changes
/// nothing. `tell` gets lines for the operator.
pub fn run(path: &Path, log: Log, tell: fn(&str)) -> Result<(), StartError> {
    let config = read_config(path)?;
    let runtime = Builder::new_current_thread().enable_io().build().map_err(StartError::Worker)?;
    // Before the gateway is up, so that no signal is missed.
    let signals = runtime.block_on(async {
        let of = |kind| signal(kind).map_err(StartError::Worker);
        Ok::<_, StartError>((
            of(SignalKind::hangup())?,
            of(SignalKind::terminate())?,
            of(SignalKind::interrupt())?,
        ))
    })?;
    let (mut hangup, mut terminate, mut interrupt) = signals;
    let gateway = Gateway::open(config, log, tell)?;
    for address in gateway.addresses() {
        tell(&format!("listening on {address}"));
    }
    if let Some(admin) = gateway.admin() {
        tell(&format!("serving /livez, /readyz, and /metrics on {admin}"));
    }
    runtime.block_on(async {
        loop {
            tokio::select! {
                _ = hangup.recv() => {
                    let reloaded = read_config(path).and_then(|config| gateway.reload(config));
                    match reloaded {
                        Ok(()) => tell("reloaded the configuration"),
                        Err(error) => tell(&format!("kept the configuration: {error}")),
                    }
                }
                _ = terminate.recv() => return,
                _ = interrupt.recv() => return,
            }
        }
    });
    tell("draining");
    gateway.drain();
    Ok(())
}
