//! Reads from bundles: lines of JSON in a file where it was read, chained, to be imported.
//!
//! ```text
//! line  = {"format":1, "vault", "epoch", "token", "place", "seq", "before", "event", "mac"}
//! event = base64 of seal(events key of the token, "keyvault read", context of (reads, place, seq, before), pad(event))
//! mac   = HMAC(reads key of the token, "keyvault read" ‖ place ‖ u64 seq ‖ before ‖ bytes(sealed event))
//! ```
//!
//! A place is one file's chain, under a random number; `before` is the MAC of the line before, zero for the first. A
//! bearer of the token can write such a chain from the start; reads that were imported once stay known.

use std::collections::{BTreeMap, BTreeSet, btree_map};
use std::io::{self, Read, Seek, SeekFrom, Write};
use std::os::unix::fs::FileTypeExt;
use std::path::{Path, PathBuf};

use data_encoding::{BASE64, HEXLOWER};
use serde::{Deserialize, Serialize};

use crate::audit::{self, Action, Chain, ChainMark, Event, START};
use crate::sealed::{At, SealKind};
use crate::store::TokenId;
use crate::unlock::token::TokenKeys;
use keyvault_core::clock::Rng;
use keyvault_core::crypto::{self, Mac};
use keyvault_core::identity::Identity;
use keyvault_core::name::TokenName;
use keyvault_os::fs::lock::{FileLock, Held};
use keyvault_os::fs::private;

use super::bundle::BundleLabel;
use super::error::TokenError;
use super::index;
use super::record::TokenRecord;
use crate::error::VaultError;
use crate::file::open::{Access, Vault, World};
use crate::tx::VerifiedTx;

const READ: SealKind = SealKind { label: "keyvault read", table: "reads", field: "event" };

/// The longest line, in bytes: an event that names some thousand keys.
const MAX_LINE: u64 = 4 << 20;

/// Where what is read from bundles is written down.
#[derive(Debug, Clone)]
pub struct ReadsLog {
    path: PathBuf,
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Line {
    format: u32,
    vault: String,
    epoch: u32,
    token: String,
    place: String,
    seq: u64,
    before: String,
    event: String,
    mac: String,
}

/// A line whose fields have the shape they must have; nothing is believed yet.
#[derive(Debug, PartialEq, Eq)]
pub struct ReadsLine {
    identity: Identity,
    token: TokenId,
    place: [u8; 16],
    seq: u64,
    before: Mac,
    sealed: Vec<u8>,
    mac: Mac,
}

#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct ImportedReads {
    pub new: BTreeMap<TokenName, usize>,
    pub known: usize,
    /// Reads of tokens that this vault does not know, which cannot be looked at.
    pub unknown: usize,
    /// Reads of other vaults' tokens.
    pub of_other_vaults: usize,
    /// The last line has no end: a crash cut it off before its read was released, or the file was not copied whole.
    pub cut_off: bool,
    /// Lines that cannot be proved, or that others are missing before, in their order.
    pub faults: Vec<ReadsFault>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ReadsFault {
    /// Its number, from 1.
    pub line: usize,
    pub what: Unproved,
    /// True if the line itself holds and was taken over.
    pub imported: bool,
}

/// Why a line, or the way to it, is not proved.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum Unproved {
    /// It is not a line of such a file.
    #[error("is not a read that keyvault recorded")]
    NotOurs,
    /// It was not written like this with its token.
    #[error("was altered")]
    Altered,
    /// So many reads before it are not in the file, nor were they imported.
    #[error("reads before it are missing: {0}")]
    Missing(u64),
    /// Another read stands in its place: the log was put back to an older state, or written in two places.
    #[error("contradicts the read before it")]
    Contradicts,
}

impl ReadsLog {
    /// In this file, which need not exist yet.
    #[must_use]
    pub fn at(path: PathBuf) -> Self {
        Self { path }
    }

    /// The usual place in this user's state folder.
    #[must_use]
    pub fn in_folder(state: &Path, token: &BundleLabel) -> Self {
        Self { path: state.join("reads").join(format!("{}.jsonl", HEXLOWER.encode(&token.token))) }
    }

    /// Writes a read down. A line that a crash cut off was never acknowledged and goes; after one that does not hold
    /// another chain begins.
    pub(crate) fn append(
        &self,
        label: &BundleLabel,
        keys: &TokenKeys,
        event: &Event,
        rng: &dyn Rng,
    ) -> Result<(), VaultError> {
        let failed = |source: io::Error| {
            let path = self.path.clone();
            match not_a_file(&path) {
                Some(kind) => VaultError::ReadsInNoFile { path, kind },
                None => VaultError::ReadsNotWritten { path, source },
            }
        };
        if let Some(folder) = self.path.parent().filter(|folder| !folder.as_os_str().is_empty()) {
            private::create_folder(folder).map_err(failed)?;
        }
        let mut lock = FileLock::exclusive(&self.path).map_err(|error| match Held::of(&error) {
            Some(held) => VaultError::ReadsBusy(held.clone()),
            None => failed(error),
        })?;
        let file = lock.file();
        if !begins_like_a_log(file).map_err(failed)? {
            return Err(TokenError::NotAReadsLog { path: self.path.clone() }.into());
        }
        let last = last_line(file).map_err(failed)?;
        let last = last.and_then(|line| ReadsLine::parse(&line)).filter(|entry| {
            (entry.identity, entry.token) == (label.identity, label.token) && entry.holds(keys)
        });
        let (place, seq, before) = if let Some(entry) = last {
            (entry.place, entry.seq.saturating_add(1), entry.mac)
        } else {
            let mut place = [0; 16];
            rng.fill(&mut place)?;
            (place, 0, START)
        };
        let at = read_at(&place, seq, &before);
        let sealed = READ.seal(&keys.audit.events, &label.identity, at, &event.encode(), rng)?;
        let mut entry = ReadsLine {
            identity: label.identity,
            token: label.token,
            place,
            seq,
            before,
            sealed,
            mac: START,
        };
        entry.mac = entry.right_mac(keys);
        let mut text = entry.encode().map_err(failed)?;
        text.push(b'\n');
        file.write_all(&text).and_then(|()| file.sync_data()).map_err(failed)
    }
}

/// Returns `true` if a file has nothing in it, or what a log begins with: another file that was named by mistake loses
/// nothing.
fn begins_like_a_log(file: &mut std::fs::File) -> io::Result<bool> {
    const START: &[u8] = b"{\"format\":";
    let len = file.seek(SeekFrom::End(0))?;
    let mut start = Vec::with_capacity(START.len());
    if len > 0 {
        file.seek(SeekFrom::Start(0))?;
        Read::by_ref(file).take(START.len() as u64).read_to_end(&mut start)?;
    }
    Ok(START.starts_with(&start))
}

/// The last whole line; what stands behind it is cut off, and the file is at its end.
///
/// The file is read from behind, by as little as it takes: it grows until it is imported, and lies on the way of `exec`.
fn last_line(file: &mut std::fs::File) -> io::Result<Option<Vec<u8>>> {
    // A few lines of the usual length.
    let mut reach = 4096;
    let len = file.seek(SeekFrom::End(0))?;
    let mut tail = Vec::new();
    loop {
        let from = len.saturating_sub(reach);
        file.seek(SeekFrom::Start(from))?;
        tail.clear();
        Read::by_ref(file).take(len - from).read_to_end(&mut tail)?;
        let whole = tail.iter().rposition(|byte| *byte == b'\n').map_or(0, |at| at + 1);
        let lines = tail.get(..whole).and_then(|lines| lines.strip_suffix(b"\n"));
        let begins = lines.is_some_and(|lines| lines.contains(&b'\n'));
        if begins || from == 0 || reach >= MAX_LINE {
            let line = lines.and_then(|lines| lines.rsplit(|byte| *byte == b'\n').next()).map(<[u8]>::to_vec);
            let end = from + u64::try_from(whole).unwrap_or(0);
            if end < len {
                file.set_len(end)?;
            }
            file.seek(SeekFrom::Start(end))?;
            return Ok(line);
        }
        reach = MAX_LINE.min(reach * 16);
    }
}

impl ReadsLine {
    pub fn parse(line: &[u8]) -> Option<Self> {
        let line: Line = serde_json::from_slice(line).ok()?;
        let hex = |text: &str| HEXLOWER.decode(text.as_bytes()).ok();
        let entry = Self {
            identity: Identity { vault_id: hex(&line.vault)?.try_into().ok()?, epoch: line.epoch },
            token: hex(&line.token)?.try_into().ok()?,
            place: hex(&line.place)?.try_into().ok()?,
            seq: line.seq,
            before: hex(&line.before)?.try_into().ok()?,
            sealed: BASE64.decode(line.event.as_bytes()).ok()?,
            mac: hex(&line.mac)?.try_into().ok()?,
        };
        (line.format == 1).then_some(entry)
    }

    pub fn encode(&self) -> io::Result<Vec<u8>> {
        let line = Line {
            format: 1,
            vault: HEXLOWER.encode(&self.identity.vault_id),
            epoch: self.identity.epoch,
            token: HEXLOWER.encode(&self.token),
            place: HEXLOWER.encode(&self.place),
            seq: self.seq,
            before: HEXLOWER.encode(&self.before),
            event: BASE64.encode(&self.sealed),
            mac: HEXLOWER.encode(&self.mac),
        };
        Ok(serde_json::to_vec(&line)?)
    }

    fn right_mac(&self, keys: &TokenKeys) -> Mac {
        let len = u32::try_from(self.sealed.len()).unwrap_or(u32::MAX).to_le_bytes();
        let seq = self.seq.to_le_bytes();
        keys.reads.mac(&[READ.label.as_bytes(), &self.place, &seq, &self.before, &len, &self.sealed])
    }

    fn holds(&self, keys: &TokenKeys) -> bool {
        subtle::ConstantTimeEq::ct_eq(self.right_mac(keys).as_slice(), self.mac.as_slice()).into()
    }

    fn event(&self, keys: &TokenKeys) -> Option<Event> {
        let at = read_at(&self.place, self.seq, &self.before);
        let content = READ.open(&keys.audit.events, &self.identity, at, &self.sealed).ok()?;
        Event::decode(content.bytes()).ok()
    }
}

fn read_at<'p>(place: &'p [u8; 16], seq: u64, before: &'p Mac) -> At<'p> {
    At { row: place, revision: seq, bound: before, ..At::default() }
}

/// Takes the lines of such a file over into the chains of their tokens. Lines that are known already are skipped; a
/// line that cannot be proved keeps no other away.
pub fn import_reads(
    vault: &mut Vault,
    access: &Access,
    world: &World<'_>,
    text: &[u8],
) -> Result<ImportedReads, VaultError> {
    vault.change_if_any(access, world, |tx| {
        let imported = import_in(tx, text, world)?;
        if imported.new.is_empty() {
            return Ok((imported, None));
        }
        let words: Vec<_> =
            imported.new.iter().map(|(name, count)| format!("{count} reads of {name}")).collect();
        let event = world.event(Action::Token, Vec::new(), format!("imported {}", words.join(", ")));
        Ok((imported, Some(event)))
    })
}

/// A token's chain, to be continued.
struct TokenLog {
    keys: TokenKeys,
    chain: Chain,
    /// How often each event stands in it, by its hash, less those that lines of the file stand for.
    known: BTreeMap<[u8; 32], usize>,
    /// The lines of the file that were looked at.
    lines: BTreeSet<Mac>,
}

/// A line that was written with its token.
struct Authentic {
    line: usize,
    record: usize,
    entry: ReadsLine,
    event: Event,
}

fn import_in(tx: &mut VerifiedTx<'_>, text: &[u8], world: &World<'_>) -> Result<ImportedReads, VaultError> {
    let mut records = index::load_all(tx)?;
    let mut imported = ImportedReads::default();
    let mut logs = BTreeMap::new();
    let lines = authentic_lines(tx, text, &records, &mut logs, &mut imported)?;
    let mut written = BTreeSet::new();
    for Authentic { line, record: number, entry, event } in lines {
        let (Some(record), Some(Some(log))) = (records.get_mut(number), logs.get_mut(&number)) else {
            continue;
        };
        let mut mark = record.mark(&entry.place);
        if !log.lines.insert(entry.mac) || entry.seq < mark.count && log.has(&entry, &event, &mark) {
            imported.known += 1;
            continue;
        }
        log.chain.append(tx.rows, &log.keys.audit, &tx.identity, &event, world.rng)?;
        let fault = mark.follow(&entry).map(|what| ReadsFault { line, what, imported: true });
        record.places.insert(entry.place, mark);
        imported.faults.extend(fault);
        *imported.new.entry(record.name.clone()).or_default() += 1;
        written.insert(number);
    }
    imported.faults.sort_by_key(|fault| fault.line);
    let nothing = imported.known == 0 && imported.new.is_empty() && imported.faults.is_empty();
    if nothing && imported.unknown > 0 {
        return Err(TokenError::UnknownReads.into());
    }
    if nothing && imported.of_other_vaults > 0 {
        return Err(TokenError::OtherVault.into());
    }
    for record in written.into_iter().filter_map(|number| records.get(number)) {
        index::put(tx, record, world)?;
    }
    Ok(imported)
}

/// The lines that were written with a token of this vault: place after place as the file has them, each in the order in
/// which it was written.
fn authentic_lines(
    tx: &VerifiedTx<'_>,
    text: &[u8],
    records: &[TokenRecord],
    logs: &mut BTreeMap<usize, Option<TokenLog>>,
    imported: &mut ImportedReads,
) -> Result<Vec<Authentic>, VaultError> {
    let mut authentic = Vec::new();
    let mut places = BTreeMap::new();
    let end = text.split(|byte| *byte == b'\n').count();
    let lines = text.split(|byte| *byte == b'\n').zip(1..).filter(|(line, _)| !line.trim_ascii().is_empty());
    for (text, line) in lines {
        let Some(entry) = ReadsLine::parse(text) else {
            if line == end {
                imported.cut_off = true;
            } else {
                imported.faults.push(ReadsFault { line, what: Unproved::NotOurs, imported: false });
            }
            continue;
        };
        if entry.identity.vault_id != tx.identity.vault_id {
            imported.of_other_vaults += 1;
            continue;
        }
        // A log that $KEYVAULT_READS names goes on when its token is renewed; what was read with the one before must
        // not keep the rest away.
        let known = records.iter().enumerate().find(|(_, record)| record.id == entry.token);
        let Some((number, record)) = known else {
            // Its token has another secret since, under which the line cannot be proved again. The mark of its place
            // tells that it was.
            let marked = records.iter().any(|record| entry.seq < record.mark(&entry.place).count);
            *(if marked { &mut imported.known } else { &mut imported.unknown }) += 1;
            continue;
        };
        let log = match logs.entry(number) {
            btree_map::Entry::Occupied(log) => log.into_mut(),
            btree_map::Entry::Vacant(none) => none.insert(token_log(tx, record)?),
        };
        // A bearer can break its log in the vault, and that must not keep the rest away either.
        let Some(log) = log else {
            imported.unknown += 1;
            continue;
        };
        match entry.event(&log.keys).filter(|_| entry.holds(&log.keys)) {
            None => imported.faults.push(ReadsFault { line, what: Unproved::Altered, imported: false }),
            Some(event) => {
                let first = *places.entry((number, entry.place)).or_insert(line);
                authentic.push((first, Authentic { line, record: number, entry, event }));
            }
        }
    }
    authentic.sort_by_key(|(first, line)| (*first, line.entry.seq));
    Ok(authentic.into_iter().map(|(_, line)| line).collect())
}

/// `None` if its bearer has damaged the chain.
fn token_log(tx: &VerifiedTx<'_>, record: &TokenRecord) -> Result<Option<TokenLog>, VaultError> {
    let keys = record.keys(&tx.identity);
    let Ok(chain) = Chain::load(tx.rows, &keys.audit, &tx.identity) else { return Ok(None) };
    let mut known = BTreeMap::new();
    audit::read_what_opens(tx.rows, &keys.audit, &tx.identity, &mut |event| {
        *known.entry(crypto::sha256(&event.encode())).or_default() += 1;
    })?;
    Ok(Some(TokenLog { keys, chain, known, lines: BTreeSet::new() }))
}

impl TokenLog {
    /// Returns `true` if a read that stands before the mark of its place was imported. Not all need have been: some
    /// lines may have been missing then, and a log that was put back to an older state goes on otherwise.
    fn has(&mut self, entry: &ReadsLine, event: &Event, mark: &ChainMark) -> bool {
        match self.known.get_mut(&crypto::sha256(&event.encode())).filter(|count| **count > 0) {
            Some(count) => {
                *count -= 1;
                true
            }
            None => entry.seq.saturating_add(1) == mark.count && entry.mac == mark.head,
        }
    }
}

impl TokenRecord {
    /// How far the reads of a place have been imported.
    fn mark(&self, place: &[u8; 16]) -> ChainMark {
        self.places.get(place).copied().unwrap_or(ChainMark::START)
    }
}

impl ChainMark {
    /// Moves on to a read that is new; what is wrong with the way there.
    fn follow(&mut self, entry: &ReadsLine) -> Option<Unproved> {
        let fault = match entry.seq.checked_sub(self.count) {
            Some(0) if entry.before == self.head => None,
            Some(0) => Some(Unproved::Contradicts),
            Some(missing) => Some(Unproved::Missing(missing)),
            None if entry.seq.saturating_add(1) == self.count => Some(Unproved::Contradicts),
            None => None,
        };
        if entry.seq >= self.count {
            *self = Self { count: entry.seq.saturating_add(1), head: entry.mac };
        }
        fault
    }
}

/// The kind of a path that no log can be kept in.
fn not_a_file(path: &Path) -> Option<&'static str> {
    let kind = std::fs::symlink_metadata(path).ok()?.file_type();
    if kind.is_file() {
        None
    } else if kind.is_dir() {
        Some("a folder")
    } else if kind.is_symlink() {
        Some("a symbolic link, which keyvault does not follow")
    } else if kind.is_fifo() {
        Some("a named pipe")
    } else if kind.is_socket() {
        Some("a socket")
    } else {
        Some("a device")
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    /// The line that is found in a file of this content, and how much is left of it.
    fn found(content: &[u8]) -> (Option<Vec<u8>>, usize) {
        let mut file = tempfile::tempfile().unwrap();
        file.write_all(content).unwrap();
        let line = last_line(&mut file).unwrap();
        let at = file.stream_position().unwrap();
        assert_eq!(file.metadata().unwrap().len(), at, "the file ends where it is written on");
        (line, usize::try_from(at).unwrap())
    }

    #[test]
    fn the_last_line_is_found_however_long_it_and_the_file_are() {
        assert_eq!(found(b""), (None, 0));
        assert_eq!(found(b"cut off"), (None, 0));
        assert_eq!(found(b"\n"), (Some(Vec::new()), 1));
        assert_eq!(found(b"one\ncut off"), (Some(b"one".to_vec()), 4));
        // Around each of the lengths that are tried.
        for long in [1, 4094, 4095, 4096, 4097, 65_535, 65_536, 65_537, 1 << 20, (1 << 20) + 1] {
            let line = vec![b'x'; long];
            for before in [&b""[..], b"\n", b"first\nsecond\n"] {
                for behind in [&b""[..], b"cut off", &[b'y'; 5000]] {
                    let content = [before, &line, b"\n", behind].concat();
                    assert_eq!(found(&content), (Some(line.clone()), content.len() - behind.len()), "{long}");
                }
            }
        }
    }

    #[test]
    fn of_a_line_that_is_none_only_the_end_is_looked_at() {
        let endless = vec![b'x'; usize::try_from(MAX_LINE).unwrap() + 10];
        let (line, left) = found(&[&endless[..], b"\n"].concat());
        assert_eq!((line.unwrap().len(), left), (endless.len() - 10 - 1, endless.len() + 1));
    }
}
