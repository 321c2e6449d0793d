//! `NAME=value` lines as `docker run --env-file` reads them: no quotes, no escapes, every byte is meant.

use keyvault_core::name::EnvName;
use keyvault_core::secret::{SecretBytes, SecretWriter};
use keyvault_exec::delivery::line_fault;
use keyvault_vault::Shape;

use super::{ExchangeError, Obstacle, cannot_carry};

pub(super) fn write(entries: &[(&str, &[u8])]) -> Result<SecretBytes, ExchangeError> {
    for (variable, value) in entries {
        let name = EnvName::stored(variable).map_err(|_| cannot_carry(variable, Obstacle::Name))?;
        let shape = Shape::of(value);
        if shape.has_nul {
            return Err(cannot_carry(variable, Obstacle::Nul));
        }
        if let Some(fault) = line_fault(&name, shape) {
            return Err(cannot_carry(variable, Obstacle::Line(fault)));
        }
    }
    let line = |(variable, value): &(&str, &[u8])| variable.len() + value.len() + 2;
    let mut text = SecretWriter::with_capacity(entries.iter().map(line).sum());
    for (variable, value) in entries {
        for piece in [variable.as_bytes(), b"=", value, b"\n"] {
            text.push(piece)?;
        }
    }
    Ok(text.finish())
}
