//! The file of a pin: one line of JSON.

use std::io;

use data_encoding::HEXLOWER;
use serde::{Deserialize, Serialize};

use super::pin::Pin;

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct PinFile {
    format: u32,
    vault: String,
    change: u64,
    state: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    epoch: Option<u32>,
    path: String,
    resolved: String,
}

impl Pin {
    pub fn encode(&self) -> io::Result<Vec<u8>> {
        let file = PinFile {
            format: 1,
            vault: HEXLOWER.encode(&self.vault_id),
            change: self.change,
            state: HEXLOWER.encode(&self.hash),
            epoch: self.epoch,
            path: self.path.clone(),
            resolved: HEXLOWER.encode(&self.resolved),
        };
        Ok(serde_json::to_vec(&file)?)
    }
}

/// No vault has so many changes: what is above would leave no number for the next.
const CHANGES: u64 = 1 << 62;

/// The pin that these bytes are.
#[must_use]
pub fn parse(bytes: &[u8]) -> Option<Pin> {
    let file: PinFile = serde_json::from_slice(bytes).ok()?;
    (file.format == 1 && file.change < CHANGES).then_some(Pin {
        vault_id: hex(&file.vault)?,
        change: file.change,
        hash: hex(&file.state)?,
        epoch: file.epoch,
        path: file.path,
        resolved: hex(&file.resolved)?,
    })
}

fn hex<const N: usize>(text: &str) -> Option<[u8; N]> {
    HEXLOWER.decode(text.as_bytes()).ok()?.try_into().ok()
}
