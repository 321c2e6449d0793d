//! Rows of issued keys: the list of sets, headers, pages, and holds. Nothing of them is in the tree; the state record binds
//! the list, and the list the headers.

use super::Tx;
use super::rows::{Columns, damaged, number};
use super::table::{Result, Span, Table};

/// The id of a set: 16 random bytes.
pub(crate) type SetId = [u8; 16];

/// A set's header and its signature.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct SetRow {
    pub set: SetId,
    pub header: Vec<u8>,
    pub signature: Vec<u8>,
}

/// One sealed page of a set.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct PageRow {
    pub set: SetId,
    pub kind: u8,
    pub page: u32,
    /// Number of the header that it was written with: a hint.
    pub change: u64,
    pub sealed: Vec<u8>,
}

/// A list of no sets.
pub(crate) const NO_SETS: [u8; 4] = [0; 4];

/// The only key of the list's table.
const ONLY: i64 = 1;
/// A hold's number is below 2^32.
const HOLD_BITS: u32 = 32;
/// A page's number is below 2^20, a kind below 8.
const PAGE_BITS: u32 = 20;
const KIND_BITS: u32 = 3;

static HOLD: [&str; 4] = ["id", "verifier", "seq", "sealed"];
static PAGE: [&str; 6] = ["id", "set_id", "kind", "page", "change", "sealed"];

/// A page's id: the first 40 bits of its set, its kind, and its number.
fn page_id(set: &SetId, kind: u8, page: u32) -> i64 {
    // 40 bits fit.
    let set = i64::try_from(u128::from_be_bytes(*set) >> 88).unwrap_or_default();
    ((set << KIND_BITS | i64::from(kind)) << PAGE_BITS) | i64::from(page)
}

/// The lowest and the highest id of a set's pages of these kinds.
fn pages_of(set: &SetId, kinds: [u8; 2]) -> Span {
    let [first, last] = kinds;
    Span::ids([page_id(set, first, 0), page_id(set, last, (1 << PAGE_BITS) - 1)])
}

/// A hold's id: the first 31 bits of its verifier's id, and its number.
fn hold_id(verifier: &[u8; 16], seq: u64) -> Option<i64> {
    let seq = u32::try_from(seq).ok()?;
    // 31 bits fit.
    let verifier = i64::try_from(u128::from_be_bytes(*verifier) >> 97).unwrap_or_default();
    Some(verifier << HOLD_BITS | i64::from(seq))
}

/// The lowest and the highest id of a verifier's holds.
fn holds_of(verifier: &[u8; 16]) -> Span {
    let first = hold_id(verifier, 0).unwrap_or_default();
    Span::ids([first, first | i64::from(u32::MAX)])
}

impl Tx<'_> {
    /// The list of sets, not yet believed.
    pub(crate) fn set_list(&self) -> Result<Vec<u8>> {
        let list = self.first(Table::IssuedList, &["list"], &Span::one(ONLY), Columns::bytes)?;
        Ok(list.unwrap_or_else(|| NO_SETS.to_vec()))
    }

    /// Writes the list of sets; one without sets has no row.
    pub(crate) fn put_set_list(&self, list: &[u8]) -> Result<()> {
        if list == NO_SETS {
            return self.delete(Table::IssuedList, &Span::All).map(drop);
        }
        self.put(Table::IssuedList, vec![ONLY.into(), list.to_vec().into()])
    }

    /// The headers of all sets, ordered by the sets' ids.
    pub(crate) fn set_headers(&self) -> Result<Vec<SetRow>> {
        self.list(Table::IssuedSet, &["set_id", "header", "signature"], &Span::All, |columns| {
            Ok(SetRow { set: columns.array()?, header: columns.bytes()?, signature: columns.bytes()? })
        })
    }

    pub(crate) fn put_set_header(&self, row: &SetRow) -> Result<()> {
        self.put(
            Table::IssuedSet,
            vec![row.set.to_vec().into(), row.header.clone().into(), row.signature.clone().into()],
        )
    }

    pub(crate) fn delete_set_header(&self, set: &SetId) -> Result<()> {
        self.delete(Table::IssuedSet, &Span::one(set.to_vec())).map(drop)
    }

    /// A set's pages, ordered by kind and number.
    pub(crate) fn set_pages(&self, set: &SetId) -> Result<Vec<PageRow>> {
        let pages = self.list(Table::IssuedPage, &PAGE, &pages_of(set, [0, 7]), page_row)?;
        if pages.iter().all(|page| page.set == *set) { Ok(pages) } else { Err(damaged("issued_page.set_id")) }
    }

    /// Writes a page over the one in its place. Another set whose id begins alike keeps it out.
    pub(crate) fn put_set_page(&self, row: &PageRow) -> Result<()> {
        let id = page_id(&row.set, row.kind, row.page);
        let there = self.first(Table::IssuedPage, &["set_id"], &Span::one(id), Columns::bytes)?;
        if there.is_some_and(|set| set != row.set) {
            return Err(damaged("issued_page: another set has its id"));
        }
        self.put(
            Table::IssuedPage,
            vec![
                id.into(),
                row.set.to_vec().into(),
                row.kind.into(),
                row.page.into(),
                number(row.change)?.into(),
                row.sealed.clone().into(),
            ],
        )
    }

    /// Deletes a set's pages of one kind.
    pub(crate) fn delete_set_pages(&self, set: &SetId, kind: u8) -> Result<()> {
        self.delete(Table::IssuedPage, &pages_of(set, [kind, kind])).map(drop)
    }

    /// A verifier's sealed holds, from the first up to one that is missing or of another shape.
    pub(crate) fn holds(&self, verifier: &[u8; 16]) -> Result<Vec<Vec<u8>>> {
        let rows =
            self.list(Table::IssuedHold, &HOLD, &holds_of(verifier), |columns| Ok(hold_row(columns).ok()))?;
        let own = rows.into_iter().flatten().filter(|(of, ..)| of == verifier);
        let in_order = (0_u64..).zip(own).take_while(|(number, (_, seq, _))| number == seq);
        Ok(in_order.map(|(_, (.., sealed))| sealed).collect())
    }

    /// Writes a hold over the one in its place. Another verifier whose id begins alike keeps it out.
    pub(crate) fn put_hold(&self, verifier: &[u8; 16], seq: u64, sealed: &[u8]) -> Result<()> {
        let id = hold_id(verifier, seq).ok_or_else(|| damaged("issued_hold: too many"))?;
        let there = self.first(Table::IssuedHold, &["verifier"], &Span::one(id), Columns::bytes)?;
        if there.is_some_and(|there| there != verifier) {
            return Err(damaged("issued_hold: another verifier has its id"));
        }
        let row = vec![id.into(), verifier.to_vec().into(), number(seq)?.into(), sealed.to_vec().into()];
        self.put(Table::IssuedHold, row)
    }

    pub(crate) fn delete_holds(&self, verifier: &[u8; 16]) -> Result<()> {
        self.delete_where(Table::IssuedHold, &holds_of(verifier), &verifier.to_vec().into()).map(drop)
    }

    /// One page of a set.
    pub(crate) fn set_page(&self, set: &SetId, kind: u8, page: u32) -> Result<Option<PageRow>> {
        let row = self.first(Table::IssuedPage, &PAGE, &Span::one(page_id(set, kind, page)), page_row)?;
        Ok(row.filter(|row| row.set == *set))
    }

    /// Deletes everything about sets.
    pub(crate) fn clear_sets(&self) -> Result<()> {
        [Table::IssuedList, Table::IssuedSet, Table::IssuedPage, Table::IssuedHold]
            .into_iter()
            .try_for_each(|table| self.delete(table, &Span::All).map(drop))
    }

    /// How many pages and holds there are, whatever set or verifier they are of.
    pub(crate) fn count_set_rows(&self) -> Result<[u64; 2]> {
        Ok([self.count(Table::IssuedPage, &Span::All)?, self.count(Table::IssuedHold, &Span::All)?])
    }
}

fn hold_row(columns: &mut Columns) -> Result<([u8; 16], u64, Vec<u8>)> {
    let id = columns.integer()?;
    let (verifier, seq) = (columns.array()?, columns.unsigned()?);
    if hold_id(&verifier, seq) != Some(id) {
        return Err(damaged("issued_hold.id"));
    }
    Ok((verifier, seq, columns.bytes()?))
}

fn page_row(columns: &mut Columns) -> Result<PageRow> {
    let id = columns.integer()?;
    let (set, kind, page) = (columns.array()?, columns.u32()?, columns.u32()?);
    let kind = u8::try_from(kind).ok().filter(|kind| *kind < 8).ok_or_else(|| damaged("issued_page.kind"))?;
    if page_id(&set, kind, page) != id {
        return Err(damaged("issued_page.id"));
    }
    Ok(PageRow { set, kind, page, change: columns.unsigned()?, sealed: columns.bytes()? })
}
