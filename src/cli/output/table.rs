//! A table without lines: whole in a pipe or file, fitted to a terminal.

use std::borrow::Cow;
use std::collections::BTreeMap;

use anstyle::Style;
use unicode_width::UnicodeWidthStr;

use super::{STRONG, Ui, terminal_width};
use crate::cli::output;

/// Spaces between two columns.
const GAP: usize = 2;

/// A column that is broken between words becomes no narrower than this.
const MIN_BROKEN: usize = 8;

/// A longer word may be broken.
const MAX_WORD: usize = 24;

#[derive(Debug, Clone, Copy)]
pub(in crate::cli) struct Column {
    title: &'static str,
    right: bool,
    breaks: bool,
    spare: Option<Spare>,
}

/// When a column is left out of a terminal that is too narrow; of several, the least first.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Spare {
    BeforeBreaks(u8),
    AfterBreaks(u8),
}

impl Column {
    /// Cells that are never broken.
    pub(in crate::cli) const fn whole(title: &'static str) -> Self {
        Self { title, right: false, breaks: false, spare: None }
    }

    /// Cells that are broken between words where the terminal is too narrow.
    pub(in crate::cli) const fn broken(title: &'static str) -> Self {
        Self { breaks: true, ..Self::whole(title) }
    }

    /// Numbers, which are aligned on the right.
    pub(in crate::cli) const fn number(title: &'static str) -> Self {
        Self { right: true, ..Self::whole(title) }
    }

    /// Never left out.
    pub(in crate::cli) const fn kept(self) -> Self {
        Self { spare: None, ..self }
    }

    /// Left out before anything is broken, and before columns with a higher `order`.
    pub(in crate::cli) const fn spare(self, order: u8) -> Self {
        Self { spare: Some(Spare::BeforeBreaks(order)), ..self }
    }

    /// Left out where breaks do not suffice, before columns with a higher `order`.
    pub(in crate::cli) const fn last_spare(self, order: u8) -> Self {
        Self { spare: Some(Spare::AfterBreaks(order)), ..self }
    }
}

/// Text that no terminal obeys, and its color.
#[derive(Debug)]
pub(in crate::cli) struct Cell<'t> {
    text: Cow<'t, str>,
    style: Option<Style>,
}

impl<'t> Cell<'t> {
    pub(in crate::cli) fn styled(text: impl Into<Cow<'t, str>>, style: impl Into<Option<Style>>) -> Self {
        Self { text: text.into(), style: style.into() }
    }
}

impl<'t, Text: Into<Cow<'t, str>>> From<Text> for Cell<'t> {
    fn from(text: Text) -> Self {
        Self::styled(text, None)
    }
}

/// Rows of cells, each in the order of the columns.
#[derive(Debug)]
pub(in crate::cli) struct Table<'t> {
    columns: Vec<Column>,
    rows: Vec<Vec<Cell<'t>>>,
    /// Texts below rows, by the row's place.
    below: BTreeMap<usize, String>,
}

impl<'t> Table<'t> {
    pub(in crate::cli) fn new(columns: impl Into<Vec<Column>>) -> Self {
        Self { columns: columns.into(), rows: Vec::new(), below: BTreeMap::new() }
    }

    pub(in crate::cli) fn row<C: Into<Cell<'t>>>(&mut self, cells: impl IntoIterator<Item = C>) {
        self.rows.push(cells.into_iter().map(Into::into).collect());
    }

    /// Puts lines below the last row, where its last column begins.
    pub(in crate::cli) fn below(&mut self, text: &str) {
        self.below.insert(self.rows.len(), output::harmless(text));
    }

    /// The lines below a row; the header is row 0.
    fn push_below(&self, text: &mut String, row: usize, indent: usize, columns: Option<usize>) {
        for line in self.below.get(&row).into_iter().flat_map(|below| below.lines()) {
            let columns = u16::try_from(columns.unwrap_or_default()).unwrap_or(u16::MAX);
            *text += &output::hanging_at(&format!("{:indent$}{line}", ""), indent, columns);
            text.push('\n');
        }
    }

    /// The table as `ui`'s standard output shows it.
    pub(in crate::cli) fn text(&self, ui: &Ui) -> String {
        self.fitted(terminal_columns(ui), ui.color())
    }

    /// True if `ui`'s standard output shows all of it, unbroken.
    pub(in crate::cli) fn fits_on(&self, ui: &Ui) -> bool {
        terminal_columns(ui).is_none_or(|columns| line_width(&self.natural(), |_| true) <= columns)
    }

    fn fitted(&self, columns: Option<usize>, color: bool) -> String {
        let natural = self.natural();
        let mut shown = vec![true; self.columns.len()];
        let Some(columns) = columns else { return self.plain(&natural, &shown, None, color) };
        // A column that says nothing takes no room from the others.
        for (index, shown) in shown.iter_mut().enumerate() {
            *shown = self.rows.iter().any(|row| row.get(index).is_some_and(|cell| !cell.text.is_empty()));
        }
        let is_early = |spare: &Spare| matches!(spare, Spare::BeforeBreaks(_));
        self.leave_out(&mut shown, &natural, columns, is_early);
        let fits = line_width(&natural, |index| shown.get(index) == Some(&true)) <= columns;
        if fits {
            return self.plain(&natural, &shown, Some(columns), color);
        }
        self.leave_out(&mut shown, &self.least(&natural), columns, |_| true);
        self.wrapped(&natural, &shown, columns, color)
    }

    /// Leaves spare columns out until columns of these widths fit, or none is left.
    fn leave_out(
        &self,
        shown: &mut [bool],
        widths: &[usize],
        columns: usize,
        may_go: impl Fn(&Spare) -> bool,
    ) {
        while line_width(widths, |index| shown.get(index) == Some(&true)) > columns {
            let spare = self.columns.iter().zip(&mut *shown).filter(|(_, shown)| **shown);
            let spare = spare.filter_map(|(column, shown)| Some((column.spare.filter(&may_go)?, shown)));
            let Some((_, least)) = spare.min_by_key(|(spare, _)| *spare) else { return };
            *least = false;
        }
    }

    /// The width of each column if it is broken between all words.
    fn least(&self, natural: &[usize]) -> Vec<usize> {
        let longest_word = |text: &str| text.split(' ').map(width).max().unwrap_or_default();
        let column = |(index, (column, natural)): (usize, (&Column, &usize))| {
            if !column.breaks {
                return *natural;
            }
            let cells = self.rows.iter().filter_map(|row| row.get(index));
            let words = cells.map(|cell| longest_word(&cell.text)).max().unwrap_or_default();
            words.clamp(MIN_BROKEN.min(*natural), MAX_WORD.min(*natural))
        };
        self.columns.iter().zip(natural).enumerate().map(column).collect()
    }

    /// The width of each column if nothing is broken.
    fn natural(&self) -> Vec<usize> {
        let mut widths: Vec<_> = self.columns.iter().map(|column| column.title.len()).collect();
        for row in &self.rows {
            for (widest, cell) in widths.iter_mut().zip(row) {
                *widest = width(&cell.text).max(*widest);
            }
        }
        widths
    }

    /// The titles as a row.
    fn header(&self) -> Vec<Cell<'t>> {
        self.columns.iter().map(|column| Cell::styled(column.title, STRONG)).collect()
    }

    /// A line for each row: 10,000 of them take a tenth of what a layout with breaks does.
    fn plain(&self, widths: &[usize], shown: &[bool], columns: Option<usize>, color: bool) -> String {
        let header = self.header();
        let indent = last_column(&of_shown(widths.iter().copied(), shown));
        let mut text = String::with_capacity((self.rows.len() + 1) * (line_width(widths, |_| true) + GAP));
        for (place, row) in std::iter::once(&header).chain(&self.rows).enumerate() {
            let mut pending = 0;
            let cells = row.iter().zip(widths).zip(shown).zip(&self.columns);
            for (((cell, widest), _), column) in cells.filter(|((_, shown), _)| **shown) {
                let padding = widest.saturating_sub(width(&cell.text));
                let (before, behind) = if column.right { (padding, 0) } else { (0, padding) };
                if cell.text.is_empty() {
                    pending += widest + GAP;
                    continue;
                }
                text.extend(std::iter::repeat_n(' ', pending + before));
                push_styled(&mut text, &cell.text, cell.style.filter(|_| color));
                pending = behind + GAP;
            }
            text.push('\n');
            self.push_below(&mut text, place, indent, columns);
        }
        text
    }

    /// A table whose broken columns share what the whole ones leave. Where even that does not fit, the first column, which
    /// names its row, has a line of its own above the others.
    fn wrapped(&self, natural: &[usize], shown: &[bool], columns: usize, color: bool) -> String {
        let mut shown = shown.to_vec();
        let least = self.least(natural);
        let stacked = line_width(&least, |index| shown.get(index) == Some(&true)) > columns;
        if let Some(first) = shown.first_mut().filter(|_| stacked) {
            *first = false;
        }
        let indent = if stacked { GAP } else { 0 };
        let kept = of_shown(self.columns.iter().zip(natural), &shown);
        let least = of_shown(least, &shown);
        let widths = shared(&kept, &least, columns - indent);
        let header = self.header();
        let mut text = String::new();
        let mut above = None;
        for (place, row) in std::iter::once(&header).chain(&self.rows).enumerate() {
            if let Some(first) = row.first().filter(|first| stacked && above != Some(&first.text)) {
                push_styled(&mut text, &first.text, first.style.filter(|_| color));
                text.push('\n');
                above = Some(&first.text);
            }
            let cells = of_shown(row, &shown);
            for line in laid_out(&cells, &kept, &widths) {
                text.extend(std::iter::repeat_n(' ', indent));
                let line = line.trim_end();
                if color {
                    push_colored(&mut text, line, &cells, &widths);
                } else {
                    text.push_str(line);
                }
                text.push('\n');
            }
            self.push_below(&mut text, place, indent + last_column(&widths), Some(columns));
        }
        text
    }
}

/// Where the last of columns with these widths begins.
fn last_column(widths: &[usize]) -> usize {
    widths.split_last().map_or(0, |(_, before)| before.iter().map(|width| width + GAP).sum())
}

/// Of one thing a column, those of the columns that are shown.
fn of_shown<T>(things: impl IntoIterator<Item = T>, shown: &[bool]) -> Vec<T> {
    things.into_iter().zip(shown).filter(|(_, shown)| **shown).map(|(thing, _)| thing).collect()
}

/// The lines of one row in columns of these widths, without the color. What is in the last column may be wider than it: a
/// command to paste stays in one line.
fn laid_out(cells: &[&Cell<'_>], kept: &[(&Column, &usize)], widths: &[usize]) -> Vec<String> {
    let last = widths.len().saturating_sub(1);
    let cell = |(index, (cell, width)): (usize, (&&Cell<'_>, &usize))| {
        output::broken_at(&cell.text, (*width).max(1), index < last)
    };
    let columns: Vec<_> = cells.iter().zip(widths).enumerate().map(cell).collect();
    let height = columns.iter().map(Vec::len).max().unwrap_or(1);
    let line = |at: usize| {
        let mut line = String::new();
        for ((lines, (column, _)), widest) in columns.iter().zip(kept).zip(widths) {
            let text = lines.get(at).map_or("", String::as_str);
            let padding = " ".repeat(widest.saturating_sub(width(text)));
            line += &if column.right { format!("{padding}{text}") } else { format!("{text}{padding}") };
            line += "  ";
        }
        line
    };
    (0..height).map(line).collect()
}

/// The width of standard output, `None` if it is no terminal.
fn terminal_columns(ui: &Ui) -> Option<usize> {
    ui.out_is_terminal().then(|| usize::from(terminal_width()))
}

/// A line of a row that was laid out, with the cells in color that have one.
fn push_colored(text: &mut String, line: &str, cells: &[&Cell<'_>], widths: &[usize]) {
    let mut rest = line;
    for (cell, width) in cells.iter().zip(widths) {
        let (column, behind) = split_at_column(rest, width + GAP);
        rest = behind;
        let word = column.trim();
        let (before, after) =
            column.split_at_checked(column.len() - column.trim_start().len()).unwrap_or((column, ""));
        text.push_str(before);
        push_styled(text, word, cell.style);
        text.push_str(after.get(word.len()..).unwrap_or_default());
    }
    text.push_str(rest);
}

/// Splits a line at a column of the terminal.
fn split_at_column(line: &str, column: usize) -> (&str, &str) {
    let at = line
        .char_indices()
        .map(|(at, _)| at)
        .find(|at| line.get(..*at).is_some_and(|left| width(left) >= column));
    line.split_at_checked(at.unwrap_or(line.len())).unwrap_or((line, ""))
}

fn push_styled(text: &mut String, word: &str, style: Option<Style>) {
    match style {
        Some(style) if !word.is_empty() => text.push_str(&format!("{style}{word}{style:#}")),
        _ => text.push_str(word),
    }
}

fn width(cell: &str) -> usize {
    if cell.is_ascii() { cell.len() } else { cell.width() }
}

/// The columns of a terminal that a line takes.
fn line_width(widths: &[usize], shown: impl Fn(usize) -> bool) -> usize {
    let shown = (0..).zip(widths).filter(|(index, _)| shown(*index));
    shown.map(|(_, width)| width + GAP).sum::<usize>().saturating_sub(GAP)
}

/// The widths of columns on a terminal of `columns`, of their natural and their least widths: what the short ones leave goes
/// to the others.
fn shared(kept: &[(&Column, &usize)], least: &[usize], columns: usize) -> Vec<usize> {
    let mut left = columns.saturating_sub(line_width(least, |_| true));
    let mut widths = least.to_vec();
    // A column of terminal a turn, to each that can use it.
    while left > 0 {
        let before = left;
        for (width, (_, natural)) in widths.iter_mut().zip(kept) {
            if left > 0 && *width < **natural {
                *width += 1;
                left -= 1;
            }
        }
        if left == before {
            break;
        }
    }
    widths
}

#[cfg(test)]
mod tests {
    use super::*;

    fn keys() -> Table<'static> {
        let mut table = Table::new([
            Column::whole("NAME"),
            Column::broken("SCOPES"),
            Column::number("VER").spare(1),
            Column::whole("STATUS"),
        ]);
        let active = Cell::styled("active", super::super::GOOD);
        table.row(["db/prod".into(), "dev, payments, deploy".into(), "12".into(), active]);
        table.row(["stripe/live", "", "3", "EXPIRED"]);
        table
    }

    #[test]
    fn a_pipe_gets_all_columns() {
        let expected = "\
NAME         SCOPES                 VER  STATUS
db/prod      dev, payments, deploy   12  active
stripe/live                           3  EXPIRED
";
        assert_eq!(keys().fitted(None, false), expected);
        assert_eq!(keys().fitted(Some(48), false), expected);
    }

    #[test]
    fn spare_columns_go_before_anything_is_broken() {
        let expected = "\
NAME         SCOPES                 STATUS
db/prod      dev, payments, deploy  active
stripe/live                         EXPIRED
";
        assert_eq!(keys().fitted(Some(47), false), expected);
    }

    #[test]
    fn what_matters_less_goes_where_breaks_do_not_suffice() {
        let mut table = Table::new([
            Column::whole("NAME"),
            Column::broken("SCOPES").last_spare(2),
            Column::whole("EXPIRES").last_spare(1),
        ]);
        table.row(["a-name-of-some-length", "one, two-words", "never"]);
        let fitted = |columns| table.fitted(Some(columns), false);
        assert_eq!(
            fitted(41),
            "NAME                   SCOPES     EXPIRES\na-name-of-some-length  one,       never\n\
             \x20                      two-words\n"
        );
        assert_eq!(fitted(40), "NAME                   SCOPES\na-name-of-some-length  one, two-words\n");
        assert_eq!(fitted(31), "NAME\na-name-of-some-length\n");
    }

    #[test]
    fn a_name_that_leaves_no_room_stands_above_its_row() {
        let mut table = Table::new([Column::whole("KEY"), Column::whole("DIFFERS"), Column::broken("HERE")]);
        table.row(["a-name-of-some-length", "note", "of more words than fit"]);
        table.row(["a-name-of-some-length", "scopes", "-"]);
        let expected = "\
KEY
  DIFFERS  HERE
a-name-of-some-length
  note     of more words
           than fit
  scopes   -
";
        assert_eq!(table.fitted(Some(26), false), expected);
    }

    #[test]
    fn names_stay_whole_where_scopes_are_broken() {
        let expected = "\
NAME         SCOPES          STATUS
db/prod      dev, payments,  active
             deploy
stripe/live                  EXPIRED
";
        assert_eq!(keys().fitted(Some(36), false), expected);
    }

    #[test]
    fn colors_move_no_column() {
        for columns in [None, Some(47), Some(36), Some(20)] {
            let colored = keys().fitted(columns, true);
            let plain = anstyle_free(&colored);
            assert_eq!(plain, keys().fitted(columns, false));
            assert!(colored.contains(&format!("{0}active{0:#}", super::super::GOOD)), "{colored}");
        }
    }

    fn anstyle_free(text: &str) -> String {
        let mut plain = String::new();
        let mut rest = text;
        while let Some((before, behind)) = rest.split_once('\u{1b}') {
            plain.push_str(before);
            rest = behind.split_once('m').map_or("", |(_, behind)| behind);
        }
        plain + rest
    }

    #[test]
    fn a_column_that_says_nothing_is_left_out_on_a_terminal() {
        let mut table =
            Table::new([Column::whole("NAME"), Column::whole("VARIABLE"), Column::whole("STATUS")]);
        table.row(["a", "", "active"]);
        assert_eq!(table.fitted(Some(80), false), "NAME  STATUS\na     active\n");
        assert_eq!(table.fitted(None, false), "NAME  VARIABLE  STATUS\na               active\n");
    }

    #[test]
    fn wide_characters_count_as_two_columns() {
        let mut table = Table::new([Column::broken("NOTE"), Column::whole("STATUS")]);
        table.row(["鍵", "active"]);
        table.row(["four", "active"]);
        assert_eq!(table.fitted(None, false), "NOTE  STATUS\n鍵    active\nfour  active\n");
    }
}
