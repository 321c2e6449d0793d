//! `keyvault-gateway`: HTTP in front of an API whose keys `keyvault` issues.

#![forbid(unsafe_code)]

use std::io::{Write, stderr, stdout};
use std::path::PathBuf;
use std::process::ExitCode;

use clap::{Parser, Subcommand};
use keyvault_gateway::{Log, StartError, read_config, run};
use keyvault_os::process::alloc::WipingAllocator;
use keyvault_os::process::startup;

#[global_allocator]
static ALLOCATOR: WipingAllocator = WipingAllocator;

/// Check the keys of your own API in front of it.
///
/// Requests come in over HTTP or HTTPS, are matched with a route, judged by their key, and forwarded to a service. Whatever no
/// route names is refused. See docs/gateway.md.
#[derive(Parser)]
#[command(name = "keyvault-gateway", version, subcommand_required = true, disable_help_subcommand = true)]
struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// Run the gateway until SIGTERM; SIGHUP reloads the configuration
    Run {
        /// The configuration
        #[arg(long, value_name = "FILE")]
        config: PathBuf,
    },
    /// Check a configuration, and say which rule a request would meet
    Check {
        /// The configuration
        #[arg(long, value_name = "FILE")]
        config: PathBuf,
        /// The method of a request
        #[arg(long, requires = "path", default_value = "GET")]
        method: String,
        /// The path of a request, with its query
        #[arg(long, value_name = "PATH")]
        path: Option<String>,
    },
}

fn main() -> ExitCode {
    startup::harden();
    // A request that panics ends alone, and its payload, which may repeat a key, is not printed.
    std::panic::set_hook(Box::new(|_| {
        say("error: a part of the gateway stopped because of an internal error");
    }));
    let done = match Cli::parse().command {
        Command::Run { config } => run(&config, Log::to(Box::new(stdout())), say),
        Command::Check { config, method, path } => check(&config, &method, path.as_deref()),
    };
    match done {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            say(&format!("error: {error}"));
            ExitCode::FAILURE
        }
    }
}

fn check(path: &std::path::Path, method: &str, target: Option<&str>) -> Result<(), StartError> {
    let config = read_config(path)?;
    let text = match target {
        Some(target) => config.explain(method, target),
        None => "The configuration is usable.\n".to_owned(),
    };
    // A reader that is gone needs no answer.
    let _ = stdout().write_all(text.as_bytes());
    Ok(())
}

fn say(line: &str) {
    let _ = stderr().write_all(format!("keyvault-gateway: {line}\n").as_bytes());
}
