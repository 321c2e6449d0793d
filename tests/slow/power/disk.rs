//! A disk after a power cut: all that was synced, and of the rest whatever chance has left of it.

use std::collections::{BTreeMap, BTreeSet};

use keyvault_core::crypto::sha256;

use super::chance::Chance;
use super::tape::{FileId, Name, Op, Tape};

/// Bytes that a disk writes whole or not at all.
const SECTOR: usize = 512;

/// The files after a power cut.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Image(pub BTreeMap<Name, Vec<u8>>);

impl Image {
    pub fn hash(&self) -> [u8; 32] {
        let hashes: Vec<_> = Name::ALL
            .iter()
            .flat_map(|name| self.0.get(name).map_or([0; 32], |bytes| sha256(bytes)))
            .collect();
        sha256(&hashes)
    }
}

/// Which syncs the disk only claims to have done.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Lies {
    Never,
    Always,
    About(Name),
    AboutTheFolder,
}

/// The fate of operations that are not synced, in the order in which they came.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Choice {
    Nothing,
    Everything,
    Alone(usize),
    AllBut(usize),
    /// The first so many.
    Prefix(usize),
    /// All before this one and sectors of it; with luck what came after it too.
    Torn(usize),
    /// Each whole, torn, dropped, or only as a longer file; the number is for the dice.
    Mixed(u64),
    /// Like [`Choice::Mixed`], and in any order.
    Shuffled(u64),
}

#[derive(Debug, Clone, Copy)]
enum Fate {
    Whole,
    Torn,
    /// The file got its length and not the bytes.
    Zeros,
}

/// A disk that is told what the tape says.
pub struct Disk<'t> {
    ops: &'t [Op],
    lies: Lies,
    /// As synced.
    files: BTreeMap<FileId, Vec<u8>>,
    names: BTreeMap<Name, FileId>,
    /// Told and not synced: positions on the tape.
    pending: Vec<usize>,
    /// Files that ever get one of the names; the others are nobody's business.
    visible: BTreeSet<FileId>,
    told: usize,
}

impl<'t> Disk<'t> {
    pub fn new(tape: &'t Tape, lies: Lies) -> Self {
        let named = tape.ops.iter().filter(|op| matches!(op, Op::Named { .. })).filter_map(Op::file);
        Self {
            ops: &tape.ops,
            lies,
            files: tape.files.clone(),
            names: tape.names.clone(),
            pending: Vec::new(),
            visible: tape.names.values().copied().chain(named).collect(),
            told: 0,
        }
    }

    /// How much of the tape it was told.
    pub fn told(&self) -> usize {
        self.told
    }

    /// How much of that is not synced.
    pub fn unsynced(&self) -> usize {
        self.pending.len()
    }

    /// Returns `true` if the vault has, or may have, its name.
    pub fn has_vault(&self) -> bool {
        let may = |at: &usize| matches!(self.ops[*at], Op::Named { name: Name::Vault, .. });
        self.names.contains_key(&Name::Vault) || self.pending.iter().any(may)
    }

    /// Returns `true` if the next operation makes something durable.
    pub fn sync_comes(&self) -> bool {
        match self.ops.get(self.told) {
            Some(Op::Synced { file }) => self.visible.contains(file),
            Some(Op::FolderSynced) => true,
            _ => false,
        }
    }

    /// Returns `true` if the next operation can be seen after a power cut.
    pub fn next_matters(&self) -> bool {
        self.ops.get(self.told).is_some_and(|op| op.file().is_none_or(|file| self.visible.contains(&file)))
    }

    /// Tells it the next operation.
    pub fn tell(&mut self) {
        let (at, op) = (self.told, &self.ops[self.told]);
        self.told += 1;
        match op {
            Op::Wrote { file, .. } | Op::Cut { file, .. } if !self.visible.contains(file) => {}
            Op::Wrote { .. } | Op::Cut { .. } | Op::Named { .. } => self.pending.push(at),
            Op::Synced { file } if self.lies_about(*file) => {}
            Op::Synced { file } => {
                self.settle(|op| !matches!(op, Op::Named { .. }) && op.file() == Some(*file))
            }
            Op::FolderSynced if matches!(self.lies, Lies::Always | Lies::AboutTheFolder) => {}
            Op::FolderSynced => self.settle(|op| matches!(op, Op::Named { .. })),
        }
    }

    fn lies_about(&self, file: FileId) -> bool {
        match self.lies {
            Lies::Never | Lies::AboutTheFolder => false,
            Lies::Always => true,
            Lies::About(name) => self.names.get(&name) == Some(&file),
        }
    }

    fn settle(&mut self, durable: impl Fn(&Op) -> bool) {
        let ops = self.ops;
        let (settled, pending): (Vec<_>, Vec<_>) =
            std::mem::take(&mut self.pending).into_iter().partition(|at| durable(&ops[*at]));
        self.pending = pending;
        for at in settled {
            apply(&mut self.files, &mut self.names, &ops[at]);
        }
    }

    /// The disk if the power were cut now.
    pub fn image(&self, choice: Choice) -> Image {
        let mut files = self.files.clone();
        let mut names = self.names.clone();
        let dice = match choice {
            Choice::Mixed(seed) | Choice::Shuffled(seed) => Chance::of(seed),
            Choice::Torn(at) => Chance::of(u64::try_from(self.told * 4096 + at).unwrap()),
            _ => Chance::of(0),
        };
        for (at, fate) in self.fates(choice, &dice) {
            match (&self.ops[at], fate) {
                (Op::Wrote { file, at, bytes }, Fate::Torn) => {
                    tear(files.entry(*file).or_default(), *at, bytes, &dice)
                }
                (Op::Wrote { file, at, bytes }, Fate::Zeros) => {
                    let file = files.entry(*file).or_default();
                    file.resize(file.len().max(at + bytes.len()), 0);
                }
                (op, _) => apply(&mut files, &mut names, op),
            }
        }
        Image(names.into_iter().map(|(name, file)| (name, files.remove(&file).unwrap_or_default())).collect())
    }

    fn fates(&self, choice: Choice, dice: &Chance) -> Vec<(usize, Fate)> {
        let whole = |at: &usize| (*at, Fate::Whole);
        let pending = &self.pending;
        match choice {
            Choice::Nothing => Vec::new(),
            Choice::Everything => pending.iter().map(whole).collect(),
            Choice::Alone(which) => pending.iter().skip(which).take(1).map(whole).collect(),
            Choice::AllBut(which) => {
                pending.iter().enumerate().filter(|(at, _)| *at != which).map(|(_, at)| whole(at)).collect()
            }
            Choice::Prefix(count) => pending.iter().take(count).map(whole).collect(),
            Choice::Torn(which) => {
                let until = if dice.percent(50) { which + 1 } else { pending.len() };
                let fate =
                    |(at, op): (usize, &usize)| (*op, if at == which { Fate::Torn } else { Fate::Whole });
                pending.iter().enumerate().take(until).map(fate).collect()
            }
            Choice::Mixed(_) => mixed(pending, dice),
            Choice::Shuffled(_) => {
                let mut fates = mixed(pending, dice);
                dice.shuffle(&mut fates);
                fates
            }
        }
    }
}

fn mixed(pending: &[usize], dice: &Chance) -> Vec<(usize, Fate)> {
    let whole = *dice.pick(&[5, 50, 80, 95]);
    let torn = whole + (100 - whole) / 3;
    let zeros = torn + (100 - whole) / 6;
    let fate = |at: &usize| match dice.below(100) {
        roll if roll < whole => Some((*at, Fate::Whole)),
        roll if roll < torn => Some((*at, Fate::Torn)),
        roll if roll < zeros => Some((*at, Fate::Zeros)),
        _ => None,
    };
    pending.iter().filter_map(fate).collect()
}

fn apply(files: &mut BTreeMap<FileId, Vec<u8>>, names: &mut BTreeMap<Name, FileId>, op: &Op) {
    match op {
        Op::Wrote { file, at, bytes } => put(files.entry(*file).or_default(), *at, bytes),
        Op::Cut { file, length } => files.entry(*file).or_default().resize(*length, 0),
        Op::Named { name, file: Some(file) } => drop(names.insert(*name, *file)),
        Op::Named { name, file: None } => drop(names.remove(name)),
        Op::Synced { .. } | Op::FolderSynced => {}
    }
}

fn put(file: &mut Vec<u8>, at: usize, bytes: &[u8]) {
    if file.len() < at + bytes.len() {
        file.resize(at + bytes.len(), 0);
    }
    file[at..at + bytes.len()].copy_from_slice(bytes);
}

/// Writes some sectors: the first ones, the last ones, or any.
fn tear(file: &mut Vec<u8>, at: usize, bytes: &[u8], dice: &Chance) {
    let end = at + bytes.len();
    let sectors: Vec<_> = (at / SECTOR..end.div_ceil(SECTOR)).collect();
    let (how, edge) = (dice.below(3), dice.below(sectors.len() + 1));
    for (index, sector) in sectors.iter().enumerate() {
        let kept = match how {
            0 => index < edge,
            1 => index >= edge,
            _ => dice.percent(50),
        };
        let (from, to) = ((sector * SECTOR).max(at), ((sector + 1) * SECTOR).min(end));
        if kept {
            put(file, from, &bytes[from - at..to - at]);
        }
    }
}
