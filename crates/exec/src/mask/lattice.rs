//! Values in which each character may be spelt in any way: from one end to the other lead as many paths as there are ways to
//! write the value, and none of them is stored.
//!
//! A place in a value is a cell, which names the trie of its character's spellings; the tries are shared by all cells
//! with the same character. So a value takes a few bytes for each of its own, however many spellings there are. While
//! output passes, a set of [`Partial`]s is carried along: each is a cell, a node in its trie and a length. There is one
//! for each beginning of a value that the last bytes could be, so mostly none. A value that repeats itself has more,
//! and [`MOST_AT_ONCE`] bounds them.

use std::collections::{HashMap, HashSet};

use super::forms::SHORTEST;
use super::spelling::{Unit, escaped, spellings, units};

/// As many beginnings of values are followed at once. More there are only where a value repeats one character, as a
/// ruled line does; then the earliest go on, and what began later is found as it is, by the other automaton.
const MOST_AT_ONCE: usize = 256;

/// The root of no trie: the value has ended.
const END: u32 = u32::MAX;

/// All values, and the tries of their characters.
#[derive(Default)]
pub(crate) struct Lattice {
    nodes: Vec<Node>,
    cells: Vec<Cell>,
    /// The position that each beginning of three bytes leads to, ordered by these bytes.
    starts: Vec<([u8; 3], Position)>,
    /// Beginnings of one byte, and of two, a bit each.
    firsts: Bits,
    seconds: Bits,
    /// The fewest bytes that a value is spelt in.
    shortest: Option<usize>,
}

/// A set of numbers; what was not given is not in it.
#[derive(Default)]
struct Bits(Vec<u64>);

impl Bits {
    fn add(&mut self, number: u16) {
        let word = usize::from(number / 64);
        if self.0.len() <= word {
            self.0.resize(word + 1, 0);
        }
        if let Some(word) = self.0.get_mut(word) {
            *word |= 1 << (number % 64);
        }
    }

    #[inline]
    fn has(&self, number: u16) -> bool {
        self.0.get(usize::from(number / 64)).is_some_and(|word| word >> (number % 64) & 1 == 1)
    }
}

#[derive(Default)]
struct Node {
    /// By the next byte, in order.
    next: Vec<(u8, u32)>,
    /// True if a spelling ends here; longer ones may go on.
    complete: bool,
}

struct Cell {
    root: u32,
    /// True if what stands before is a value by itself: all of it, or all but its final newlines.
    ends: bool,
}

#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
struct Position {
    cell: u32,
    node: u32,
}

/// The spellings that a trie was made of.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
enum Spelt {
    /// Those of writers that escape what they must.
    Freely(Unit),
    /// Those of a newline that ends the value, except the bare one, which may as well end the line that was printed.
    Final(Unit),
    /// Those of writers that escape everything.
    Escaped(u8),
}

#[derive(Default)]
pub(crate) struct Builder {
    lattice: Lattice,
    tries: HashMap<Spelt, (u32, Edge)>,
    values: Vec<Vec<Spelt>>,
}

/// The bytes that the spellings of a character begin with, hold and end with, for threes that lie across characters.
#[derive(Clone, Default)]
struct Edge {
    inner: HashSet<[u8; 3]>,
    first: HashSet<u8>,
    first_two: HashSet<[u8; 2]>,
    last: HashSet<u8>,
    last_two: HashSet<[u8; 2]>,
    single: HashSet<u8>,
}

impl Builder {
    /// Looks for this value in all spellings. What stands in it as it is anyway is left to whoever looks for whole
    /// forms.
    pub(crate) fn add(&mut self, value: &[u8]) {
        let kept = value.iter().rposition(|byte| !b"\r\n".contains(byte)).map_or(0, |last| last + 1);
        let kept = if kept < SHORTEST { value.len() } else { kept };
        let some = |unit: &Unit| !unit.is_plain();
        if units(value.get(..kept).unwrap_or_default()).any(|unit| some(&unit)) {
            let (head, tail) = value.split_at_checked(kept).unwrap_or((value, &[]));
            let head = units(head).map(|unit| (Spelt::Freely(unit), unit.len()));
            let tail = units(tail).map(|unit| (Spelt::Final(unit), unit.len()));
            self.push(head.chain(tail), kept);
        }
        self.push(value.iter().map(|byte| (Spelt::Escaped(*byte), 1)), kept);
    }

    fn push(&mut self, spelt: impl Iterator<Item = (Spelt, usize)>, kept: usize) {
        let (mut done, mut value) = (0, Vec::new());
        for (spelt, len) in spelt {
            let root = self.root(spelt);
            self.lattice.cells.push(Cell { root, ends: done == kept });
            done += len;
            value.push(spelt);
        }
        self.lattice.cells.push(Cell { root: END, ends: true });
        let shortest = self.lattice.shortest.map_or(kept, |shortest| shortest.min(kept));
        self.lattice.shortest = Some(shortest);
        self.values.push(value);
    }

    fn root(&mut self, spelt: Spelt) -> u32 {
        if let Some((root, _)) = self.tries.get(&spelt) {
            return *root;
        }
        let texts = match spelt {
            Spelt::Freely(unit) => spellings(unit),
            Spelt::Final(unit) => {
                let mut texts = spellings(unit);
                texts.retain(|text| !text.iter().all(|byte| b"\r\n".contains(byte)));
                texts
            }
            Spelt::Escaped(byte) => escaped(byte),
        };
        let root = self.lattice.trie(&texts);
        self.tries.insert(spelt, (root, Edge::of(&texts)));
        root
    }

    /// The lattice, once `threes` knows every three bytes that stand at one of the first `stride` places of a spelling.
    pub(crate) fn finish(mut self, stride: usize, threes: &mut dyn FnMut([u8; 3])) -> Lattice {
        let none = Edge::default();
        let mut seen = HashSet::new();
        for value in &self.values {
            let edge = |at: usize| {
                let spelt = value.get(at);
                spelt.and_then(|spelt| self.tries.get(spelt)).map_or(&none, |(_, edge)| edge)
            };
            for at in 0..stride.min(value.len()) {
                // Three characters make equal threes wherever they stand.
                if seen.insert((value.get(at), value.get(at + 1), value.get(at + 2))) {
                    edge(at).threes(edge(at + 1), edge(at + 2), threes);
                }
            }
        }
        self.lattice.find_starts();
        self.lattice
    }

    /// The fewest bytes that a value is spelt in.
    pub(crate) fn shortest(&self) -> Option<usize> {
        self.lattice.shortest
    }
}

impl Edge {
    fn of(texts: &[Vec<u8>]) -> Self {
        let mut edge = Self::default();
        for text in texts {
            edge.inner.extend(text.windows(3).filter_map(<[u8]>::first_chunk));
            edge.first.extend(text.first());
            edge.last.extend(text.last());
            edge.first_two.extend(text.first_chunk::<2>());
            edge.last_two.extend(text.last_chunk::<2>());
            if let [single] = text.as_slice() {
                edge.single.insert(*single);
            }
        }
        edge
    }

    /// The threes that begin in this character.
    fn threes(&self, next: &Self, after: &Self, add: &mut dyn FnMut([u8; 3])) {
        self.inner.iter().for_each(|three| add(*three));
        for first in &next.first {
            self.last_two.iter().for_each(|[one, two]| add([*one, *two, *first]));
        }
        for last in &self.last {
            next.first_two.iter().for_each(|[two, three]| add([*last, *two, *three]));
            for single in &next.single {
                after.first.iter().for_each(|first| add([*last, *single, *first]));
            }
        }
    }
}

impl Lattice {
    fn trie(&mut self, texts: &[Vec<u8>]) -> u32 {
        let root = self.node();
        for text in texts {
            let mut at = root;
            for byte in text {
                at = if let Some(child) = self.child(at, *byte) {
                    child
                } else {
                    let child = self.node();
                    if let Some(node) = self.nodes.get_mut(at as usize) {
                        let place = node.next.partition_point(|(known, _)| known < byte);
                        node.next.insert(place, (*byte, child));
                    }
                    child
                };
            }
            if let Some(node) = self.nodes.get_mut(at as usize) {
                node.complete = true;
            }
        }
        root
    }

    fn node(&mut self) -> u32 {
        self.nodes.push(Node::default());
        u32::try_from(self.nodes.len() - 1).unwrap_or(END)
    }

    fn child(&self, node: u32, byte: u8) -> Option<u32> {
        let next = &self.nodes.get(node as usize)?.next;
        next.iter()
            .find(|(known, _)| *known >= byte)
            .filter(|(known, _)| *known == byte)
            .map(|(_, child)| *child)
    }

    /// Goes on from a place by a byte: where that leads to, and whether a value ends there.
    fn follow(&self, at: Position, byte: u8, go: &mut dyn FnMut(Position)) -> bool {
        let Some(node) = self.child(at.node, byte) else { return false };
        let Some(reached) = self.nodes.get(node as usize) else { return false };
        if !reached.next.is_empty() {
            go(Position { cell: at.cell, node });
        }
        if !reached.complete {
            return false;
        }
        let Some(cell) = self.cells.get(at.cell as usize + 1) else { return false };
        if cell.root != END {
            go(Position { cell: at.cell + 1, node: cell.root });
        }
        cell.ends
    }

    /// Every beginning of three bytes. No value has fewer than four.
    fn find_starts(&mut self) {
        let begins = |at: &usize| *at == 0 || self.cells.get(at - 1).is_some_and(|before| before.root == END);
        let mut reached: Vec<(Vec<u8>, Position)> = Vec::new();
        for cell in (0..self.cells.len()).filter(begins) {
            let Some(node) = self.cells.get(cell).map(|cell| cell.root).filter(|root| *root != END) else {
                continue;
            };
            let Ok(cell) = u32::try_from(cell) else { break };
            reached.push((Vec::new(), Position { cell, node }));
        }
        for length in 1..=3 {
            let mut further = Vec::new();
            for (bytes, place) in &reached {
                let next = self.nodes.get(place.node as usize).map(|node| node.next.as_slice());
                for (byte, _) in next.unwrap_or_default() {
                    let longer = [bytes.as_slice(), &[*byte]].concat();
                    self.follow(*place, *byte, &mut |place| further.push((longer.clone(), place)));
                }
            }
            reached = further;
            for (bytes, place) in &reached {
                match (length, bytes.as_slice()) {
                    (1, [byte]) => self.firsts.add(u16::from(*byte)),
                    (2, [one, two]) => self.seconds.add(u16::from_le_bytes([*one, *two])),
                    (3, [one, two, three]) => self.starts.push(([*one, *two, *three], *place)),
                    _ => {}
                }
            }
        }
        self.starts.sort_unstable();
        self.starts.dedup();
    }

    /// The bytes that spellings begin with.
    pub(crate) fn firsts(&self) -> impl Iterator<Item = u8> {
        (0..=u8::MAX).filter(|byte| self.firsts.has(u16::from(*byte)))
    }

    /// The first three bytes of spellings.
    pub(crate) fn first_threes(&self) -> impl Iterator<Item = [u8; 3]> {
        self.starts.iter().map(|(three, _)| *three)
    }

    /// How many of the last two bytes are the beginning of a spelling. Of one byte, the last is all there is.
    #[inline]
    fn tail(&self, last: [u8; 2], seen: u8) -> u32 {
        match seen {
            0 => 0,
            1 => u32::from(self.firsts.has(u16::from(last[1]))),
            _ if self.seconds.has(u16::from_le_bytes(last)) => 2,
            _ => u32::from(self.firsts.has(u16::from(last[1]))),
        }
    }
}

/// A beginning of a value at the end of the output.
#[derive(Clone, Copy)]
struct Partial {
    at: Position,
    len: u32,
}

/// One stream's place in the lattice.
#[derive(Default)]
pub(crate) struct Walk {
    /// Longest first, none twice.
    partials: Vec<Partial>,
    spare: Vec<Partial>,
    known: HashSet<Position>,
    /// The last two bytes of the output.
    last: [u8; 2],
    /// How many bytes there were, up to three.
    seen: u8,
}

impl Walk {
    /// Returns `true` if the output ends in no beginning of a spelling.
    #[inline]
    pub(crate) fn is_idle(&self, lattice: &Lattice) -> bool {
        self.partials.is_empty() && lattice.tail(self.last, self.seen) == 0
    }

    /// How many bytes at the end of the output are the beginning of a spelling.
    pub(crate) fn depth(&self, lattice: &Lattice) -> u64 {
        let tail = lattice.tail(self.last, self.seen);
        self.partials.first().map_or(0, |longest| longest.len).max(tail).into()
    }

    /// Passes over bytes in which nothing begins.
    pub(crate) fn pass(&mut self, bytes: &[u8]) {
        match bytes {
            [] => {}
            [.., one, two] => self.last = [*one, *two],
            [one] => self.last = [self.last[1], *one],
        }
        let seen = usize::from(self.seen).saturating_add(bytes.len()).min(3);
        self.seen = u8::try_from(seen).unwrap_or(3);
    }

    /// Takes the next byte; how long the longest value is that ends with it, if one does. `begins` says whether three
    /// bytes may be the first of a spelling.
    #[inline]
    pub(crate) fn step(
        &mut self,
        lattice: &Lattice,
        byte: u8,
        begins: impl FnOnce([u8; 3]) -> bool,
    ) -> Option<u64> {
        let three = [self.last[0], self.last[1], byte];
        self.last = [self.last[1], byte];
        self.seen = self.seen.saturating_add(1).min(3);
        let starts = self.seen == 3 && begins(three);
        if self.partials.is_empty() && !starts { None } else { self.advance(lattice, three, starts) }
    }

    fn advance(&mut self, lattice: &Lattice, three: [u8; 3], starts: bool) -> Option<u64> {
        let mut longest = None;
        let mut next = std::mem::take(&mut self.spare);
        for Partial { at, len } in self.partials.drain(..) {
            let len = len.saturating_add(1);
            if lattice.follow(at, three[2], &mut |at| next.push(Partial { at, len })) {
                longest = longest.max(Some(u64::from(len)));
            }
        }
        if starts {
            let first = lattice.starts.partition_point(|(known, _)| *known < three);
            let places = lattice.starts.get(first..).unwrap_or_default();
            let places = places.iter().take_while(|(known, _)| *known == three);
            next.extend(places.map(|(_, at)| Partial { at: *at, len: 3 }));
        }
        // The first is the longest: all grow by one, and new ones are appended.
        if next.len() > 1 {
            self.known.clear();
            next.retain(|partial| self.known.insert(partial.at));
            next.truncate(MOST_AT_ONCE);
        }
        self.spare = std::mem::replace(&mut self.partials, next);
        longest
    }

    pub(crate) fn clear(&mut self) {
        *self = Self::default();
    }
}

impl std::fmt::Debug for Walk {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Walk(…)")
    }
}
