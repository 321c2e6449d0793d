//! What a child writes, without the values that it was given.
//!
//! One pass of an Aho–Corasick automaton over everything that [`forms`](super::forms) names, whatever the pieces in which it
//! comes. Every occurrence is found, overlapping ones too: what any of them covers goes, and [`REPLACEMENT`] stands in
//! its place, once for those that overlap. So no tail of a value stays because another one began before it.
//!
//! What may still become an occurrence is held back: the longest end of the output that some form begins with, so never
//! more than the longest form less a byte, and nothing at all where the output does not look like a form's beginning.
//! When the child pauses, it may be a prompt that somebody waits for. Then the first [`SHOWN`] bytes of what is held go
//! out, and are still remembered: should it become an occurrence after all, the rest is masked. So no pause, and no
//! splitting of writes, shows more than three bytes of a form, less than what counts as a value at all. At the end of
//! the output a held beginning of [`PARTIAL`] bytes or more is masked, as a form that was cut off; a shorter one is let
//! out.
//!
//! Nothing here reads or writes. The automaton holds copies of all forms on the heap, in its own shape, for as long as
//! the child runs; the process's allocator wipes them as they are freed (`sys::alloc`), as it does the pieces that are
//! held back. In a test, where another allocator may be in force, they are not wiped.

use std::collections::VecDeque;

use aho_corasick::automaton::{Automaton, StateID};
use aho_corasick::nfa::contiguous::NFA;
use aho_corasick::{Anchored, MatchKind};

use super::forms;
use crate::secret::SecretBytes;

/// Stands where a value stood.
pub const REPLACEMENT: &[u8] = b"[masked]";

/// How much of what is held back is shown when the child pauses: less than the shortest form.
pub const SHOWN: usize = forms::SHORTEST - 1;

/// How long a form's beginning at the very end of the output is when it is masked.
pub const PARTIAL: usize = 8;

/// Bytes of values, as they are and in lines, that are looked for at most: the automaton takes some fifty times that
/// while it is made. An environment cannot hold much more.
const MOST_PLAIN: usize = 2 << 20;

/// Bytes of encoded forms that are looked for at most.
const MOST_ENCODED: usize = 4 << 20;

/// Longer values in several lines are looked for in lines only: each of them is found by itself.
const LONG: usize = 4096;

/// What is looked for.
pub struct Mask {
    automaton: NFA,
    start: StateID,
    /// By state: how many bytes at the end of the output are a form's beginning.
    depths: Vec<u32>,
    skip: Skip,
}

/// Which values are not looked for, or not in all forms, by their place among those given.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Uncovered {
    /// Under four bytes: they would stand in the output by chance.
    pub short: Vec<usize>,
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
        let mut order: Vec<usize> = (0..values.len()).collect();
        order.sort_by_key(|at| values.get(*at).map_or(0, |value| value.len()));
        let (mut room, mut encoded_room) = (MOST_PLAIN, MOST_ENCODED);
        for at in order {
            let value = values.get(at).copied().unwrap_or_default();
            if value.is_empty() {
                continue;
            }
            if value.len() < forms::SHORTEST {
                uncovered.short.push(at);
                continue;
            }
            let mut plain = forms::plain(value);
            if value.len() > LONG && value.contains(&b'\n') {
                plain.retain(|form| !form.expose().contains(&b'\n'));
            }
            if !take(plain, &mut room, &mut patterns) {
                uncovered.long.push(at);
            } else if value.len() > MOST_ENCODED / 8
                || !take(forms::encoded(value), &mut encoded_room, &mut patterns)
            {
                uncovered.only_plain.push(at);
            }
        }
        patterns.sort_unstable_by(|a, b| a.expose().cmp(b.expose()));
        patterns.dedup_by(|a, b| a.expose() == b.expose());
        Ok((Self::build(&patterns)?, uncovered))
    }

    fn build(patterns: &[SecretBytes]) -> Result<Self, TooMuch> {
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
        Ok(Self { automaton, start, depths, skip: Skip::over(texts()) })
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

/// Takes the forms if they fit into what room is left.
fn take(forms: Vec<SecretBytes>, room: &mut usize, patterns: &mut Vec<SecretBytes>) -> bool {
    let size = forms.iter().map(SecretBytes::len).sum();
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
}

impl<'m> Filter<'m> {
    /// A stream that begins.
    #[must_use]
    pub fn new(mask: &'m Mask) -> Self {
        let (held, found) = (Vec::new(), VecDeque::new());
        Self { mask, state: mask.start, end: 0, done: 0, held, found, covered: 0 }
    }

    /// Takes the next piece and gives what may be let out, in order.
    pub fn feed(&mut self, piece: &[u8], out: &mut dyn FnMut(&[u8])) {
        self.look(piece);
        let limit = self.end - self.mask.depth(self.state);
        self.let_out(limit, piece, out);
        self.keep(piece);
    }

    /// Whether a pause lets something out.
    #[must_use]
    pub fn would_show(&self) -> bool {
        self.done < self.shown_in_a_pause()
    }

    /// The child pauses.
    pub fn pause(&mut self, out: &mut dyn FnMut(&[u8])) {
        self.let_out(self.shown_in_a_pause(), &[], out);
        self.keep(&[]);
    }

    /// The output has ended.
    pub fn finish(&mut self, out: &mut dyn FnMut(&[u8])) {
        let depth = self.mask.depth(self.state);
        if depth >= PARTIAL as u64 {
            self.note(self.end - depth);
        }
        self.let_out(self.end, &[], out);
        self.keep(&[]);
        self.state = self.mask.start;
    }

    fn shown_in_a_pause(&self) -> u64 {
        let depth = self.mask.depth(self.state);
        let from = self.end - depth;
        // What begins within something masked would, shown, look like a tail of that.
        if self.covered > from { from } else { from + depth.min(SHOWN as u64) }
    }

    fn look(&mut self, piece: &[u8]) {
        let mask = self.mask;
        let begin = self.end;
        let mut at = 0;
        loop {
            if self.state == mask.start {
                at = mask.skip.next(piece, at);
            }
            let Some(byte) = piece.get(at) else { break };
            self.state = mask.automaton.next_state(Anchored::No, self.state, *byte);
            at += 1;
            if let Some(length) = mask.ends(self.state) {
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

/// Passes over output in which no form can begin, several bytes at a time.
///
/// A form that begins at one of the next `stride` places covers the pair of bytes at their end; so where that pair
/// stands in the beginning of no form, none begins at any of them (after Wu and Manber's algorithm).
struct Skip {
    /// Pairs that a form begins with.
    first_pairs: Pairs,
    /// Pairs within the first `stride + 1` bytes of a form.
    pairs: Pairs,
    /// Bytes that a form begins with.
    first: [bool; 256],
    stride: usize,
}

impl Skip {
    fn over<'a>(forms: impl Iterator<Item = &'a [u8]> + Clone) -> Self {
        const LONGEST_STRIDE: usize = 15;
        let shortest = forms.clone().map(<[u8]>::len).min().unwrap_or(LONGEST_STRIDE + 1);
        let stride = (shortest - 1).min(LONGEST_STRIDE);
        let mut skip = Self { first_pairs: Pairs::none(), pairs: Pairs::none(), first: [false; 256], stride };
        for form in forms {
            if let Some([first, second, ..]) = form.first_chunk::<2>() {
                skip.first_pairs.add([*first, *second]);
                skip.first.iter_mut().skip(usize::from(*first)).take(1).for_each(|known| *known = true);
            }
            for pair in form.windows(2).take(stride) {
                pair.first_chunk().into_iter().for_each(|pair| skip.pairs.add(*pair));
            }
        }
        skip
    }

    /// The first place from `at` on where a form may begin; the text's length if there is none.
    fn next(&self, text: &[u8], mut at: usize) -> usize {
        let pair = |at: usize| text.get(at..).and_then(<[u8]>::first_chunk::<2>);
        while let Some(last) = pair(at + self.stride - 1) {
            if !self.pairs.has(*last) {
                at += self.stride;
                continue;
            }
            for place in at..at + self.stride {
                if pair(place).is_some_and(|pair| self.first_pairs.has(*pair)) {
                    return place;
                }
            }
            at += self.stride;
        }
        while let Some(next) = pair(at) {
            if self.first_pairs.has(*next) {
                return at;
            }
            at += 1;
        }
        match text.get(at) {
            Some(last) if self.first.get(usize::from(*last)).is_some_and(|known| *known) => at,
            _ => text.len(),
        }
    }
}

/// A set of pairs of bytes.
struct Pairs(Box<[u64; 1024]>);

impl Pairs {
    fn none() -> Self {
        Self(Box::new([0; 1024]))
    }

    fn add(&mut self, pair: [u8; 2]) {
        let number = u16::from_le_bytes(pair);
        if let Some(word) = self.0.get_mut(usize::from(number >> 6)) {
            *word |= 1 << (number & 63);
        }
    }

    #[inline]
    fn has(&self, pair: [u8; 2]) -> bool {
        let number = u16::from_le_bytes(pair);
        self.0.get(usize::from(number >> 6)).is_some_and(|word| word >> (number & 63) & 1 == 1)
    }
}

#[cfg(test)]
#[path = "mask_tests.rs"]
mod tests;
