//! Vaults as builds wrote them, which every later build must open. One folder in `tests/compat/` for each version: the
//! file, what opens it, and what it holds.

use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::Command;

use keyvault::crypto::SystemRng;
use keyvault::state::pin::Pins;
use keyvault::unlock::keyfile::KeyFile;
use keyvault::unlock::passphrase::Passphrase;
use keyvault::unlock::recovery::RecoveryCode;
use keyvault::vault::Vault;
use serde_json::Value;

use super::bases::{self, Base};
use super::content;
use super::forge::Forge;
use super::replay::Fixed;

pub(crate) fn folder() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/compat")
}

/// Writes the vault of this build's version, unless there is one: what was written once is never written anew.
pub(crate) fn write() {
    let folder = folder().join(env!("CARGO_PKG_VERSION"));
    if folder.exists() {
        return;
    }
    let (base, bytes) = bases::compat();
    let Base { passphrase, code, key_file, now, .. } = &base;
    let mut content = content::forged(&Forge::new(&base.sql, &base.root, ""), *now);
    content["now"] = Value::from(*now);
    std::fs::create_dir_all(&folder).unwrap();
    let put = |name: &str, bytes: &[u8]| std::fs::write(folder.join(name), bytes).unwrap();
    put("vault.db", &bytes);
    put("passphrase", passphrase);
    put("recovery-code", format!("{code}\n").as_bytes());
    put("key-file", format!("{key_file}\n").as_bytes());
    put("content.json", format!("{content:#}\n").as_bytes());
}

/// Opens the vault of one folder with all that opens it, through the library and with the program itself.
pub(crate) fn open(folder: &Path) {
    let read = |name: &str| std::fs::read(folder.join(name)).unwrap();
    let mut expected: Value = serde_json::from_slice(&read("content.json")).unwrap();
    let clock = Fixed(expected.as_object_mut().unwrap().remove("now").unwrap().as_i64().unwrap());
    let temporary = tempfile::Builder::new().prefix("keyvault-compat-").tempdir().unwrap();
    let path = temporary.path().join("vault.db");
    let rng = SystemRng;
    for way in ["passphrase", "recovery-code", "key-file"] {
        std::fs::write(&path, read("vault.db")).unwrap();
        std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o600)).unwrap();
        let pins = Pins::in_folder(temporary.path().join(format!("pins-{way}")));
        let world = bases::world(&clock, &rng, pins.clone());
        let mut vault = Vault::open(&path, &pins).unwrap();
        let secret = read(way);
        let access = match way {
            "passphrase" => vault.open_passphrase(&Passphrase::new(&bases::secret(&secret)).unwrap()),
            "recovery-code" => vault.open_recovery(&RecoveryCode::parse(&secret).unwrap()),
            _ => vault.open_key_file(&KeyFile::parse(&secret).unwrap()),
        };
        let seen = content::seen(&mut vault, &access.unwrap(), &world, &expected);
        assert_eq!(seen, expected, "{} by {way}", folder.display());
        drop(vault);
        for suffix in ["-wal", "-shm"] {
            let _ = std::fs::remove_file(temporary.path().join(format!("vault.db{suffix}")));
        }
    }
    std::fs::write(&path, read("vault.db")).unwrap();
    let passphrase = temporary.path().join("passphrase");
    std::fs::write(&passphrase, read("passphrase")).unwrap();
    std::fs::set_permissions(&passphrase, std::fs::Permissions::from_mode(0o600)).unwrap();
    let run = |words: &[&str]| {
        let mut command = Command::new(env!("CARGO_BIN_EXE_keyvault"));
        command.env_clear().env("HOME", temporary.path()).env("KEYVAULT_PASSPHRASE_FILE", &passphrase);
        let ran = command.arg("--vault").arg(&path).args(words).output().unwrap();
        assert!(ran.status.success(), "{words:?}: {}", String::from_utf8_lossy(&ran.stderr));
        ran.stdout
    };
    run(&["vault", "check"]);
    run(&["audit", "verify"]);
    assert_eq!(run(&["show", "stripe/live", "--reveal"]), b"sk_live_4eC39HqLyjWDarjtT1zdp7dc");
    // And it can be changed by this build.
    run(&["generate", "later"]);
    run(&["vault", "check"]);
}
