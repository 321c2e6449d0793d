//! Every vector, made into a file and opened through the library.

use std::collections::HashMap;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex};

use keyvault_core::clock::{Clock, Moment};
use keyvault_core::crypto::SystemRng;
use keyvault_core::name::{KeyName, Scope};
use keyvault_exec::release::{self, ReleaseError, Selection};
use keyvault_os::fs::vault_file::FileFault;
use keyvault_vault::StoreError;
use keyvault_vault::audit::Action;
use keyvault_vault::state::StateError;
use keyvault_vault::state::pin::{Pins, Standing};
use keyvault_vault::unlock::UnlockError;
use keyvault_vault::unlock::keyfile::KeyFile;
use keyvault_vault::unlock::keyring_entry::KeyringSecret;
use keyvault_vault::unlock::passphrase::Passphrase;
use keyvault_vault::unlock::recovery::RecoveryCode;
use keyvault_vault::unlock::token::Token;
use keyvault_vault::{
    Access, BearerKeys, Bundle, Purpose, ReadsLog, Supply, TokenError, Vault, VaultError, World, check, key,
    slot, supply, token,
};
use serde_json::Value;

use super::vector::{Credential, Pin, Vector};
use super::{bases, content, reasons, sql};

pub(crate) struct Fixed(pub(crate) i64);

impl Clock for Fixed {
    fn now(&self) -> Moment {
        Moment(self.0)
    }
}

/// The folder with the vectors, and what is made of it once.
pub(crate) struct Kit {
    pub(crate) folder: PathBuf,
    temporary: tempfile::TempDir,
    bases: Mutex<HashMap<String, Arc<Vec<u8>>>>,
    accesses: Mutex<HashMap<String, Arc<Access>>>,
}

impl Kit {
    pub(crate) fn open() -> Self {
        let temporary = tempfile::Builder::new().prefix("keyvault-testkit-").tempdir().unwrap();
        std::fs::set_permissions(temporary.path(), std::fs::Permissions::from_mode(0o700)).unwrap();
        Self {
            folder: Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/testkit"),
            temporary,
            bases: Mutex::default(),
            accesses: Mutex::default(),
        }
    }

    pub(crate) fn vectors(&self) -> Vec<Vector> {
        let entries = std::fs::read_dir(self.folder.join("vectors")).expect("KEYVAULT_WRITE=1 makes them");
        let mut paths: Vec<PathBuf> = entries.map(|entry| entry.unwrap().path()).collect();
        paths.sort();
        let read = |path: &PathBuf| {
            let text = std::fs::read_to_string(path).unwrap();
            let vector = Vector::parse(path.file_name().unwrap().to_str().unwrap(), &text);
            assert_eq!(vector.print(), text, "{}", path.display());
            vector
        };
        paths.iter().map(read).collect()
    }

    fn base(&self, name: &str) -> Arc<Vec<u8>> {
        let mut bases = self.bases.lock().unwrap();
        let make = || {
            let statements =
                std::fs::read_to_string(self.folder.join("bases").join(format!("{name}.sql"))).unwrap();
            let path = self.temporary.path().join(format!("base-{name}"));
            sql::run(&path, &statements);
            Arc::new(std::fs::read(path).unwrap())
        };
        Arc::clone(bases.entry(name.to_owned()).or_insert_with(make))
    }

    /// The vector's file.
    fn build(&self, vector: &Vector, folder: &Path) -> PathBuf {
        let path = folder.join("vault.db");
        if vector.base.is_empty() {
            return path;
        }
        std::fs::write(&path, &*self.base(&vector.base)).unwrap();
        if !vector.sql.is_empty() {
            sql::run(&path, &vector.sql);
        }
        let mut bytes = std::fs::read(&path).unwrap();
        for (at, new) in &vector.bytes {
            let at = usize::try_from(*at).unwrap();
            bytes[at..at + new.len()].copy_from_slice(new);
        }
        if let Some(length) = vector.length {
            bytes.resize(usize::try_from(length).unwrap(), 0);
        }
        std::fs::write(&path, bytes).unwrap();
        std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o600)).unwrap();
        path
    }

    /// Opens the vault with the vector's credential. A derivation is shared where header and slots are the base's.
    fn unlock(&self, vector: &Vector, vault: &mut Vault) -> Result<Arc<Access>, VaultError> {
        let touched =
            ["vault", "slot"].iter().any(|table| vector.sql.contains(table)) || !vector.bytes.is_empty();
        let place = format!("{} {:?}", vector.base, vector.credential);
        if !touched && let Some(access) = self.accesses.lock().unwrap().get(&place) {
            return Ok(Arc::clone(access));
        }
        let access = Arc::new(unlock(&vector.credential, vault)?);
        if !touched {
            self.accesses.lock().unwrap().insert(place, Arc::clone(&access));
        }
        Ok(access)
    }

    /// Runs a vector; the error is how it differs.
    pub(crate) fn replay(&self, vector: &Vector) -> Result<(), String> {
        let folder = self.temporary.path().join(&vector.name);
        std::fs::create_dir(&folder).unwrap();
        std::fs::set_permissions(&folder, std::fs::Permissions::from_mode(0o700)).unwrap();
        let path = self.build(vector, &folder);
        let pins = Pins::in_folder(folder.join("pins"));
        if let Some(pin) = &vector.pin {
            self.pin(vector, &path, &folder.join("pins"), pin);
        }
        let (clock, rng) = (Fixed(vector.now), SystemRng);
        let world = bases::world(&clock, &rng, pins);
        let run = Run { kit: self, vector, world: &world };
        let done = match &vector.credential {
            Credential::Token(token) => run.held(&path, token),
            _ => run.whole(&path),
        };
        let _ = std::fs::remove_dir_all(&folder);
        done.map_err(|what| format!("{}: {what}", vector.name))
    }

    /// Writes the pin file of §11.
    fn pin(&self, vector: &Vector, path: &Path, folder: &Path, pin: &Pin) {
        let base =
            std::fs::read_to_string(self.folder.join("bases").join(format!("{}.sql", vector.base))).unwrap();
        let connection = sql::in_memory(&base);
        let vault: Vec<u8> =
            connection.query_row("SELECT vault_id FROM vault", [], |row| row.get(0)).unwrap();
        let place = |path: &Path| {
            super::vector::hex(&keyvault_core::crypto::sha256(path.as_os_str().as_encoded_bytes())[..16])
        };
        let name = match &vector.credential {
            Credential::Token(text) => {
                let id = Token::parse(text.as_bytes()).unwrap().id();
                format!("token-{}-{}.json", super::vector::hex(&id), place(path))
            }
            _ => format!("{}.json", place(path)),
        };
        std::fs::create_dir(folder).unwrap();
        std::fs::set_permissions(folder, std::fs::Permissions::from_mode(0o700)).unwrap();
        let Pin { change, state, epoch } = pin;
        let mut pin = serde_json::json!({
            "format": 1,
            "vault": super::vector::hex(&vault),
            "change": change,
            "state": state,
            "path": path,
            "resolved": place(&path.canonicalize().unwrap()),
        });
        if let Some(epoch) = epoch {
            pin["epoch"] = Value::from(*epoch);
        }
        std::fs::write(folder.join(name), pin.to_string()).unwrap();
    }
}

fn unlock(credential: &Credential, vault: &mut Vault) -> Result<Access, VaultError> {
    match credential {
        Credential::Passphrase(bytes) => {
            let given = bases::secret(bytes);
            vault.open_passphrase(&Passphrase::new(&given).map_err(UnlockError::Passphrase)?)
        }
        Credential::RecoveryCode(code) => vault.open_recovery(&RecoveryCode::parse(code.as_bytes())?),
        Credential::KeyFile(line) => vault.open_key_file(&KeyFile::parse(line.as_bytes())?),
        Credential::Keyring(entry) => {
            let secret = KeyringSecret::parse(entry.as_bytes(), &vault.identity());
            vault.open_keyring(&secret.expect("an entry of this vault"))
        }
        Credential::Token(_) => unreachable!("a token opens no slot"),
    }
}

struct Run<'r> {
    kit: &'r Kit,
    vector: &'r Vector,
    world: &'r World<'r>,
}

impl Run<'_> {
    fn whole(&self, path: &Path) -> Result<(), String> {
        let opened = Vault::open(path, &self.world.pins)
            .and_then(|mut vault| self.kit.unlock(self.vector, &mut vault).map(|access| (vault, access)));
        let (mut vault, access) = match opened {
            Ok(opened) => opened,
            Err(error) => return self.failed("open", &error),
        };
        if let Err(error) = vault.read(&access, |_| Ok(())) {
            self.failed("state", &error)?;
            return match check::run(&mut vault, &access) {
                Err(_) => Ok(()),
                Ok(checked) => Err(format!("a check found only {:?}", checked.findings)),
            };
        }
        if self.vector.expect == "success" {
            return self.succeed(&mut vault, &access);
        }
        if self.vector.step == "slots" {
            self.passed_over(&mut vault, &access)?;
        } else if self.vector.step != "check" {
            match self.step(&mut vault, &access) {
                Ok(()) => return Err(format!("'{}' succeeded", self.vector.step)),
                Err(error) => self.failed(&self.vector.step, &error)?,
            }
            self.nothing_leaves(&mut vault, &access)?;
        }
        self.check(&mut vault, &access)
    }

    /// Runs the steps of a token's bearer.
    fn held(&self, path: &Path, token: &str) -> Result<(), String> {
        let mut supply = match self.supply(path, token) {
            Ok(supply) => supply,
            Err(error) => return self.failed("open", &error),
        };
        let all = Selection { all: true, ..Selection::default() };
        if let Err(error) = supply.look(self.world).and_then(|reading| reading.keys().map(drop)) {
            self.failed("granted", &error)?;
            return match self.take(&mut supply, &all) {
                Ok(()) => Err("a value was handed out".to_owned()),
                Err(_) => Ok(()),
            };
        }
        if self.vector.expect == "success" {
            let expected = self.expected();
            let seen = content::held(&mut supply, self.world);
            return if seen == expected {
                Ok(())
            } else {
                Err(format!("expected {expected:#}\nseen {seen:#}"))
            };
        }
        let name = self.vector.step.strip_prefix("take ").ok_or("the grants hold")?;
        let only = Selection { only: vec![KeyName::parse(name).unwrap()], ..Selection::default() };
        for selection in [only, all] {
            match self.take(&mut supply, &selection) {
                Ok(()) => return Err("a value was handed out".to_owned()),
                Err(error) if format!("{error} {error:?}").contains("value-") => {
                    return Err(format!("an error says a value: {error}"));
                }
                Err(ReleaseError::Vault(error)) => self.failed(&self.vector.step, &error)?,
                Err(error) => return Err(error.to_string()),
            }
        }
        Ok(())
    }

    fn take(&self, supply: &mut Supply, selection: &Selection) -> Result<(), ReleaseError> {
        let purpose = Purpose { action: Action::Exec, detail: String::new() };
        content::take(supply.begin(self.world)?, selection, purpose).map(drop)
    }

    fn supply(&self, path: &Path, token: &str) -> Result<Supply, VaultError> {
        let bearer = BearerKeys::of(&Token::parse(token.as_bytes())?, None);
        if self.vector.base.is_empty() {
            let bundle = Bundle::open(self.vector.bundle.as_bytes(), path, &bearer, self.world.now())?;
            let reads = ReadsLog::at(path.with_file_name("reads.jsonl"));
            return Ok(Supply::Bundled(Box::new(bundle), bearer, reads));
        }
        Ok(Supply::Granted(Vault::open(path, &self.world.pins)?, bearer))
    }

    fn expected(&self) -> Value {
        let path = self.kit.folder.join("contents").join(format!("{}.json", self.vector.content));
        serde_json::from_str(&std::fs::read_to_string(path).unwrap()).unwrap()
    }

    fn succeed(&self, vault: &mut Vault, access: &Access) -> Result<(), String> {
        let expected = self.expected();
        let seen = content::seen(vault, access, self.world, &expected);
        if seen == expected { Ok(()) } else { Err(format!("expected {expected:#}\nseen {seen:#}")) }
    }

    /// Returns `true` if an error at this step is what the vector says.
    fn failed(&self, step: &str, error: &VaultError) -> Result<(), String> {
        let vector = self.vector;
        if vector.expect == "success" {
            return Err(format!("'{step}' failed: {error}"));
        }
        let reason = reasons::find(&vector.reason);
        let right = vector.step == step && vector.expect == reason.class && class(error) == reason.class;
        let said = error.to_string();
        if right && reason.is_said_by(&said) {
            Ok(())
        } else {
            Err(format!(
                "expected {} at '{}': {}; at '{step}' came {}: {said} ({error:?})",
                vector.expect,
                vector.step,
                vector.reason,
                class(error)
            ))
        }
    }

    /// The row is passed over and named, and the slots are read all the same.
    fn passed_over(&self, vault: &mut Vault, access: &Access) -> Result<(), String> {
        let reason = reasons::find(&self.vector.reason);
        slot::list(vault, access).map_err(|error| error.to_string())?;
        let found = slot::passed_over(vault, Some(access)).map_err(|error| error.to_string())?;
        let right = found.iter().any(|passed| {
            format!("slot {}", passed.slot) == self.vector.row && reason.is_said_by(&passed.why.to_string())
        });
        let right = right && self.vector.expect == reason.class;
        if right { Ok(()) } else { Err(format!("passed over were only {found:?}")) }
    }

    fn step(&self, vault: &mut Vault, access: &Access) -> Result<(), VaultError> {
        let (step, name) = self.vector.step.split_once(' ').unwrap_or((&self.vector.step, ""));
        match step {
            "read" => {
                let name = KeyName::parse(name).unwrap();
                let item = key::show(vault, access, &name)?;
                for version in item.versions.iter().filter(|version| version.digest.is_some()) {
                    match key::reveal(vault, access, self.world, &name, Some(version.number)) {
                        Ok(_) | Err(VaultError::VersionRefused { .. } | VaultError::NotReadable { .. }) => {}
                        Err(error) => return Err(error),
                    }
                }
                Ok(())
            }
            "list" => key::list(vault, access).map(drop),
            "scope" => {
                let scopes = vec![Scope::parse(name).unwrap()];
                let selection = Selection { scopes, ..Selection::default() };
                release::stage(supply::look(vault, access, self.world)?, &selection).map(drop)
            }
            "names" => key::names(vault, access).map(drop),
            "log" => check::audit_log(vault, access).map(drop),
            "tokens" => token::list(vault, access, self.world.now()).map(drop),
            other => panic!("no step {other}"),
        }
    }

    /// Neither the value nor its key's metadata comes out by another way.
    fn nothing_leaves(&self, vault: &mut Vault, access: &Access) -> Result<(), String> {
        let Some(name) = self.vector.step.strip_prefix("read ") else { return Ok(()) };
        let name = KeyName::parse(name).unwrap();
        // A version that holds may be read beside one that does not.
        let previous = if self.vector.row.contains(" version ") { Vec::new() } else { vec![name.clone()] };
        let only = Selection { only: vec![name], previous: previous.clone(), ..Selection::default() };
        let all = Selection { all: true, previous, ..Selection::default() };
        for selection in [only, all] {
            let purpose = Purpose { action: Action::Exec, detail: String::new() };
            let reading = supply::begin(vault, access, self.world).map_err(|error| error.to_string())?;
            match content::take(reading, &selection, purpose) {
                Ok(_) => return Err("a value was handed out".to_owned()),
                Err(error) if format!("{error} {error:?}").contains("value-") => {
                    return Err(format!("an error says a value: {error}"));
                }
                Err(_) => {}
            }
        }
        Ok(())
    }

    fn check(&self, vault: &mut Vault, access: &Access) -> Result<(), String> {
        let vector = self.vector;
        let checked = match check::run(vault, access) {
            Ok(checked) => checked,
            Err(error) if vector.step == "check" => return self.failed("check", &error),
            Err(_) => return Ok(()),
        };
        if vector.expect == "alarm" {
            let standing = checked.standing;
            let right = matches!(standing, Standing::RolledBack | Standing::Forked);
            return if right { Ok(()) } else { Err(format!("a check says {standing:?}")) };
        }
        let reason = reasons::find(&vector.reason);
        let says = |what: &str| vector.step != "check" || reason.is_said_by(what);
        let found = checked.findings.iter().any(|finding| finding.row == vector.row && says(&finding.what));
        if found {
            Ok(())
        } else {
            Err(format!(
                "a check should find {:?}: {}, but found {:?}",
                vector.row, vector.reason, checked.findings
            ))
        }
    }
}

/// The class of an error.
fn class(error: &VaultError) -> &'static str {
    match error {
        VaultError::File(FileFault::Empty { .. })
        | VaultError::Store(
            StoreError::NotAVault | StoreError::Number { field: "application_id", .. },
        )
        | VaultError::Token(TokenError::NotABundle) => "foreign",
        VaultError::Store(
            StoreError::OlderFormat { .. } | StoreError::NewerFormat { .. } | StoreError::Number { .. },
        )
        | VaultError::State(StateError::Newer { .. })
        | VaultError::Token(TokenError::Newer { .. }) => "format",
        VaultError::Store(StoreError::Schema { .. }) => "hostile",
        VaultError::Store(StoreError::Damaged { .. } | StoreError::NoWal)
        | VaultError::State(_)
        | VaultError::Audit(_)
        | VaultError::Token(
            TokenError::BundleDamaged | TokenError::NotByOwner { .. } | TokenError::HeaderDamaged { .. },
        ) => "damaged",
        VaultError::Token(
            TokenError::OpensNothing | TokenError::Expired { .. } | TokenError::OtherBundle,
        )
        // A program may say which of the two it is.
        | VaultError::HeaderDamaged
        | VaultError::Unlock(_) => "locked",
        VaultError::Token(TokenError::Alarm { .. }) | VaultError::Alarm { .. } => "alarm",
        _ => "something else",
    }
}
