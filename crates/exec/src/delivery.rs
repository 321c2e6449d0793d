//! Values that a command gets besides variables: in files, on descriptors, on its standard input, in docker's env-file.
//!
//! The request ([`Deliveries`]) is looked at before anything is opened; places for it ([`Places`]) are made
//! before anything is released; values are put there last. A value goes to the places that were named for it and to
//! no other: where it is chosen as a variable as well, the selection says so.

use std::ffi::OsString;
use std::io;
use std::os::fd::RawFd;
use std::path::Path;

use super::Command;
use super::fit::{LineFault, Misfit};
use super::release::{Released, Resolved, Selection};
use keyvault_core::name::{EnvName, KeyName};
use keyvault_core::secret::{SecretBytes, SecretWriter};
use keyvault_core::text::reason;
use keyvault_os::fs::memory_folder::{NoFolder, RunFolder};
use keyvault_os::process::descriptors::{Descriptors, Unavailable};
use keyvault_vault::{Shape, Unrecorded};

/// The longest line that docker reads from an env-file, in bytes, without its newline: Go's `bufio.Scanner` gives up
/// at 64 KiB.
const DOCKER_LINE: usize = 64 * 1024 - 1;

#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Deliveries {
    /// A value in a file, whose path the variable holds.
    pub files: Vec<(EnvName, KeyName)>,
    pub descriptors: Vec<(RawFd, KeyName)>,
    /// A value on the command's standard input.
    pub input: Option<KeyName>,
    /// The variable with the path of an env-file for docker; whatever would be a variable stands in it.
    pub env_file: Option<EnvName>,
}

/// Why a delivery is not possible.
#[derive(Debug, thiserror::Error)]
pub enum DeliveryError {
    #[error("Descriptor {0} is used for two keys.")]
    SameDescriptor(RawFd),
    #[error("{0} is used for two files.")]
    SameVariable(EnvName),
    /// A descriptor cannot be had.
    #[error(transparent)]
    Descriptor(#[from] Unavailable),
    /// There is no place for files.
    #[error(transparent)]
    Folder(#[from] NoFolder),
    /// A value could not be put where it belongs.
    #[error("The value for {place} could not be delivered: {}.", reason(source))]
    Put { place: String, source: io::Error },
    /// A file could not be taken away.
    #[error("The file in {variable} could not be removed: {}.", reason(source))]
    TakeAway { variable: EnvName, source: io::Error },
}

impl Deliveries {
    /// True if no delivery besides variables was asked for.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        *self == Self::default()
    }

    /// Returns `true` if something is left to be removed when the command has ended.
    #[must_use]
    pub fn has_files(&self) -> bool {
        !self.files.is_empty() || self.env_file.is_some()
    }

    /// The variables that say where the files are.
    pub fn file_variables(&self) -> impl Iterator<Item = &EnvName> {
        self.files.iter().map(|(variable, _)| variable).chain(&self.env_file)
    }

    /// The keys that are wanted apart from variables, each with the variable that names its file, if it has one.
    #[must_use]
    pub fn keys(&self) -> Vec<(Option<EnvName>, KeyName)> {
        let files = self.files.iter().map(|(variable, key)| (Some(variable.clone()), key.clone()));
        let others = self.descriptors.iter().map(|(_, key)| key).chain(&self.input);
        let mut keys: Vec<_> = files.chain(others.map(|key| (None, key.clone()))).collect();
        keys.sort_unstable();
        keys.dedup();
        keys
    }

    /// The part of a selection that rewrites the files of changed keys. An env-file needs every key that it contains,
    /// but for the keys that are refused.
    #[must_use]
    pub fn of_files(
        &self,
        selection: &Selection,
        changed: impl Fn(&KeyName) -> bool,
        refused: impl Fn(&KeyName) -> bool,
    ) -> Selection {
        let files = self.files.iter().filter(|(_, key)| changed(key) && !refused(key));
        let apart = files.map(|(variable, key)| (Some(variable.clone()), key.clone())).collect();
        if self.env_file.is_none() {
            return Selection { apart, ..Selection::default() };
        }
        let without = |names: &[KeyName]| names.iter().filter(|name| !refused(name)).cloned().collect();
        Selection {
            only: without(&selection.only),
            aliases: selection.aliases.iter().filter(|(_, name)| !refused(name)).cloned().collect(),
            previous: without(&selection.previous),
            composed: selection
                .composed
                .iter()
                .filter(|composed| !composed.keys().any(&refused))
                .cloned()
                .collect(),
            apart,
            ..selection.clone()
        }
    }

    /// How it stands in the log: `tls/key in a file, db/url on descriptor 3`.
    #[must_use]
    pub fn described(&self) -> String {
        let files = self.files.iter().map(|(_, key)| format!("{key} in a file"));
        let descriptors =
            self.descriptors.iter().map(|(number, key)| format!("{key} on descriptor {number}"));
        let input = self.input.iter().map(|key| format!("{key} on standard input"));
        let env_file = self.env_file.iter().map(|_| "variables in an env-file".to_owned());
        files.chain(descriptors).chain(input).chain(env_file).collect::<Vec<_>>().join(", ")
    }

    /// Takes the command's descriptors and makes the folder. To be called before anything else is opened.
    pub fn prepare(self, command: &mut Command, runtime: Option<&Path>) -> Result<Places, DeliveryError> {
        let mut numbers: Vec<_> = self.descriptors.iter().map(|(number, _)| *number).collect();
        if let Some(twice) = first_twice(&mut numbers) {
            return Err(DeliveryError::SameDescriptor(twice));
        }
        let mut variables: Vec<_> = self.file_variables().cloned().collect();
        if let Some(twice) = first_twice(&mut variables) {
            return Err(DeliveryError::SameVariable(twice));
        }
        *command.descriptors() = Descriptors::take(&numbers)?;
        let folder = if self.has_files() { Some(RunFolder::create(runtime)?) } else { None };
        Ok(Places { wanted: self, folder })
    }
}

fn first_twice<T: Ord + Clone>(all: &mut [T]) -> Option<T> {
    all.sort_unstable();
    all.windows(2).find_map(|pair| match pair {
        [left, right] if left == right => Some(left.clone()),
        _ => None,
    })
}

/// A variable that is no key's, and its text; without one, the caller's own is meant.
pub type Besides<'a> = (&'a EnvName, Option<&'a [u8]>);

/// Where values will be put. Dropped, the files are gone.
#[derive(Debug)]
pub struct Places {
    wanted: Deliveries,
    folder: Option<RunFolder>,
}

impl Places {
    /// No places: all values are variables.
    #[must_use]
    pub fn none() -> Self {
        Self { wanted: Deliveries::default(), folder: None }
    }

    #[must_use]
    pub fn wanted(&self) -> &Deliveries {
        &self.wanted
    }

    /// The variables that say where the files are.
    #[must_use]
    pub fn variables(&self) -> Vec<(OsString, OsString)> {
        let Some(folder) = &self.folder else { return Vec::new() };
        self.wanted
            .file_variables()
            .map(|variable| (variable.as_str().into(), folder.path().join(variable.as_str()).into()))
            .collect()
    }

    /// Returns `true` if this value goes into the command's environment.
    #[must_use]
    pub fn is_variable<V>(&self, key: &Resolved<V>) -> bool {
        key.variable.is_some() && self.wanted.env_file.is_none()
    }

    /// Values that do not fit the places that they are meant for.
    pub(crate) fn inspect(&self, resolved: &[Resolved<Unrecorded>]) -> Vec<Misfit> {
        let mut misfits = Vec::new();
        for key in resolved {
            let Some(variable) = &key.variable else { continue };
            if self.wanted.env_file.is_some() {
                misfits.extend(line_misfit(key, variable));
            } else if self.wanted.file_variables().any(|taken| taken == variable) {
                misfits.push(Misfit::FileVariable { name: key.name.clone(), variable: variable.clone() });
            }
        }
        misfits
    }

    /// Puts every value in its places; `besides` are variables that are no key's.
    pub fn fill(
        &self,
        command: &mut Command,
        released: &Released,
        besides: &[Besides<'_>],
    ) -> Result<(), DeliveryError> {
        let resolved = released.values();
        let descriptors = command.descriptors();
        for (number, key) in &self.wanted.descriptors {
            if let Some(value) = value_of(resolved, key) {
                descriptors
                    .give(*number, value)
                    .map_err(|source| DeliveryError::Put { place: format!("descriptor {number}"), source })?;
            }
        }
        if let Some(value) = self.wanted.input.as_ref().and_then(|key| value_of(resolved, key)) {
            let put = |source| DeliveryError::Put { place: "standard input".to_owned(), source };
            descriptors.give_input(value).map_err(put)?;
        }
        self.fill_files(released, besides)
    }

    /// Takes the files of refused keys away.
    pub fn clear_files(&self, refused: impl Fn(&KeyName) -> bool) -> Result<(), DeliveryError> {
        let Some(folder) = &self.folder else { return Ok(()) };
        for (variable, _) in self.wanted.files.iter().filter(|(_, key)| refused(key)) {
            folder
                .take_away(variable.as_str())
                .map_err(|source| DeliveryError::TakeAway { variable: variable.clone(), source })?;
        }
        Ok(())
    }

    /// Puts values into files alone, each in one step: a command that runs sees the old value or the new one.
    pub fn fill_files(&self, released: &Released, besides: &[Besides<'_>]) -> Result<(), DeliveryError> {
        let resolved = released.values();
        let Some(folder) = &self.folder else { return Ok(()) };
        let put = |variable: &EnvName, value: &[u8]| {
            folder
                .put(variable.as_str(), value)
                .map_err(|source| DeliveryError::Put { place: format!("the file in {variable}"), source })
        };
        for (variable, key) in &self.wanted.files {
            if let Some(value) = value_of(resolved, key) {
                put(variable, value)?;
            }
        }
        match &self.wanted.env_file {
            Some(variable) => put(variable, env_file(resolved, besides).expose()),
            None => Ok(()),
        }
    }
}

fn value_of<'r>(resolved: &'r [Resolved], name: &KeyName) -> Option<&'r [u8]> {
    resolved.iter().find(|key| key.variable.is_none() && key.name == *name).map(|key| key.value.expose())
}

/// `NAME=value` lines, as `docker run --env-file` reads them: no quotes, no escapes, every byte is meant. A name alone is the
/// variable that docker has itself.
fn env_file(resolved: &[Resolved], besides: &[Besides<'_>]) -> SecretBytes {
    let keys = resolved.iter().filter_map(|key| Some((key.variable.as_ref()?, Some(key.value.expose()))));
    let lines = || keys.clone().chain(besides.iter().copied());
    let len = |(name, value): Besides<'_>| name.as_str().len() + value.unwrap_or_default().len() + 2;
    let mut file = SecretWriter::with_capacity(lines().map(len).sum());
    for (name, value) in lines() {
        let equals: &[u8] = if value.is_some() { b"=" } else { b"" };
        for part in [name.as_str().as_bytes(), equals, value.unwrap_or_default(), b"\n"] {
            // The capacity is the sum of all parts; it cannot be full.
            let _ = file.push(part);
        }
    }
    file.finish()
}

fn line_misfit(key: &Resolved<Unrecorded>, variable: &EnvName) -> Option<Misfit> {
    let shape = key.value.shape();
    if shape.has_nul {
        return Some(Misfit::Nul(key.name.clone()));
    }
    line_fault(variable, shape).map(|fault| Misfit::Line { name: key.name.clone(), fault })
}

/// Why docker would read another value in the line.
#[must_use]
pub fn line_fault(variable: &EnvName, value: Shape) -> Option<LineFault> {
    let len = variable.as_str().len() + 1 + value.len;
    Some(if value.has_newline {
        LineFault::Newline
    } else if value.ends_with_carriage_return {
        LineFault::CarriageReturn
    } else if !value.is_utf8 {
        LineFault::NotText
    } else if len > DOCKER_LINE {
        LineFault::TooLong { len, max: DOCKER_LINE }
    } else {
        return None;
    })
}
