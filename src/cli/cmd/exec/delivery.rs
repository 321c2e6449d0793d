//! `keyvault exec`: values that go elsewhere than into a variable.

use std::os::fd::RawFd;

use clap::Args;
use serde_json::json;

use crate::cli::args::named;
use crate::cli::{complete, mapping};
use keyvault_core::name::{EnvName, KeyName};
use keyvault_exec::delivery::Deliveries;

/// Delivery other than in a variable.
#[derive(Debug, Args)]
pub(super) struct Delivery {
    /// This key in a file in memory that only you can read; VAR holds its path; removed when the command ends
    #[arg(long, value_name = "VAR=NAME", add = complete::mapped_keys(), value_parser = mapping::to_file, help_heading = "Besides variables")]
    file: Vec<(EnvName, KeyName)>,
    /// This key on descriptor N, 3 or higher: cat <&N, or /dev/fd/N
    #[arg(long, value_name = "N=NAME", add = complete::mapped_keys(), value_parser = mapping::to_descriptor, help_heading = "Besides variables", hide_short_help = true)]
    fd: Vec<(RawFd, KeyName)>,
    /// This key on the command's standard input
    #[arg(long, value_name = "NAME", add = complete::keys(), value_parser = named::<KeyName>, help_heading = "Besides variables", hide_short_help = true)]
    stdin: Option<KeyName>,
    /// All variables in an env-file for `docker run --env-file` instead; VAR holds its path
    #[arg(long, value_name = "VAR", value_parser = named::<EnvName>, help_heading = "Besides variables", hide_short_help = true)]
    docker_env: Option<EnvName>,
}

impl Delivery {
    pub(super) fn wanted(&self) -> Deliveries {
        Deliveries {
            files: self.file.clone(),
            descriptors: self.fd.clone(),
            input: self.stdin.clone(),
            env_file: self.docker_env.clone(),
        }
    }
}

/// The keys that go elsewhere than into a variable, as a dry run shows them: where, and what.
pub(super) fn preview(wanted: &Deliveries) -> Vec<(String, serde_json::Value)> {
    let files = wanted.files.iter().map(|(variable, name)| {
        (format!("file in {variable} <- {name}"), given(name, None, Some(variable), None))
    });
    let descriptors = wanted.descriptors.iter().map(|(number, name)| {
        (format!("descriptor {number} <- {name}"), given(name, None, None, Some(*number)))
    });
    let input = wanted
        .input
        .iter()
        .map(|name| (format!("standard input <- {name}"), given(name, None, None, Some(0))));
    files.chain(descriptors).chain(input).collect()
}

/// A key and where the command gets it: a variable, a file whose path a variable holds, or a descriptor.
pub(super) fn given(
    name: &KeyName,
    variable: Option<&EnvName>,
    file: Option<&EnvName>,
    descriptor: Option<RawFd>,
) -> serde_json::Value {
    json!({
        "variable": variable.map(EnvName::as_str), "file": file.map(EnvName::as_str), "descriptor": descriptor,
        "name": name.as_str(),
    })
}
