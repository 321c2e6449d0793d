//! Every sentence that a fact turns into, beside each other in `tests/errors.txt`, to be read: fact, thing, remedy.
//!
//! `KEYVAULT_WRITE=1 cargo test --lib cli::errors` rewrites the file.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::too_many_lines, reason = "a test may fail")]

use std::ffi::OsString;
use std::io;
use std::path::{Path, PathBuf};

use crate::exchange::{ExchangeError, Obstacle};
use keyvault_core::clock::{Moment, RngError};
use keyvault_core::crypto::KdfError;
use keyvault_core::name::refused::Refused;
use keyvault_core::name::{EnvName, KeyName, Label, NameError, Scope};
use keyvault_core::recipe::{RecipeError, ValueKind};
use keyvault_exec::ExecError;
use keyvault_exec::fit::{LineFault, Misfit};
use keyvault_exec::release::{JsonField, Problem, Refusal, ReleaseError};
use keyvault_issue::record::Id;
use keyvault_os::fs::lock::{Held, Process};
use keyvault_os::fs::vault_file::{FileFault, FileKind};
use keyvault_os::kernel_keyring::SessionError;
use keyvault_os::process::actor::User;
use keyvault_os::process::exec::{EnvError, NotRunnable};
use keyvault_os::process::interpreter::{Unusable, Why};
use keyvault_os::terminal::prompt::PromptError;
use keyvault_vault::FieldFault;
use keyvault_vault::Finding;
use keyvault_vault::GrantedTo;
use keyvault_vault::StoreError;
use keyvault_vault::TokenKind;
use keyvault_vault::VaultError;
use keyvault_vault::audit::AuditError;
use keyvault_vault::issued::{IssuedError, Noun};
use keyvault_vault::state::StateError;
use keyvault_vault::state::pin::Standing;
use keyvault_vault::unlock::UnlockError;
use keyvault_vault::unlock::passphrase::{Oddity, Unfit};
use keyvault_vault::unlock::slot::SlotKind;

use super::Failure;
use super::token;
use super::vault_file;

use samples::{about_machines, deliveries, echoes, projects};

mod samples;

const FILE: &str = "tests/errors.txt";

fn key(name: &str) -> KeyName {
    KeyName::parse(name).unwrap()
}

fn keys(names: &[&str]) -> Vec<KeyName> {
    names.iter().map(|name| key(name)).collect()
}

fn held(holder: Option<Process>) -> Held {
    Held { path: PathBuf::from("/app/reads.jsonl"), holder, waited: std::time::Duration::from_secs(10) }
}

fn vault() -> PathBuf {
    PathBuf::from("/home/ada/.local/share/keyvault/vault.db")
}

fn file_faults() -> Vec<VaultError> {
    let path = vault;
    let folder = || PathBuf::from("/usr");
    let mut faults = vec![
        FileFault::NotFound { path: path() },
        FileFault::Exists { path: path() },
        FileFault::Symlink { path: path() },
        FileFault::HardLink { path: path(), links: 2 },
        FileFault::WrongOwner { path: path(), owner: user(1001, None), us: user(1000, Some("ada")) },
        FileFault::WrongOwner { path: path(), owner: user(1000, Some("ada")), us: user(0, Some("root")) },
        FileFault::WrongOwner { path: path(), owner: user(1001, None), us: user(0, Some("root")) },
        FileFault::WritableByOthers { path: path(), mode: 0o622 },
        FileFault::WritableByOthers { path: folder(), mode: 0o777 },
        FileFault::WritableByOthers { path: PathBuf::from("/tmp"), mode: 0o1777 },
        FileFault::Journal { path: PathBuf::from("/home/ada/.local/share/keyvault/vault.db-journal") },
        FileFault::Empty { path: path() },
        FileFault::Swapped { path: path() },
        FileFault::Io { path: path(), source: io::ErrorKind::PermissionDenied.into() },
    ];
    let kinds = [FileKind::Folder, FileKind::Fifo, FileKind::Socket, FileKind::Device];
    faults.extend(kinds.map(|kind| FileFault::NotRegular { path: path(), kind }));
    faults.into_iter().map(VaultError::File).collect()
}

fn user(uid: u32, name: Option<&str>) -> User {
    User { uid, name: name.map(str::to_owned) }
}

fn rows() -> Vec<VaultError> {
    let stored = [
        StoreError::NotAVault,
        StoreError::OlderFormat { format: 1 },
        StoreError::NewerFormat { format: 9, written_by: Some("3.0.0".to_owned()) },
        StoreError::NewerFormat { format: 9, written_by: None },
        StoreError::Schema { what: "trigger evil is not part of a vault".to_owned() },
        StoreError::Number { field: "user_version", found: 9 },
        StoreError::Damaged { what: "item.tag".to_owned() },
        StoreError::NoWal,
        StoreError::Busy { holder: None },
        StoreError::Full,
        StoreError::ReadOnly,
        StoreError::Io("disk I/O error".to_owned()),
        StoreError::Undecided("disk I/O error".to_owned()),
        StoreError::Build { what: "compiled with NO_SYNC".to_owned() },
        StoreError::NoFile,
        StoreError::Sqlite("out of memory".to_owned()),
    ];
    let mut errors: Vec<_> = stored.into_iter().map(VaultError::Store).collect();
    errors.push(VaultError::State(StateError::Mismatch { what: "key row".to_owned() }));
    let what = "audit: the entry of the last change is not the one that the state record names".to_owned();
    errors.push(VaultError::State(StateError::Apart { what }));
    errors.push(VaultError::State(StateError::Record));
    errors.push(VaultError::State(StateError::Newer { what: "the state record has field 2".to_owned() }));
    errors.push(VaultError::Audit(AuditError::Broken { seq: 7, what: "is not authentic" }));
    errors.push(VaultError::Audit(AuditError::Rng(RngError)));
    for standing in [Standing::RolledBack, Standing::Forked, Standing::OtherVault] {
        errors.push(VaultError::Alarm { standing, found: 41, pinned: 44, path: vault() });
        errors.push(VaultError::Alarm { standing, found: 45, pinned: 44, path: vault() });
    }
    errors
}

fn slots() -> Vec<VaultError> {
    let unlocks = [
        UnlockError::Wrong(SlotKind::Passphrase(())),
        UnlockError::Wrong(SlotKind::Recovery),
        UnlockError::Wrong(SlotKind::KeyFile),
        UnlockError::Wrong(SlotKind::Keyring),
        UnlockError::NoSuchSlot(SlotKind::Passphrase(())),
        UnlockError::NoSuchSlot(SlotKind::KeyFile),
        UnlockError::NotACode,
        UnlockError::NotAKeyFile,
        UnlockError::Passphrase(Unfit::Empty),
        UnlockError::Kdf(KdfError::Memory { memory_kib: 262_144 }),
        UnlockError::Rng(RngError),
    ];
    let mut errors: Vec<_> = unlocks.into_iter().map(VaultError::Unlock).collect();
    errors.extend([
        VaultError::NeedsRoot,
        VaultError::NoSuchSlot { id: 9 },
        VaultError::NoStrays,
        VaultError::LastSlot { id: 1 },
        VaultError::TooManySlots,
        VaultError::SlotsChanged,
        VaultError::Rekeyed,
        VaultError::Changed,
        VaultError::BackupDamaged(Finding {
            row: "key stripe/live version 1".to_owned(),
            what: "is not authentic".to_owned(),
        }),
        VaultError::BackupOfItself,
        VaultError::OwnName { path: PathBuf::from("/home/ada/.local/share/keyvault/vault.db-wal") },
        VaultError::FileExists { path: PathBuf::from("backup.db") },
        VaultError::AnotherVault,
        VaultError::HeaderDamaged,
        VaultError::VaultExists { path: vault() },
        VaultError::Io { path: PathBuf::from("/mnt/stick"), source: io::ErrorKind::NotFound.into() },
        VaultError::ReadsNotWritten {
            path: PathBuf::from("/app/reads.jsonl"),
            source: io::ErrorKind::ReadOnlyFilesystem.into(),
        },
        VaultError::ReadsNotWritten {
            path: PathBuf::from("/app/reads.jsonl"),
            source: io::ErrorKind::PermissionDenied.into(),
        },
        VaultError::ReadsInNoFile { path: PathBuf::from("/app"), kind: "a folder" },
        VaultError::ReadsBusy(held(Some(Process { id: 77, name: "flock".to_owned() }))),
        VaultError::ReadsBusy(held(None)),
        VaultError::Rng(RngError),
    ]);
    errors
}

fn about_keys() -> Vec<Failure> {
    let name = || key("stripe/live");
    let scope = |text: &str| Scope::parse(text).unwrap();
    let mut errors = vec![
        VaultError::KeysExist(keys(&["stripe/live"])),
        VaultError::KeysExist(keys(&["a", "b"])),
        VaultError::NameTaken(name()),
        VaultError::NoSuchKeys { missing: keys(&["stripe/life"]), near: Some(name()), removed: None },
        VaultError::NoSuchKeys { missing: keys(&["a", "b"]), near: None, removed: None },
        VaultError::NoSuchKeys {
            missing: keys(&["old"]),
            near: None,
            removed: Some((Moment(i64::MAX), key("old"))),
        },
        VaultError::NotRemoved { name: key("old"), near: None, removed: Vec::new() },
        VaultError::NotRemoved { name: key("old"), near: None, removed: keys(&["a", "b"]) },
        VaultError::NotRemoved { name: key("odl"), near: Some(key("old")), removed: keys(&["old"]) },
        VaultError::NameInUse { removed: key("old"), wanted: key("old") },
        VaultError::RemovalOver(key("old")),
        VaultError::RemovedHere(key("old")),
        VaultError::NoSuchKeys {
            missing: keys(&["sk_live_4eC39HqLyjWDarjtT1zdp7dc"]),
            near: None,
            removed: None,
        },
        VaultError::NeedValues(keys(&["db/prod"])),
        VaultError::NeedValues(keys(&["db/prod", "stripe/live"])),
        VaultError::AnotherKey(name()),
        VaultError::NoSuchScope { wanted: scope("payment"), near: Some(scope("payments")) },
        VaultError::NoSuchVersion { name: name(), version: 7 },
        VaultError::NoLifetime { name: name() },
        VaultError::NothingToRollBack { name: name(), revoked: false },
        VaultError::NothingToRollBack { name: name(), revoked: true },
        VaultError::NotReadable { name: name(), status: "expired" },
        VaultError::NotReadable { name: name(), status: "revoked" },
        VaultError::NoVariable { name: key("9lives"), why: NameError::Grammar },
        VaultError::ValueTooLong { name: name(), len: 20_000_000 },
    ];
    for state in ["current", "pending", "retired", "revoked", "wiped"] {
        errors.push(VaultError::VersionRefused { name: name(), version: 2, state });
    }
    let mut failures = of(errors);
    failures.extend(refusals());
    let kind = ValueKind::Password;
    let recipes = [
        RecipeError::TooShort { kind, minimum: 13 },
        RecipeError::TooLong { kind: ValueKind::Hex, maximum: 2048 },
        RecipeError::NoLength { kind: ValueKind::Uuid },
        RecipeError::NoPrefix { kind: ValueKind::Ed25519 },
        RecipeError::PrefixTooLong,
        RecipeError::NoAlphabet { kind: ValueKind::Hex },
        RecipeError::Alphabet,
        RecipeError::AlphabetName,
        RecipeError::KeyPair,
        RecipeError::Rng(RngError),
    ];
    failures.extend(of(recipes.map(VaultError::Recipe)));
    failures.extend(issued_errors());
    failures
}

fn issued_errors() -> Vec<Failure> {
    let label = |text: &str| Label::parse(text).unwrap();
    let (name, scope) = (|| key("acme/prod"), || Scope::parse("orders:read").unwrap());
    let missing = |noun, near| IssuedError::Missing { noun, wanted: label("acmee"), near };
    let errors = [
        IssuedError::Exists(name()),
        IssuedError::Held(name()),
        IssuedError::NoValue(name()),
        missing(Noun::Client, Some(label("acme"))),
        missing(Noun::Api, None),
        missing(Noun::Role, None),
        IssuedError::Taken { noun: Noun::Client, wanted: label("acme") },
        IssuedError::InUse { noun: Noun::Client, named: label("acme"), keys: 1 },
        IssuedError::InUse { noun: Noun::Role, named: label("reader"), keys: 2 },
        IssuedError::NoPrefix { api: label("default"), prefix: "acme".to_owned() },
        IssuedError::NotItsScope { key: "acme/prod".to_owned(), scope: scope() },
        IssuedError::NotItsRole { key: "acme/prod".to_owned(), role: label("reader") },
        IssuedError::Issuers(Id::parse("bb0000000001").unwrap()),
        IssuedError::EndsBeforeItBegins,
        IssuedError::NoLifetime(name()),
        IssuedError::ClientRemoved(name()),
        IssuedError::NoMark,
    ];
    of(errors.map(VaultError::Issued))
}

fn of(errors: impl IntoIterator<Item = VaultError>) -> Vec<Failure> {
    errors.into_iter().map(|error| Failure::of(error, &vault())).collect()
}

fn refusals() -> Vec<Failure> {
    let name = || key("stripe/live");
    let scope = |text: &str| Scope::parse(text).unwrap();
    let refused = |problems: Vec<Problem>, misfits: Vec<Misfit>| {
        Failure::release(ReleaseError::Refused(Refusal { problems, misfits }), &vault())
    };
    let lone = [
        Problem::Missing { wanted: key("stripe/life"), near: Some(name()), removed: None },
        Problem::Expired { name: name(), since: Moment(0) },
        Problem::Disabled(name()),
        Problem::Revoked(name()),
        Problem::Issued(key("acme/prod")),
        Problem::NothingLeft,
    ];
    let mut failures: Vec<_> = lone.into_iter().map(|problem| refused(vec![problem], Vec::new())).collect();
    let problems = vec![
        Problem::Missing { wanted: key("nothing/like-it"), near: None, removed: None },
        Problem::VariableNamed { variable: EnvName::parse("STRIPE_LIVE").unwrap(), names: vec![name()] },
        Problem::VariableNamed {
            variable: EnvName::parse("STRIPE").unwrap(),
            names: vec![name(), key("stripe/test")],
        },
        Problem::NoSuchScope { wanted: scope("payment"), near: Some(scope("payments")), to: None },
        Problem::Swapped { variable: EnvName::parse("STRIPE").unwrap(), name: key("stripe"), to_file: false },
        Problem::Swapped { variable: EnvName::parse("TLS").unwrap(), name: key("tls"), to_file: true },
        Problem::Expired { name: name(), since: Moment(0) },
        Problem::Revoked(key("old")),
        Problem::NoPrevious(key("young")),
        Problem::SameVariable {
            variable: EnvName::parse("TOKEN").unwrap(),
            names: keys(&["a", "b"]),
            rename: None,
        },
        Problem::SameVariable {
            variable: EnvName::parse("TOKEN").unwrap(),
            names: keys(&["shop/token", "blog/token"]),
            rename: Some((key("blog/token"), EnvName::parse("BLOG_TOKEN").unwrap())),
        },
        Problem::Variable {
            name: key("p"),
            variable: EnvName::stored("PATH").unwrap(),
            why: Refused::Name(NameError::RunsCode),
        },
        Problem::Variable {
            name: key("proxy"),
            variable: EnvName::stored("HTTPS_PROXY").unwrap(),
            why: Refused::Redirects,
        },
        Problem::UnapprovedDefault { keys: keys(&["log/token"]), to: Some(granted_to(TokenKind::Bearer)) },
    ];
    let misfits = vec![
        Misfit::Nul(key("binary")),
        Misfit::TooLong { name: key("long"), len: 1_048_590, max: 131_072 },
        Misfit::TooMuch { len: 9_000_000, max: 2_097_152 },
        Misfit::Empty(key("empty")),
        Misfit::AlreadyGiven { variable: EnvName::parse("PORT").unwrap(), name: key("shop/port") },
    ];
    failures.push(refused(problems, misfits));
    let asked = |problem: Problem| Problem::Asked {
        variable: EnvName::parse("TOKEN").unwrap(),
        problem: Box::new(problem),
    };
    let missing = |wanted: &str, near| asked(Problem::Missing { wanted: key(wanted), near, removed: None });
    failures.push(refused(vec![missing("stripe/life", Some(name()))], Vec::new()));
    let ungranted = vec![
        Problem::NotGranted {
            wanted: key("stripe/life"),
            near: Some(name()),
            to: granted_to(TokenKind::Bearer),
        },
        Problem::NotGranted {
            wanted: key("sk_live_4eC39HqLyjWDarjtT1zdp7dc"),
            near: None,
            to: granted_to(TokenKind::Bearer),
        },
        asked(Problem::NotGranted { wanted: key("db/prod"), near: None, to: granted_to(TokenKind::Bearer) }),
        Problem::NotGranted { wanted: key("db/prod"), near: None, to: granted_to(TokenKind::Session) },
        Problem::NoSuchScope { wanted: scope("prod"), near: None, to: Some(granted_to(TokenKind::Session)) },
    ];
    failures.push(refused(ungranted, Vec::new()));
    let of_a_file = vec![
        missing("nothing/like-it", None),
        missing("sk_live_4eC39HqLyjWDarjtT1zdp7dc", None),
        asked(Problem::Expired { name: name(), since: Moment(0) }),
        asked(Problem::Disabled(key("resting"))),
        asked(Problem::Revoked(key("old"))),
        asked(Problem::Withheld(key("aws/root"))),
        asked(Problem::Version { name: name(), version: 9, state: None }),
        asked(Problem::Field {
            name: name(),
            field: JsonField::parse("tls/key").unwrap(),
            why: FieldFault::Missing,
        }),
        asked(Problem::Version { name: name(), version: 2, state: Some("retired") }),
    ];
    let misfits = vec![
        Misfit::FileVariable { name: key("tls"), variable: EnvName::parse("TLS").unwrap() },
        Misfit::Line { name: key("lines"), fault: LineFault::Newline },
        Misfit::Line { name: key("return"), fault: LineFault::CarriageReturn },
        Misfit::Line { name: key("binary"), fault: LineFault::NotText },
        Misfit::Line { name: key("long"), fault: LineFault::TooLong { len: 70_000, max: 65_535 } },
    ];
    failures.push(refused(of_a_file, misfits));
    failures
}

fn granted_to(kind: TokenKind) -> GrantedTo {
    GrantedTo { kind, name: "ci".parse().unwrap() }
}

fn others() -> Vec<Failure> {
    let io = |kind: io::ErrorKind| io::Error::from(kind);
    let variable = || OsString::from("TOKEN");
    let mut failures = vec![
        Failure::locked(),
        Failure::limited(),
        token::needs_owner("KEYVAULT_TOKEN", "this command"),
        token::not_in_a_grant(Some("KEYVAULT_TOKEN_FILE"), "--tag"),
        token::not_in_a_grant(None, "--sort created"),
        token::key_not_granted(
            &key("stripe/life"),
            Some(&key("stripe/live")),
            &granted_to(TokenKind::Bearer),
        ),
        token::key_not_granted(&key("db/prod"), None, &granted_to(TokenKind::Session)),
        token::key_not_granted(
            &key("sk_live_4eC39HqLyjWDarjtT1zdp7dc"),
            None,
            &granted_to(TokenKind::Bearer),
        ),
        token::session_over(),
        token::session_of_read_only(&vault()),
        Failure::no_home("XDG_DATA_HOME"),
        Failure::no_home("XDG_STATE_HOME"),
        Failure::no_passphrase_to_set(super::NO_TERMINAL),
        vault_file::foreign_home("HOME", Path::new("/home/ada"), &user(1000, Some("ada"))),
        vault_file::foreign_home("XDG_STATE_HOME", Path::new("/github/home"), &user(1001, None)),
        token::nowhere_to_write(),
        Failure::io(Path::new("x.env"), &io(io::ErrorKind::NotFound)),
        Failure::io(Path::new("sk_live_4eC39HqLyjWDarjtT1zdp7dc"), &io(io::ErrorKind::NotFound)),
        Failure::io(Path::new("x.env"), &io(io::ErrorKind::PermissionDenied)),
        Failure::io(Path::new("x.env"), &io(io::ErrorKind::IsADirectory)),
        Failure::io(Path::new("/run/secrets/keyvault"), &io(io::ErrorKind::NotFound))
            .named("KEYVAULT_PASSPHRASE_FILE"),
        Failure::making(Path::new("code.txt"), &io(io::ErrorKind::AlreadyExists)),
        Failure::making(Path::new("no/code.txt"), &io(io::ErrorKind::NotFound)),
        Failure::output(&io(io::ErrorKind::StorageFull)),
        Failure::prompt(&PromptError::Interrupted),
        Failure::prompt(&PromptError::Eof),
        Failure::prompt(&PromptError::Lines),
        Failure::prompt(&PromptError::Control),
        Failure::prompt(&PromptError::TooLong { limit: 4096 }),
        Failure::prompt(&PromptError::Io(io(io::ErrorKind::BrokenPipe))),
        Failure::passphrase(Unfit::TooLong),
        Failure::passphrase(Unfit::NotUtf8),
        Failure::passphrase(Unfit::Untypeable(Oddity::CarriageReturn)),
        Failure::passphrase(Unfit::Untypeable(Oddity::ByteOrderMark)),
        Failure::session(&SessionError::Unsupported(1)),
        Failure::session(&SessionError::Quota),
        Failure::session(&SessionError::Other(io(io::ErrorKind::TimedOut))),
    ];
    failures.extend(echoes());
    let exchanges = [
        ExchangeError::NotUtf8,
        ExchangeError::NotAnObject,
        ExchangeError::TooDeep { member: "a/b/c".to_owned() },
        ExchangeError::TooManyEntries,
        ExchangeError::Json { line: 3, column: 14 },
        ExchangeError::CannotCarry { variable: "TOKEN".to_owned(), reason: Obstacle::NotUtf8 },
        ExchangeError::CannotCarry { variable: "TOKEN".to_owned(), reason: Obstacle::Quotes },
        ExchangeError::CannotCarry { variable: "TOKEN".to_owned(), reason: Obstacle::Nul },
        ExchangeError::Rng(RngError),
    ];
    failures.extend(samples::restores());
    failures.extend(samples::unasked());
    failures.extend(exchanges.iter().map(|error| Failure::exchange(error, "x.env")));
    let unusable =
        |interpreter: &str, why| Unusable { file: "./serve".into(), interpreter: interpreter.into(), why };
    let programs = [
        (ExecError::NotRunnable(NotRunnable::NotFound), "serve"),
        (ExecError::NotRunnable(NotRunnable::NotFound), "API_KEY=1"),
        (ExecError::NotRunnable(NotRunnable::NotFound), ""),
        (ExecError::NotRunnable(NotRunnable::NotExecutable(io(io::ErrorKind::PermissionDenied))), "./serve"),
        (ExecError::Kernel(io::Error::from_raw_os_error(libc::ENOEXEC)), "./serve"),
        (ExecError::NotRunnable(NotRunnable::NotFound), "cd"),
        (ExecError::NotRunnable(NotRunnable::NotFound), "echo hi"),
        (ExecError::NotRunnable(NotRunnable::NotFound), "cat a | wc"),
        (ExecError::Interpreter(unusable("/bin/zsh", Why::Absent)), "./serve"),
        (ExecError::Interpreter(unusable("python3", Why::Absent)), "./serve"),
        (ExecError::Interpreter(unusable("/bin/sh", Why::CarriageReturn)), "./serve"),
        (ExecError::Interpreter(unusable("/lib/ld-musl-x86_64.so.1", Why::NoLoader)), "./serve"),
        (ExecError::Interpreter(unusable("/etc/passwd", Why::NotExecutable)), "./serve"),
        (ExecError::Kernel(io::Error::from_raw_os_error(libc::E2BIG)), "./serve"),
        (ExecError::Output(io::Error::from_raw_os_error(libc::ENOSPC)), "./serve"),
        (ExecError::Supervision(io::Error::from_raw_os_error(libc::EMFILE)), "./serve"),
        (ExecError::NulInArgument, "serve"),
        (ExecError::Environment(EnvError::Nul { name: variable() }), "serve"),
        (ExecError::Environment(EnvError::TooLong { name: variable(), size: 200_000 }), "serve"),
    ];
    failures.extend(programs.iter().map(|(error, program)| Failure::exec(error, program)));
    failures
        .extend(deliveries().into_iter().map(|error| Failure::exec(&ExecError::Delivery(error), "serve")));
    failures
}

fn shown(failure: &Failure) -> String {
    let hint = failure
        .hint
        .as_deref()
        .map(|hint| format!("\n    {}", hint.replace('\n', "\n    ")))
        .unwrap_or_default();
    format!("{} {}: {}{hint}\n", failure.code, failure.kind, failure.message)
}

#[test]
fn every_sentence_stands_in_the_snapshot() {
    let sections = [
        ("A vault's file", of(file_faults())),
        ("Its rows and its standing", of(rows())),
        ("Slots and credentials", of(slots())),
        ("Keys", about_keys()),
        ("Tokens and bundles", of(about_machines())),
    ];
    let mut text = String::from(
        "Every error that the program has for a fact, as exit code, kind, sentence and remedy. Usage errors are at the end.\n",
    );
    for (title, failures) in sections {
        text += &format!("\n# {title}\n\n");
        for failure in &failures {
            text += &shown(failure);
        }
    }
    text += "\n# Files, streams, terminals, commands\n\n";
    for failure in others() {
        text += &shown(&failure);
    }
    text += "\n# Project files\n\n";
    for failure in projects() {
        text += &shown(&failure);
    }
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let path = root.join(FILE);
    let known = std::fs::read_to_string(&path).unwrap_or_default();
    let (_, usage) = known.split_once("\n# Usage").map_or(("", ""), |parts| parts);
    if std::env::var_os("KEYVAULT_WRITE").is_some() {
        std::fs::write(&path, format!("{text}\n# Usage{usage}")).unwrap();
        return;
    }
    let ours = known.split("\n# Usage").next().unwrap_or_default();
    pretty_assertions::assert_eq!(ours, text, "KEYVAULT_WRITE=1 rewrites {FILE}; read what changed");
}
