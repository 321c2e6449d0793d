//! Ledgers, the chains of audit entries: the vault's own, one for each device of the owner, and one for each token.

use std::collections::{BTreeMap, BTreeSet};
use std::ops::Range;

use super::Tx;
use super::rows::{AuditRow, Columns, damaged, number};
use super::table::{Result, Span, Table};
use super::token_rows::TokenId;

/// The id of a device's ledger: random, and not zero.
pub type LedgerId = [u8; 16];

/// One chain of audit entries.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Ledger {
    /// Changes, and reads by the owner on a device without a ledger.
    Vault,
    /// Reads by the owner on one device.
    Device(LedgerId),
    /// Reads by a token's bearer, who writes them.
    Token(TokenId),
}

impl Ledger {
    /// The column `ledger`.
    pub(crate) fn id(self) -> [u8; 16] {
        match self {
            Self::Vault => [0; 16],
            Self::Device(id) | Self::Token(id) => id,
        }
    }

    /// The owner's ledger of this id.
    pub(crate) fn of_owner(id: LedgerId) -> Self {
        if id == Self::Vault.id() { Self::Vault } else { Self::Device(id) }
    }

    fn span(self) -> Span {
        Span::one(self.id().to_vec())
    }
}

/// Bits of an entry's id below the number of its ledger. The vault's own has number 0.
const LEDGER_BITS: u32 = 32;
const LEDGER_IDS: u64 = 1 << LEDGER_BITS;

/// The highest number of a ledger: the ids behind its entries are numbers as well.
const HIGHEST_LEDGER: u64 = (1 << 31) - 2;

/// The ids of a ledger's entries, by its number.
struct Ids(u64);

impl Ids {
    fn of(self, seq: u64) -> Result<i64> {
        if seq < LEDGER_IDS {
            number(self.0 * LEDGER_IDS + seq)
        } else {
            Err(damaged("a number beyond 2^32"))
        }
    }

    /// From the first to the last that there can be.
    fn range(self) -> [i64; 2] {
        let first = i64::try_from(self.0 * LEDGER_IDS).unwrap_or(i64::MAX);
        [first, first.saturating_add((1 << LEDGER_BITS) - 1)]
    }
}

static COLUMNS: [&str; 4] = ["id", "change", "mac", "sealed"];

impl Tx<'_> {
    /// A ledger's head: (number of entries, sealed head).
    pub(crate) fn log_head(&self, ledger: Ledger) -> Result<(u64, Vec<u8>)> {
        let columns = &["number", "count", "sealed"];
        let head = self.first(Table::LogHead, columns, &ledger.span(), |columns| {
            if columns.unsigned()? != 0 && ledger == Ledger::Vault {
                return Err(damaged("log_head.number"));
            }
            Ok((columns.unsigned()?, columns.bytes()?))
        })?;
        head.ok_or_else(|| damaged("log_head"))
    }

    pub(crate) fn put_log_head(&self, ledger: Ledger, count: u64, sealed: &[u8]) -> Result<()> {
        let Ids(ids) = self.new_ids(ledger)?;
        self.put_head(ledger, ids, count, sealed)
    }

    fn put_head(&self, ledger: Ledger, ids: u64, count: u64, sealed: &[u8]) -> Result<()> {
        let id = ledger.id().to_vec().into();
        self.put(Table::LogHead, vec![id, number(ids)?.into(), number(count)?.into(), sealed.to_vec().into()])
    }

    /// The ids of a ledger that has a head with a number. Nothing binds the number: a ledger with another one has no
    /// entries, and gets a number of its own when it is written again.
    fn ids(&self, ledger: Ledger) -> Result<Option<Ids>> {
        if ledger == Ledger::Vault {
            return Ok(Some(Ids(0)));
        }
        let number =
            self.first(Table::LogHead, &["number"], &ledger.span(), |columns| Ok(ids_of(columns)))?;
        Ok(number.flatten().map(Ids))
    }

    /// How many ledgers but the vault's have each number.
    fn numbers(&self) -> Result<BTreeMap<u64, usize>> {
        let mut numbers = BTreeMap::new();
        self.each(Table::LogHead, &["number"], &Span::All, |columns| {
            if let Some(number) = ids_of(columns) {
                *numbers.entry(number).or_default() += 1;
            }
            Ok(())
        })?;
        Ok(numbers)
    }

    /// The ids of a ledger, which gets the lowest number that is free if it has none.
    fn new_ids(&self, ledger: Ledger) -> Result<Ids> {
        if let Some(ids) = self.ids(ledger)? {
            return Ok(ids);
        }
        let taken = self.numbers()?;
        for number in (1..=HIGHEST_LEDGER).filter(|number| !taken.contains_key(number)) {
            if self.last(Table::Log, &["id"], &Span::ids(Ids(number).range()), Columns::integer)?.is_none() {
                self.put_head(ledger, number, 0, &[])?;
                return Ok(Ids(number));
            }
        }
        Err(damaged("log_head: no number is free"))
    }

    /// One entry's MAC. It stands before the event, which may be long: an import names every key.
    pub(crate) fn entry_mac(&self, ledger: Ledger, seq: u64) -> Result<Option<[u8; 32]>> {
        let Some(ids) = self.ids(ledger)? else { return Ok(None) };
        self.first(Table::Log, &["mac"], &Span::one(ids.of(seq)?), Columns::array)
    }

    /// The vault's entry of the first change after `change`; an adoption skips numbers.
    pub(crate) fn entry_of_next_change(&self, change: u64) -> Result<Option<AuditRow>> {
        let cells = self.rows.entry_of_next_change(number(change)?, Ids(0).range())?;
        cells.map(|cells| entry(&mut Columns::of(Table::Log, &COLUMNS, cells))).transpose()
    }

    /// The highest number of an entry.
    pub(crate) fn last_entry(&self, ledger: Ledger) -> Result<Option<u64>> {
        let Some(ids) = self.ids(ledger)? else { return Ok(None) };
        let last = self.last(Table::Log, &["id"], &Span::ids(ids.range()), Columns::unsigned)?;
        Ok(last.map(|id| id % LEDGER_IDS))
    }

    /// How many rows a ledger has, entries or not. Those before all ledgers count as the vault's.
    pub(crate) fn count_entries(&self, ledger: Ledger) -> Result<u64> {
        let Some(ids) = self.ids(ledger)? else { return Ok(0) };
        let [first, last] = ids.range();
        let first = if ledger == Ledger::Vault { i64::MIN } else { first };
        self.count(Table::Log, &Span::ids([first, last]))
    }

    /// These entries, in order.
    pub(crate) fn each_entry(
        &self,
        ledger: Ledger,
        entries: Range<u64>,
        mut take: impl FnMut(AuditRow) -> Result<()>,
    ) -> Result<()> {
        let Some(ids) = self.ids(ledger)? else { return Ok(()) };
        let [first, last] = ids.range();
        let at = |seq: u64| first.saturating_add(i64::try_from(seq).unwrap_or(i64::MAX));
        let span = Span::ids([at(entries.start), last.min(at(entries.end).saturating_sub(1))]);
        self.each(Table::Log, &COLUMNS, &span, |columns| take(entry(columns)?))
    }

    /// Appends an entry; one that is already there is never replaced.
    pub(crate) fn append_entry(&self, ledger: Ledger, entry: &AuditRow) -> Result<()> {
        let id = self.new_ids(ledger)?.of(entry.seq)?;
        let change = entry.change.map(number).transpose()?;
        self.rows.append(
            Table::Log,
            vec![id.into(), change.into(), entry.mac.to_vec().into(), entry.sealed.clone().into()],
        )
    }

    pub(crate) fn delete_ledger(&self, ledger: Ledger) -> Result<()> {
        // Entries under a number that another ledger has as well may be that one's.
        if let Some(Ids(ids)) = self.ids(ledger)?
            && self.numbers()?.get(&ids).is_none_or(|ledgers| *ledgers == 1)
        {
            self.delete(Table::Log, &Span::ids(Ids(ids).range()))?;
        }
        self.delete(Table::LogHead, &ledger.span()).map(drop)
    }

    /// Deletes the ledgers that are neither the vault's nor among these, and entries of none; how many rows there were.
    pub(super) fn delete_other_ledgers(&self, known: &[Ledger]) -> Result<usize> {
        let kept = known.iter().copied().chain([Ledger::Vault]);
        let kept = Span::except(kept.map(|ledger| ledger.id().to_vec()));
        let mut rows = self.delete(Table::LogHead, &kept)?;
        let mut numbers = BTreeSet::from([0]);
        self.each(Table::LogHead, &["number"], &Span::All, |columns| {
            numbers.extend(columns.unsigned().ok().filter(|number| *number <= HIGHEST_LEDGER));
            Ok(())
        })?;
        let mut from = i64::MIN;
        for number in numbers {
            let [first, last] = Ids(number).range();
            rows += self.delete(Table::Log, &Span::ids([from, first - 1]))?;
            from = last + 1;
        }
        Ok(rows + self.delete(Table::Log, &Span::ids([from, i64::MAX]))?)
    }

    /// Returns `true` if anything is left of a ledger that its head leads to.
    pub(crate) fn has_ledger(&self, ledger: Ledger) -> Result<bool> {
        Ok(self.count(Table::LogHead, &ledger.span())? > 0)
    }

    /// How many ledgers but the vault's have a head, and how many have entries and no head.
    pub(super) fn count_other_ledgers(&self) -> Result<[u64; 2]> {
        let vault = Span::except([Ledger::Vault.id().to_vec()]);
        let heads = self.list(Table::LogHead, &["number"], &vault, |columns| Ok(columns.integer().ok()))?;
        let [_, last_of_vault] = Ids(0).range();
        let mut headless = BTreeSet::new();
        self.each(Table::Log, &["id"], &Span::ids([last_of_vault + 1, i64::MAX]), |columns| {
            headless.insert(columns.integer()? >> LEDGER_BITS);
            Ok(())
        })?;
        headless.retain(|number| !heads.contains(&Some(*number)));
        Ok([heads.len() as u64, headless.len() as u64])
    }
}

/// The number of a ledger that is not the vault's, if it is one.
fn ids_of(columns: &mut Columns) -> Option<u64> {
    columns.unsigned().ok().filter(|number| (1..=HIGHEST_LEDGER).contains(number))
}

fn entry(columns: &mut Columns) -> Result<AuditRow> {
    Ok(AuditRow {
        seq: columns.unsigned()? % LEDGER_IDS,
        change: columns.optional()?,
        mac: columns.array()?,
        sealed: columns.bytes()?,
    })
}
