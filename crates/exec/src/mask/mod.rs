//! The output of a child without the values that it was given.
//!
//! One pass of two automata, whatever the pieces in which the output comes: an Aho–Corasick automaton over the texts that
//! [`forms`](self::forms) names, and beside it a [`lattice`](self::lattice) over the values character by character, each
//! of which may be spelt in any way that [`spelling`](self::spelling) knows. Every occurrence is found, overlapping ones
//! too: what any of them covers goes, and [`REPLACEMENT`] stands in its place, once for those that overlap. So no tail of
//! a value stays because another one began before it.
//!
//! Bytes that may still become an occurrence are held back: the longest end of the output that a form or a spelling begins with,
//! so never more than the longest of them less a byte, and nothing at all where the output does not look like such a
//! beginning. When the child pauses, it may be a prompt that somebody waits for. Then the first [`SHOWN`] bytes of what
//! is held go out, and are still remembered: should it become an occurrence after all, the rest is masked. So no pause,
//! and no splitting of writes, shows more than three bytes of a form, less than what counts as a value at all. At the
//! end of the output a held beginning of [`PARTIAL`] bytes or more is masked, as a form that was cut off; a shorter one
//! is let out.
//!
//! Nothing here reads or writes. The automata hold copies of all values on the heap, in their own shapes, for as long as
//! the child runs; the process's allocator wipes them as they are freed (`keyvault_os::process::alloc`), as it does the pieces that are
//! held back. In a test, where another allocator may be in force, they are not wiped.

mod common;
pub mod forms;
mod json;
mod lattice;
pub mod parts;
mod spelling;

use std::collections::VecDeque;

use aho_corasick::automaton::{Automaton, StateID};
use aho_corasick::nfa::contiguous::NFA;
use aho_corasick::{Anchored, MatchKind};

pub use self::common::is_common;
use self::lattice::{Lattice, Walk};
use self::parts::Part;
use keyvault_core::secret::SecretBytes;

/// Stands where a value stood.
pub const REPLACEMENT: &[u8] = b"[masked]";

/// How much of what is held back is shown when the child pauses: less than the shortest form.
pub const SHOWN: usize = forms::SHORTEST - 1;

/// How long a form's beginning at the very end of the output is when it is masked.
pub(crate) const PARTIAL: usize = 8;

/// Bytes of values, as they are and in lines, that are looked for at most: the automaton takes some fifty times that
/// while it is made. An environment cannot hold much more.
const MOST_PLAIN: usize = 2 << 20;

/// Bytes of encoded forms that are looked for at most, those that one form begins with like another counted once.
const MOST_ENCODED: usize = 4 << 20;

/// Longer values in several lines are looked for in lines only: each of them is found by itself.
const LONG: usize = 4096;

pub struct Mask {
    automaton: NFA,
    start: StateID,
    /// By state: how many bytes at the end of the output are a form's beginning.
    depths: Vec<u32>,
    lattice: Lattice,
    skip: Skip,
}

/// Which values are not looked for, or not in all forms, by their place among those given.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Uncovered {
    /// So common that they would stand in the output by chance.
    pub common: Vec<usize>,
    /// So long, together with the others, that only they themselves and their lines are looked for.
    pub only_plain: Vec<usize>,
    /// Too long to be looked for at all.
    pub long: Vec<usize>,
}

/// The automaton could not be made.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
#[error("the values are too many or too long to be masked")]
pub struct TooMuch;

impl Mask {
    /// Looks for these values, short ones first where not all fit.
    pub fn of(values: &[&[u8]]) -> Result<(Self, Uncovered), TooMuch> {
        let mut uncovered = Uncovered::default();
        let mut patterns: Vec<SecretBytes> = Vec::new();
        let mut spelt = lattice::Builder::default();
        let mut order: Vec<usize> = (0..values.len()).collect();
        order.sort_by_key(|at| values.get(*at).map_or(0, |value| value.len()));
        let (mut room, mut encoded_room) = (MOST_PLAIN, MOST_ENCODED);
        for at in order {
            let value = values.get(at).copied().unwrap_or_default();
            if value.is_empty() {
                continue;
            }
            if is_common(value) {
                uncovered.common.push(at);
                continue;
            }
            let parts = if value.len() > MOST_PLAIN { Vec::new() } else { parts::parts(value) };
            let encoded =
                |part: &Part| if part.whole { forms::encoded(part.text.expose()) } else { Vec::new() };
            if parts.is_empty() || !take(parts.iter().flat_map(plain).collect(), &mut room, &mut patterns) {
                uncovered.long.push(at);
            } else if value.len() > MOST_ENCODED / 8
                || !take(parts.iter().flat_map(encoded).collect(), &mut encoded_room, &mut patterns)
            {
                uncovered.only_plain.push(at);
            } else {
                for part in &parts {
                    spelt.add(part.text.expose());
                }
            }
        }
        patterns.sort_unstable_by(|a, b| a.expose().cmp(b.expose()));
        patterns.dedup_by(|a, b| a.expose() == b.expose());
        Ok((Self::build(&patterns, spelt)?, uncovered))
    }

    fn build(patterns: &[SecretBytes], spelt: lattice::Builder) -> Result<Self, TooMuch> {
        let texts = || patterns.iter().map(SecretBytes::expose);
        let automaton = NFA::builder()
            .match_kind(MatchKind::Standard)
            .prefilter(false)
            .build(texts())
            .map_err(|_| TooMuch)?;
        let start = automaton.start_state(Anchored::No).map_err(|_| TooMuch)?;
        let mut depths = Vec::new();
        for text in texts() {
            let mut state = start;
            for (depth, byte) in (1..).zip(text) {
                // The longest end of a form's beginning that is itself a beginning is all of it.
                state = automaton.next_state(Anchored::No, state, *byte);
                if depths.len() <= state.as_usize() {
                    depths.resize(state.as_usize() + 1, 0);
                }
                if let Some(place) = depths.get_mut(state.as_usize()) {
                    *place = depth;
                }
            }
        }
        let shortest = texts().map(<[u8]>::len).chain(spelt.shortest()).min();
        let mut skip = Skip::over(texts(), shortest);
        let lattice = spelt.finish(skip.stride, &mut |three| skip.threes.add(three));
        lattice.firsts().for_each(|first| skip.add_first(first));
        lattice.first_threes().for_each(|three| skip.first_threes.add(three));
        Ok(Self { automaton, start, depths, lattice, skip })
    }

    fn depth(&self, state: StateID) -> u64 {
        self.depths.get(state.as_usize()).copied().unwrap_or(0).into()
    }

    /// How long the longest form is that ends in this state, if one does.
    fn ends(&self, state: StateID) -> Option<u64> {
        // The first that a state reports is the longest; the others are ends of it.
        let ends = self.automaton.is_special(state) && self.automaton.is_match(state);
        ends.then(|| self.automaton.pattern_len(self.automaton.match_pattern(state, 0)) as u64)
    }
}

impl std::fmt::Debug for Mask {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Mask(…)")
    }
}

fn plain(part: &Part) -> Vec<SecretBytes> {
    let mut plain = forms::plain(part.text.expose());
    if part.text.len() > LONG {
        plain.retain(|form| !form.expose().contains(&b'\n'));
    }
    plain
}

/// Takes the forms if they fit into what room is left. What two of them begin with alike takes room once.
fn take(mut forms: Vec<SecretBytes>, room: &mut usize, patterns: &mut Vec<SecretBytes>) -> bool {
    forms.sort_unstable_by(|a, b| a.expose().cmp(b.expose()));
    let (mut size, mut before): (usize, &[u8]) = (0, &[]);
    for form in &forms {
        let form = form.expose();
        size += form.len() - form.iter().zip(before).take_while(|(a, b)| a == b).count();
        before = form;
    }
    let Some(left) = room.checked_sub(size) else { return false };
    *room = left;
    patterns.extend(forms);
    true
}

/// One stream of output on its way through a mask. Places are counted in bytes from the stream's beginning.
#[derive(Debug)]
pub struct Filter<'m> {
    mask: &'m Mask,
    state: StateID,
    walk: Walk,
    /// Where the next byte will stand.
    end: u64,
    /// Everything before was let out or masked.
    done: u64,
    /// The bytes from `done` to `end`.
    held: Vec<u8>,
    /// Occurrences that are not let out, without overlaps, in order.
    found: VecDeque<(u64, u64)>,
    /// Where the last occurrence ends that [`REPLACEMENT`] was written for.
    covered: u64,
    /// How often that was.
    masked: u64,
}

impl<'m> Filter<'m> {
    #[must_use]
    pub fn new(mask: &'m Mask) -> Self {
        let (held, found) = (Vec::new(), VecDeque::new());
        let walk = Walk::default();
        Self { mask, state: mask.start, walk, end: 0, done: 0, held, found, covered: 0, masked: 0 }
    }

    /// How often something was masked.
    #[must_use]
    pub(crate) fn masked(&self) -> u64 {
        self.masked
    }

    /// Takes the next piece and gives what may be let out, in order.
    pub fn feed(&mut self, piece: &[u8], out: &mut dyn FnMut(&[u8])) {
        self.look(piece);
        let limit = self.end - self.depth();
        self.let_out(limit, piece, out);
        self.keep(piece);
    }

    /// Returns `true` if a pause lets something out.
    #[must_use]
    pub(crate) fn would_show(&self) -> bool {
        self.done < self.shown_in_a_pause()
    }

    pub fn pause(&mut self, out: &mut dyn FnMut(&[u8])) {
        self.let_out(self.shown_in_a_pause(), &[], out);
        self.keep(&[]);
    }

    pub fn finish(&mut self, out: &mut dyn FnMut(&[u8])) {
        let depth = self.depth();
        if depth >= PARTIAL as u64 {
            self.note(self.end - depth);
        }
        self.let_out(self.end, &[], out);
        self.keep(&[]);
        self.state = self.mask.start;
        self.walk.clear();
    }

    /// How many bytes at the end of the output are the beginning of something that is looked for.
    fn depth(&self) -> u64 {
        self.mask.depth(self.state).max(self.walk.depth(&self.mask.lattice))
    }

    fn shown_in_a_pause(&self) -> u64 {
        let depth = self.depth();
        let from = self.end - depth;
        // An occurrence that begins within something masked would, shown, look like a tail of that.
        if self.covered > from { from } else { from + depth.min(SHOWN as u64) }
    }

    fn look(&mut self, piece: &[u8]) {
        let mask = self.mask;
        let begin = self.end;
        let mut at = 0;
        loop {
            if self.state == mask.start && self.walk.is_idle(&mask.lattice) {
                let next = mask.skip.next(piece, at);
                self.walk.pass(piece.get(at..next).unwrap_or_default());
                at = next;
            }
            let Some(byte) = piece.get(at) else { break };
            self.state = mask.automaton.next_state(Anchored::No, self.state, *byte);
            let spelt = self.walk.step(&mask.lattice, *byte, |three| mask.skip.first_threes.has(three));
            at += 1;
            if let Some(length) = mask.ends(self.state).max(spelt) {
                self.end = begin + at as u64;
                self.note(self.end - length);
            }
        }
        self.end = begin + piece.len() as u64;
    }

    /// Notes an occurrence from `start` to the end.
    fn note(&mut self, mut start: u64) {
        while let Some((before, end)) = self.found.back().copied()
            && end > start
        {
            start = start.min(before);
            self.found.pop_back();
        }
        self.found.push_back((start, self.end));
    }

    /// Lets out what stands before `limit`, and of an occurrence that begins there everything.
    fn let_out(&mut self, limit: u64, piece: &[u8], out: &mut dyn FnMut(&[u8])) {
        while let Some((start, end)) = self.found.front().copied()
            && start < limit
        {
            self.found.pop_front();
            self.show(start, piece, out);
            if start >= self.covered {
                out(REPLACEMENT);
                self.masked += 1;
            }
            self.covered = end;
            self.done = self.done.max(end);
        }
        self.show(limit, piece, out);
    }

    /// Lets out the bytes up to `limit` as they are: first those that were held, then those of the piece.
    fn show(&mut self, limit: u64, piece: &[u8], out: &mut dyn FnMut(&[u8])) {
        if self.done >= limit {
            return;
        }
        let begin = self.end - piece.len() as u64;
        let held_from = begin - self.held.len() as u64;
        let mut part = |bytes: &[u8], first: u64| {
            let from = usize::try_from(self.done.max(first) - first).unwrap_or(usize::MAX);
            let to = usize::try_from(limit.max(first) - first).unwrap_or(usize::MAX).min(bytes.len());
            if let Some(bytes) = bytes.get(from..to).filter(|bytes| !bytes.is_empty()) {
                out(bytes);
            }
        };
        part(&self.held, held_from);
        part(piece, begin);
        self.done = limit;
    }

    /// Holds what is not let out, and nothing else.
    fn keep(&mut self, piece: &[u8]) {
        let keep = usize::try_from(self.end.saturating_sub(self.done)).unwrap_or(usize::MAX);
        let from_piece = piece.get(piece.len().saturating_sub(keep)..).unwrap_or_default();
        let gone = self.held.len().saturating_sub(keep - from_piece.len());
        if gone > 0 && gone == self.held.len() {
            // Given back to the allocator, which wipes it.
            self.held = Vec::new();
        } else if gone > 0 {
            self.held.drain(..gone);
        }
        self.held.extend_from_slice(from_piece);
    }
}

/// Passes over output in which no form can begin, several bytes at a time (after Wu and Manber's algorithm).
///
/// A form that begins at one of the next `stride` places covers the three bytes at their end; so where these stand in the
/// beginning of no form, none begins at any of them.
struct Skip {
    /// Threes that a form begins with.
    first_threes: Threes,
    /// Threes within the first `stride + 2` bytes of a form.
    threes: Threes,
    /// Bytes that a form begins with.
    first: [bool; 256],
    stride: usize,
}

impl Skip {
    /// Over forms, and room for what the lattice adds. `shortest` is that of both.
    fn over<'a>(forms: impl Iterator<Item = &'a [u8]>, shortest: Option<usize>) -> Self {
        const LONGEST_STRIDE: usize = 14;
        let stride = (shortest.unwrap_or(LONGEST_STRIDE + 2) - 2).min(LONGEST_STRIDE);
        let mut skip =
            Self { first_threes: Threes::none(), threes: Threes::none(), first: [false; 256], stride };
        for form in forms {
            for (at, three) in form.windows(3).take(stride).enumerate() {
                let Some(three) = three.first_chunk() else { continue };
                skip.threes.add(*three);
                if at == 0 {
                    skip.first_threes.add(*three);
                }
            }
            form.first().into_iter().for_each(|first| skip.add_first(*first));
        }
        skip
    }

    fn add_first(&mut self, byte: u8) {
        if let Some(first) = self.first.get_mut(usize::from(byte)) {
            *first = true;
        }
    }

    /// The first place from `at` on where a form may begin; the text's length if there is none.
    fn next(&self, text: &[u8], mut at: usize) -> usize {
        let three = |at: usize| text.get(at..).and_then(<[u8]>::first_chunk::<3>);
        while let Some(last) = three(at + self.stride - 1) {
            if self.threes.has(*last) {
                for place in at..at + self.stride {
                    if three(place).is_some_and(|three| self.first_threes.has(*three)) {
                        return place;
                    }
                }
            }
            at += self.stride;
        }
        while let Some(next) = three(at) {
            if self.first_threes.has(*next) {
                return at;
            }
            at += 1;
        }
        // Of the last two bytes only the first of a form is known.
        while let Some(byte) = text.get(at) {
            if self.first.get(usize::from(*byte)).is_some_and(|known| *known) {
                return at;
            }
            at += 1;
        }
        text.len()
    }
}

/// A set of three bytes each; now and then it has more than was added. 32 KiB, so that it stays in the cache.
struct Threes(Box<[u64]>);

impl Threes {
    fn none() -> Self {
        Self(vec![0; 1 << 12].into_boxed_slice())
    }

    fn place([first, second, third]: [u8; 3]) -> (usize, u32) {
        let hash = u32::from_le_bytes([first, second, third, 0]).wrapping_mul(0x9E37_79B1) >> 14;
        // 18 bits: 12 for the word, 6 within it.
        (usize::try_from(hash >> 6).unwrap_or(0), hash & 63)
    }

    fn add(&mut self, three: [u8; 3]) {
        let (word, bit) = Self::place(three);
        if let Some(word) = self.0.get_mut(word) {
            *word |= 1 << bit;
        }
    }

    #[inline]
    fn has(&self, three: [u8; 3]) -> bool {
        let (word, bit) = Self::place(three);
        self.0.get(word).is_some_and(|word| word >> bit & 1 == 1)
    }
}

#[cfg(test)]
mod tests;
