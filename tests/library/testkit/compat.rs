//! Vaults as builds wrote them, which every later build must open. A folder in `tests/compat/` for each version: the
//! file, what opens it, and what it holds; a bundle, and what a token's bearer gets of both.

use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::Command;

use data_encoding::HEXLOWER;
use keyvault_core::crypto::SystemRng;
use keyvault_vault::state::pin::Pins;
use keyvault_vault::unlock::keyfile::KeyFile;
use keyvault_vault::unlock::keyring_entry::KeyringSecret;
use keyvault_vault::unlock::passphrase::Passphrase;
use keyvault_vault::unlock::recovery::RecoveryCode;
use keyvault_vault::unlock::token::Token;
use keyvault_vault::{BearerKeys, Bundle, ReadsLog, Supply, Vault, World};
use serde_json::Value;

use super::bases::{self, Base};
use super::content;
use super::forge::Forge;
use super::machines_base::{Bearer, Machines};
use super::replay::Fixed;

pub(crate) fn folder() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/compat")
}

/// The folder of this build's version.
pub(crate) fn own() -> PathBuf {
    folder().join(env!("CARGO_PKG_VERSION"))
}

/// Writes the vault of this build's version if it is not there: what was written once is never written anew.
pub(crate) fn write() {
    let own = own();
    if own.exists() {
        return;
    }
    let made = Machines::new();
    let base = &made.now;
    let token = made.token("ci");
    let held = Bearer::of(&Forge::new(&base.sql, &base.root, ""), token).content(base.now);
    put(
        &own,
        base,
        &made.file,
        &[
            ("keyring-entry", &made.keyring),
            ("token", token),
            ("bundle", made.bundle.trim_end()),
            ("held.json", &format!("{held:#}")),
        ],
    );
}

fn put(folder: &Path, base: &Base, file: &[u8], more: &[(&str, &str)]) {
    let mut content = content::forged(&Forge::new(&base.sql, &base.root, ""), base.now);
    content["now"] = Value::from(base.now);
    std::fs::create_dir_all(folder).unwrap();
    let put = |name: &str, bytes: &[u8]| std::fs::write(folder.join(name), bytes).unwrap();
    put("vault.db", file);
    put("passphrase", &base.passphrase);
    let code = ("recovery-code", base.code.as_str());
    let content = ("content.json", &*format!("{content:#}"));
    for (name, text) in [code, content].iter().chain(more) {
        put(name, format!("{text}\n").as_bytes());
    }
}

/// Opens the vault of one folder with all that opens it, through the library and with the program itself.
pub(crate) fn open(folder: &Path) {
    let read = |name: &str| std::fs::read(folder.join(name)).unwrap();
    let mut expected: Value = serde_json::from_slice(&read("content.json")).unwrap();
    let clock = Fixed(expected.as_object_mut().unwrap().remove("now").unwrap().as_i64().unwrap());
    let temporary = tempfile::Builder::new().prefix("keyvault-compat-").tempdir().unwrap();
    let path = temporary.path().join("vault.db");
    let rng = SystemRng;
    for credential in ["passphrase", "recovery-code", "key-file", "keyring-entry"] {
        if !folder.join(credential).exists() {
            continue;
        }
        std::fs::write(&path, read("vault.db")).unwrap();
        std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o600)).unwrap();
        let pins = Pins::in_folder(temporary.path().join(format!("pins-{credential}")));
        let world = bases::world(&clock, &rng, pins.clone());
        let mut vault = Vault::open(&path, &pins).unwrap();
        let secret = read(credential);
        let access = match credential {
            "passphrase" => vault.open_passphrase(&Passphrase::new(&bases::secret(&secret)).unwrap()),
            "recovery-code" => vault.open_recovery(&RecoveryCode::parse(&secret).unwrap()),
            "key-file" => vault.open_key_file(&KeyFile::parse(&secret).unwrap()),
            _ => {
                let secret = KeyringSecret::parse(secret.trim_ascii_end(), &vault.identity());
                vault.open_keyring(&secret.unwrap())
            }
        };
        let seen = content::seen(&mut vault, &access.unwrap(), &world, &expected);
        assert_eq!(seen, expected, "{} by {credential}", folder.display());
        drop(vault);
        for suffix in ["-wal", "-shm"] {
            let _ = std::fs::remove_file(temporary.path().join(format!("vault.db{suffix}")));
        }
    }
    std::fs::write(&path, read("vault.db")).unwrap();
    if folder.join("token").exists() {
        let pins = Pins::in_folder(temporary.path().join("pins-token"));
        open_with_token(folder, &path, &bases::world(&clock, &rng, pins));
    }
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
    let keys = expected["keys"].as_array().unwrap();
    let lasting = |key: &&Value| key["expires"].is_null() && key["versions"][0]["state"] == "current";
    let key = keys.iter().find(lasting).unwrap();
    let value = HEXLOWER.decode(key["versions"][0]["value"].as_str().unwrap().as_bytes()).unwrap();
    assert_eq!(run(&["show", key["name"].as_str().unwrap(), "--reveal"]), value);
    // And it can be changed by this build.
    run(&["generate", "later", "--scope", "s"]);
    run(&["vault", "check"]);
}

/// Opens the bearer's parts: of the vault, and of a bundle.
fn open_with_token(folder: &Path, path: &Path, world: &World<'_>) {
    let read = |name: &str| std::fs::read(folder.join(name)).unwrap();
    let expected: Value = serde_json::from_slice(&read("held.json")).unwrap();
    let bearer = || BearerKeys::of(&Token::parse(&read("token")).unwrap(), None);
    let mut granted = Supply::Granted(Vault::open(path, &world.pins).unwrap(), bearer());
    assert_eq!(content::held(&mut granted, world), expected, "{}", folder.display());
    let at = path.with_file_name("keys.kvb");
    let bundle = Bundle::open(&read("bundle"), &at, &bearer(), world.now()).unwrap();
    let reads = ReadsLog::at(path.with_file_name("reads.jsonl"));
    let mut bundled = Supply::Bundled(Box::new(bundle), bearer(), reads);
    assert_eq!(content::held(&mut bundled, world), expected, "{}: the bundle", folder.display());
}
