//! How far the log was exported: for each ledger, how many entries, and a print of the last one.
//!
//! A print is of what an entry says and not of its MAC, so that it is the same after a rekey and in a backup. It serves to
//! notice that a log was replaced; that its entries are authentic is what the log itself proves.

use std::collections::BTreeMap;

use data_encoding::HEXLOWER;

use crate::cli::output::view;
use keyvault_core::crypto::sha256;
use keyvault_vault::audit::Event;
use keyvault_vault::{LedgerId, Of};

/// The first word of a cursor: the version of its form.
const FORM: &str = "1";

/// The first bytes of the SHA-256 of what an entry says.
pub(super) type Print = [u8; 8];

#[must_use]
pub(super) fn print_of(event: &Event) -> Print {
    let keys: Vec<_> = event.keys.iter().map(|key| (&key.name, key.version)).collect();
    let actor = &event.actor;
    let said = serde_json::json!([
        event.time.0,
        event.action.name(),
        event.outcome.name(),
        actor.user,
        actor.host,
        actor.pid,
        actor.program,
        keys,
        event.detail,
        event.change.map(|change| change.number),
    ]);
    sha256(said.to_string().as_bytes()).first_chunk().copied().unwrap_or_default()
}

/// A ledger of the log.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Source {
    Vault,
    Device(LedgerId),
    Token(String),
}

impl Source {
    /// The ledger of an entry, and the entry's number there.
    pub(super) fn of(of: &Of) -> (Self, u64) {
        match of {
            Of::Vault(seq) => (Self::Vault, *seq),
            Of::Device(ledger, seq) => (Self::Device(*ledger), *seq),
            Of::Token(token, seq) => (Self::Token(token.to_string()), *seq),
        }
    }

    fn parse(text: &str) -> Option<Self> {
        match text.split_at_checked(1)? {
            ("v", "") => Some(Self::Vault),
            ("d", id) => HEXLOWER.decode(id.as_bytes()).ok()?.try_into().ok().map(Self::Device),
            ("t", name) if !name.is_empty() => Some(Self::Token(name.to_owned())),
            _ => None,
        }
    }

    fn text(&self) -> String {
        match self {
            Self::Vault => "v".to_owned(),
            Self::Device(id) => format!("d{}", HEXLOWER.encode(id)),
            Self::Token(name) => format!("t{name}"),
        }
    }
}

/// How far one ledger was exported.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Mark {
    /// Entries; never 0.
    count: u64,
    /// Of the last of them.
    last: Print,
}

/// `1;VAULT;v:COUNT:PRINT;dLEDGER:COUNT:PRINT;tTOKEN:COUNT:PRINT`
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Cursor {
    pub(super) vault: [u8; 16],
    marks: BTreeMap<Source, Mark>,
}

/// The prints of all entries, by ledger.
pub(super) type Prints = BTreeMap<Source, Vec<Print>>;

/// A ledger that is not the continuation of what was exported.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Lost {
    pub(super) source: Source,
    /// Exported entries that the ledger no longer has.
    pub(super) missing: u64,
    /// False if there may be more of them.
    pub(super) exact: bool,
}

impl Lost {
    /// The end of a sentence about the log.
    pub(super) fn told(&self) -> String {
        let missing = view::counted(usize::try_from(self.missing).unwrap_or(usize::MAX), "entry");
        let of = match &self.source {
            Source::Vault => "the audit log".to_owned(),
            Source::Device(id) => format!("ledger {}", HEXLOWER.encode(id)),
            Source::Token(name) => format!("the reads by token `{name}`"),
        };
        let least = if self.exact { "" } else { "at least " };
        format!("{of} no longer contains {least}{missing}")
    }
}

impl Cursor {
    pub(super) fn start(vault: [u8; 16]) -> Self {
        Self { vault, marks: BTreeMap::new() }
    }

    pub(super) fn parse(text: &str) -> Option<Self> {
        let mut parts = text.trim_end().split(';');
        if parts.next() != Some(FORM) {
            return None;
        }
        let vault = HEXLOWER.decode(parts.next()?.as_bytes()).ok()?.try_into().ok()?;
        let mark = |part: &str| {
            let (rest, last) = part.rsplit_once(':')?;
            let (source, count) = rest.rsplit_once(':')?;
            let last = HEXLOWER.decode(last.as_bytes()).ok()?.try_into().ok()?;
            let count = count.parse().ok().filter(|count| *count > 0)?;
            Some((Source::parse(source)?, Mark { count, last }))
        };
        Some(Self { vault, marks: parts.map(mark).collect::<Option<_>>()? })
    }

    pub(super) fn text(&self) -> String {
        let mut text = format!("{FORM};{}", HEXLOWER.encode(&self.vault));
        for (source, Mark { count, last }) in &self.marks {
            text += &format!(";{}:{count}:{}", source.text(), HEXLOWER.encode(last));
        }
        text
    }

    /// Moves on to entry `seq`.
    pub(super) fn pass(&mut self, source: &Source, seq: u64, last: Print) {
        self.marks.insert(source.clone(), Mark { count: seq + 1, last });
    }

    /// How many entries of a ledger were exported.
    pub(super) fn count(&self, source: &Source) -> u64 {
        self.marks.get(source).map_or(0, |mark| mark.count)
    }

    /// The ledgers that lost exported entries. The ledger of a token that is gone ended with it; what `unproved` names
    /// tells nothing now. `before` are the prints at the last look, if there was one: with them each lost entry is counted.
    /// Without them only the last one is known, and how many there were.
    pub(super) fn lost(&self, now: &Prints, before: Option<&Prints>, unproved: &[Source]) -> Vec<Lost> {
        let mut lost = Vec::new();
        for (source, mark) in &self.marks {
            let prints = now.get(source).map_or(&[][..], Vec::as_slice);
            let is_over = prints.is_empty() && matches!(source, Source::Token(_));
            let at = |prints: &[Print], seq: u64| {
                usize::try_from(seq).ok().and_then(|seq| prints.get(seq).copied())
            };
            if is_over || unproved.contains(source) || at(prints, mark.count - 1) == Some(mark.last) {
                continue;
            }
            let has = u64::try_from(prints.len()).unwrap_or(u64::MAX);
            let seen = before.and_then(|before| before.get(source)).map(Vec::as_slice);
            let shared = match seen {
                Some(seen) => (0..mark.count).find(|seq| at(seen, *seq) != at(prints, *seq)).unwrap_or(0),
                None => has.min(mark.count - 1),
            };
            lost.push(Lost {
                source: source.clone(),
                missing: mark.count - shared,
                exact: seen.is_some() || prints.is_empty(),
            });
        }
        lost
    }

    /// Goes back to where the ledger still is what was exported.
    pub(super) fn go_back(&mut self, lost: &Lost, now: &Prints) {
        let shared = self.count(&lost.source).saturating_sub(lost.missing);
        let end = shared.checked_sub(1).and_then(|seq| usize::try_from(seq).ok());
        let end = end.and_then(|seq| now.get(&lost.source)?.get(seq).copied());
        match end {
            Some(print) => self.pass(&lost.source, shared - 1, print),
            None => {
                self.marks.remove(&lost.source);
            }
        }
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "a test may fail")]
mod tests {
    use super::*;

    fn prints(source: &Source, numbers: &[u8]) -> Prints {
        [(source.clone(), numbers.iter().map(|number| [*number; 8]).collect())].into()
    }

    #[test]
    fn a_cursor_is_read_as_it_was_written() {
        let mut cursor = Cursor::start([7; 16]);
        for source in [Source::Vault, Source::Device([9; 16]), Source::Token("ci/a.b-c".to_owned())] {
            cursor.pass(&source, 41, [3; 8]);
        }
        assert_eq!(Cursor::parse(&format!("{}\n", cursor.text())), Some(cursor));
        for text in [
            "",
            "1",
            "2;07070707070707070707070707070707",
            "1;0707",
            "1;07070707070707070707070707070707;v:0:0303030303030303",
        ] {
            assert_eq!(Cursor::parse(text), None, "{text}");
        }
    }

    #[test]
    fn entries_that_are_gone_are_counted() {
        let source = Source::Vault;
        let mut cursor = Cursor::start([7; 16]);
        cursor.pass(&source, 4, [5; 8]);
        let missing = |now: &[u8], before: Option<&[u8]>| {
            let before = before.map(|before| prints(&source, before));
            cursor.lost(&prints(&source, now), before.as_ref(), &[]).first().map(|lost| lost.missing)
        };
        let before = Some(&[1, 2, 3, 4, 5][..]);
        assert_eq!(missing(&[1, 2, 3, 4, 5, 6], None), None);
        assert_eq!(missing(&[1, 2], None), Some(3));
        assert_eq!(missing(&[1, 2], before), Some(3));
        assert_eq!(missing(&[1, 2, 8, 9, 10, 11], None), Some(1));
        assert_eq!(missing(&[1, 2, 8, 9, 10, 11], before), Some(3));
        assert_eq!(missing(&[], before), Some(5));
        let now = prints(&source, &[1, 2, 8]);
        let lost = cursor.lost(&now, Some(&prints(&source, &[1, 2, 3, 4, 5])), &[]).pop().unwrap();
        cursor.go_back(&lost, &now);
        assert_eq!(cursor.count(&source), 2);
    }
}
