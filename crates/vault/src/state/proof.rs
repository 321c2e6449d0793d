//! When a backup was last proved: opened, and every row of it checked. One small JSON file per vault and place beside
//! the pins. It is no secret and proves nothing to anybody else; it is there to be told.

use std::io;
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use keyvault_core::clock::Moment;
use keyvault_core::identity::Identity;
use keyvault_os::fs::private;

use super::pin::name_of;

/// The longest file that is read, in bytes.
const MAX_LEN: u64 = 64 << 10;

/// The folder with this user's proofs.
#[derive(Debug, Clone)]
pub struct Proofs {
    folder: PathBuf,
}

/// The last backup that was proved.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Proof {
    pub time: Moment,
    /// The change that it is of.
    pub change: u64,
    /// Where it was written; may be lossy.
    pub file: String,
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct ProofFile {
    format: u32,
    time: i64,
    change: u64,
    file: String,
}

impl Proofs {
    /// Proofs in `folder`, which need not exist yet.
    #[must_use]
    pub fn in_folder(folder: PathBuf) -> Self {
        Self { folder }
    }

    fn file(&self, identity: &Identity, vault: &Path) -> PathBuf {
        self.folder.join(format!("{}-{}.json", identity.vault_hex(), name_of(vault)))
    }

    /// The last proof of a backup of the vault at this path; what cannot be read is none.
    #[must_use]
    pub fn last(&self, identity: &Identity, vault: &Path) -> Option<Proof> {
        let path = self.file(identity, vault);
        let facts = std::fs::metadata(&path).ok()?;
        if !facts.is_file() || facts.len() > MAX_LEN {
            return None;
        }
        let file: ProofFile = serde_json::from_slice(&std::fs::read(path).ok()?).ok()?;
        (file.format == 1).then_some(Proof { time: Moment(file.time), change: file.change, file: file.file })
    }

    pub fn keep(&self, identity: &Identity, vault: &Path, proof: &Proof) -> io::Result<()> {
        private::create_folder(&self.folder)?;
        let file =
            ProofFile { format: 1, time: proof.time.0, change: proof.change, file: proof.file.clone() };
        private::replace_private(&self.file(identity, vault), &serde_json::to_vec(&file)?)
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn the_last_proof_of_a_vault_at_its_place_is_read_back_and_garbage_is_none() {
        let folder = tempfile::tempdir().unwrap();
        let proofs = Proofs::in_folder(folder.path().join("state/proofs"));
        let identity = Identity { vault_id: [1; 16], epoch: 1 };
        let here = Path::new("/a/vault.db");
        assert_eq!(proofs.last(&identity, here), None);
        for change in [7, 3] {
            let proof = Proof { time: Moment(5), change, file: "/b/copy.db".to_owned() };
            proofs.keep(&identity, here, &proof).unwrap();
            assert_eq!(proofs.last(&Identity { epoch: 2, ..identity }, here), Some(proof));
        }
        assert_eq!(proofs.last(&identity, Path::new("/b/vault.db")), None);
        std::fs::write(proofs.file(&identity, here), "{}").unwrap();
        assert_eq!(proofs.last(&identity, here), None);
    }
}
