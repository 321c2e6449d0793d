//! More errors for the snapshot of sentences: those of machines, deliveries and project files.

use std::io;
use std::path::{Path, PathBuf};

use keyvault_core::clock::Moment;
use keyvault_core::name::{EnvName, KeyName, NameError, Scope, TokenName};
use keyvault_exec::delivery::DeliveryError;
use keyvault_issue::record::Mark;
use keyvault_os::fs::memory_folder::{self, NoFolder};
use keyvault_os::fs::vault_file::{FileFault, FileKind};
use keyvault_os::process::descriptors::Unavailable;
use keyvault_vault::StoreError;
use keyvault_vault::state::pin::Standing;
use keyvault_vault::unlock::UnlockError;
use keyvault_vault::unlock::slot::SlotKind;
use keyvault_vault::{Loss, TokenError, TokenKind, VaultError};

use crate::cli::context::{CODE_BY_FILE, NOT_TYPED, STDIN, VALUE_BY_FILE, VALUE_BY_STDIN};
use crate::cli::errors::{Failure, NO_TERMINAL, NOT_TO_ASK};
use crate::cli::errors::{project, vault_file};
use crate::project::template::TemplateError;
use crate::project::{Ask, FileError, PlaceError, ProjectFile, What};

pub(in crate::cli) fn about_machines() -> Vec<VaultError> {
    let name = || TokenName::parse("ci").unwrap();
    let (key, scope) = (|| KeyName::parse("db/prod").unwrap(), || Scope::parse("deploy").unwrap());
    let alarm = |standing| TokenError::Alarm { name: name(), standing, found: 3, pinned: 7 };
    let errors = [
        TokenError::Exists(name()),
        TokenError::Missing { name: name(), near: None },
        TokenError::Missing { name: TokenName::parse("cii").unwrap(), near: Some(name()) },
        TokenError::Revoked(name()),
        TokenError::SessionName(TokenName::parse("session/mine").unwrap()),
        TokenError::IsSession(TokenName::parse("session/1a2b3c4d").unwrap()),
        TokenError::NotEdited { name: name(), kind: TokenKind::Issuer },
        TokenError::NotItsScope { token: name(), scope: scope() },
        TokenError::NotItsKey { token: name(), key: key(), by: None },
        TokenError::NotItsKey { token: name(), key: key(), by: Some(scope()) },
        TokenError::GrantsNothing(name()),
        TokenError::OtherKind { found: TokenKind::Verifier },
        TokenError::NoBundles { name: name(), kind: TokenKind::Issuer },
        TokenError::NoApi([0xAB; 16]),
        TokenError::MarkTaken(Mark::parse("ab").unwrap()),
        TokenError::OpensNothing,
        TokenError::HeaderDamaged { what: "signer" },
        TokenError::Expired { name: name(), since: Moment(0) },
        TokenError::FormerOver { since: Moment(0) },
        alarm(Standing::RolledBack),
        alarm(Standing::Forked),
        TokenError::Stale { found: 3, least: 7 },
        TokenError::NotABundle,
        TokenError::NotAReadsLog { path: PathBuf::from("notes") },
        TokenError::OtherBundle,
        TokenError::BundleDamaged,
        TokenError::NotByOwner { what: "view" },
        TokenError::Newer { what: "the bundle has field 2".to_owned() },
        TokenError::BundleOfNone,
        TokenError::OtherVault,
        TokenError::UnknownReads,
    ];
    let mut errors: Vec<_> = errors.into_iter().map(VaultError::Token).collect();
    errors.push(VaultError::Unlock(UnlockError::NotAToken));
    errors
}

/// A secret that would be typed where it can be seen.
pub(in crate::cli) fn echoes() -> Vec<Failure> {
    vec![
        Failure::echoed(Path::new(STDIN), NOT_TYPED),
        Failure::echoed(Path::new("/dev/tty"), NOT_TYPED),
        Failure::echoed(Path::new(STDIN), VALUE_BY_STDIN),
        Failure::echoed(Path::new(STDIN), VALUE_BY_FILE),
        Failure::echoed(Path::new(STDIN), CODE_BY_FILE),
    ]
}

pub(in crate::cli) fn deliveries() -> Vec<DeliveryError> {
    let variable = || EnvName::parse("TLS_KEY").unwrap();
    let source = || io::Error::from(io::ErrorKind::StorageFull);
    let shared = || PathBuf::from("/dev/shm/keyvault-1000");
    vec![
        DeliveryError::SameDescriptor(3),
        DeliveryError::SameVariable(variable()),
        DeliveryError::Descriptor(Unavailable::InUse(3)),
        DeliveryError::Descriptor(Unavailable::AboveLimit { number: 4096, limit: 1024 }),
        DeliveryError::Descriptor(Unavailable::Io(io::Error::from_raw_os_error(libc::EMFILE))),
        DeliveryError::Folder(NoFolder {
            tried: vec![
                (PathBuf::from("/home/ada/run"), memory_folder::Unfit::OnDisk),
                (shared(), memory_folder::Unfit::OfAnotherUser { uid: 1001 }),
            ],
        }),
        DeliveryError::Folder(NoFolder {
            tried: vec![
                (PathBuf::from("/run/user/1000"), memory_folder::Unfit::Absent),
                (shared(), memory_folder::Unfit::OpenToOthers { mode: 0o755 }),
                (shared(), memory_folder::Unfit::NotAFolder),
                (shared(), memory_folder::Unfit::Refused(libc::EROFS)),
            ],
        }),
        DeliveryError::Put { place: "descriptor 3".to_owned(), source: source() },
        DeliveryError::Put { place: "the file in TLS_KEY".to_owned(), source: source() },
        DeliveryError::TakeAway { variable: variable(), source: source() },
    ]
}

/// Every failure of a backup, of a vault that a backup cannot replace, and of one that is not repaired.
pub(in crate::cli) fn restores() -> Vec<Failure> {
    let backup = || PathBuf::from("/tmp/b.db");
    let shared = || PathBuf::from("/tmp");
    let vault = || PathBuf::from("/home/ada/.local/share/keyvault/vault.db");
    let journal = || PathBuf::from("/home/ada/.local/share/keyvault/vault.db-journal");
    let damaged =
        || VaultError::Store(StoreError::Damaged { what: "database disk image is malformed".to_owned() });
    let backups = [
        VaultError::File(FileFault::NotRegular { path: backup(), kind: FileKind::Fifo }),
        VaultError::File(FileFault::Symlink { path: backup() }),
        VaultError::File(FileFault::HardLink { path: backup(), links: 2 }),
        VaultError::File(FileFault::WritableByOthers { path: shared(), mode: 0o1777 }),
        VaultError::File(FileFault::WritableByOthers { path: backup(), mode: 0o666 }),
        VaultError::Store(StoreError::NotAVault),
        VaultError::Store(StoreError::NoWal),
        damaged(),
    ];
    let replaced = [
        damaged(),
        VaultError::Store(StoreError::Busy { holder: None }),
        VaultError::File(FileFault::Journal { path: journal() }),
        VaultError::File(FileFault::Symlink { path: vault() }),
        VaultError::File(FileFault::WritableByOthers { path: shared(), mode: 0o1777 }),
    ];
    let mut failures: Vec<_> =
        backups.into_iter().map(|error| vault_file::backup(error, Path::new("/tmp/b.db"))).collect();
    failures.extend(replaced.into_iter().map(|error| vault_file::cannot_replace(error, &vault())));
    failures.push(vault_file::beyond_check(Failure::of(damaged(), &vault())));
    failures.push(vault_file::beyond_mending(Failure::of(damaged(), &vault())));
    let lost = Loss { keys: [KeyName::parse("mail/smtp").unwrap()].into(), ..Loss::default() };
    for error in [VaultError::DamagedNeedsRoot(Box::new(damaged())), VaultError::WouldDrop(Box::new(lost))] {
        failures.push(Failure::of(error, &vault()));
    }
    failures
}

/// Questions that may not be asked, and credentials that do not fit, with where they came from.
pub(in crate::cli) fn unasked() -> Vec<Failure> {
    let wrong = |secret| Failure::of(VaultError::Unlock(secret), Path::new("vault.db"));
    vec![
        Failure::locked_as(NOT_TO_ASK),
        Failure::needs_root(NO_TERMINAL),
        Failure::rekey_without_passphrase(NOT_TO_ASK),
        wrong(UnlockError::NoSuchSlot(SlotKind::KeyFile)).given_by("KEYVAULT_KEY_FILE"),
        wrong(UnlockError::Wrong(SlotKind::Passphrase(()))).given_by("KEYVAULT_PASSPHRASE"),
    ]
}

pub(in crate::cli) fn projects() -> Vec<Failure> {
    let path = || PathBuf::from("/home/ada/shop/.keyvault.toml");
    let variable = || EnvName::parse("STRIPE_KEY").unwrap();
    let refused = |name: &str| keyvault_core::name::refused::parse(name).unwrap_err();
    let text = str::to_owned;
    let whats = [
        What::NotUtf8,
        What::Toml(text("key with no value, expected `=`")),
        What::Field { field: text("optinal"), near: Some("optional"), known: &["key", "optional"] },
        What::Field { field: text("value"), near: None, known: &["key", "optional"] },
        What::Type { field: text("optional"), expected: "true or false" },
        What::Variable { variable: text("LD_PRELOAD"), why: refused("LD_PRELOAD") },
        What::Variable { variable: text("HTTPS_PROXY"), why: refused("HTTPS_PROXY") },
        What::Variable { variable: text("HOME"), why: refused("HOME") },
        What::Variable { variable: text("2CAPTCHA"), why: refused("2CAPTCHA") },
        What::Profile { profile: text("a b"), why: NameError::Grammar },
        What::Key { variable: variable(), why: NameError::Grammar },
        What::Template { variable: variable(), why: TemplateError::Unclosed { at: 7 } },
        What::Template { variable: variable(), why: TemplateError::NoKey },
        What::Source { variable: variable() },
        What::Setting { variable: variable() },
        What::Type { field: "value".to_owned(), expected: "a text" },
        What::Required { variable: variable() },
        What::Extends,
        What::Text { variable: variable(), field: "template" },
    ];
    let mut failures: Vec<_> =
        whats.map(|what| Failure::project_file(&FileError { line: 3, what }, &path())).into();
    let places = [
        PlaceError::NotRegular { path: path() },
        PlaceError::WrongOwner { path: path(), uid: 1001 },
        PlaceError::WritableByOthers { path: PathBuf::from("/home/ada/shop"), mode: 0o777 },
        PlaceError::TooLong { path: path() },
        PlaceError::Outside { path: path(), extends: "../../../.keyvault.toml".to_owned() },
        PlaceError::TooDeep { path: path() },
        PlaceError::Io { path: path(), source: io::ErrorKind::PermissionDenied.into() },
    ];
    failures.extend(places.iter().map(Failure::project_place));
    let file =
        "[keys]\nA = 'a'\nB = { key = 'b', default = 'ä' }\n[profiles.prod.keys]\nC = { template = 'x{c}' }";
    let file = ProjectFile::parse(file.as_bytes()).unwrap();
    let asks = file.all().map(|(section, entry)| Ask::of(section, entry)).collect();
    failures.extend([
        project::no_file(),
        project::withheld(&"aws/root".parse().unwrap()),
        project::no_profile(&file, "prd".parse().ok().as_ref(), &path()),
        project::no_profile(&ProjectFile::default(), "prd".parse().ok().as_ref(), &path()),
        project::asks_for_nothing(&path(), &ProjectFile::default(), None),
        project::asks_for_nothing(&path(), &file, None),
        project::not_approved(&path(), &asks),
        project::not_remembered(&io::ErrorKind::StorageFull.into()),
    ]);
    failures
}
