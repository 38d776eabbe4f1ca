//! What commands print: one JSON value, or text for people; tables, times, colours.

use std::io::{IsTerminal, Write};

use anstream::{AutoStream, ColorChoice};
use anyhow::{Context, Result};
use clap::{Args, ValueEnum};
use serde::Serialize;
pub(crate) use spillway_service::admin::told::{Times, counted, heard, span};
use unicode_width::UnicodeWidthStr;

/// The widest a table is where nothing tells how wide the terminal is, in cells.
const TABLE_WIDTH: usize = 100;

/// How results are printed, as the command line says it.
#[derive(Args, Clone, Copy, Debug)]
#[command(next_help_heading = "Output")]
pub(crate) struct OutputArgs {
    /// Print JSON instead of text: one line, with times in UTC
    #[arg(long, global = true)]
    json: bool,
    /// Leave out the heads of tables
    #[arg(long, global = true)]
    no_headers: bool,
    /// When to print colours; `auto` prints them on a terminal, unless NO_COLOR is set
    #[arg(long, global = true, value_enum, value_name = "WHEN", default_value_t)]
    color: Color,
}

/// When colours are printed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum)]
enum Color {
    #[default]
    Auto,
    Always,
    Never,
}

/// How results are printed.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Output {
    format: Format,
    heads: Heads,
    color: ColorChoice,
    /// The room for a table, in cells.
    width: usize,
}

/// What results look like.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Format {
    /// One line of JSON.
    Json,
    /// Text.
    Text,
}

/// Whether tables have heads.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Heads {
    Shown,
    LeftOut,
}

impl From<OutputArgs> for Output {
    fn from(args: OutputArgs) -> Self {
        let color = match args.color {
            Color::Auto => AutoStream::choice(&std::io::stdout()),
            Color::Always => ColorChoice::AlwaysAnsi,
            Color::Never => ColorChoice::Never,
        };
        let terminal = std::io::stdout().is_terminal().then(ratatui::crossterm::terminal::size);
        let width =
            terminal.and_then(Result::ok).map_or(TABLE_WIDTH, |(columns, _)| columns.into());
        Self {
            format: if args.json { Format::Json } else { Format::Text },
            heads: if args.no_headers { Heads::LeftOut } else { Heads::Shown },
            color,
            width,
        }
    }
}

impl Output {
    /// Prints a result.
    pub(crate) fn print(self, value: &impl Serialize, text: impl FnOnce() -> String) -> Result<()> {
        match self.format {
            Format::Json => write((serde_json::to_string(value)? + "\n").as_bytes()),
            Format::Text => self.print_text(text),
        }
    }

    /// Prints what only people read, and nothing as JSON.
    pub(crate) fn print_text(self, text: impl FnOnce() -> String) -> Result<()> {
        if self.format == Format::Json {
            return Ok(());
        }
        let mut painted = AutoStream::new(Vec::new(), self.color);
        painted.write_all(unhidden(&text()).as_bytes()).context("paint the text")?;
        write(&painted.into_inner())
    }

    /// Breaks a sentence into lines that fit, the later ones indented by four cells more.
    pub(crate) fn wrapped(self, indent: usize, sentence: &str) -> String {
        let parts = broken(sentence, self.width.saturating_sub(indent + 4));
        let line = |(nth, part)| {
            let indent = if nth == 0 { indent } else { indent + 4 };
            format!("{:indent$}{part}\n", "")
        };
        parts.into_iter().enumerate().map(line).collect()
    }

    /// The room for a line, in cells.
    pub(crate) fn width(self) -> usize {
        self.width
    }

    /// Returns `rows` in columns under their heads, or `empty` if there is no row. If the table is
    /// too wide, columns are left out, and then the last column is broken into lines. If even that
    /// is too wide, each row is a block of lines with all its cells.
    pub(crate) fn table<const N: usize>(
        self,
        columns: &Columns<N>,
        rows: &[[String; N]],
        empty: &str,
    ) -> String {
        if rows.is_empty() {
            return format!("{empty}\n");
        }
        let head = columns.heads.map(str::to_owned);
        let all: Vec<&[String; N]> = match self.heads {
            Heads::Shown => std::iter::once(&head).chain(rows).collect(),
            Heads::LeftOut => rows.iter().collect(),
        };
        let mut widths = [0; N];
        for row in &all {
            for (width, cell) in widths.iter_mut().zip(row.iter()) {
                *width = cells(cell).max(*width);
            }
        }
        let kept = fitting(&widths, columns.least_first, self.width);
        let [before @ .., last] = kept.as_slice() else { return String::new() };
        let indent: usize = before.iter().map(|&column| widths[column] + GAP).sum();
        if indent + LAST_COLUMN_MIN.min(widths[*last]) > self.width {
            return self.blocks(columns, rows);
        }
        let room = self.width.saturating_sub(indent).max(LAST_COLUMN_MIN);
        let mut out = String::new();
        for row in all {
            let mut line = String::new();
            for &column in before {
                let padding = widths[column] - cells(&row[column]) + GAP;
                line += &format!("{}{:padding$}", row[column], "");
            }
            for part in broken(&row[*last], room) {
                out += (line + part).trim_end();
                out.push('\n');
                line = " ".repeat(indent);
            }
        }
        out
    }

    /// Returns each row as a block: a line for each cell that says something, behind its head.
    fn blocks<const N: usize>(self, columns: &Columns<N>, rows: &[[String; N]]) -> String {
        let heads = match self.heads {
            Heads::Shown => columns.heads.map(str::trim),
            Heads::LeftOut => [""; N],
        };
        let longest = heads.iter().map(|head| head.len()).max().unwrap_or(0);
        let indent = if longest == 0 { 0 } else { longest + GAP };
        let room = self.width.saturating_sub(indent).max(1);
        let block = |row: &[String; N]| -> String {
            let cells = heads.iter().zip(row).filter(|(_, cell)| !["", "-"].contains(&cell.trim()));
            let lines = cells.flat_map(|(head, cell)| {
                let parts = broken(cell.trim(), room).into_iter().enumerate();
                parts.map(move |(nth, part)| {
                    let head = if nth == 0 { head } else { "" };
                    format!("{head:indent$}{part}\n")
                })
            });
            lines.collect()
        };
        rows.iter().map(block).collect::<Vec<_>>().join("\n")
    }
}

/// A table's columns.
pub(crate) struct Columns<const N: usize> {
    /// Their heads.
    pub(crate) heads: [&'static str; N],
    /// Those that are left out if there is little room, the least important first.
    pub(crate) least_first: &'static [usize],
}

/// Cells between two columns.
pub(crate) const GAP: usize = 2;

/// The least room for the last column of a table, in cells.
const LAST_COLUMN_MIN: usize = 20;

/// The width of a text on a terminal, in cells.
pub(crate) fn cells(text: &str) -> usize {
    anstream::adapter::strip_str(text).map(UnicodeWidthStr::width).sum()
}

/// Returns the columns that fit into `room` cells: those of `least_first` go in that order.
pub(crate) fn fitting(widths: &[usize], least_first: &[usize], room: usize) -> Vec<usize> {
    let mut kept: Vec<usize> = (0..widths.len()).collect();
    for dropped in least_first {
        let total: usize = kept.iter().map(|&column| widths[column] + GAP).sum();
        if total.saturating_sub(GAP) <= room {
            break;
        }
        kept.retain(|column| column != dropped);
    }
    kept
}

/// Breaks a text between words into lines of at most `room` cells. A longer word keeps its line.
pub(crate) fn broken(text: &str, room: usize) -> Vec<&str> {
    let mut lines = Vec::new();
    let (mut start, mut end) = (0, 0);
    for (at, _) in text.match_indices(' ').chain([(text.len(), "")]) {
        if end > start && cells(&text[start..at]) > room {
            lines.push(&text[start..end]);
            start = end + 1;
        }
        end = at;
    }
    lines.push(&text[start..]);
    lines
}

/// Writes out characters that nobody sees, or that turn what is beside them: texts of campaigns and
/// people may have some. Those that shape emoji and letters stay.
fn unhidden(text: &str) -> String {
    let is_hidden = |c: char| matches!(c, '\u{200b}' | '\u{202a}'..='\u{202e}' | '\u{2060}'..='\u{2069}' | '\u{feff}');
    let mut out = String::with_capacity(text.len());
    for c in text.chars() {
        if is_hidden(c) {
            out.extend(c.escape_unicode());
        } else {
            out.push(c);
        }
    }
    out
}

/// Writes to standard output, until its reader has seen enough.
pub(crate) fn write(bytes: &[u8]) -> Result<()> {
    match std::io::stdout().write_all(bytes) {
        Err(error) if error.kind() == std::io::ErrorKind::BrokenPipe => Ok(()),
        written => written.context("write to standard output"),
    }
}

/// Something beside the result, for people: on standard error.
pub(crate) fn note(text: impl std::fmt::Display) {
    complain(format_args!("note: {text}"));
}

/// Writes a line on standard error. Nobody may read it any more.
pub(crate) fn complain(line: impl std::fmt::Display) {
    let _ = writeln!(std::io::stderr(), "{line}");
}

/// What a colour says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Paint {
    Good,
    Bad,
    Warn,
}

/// Colours `text`. Where no colours are wanted, [`Output`] leaves them out.
pub(crate) fn paint(paint: Paint, text: &str) -> String {
    let code = match paint {
        Paint::Good => 32,
        Paint::Bad => 31,
        Paint::Warn => 33,
    };
    format!("\u{1b}[{code}m{text}\u{1b}[0m")
}

/// A cell for an hour: empty only if nothing is sent in it.
pub(crate) fn cell(count: u32, most: u32) -> char {
    const EIGHTHS: [char; 9] = ['·', '▁', '▂', '▃', '▄', '▅', '▆', '▇', '█'];
    EIGHTHS[(u64::from(count) * 8).div_ceil(u64::from(most)).min(8) as usize]
}

#[cfg(test)]
mod tests {
    use super::*;

    fn wide(width: usize) -> Output {
        let (format, heads, color) = (Format::Text, Heads::Shown, ColorChoice::Never);
        Output { format, heads, color, width }
    }

    #[test]
    fn what_nobody_sees_is_written_out() {
        assert_eq!(unhidden("a\u{202e}b\u{200b}"), "a\\u{202e}b\\u{200b}");
        let shaped = "\u{1b}[32m👩\u{200d}💻 می\u{200c}خواهم \u{200f}";
        assert_eq!(unhidden(shaped), shaped);
    }

    #[test]
    fn tables_line_up_and_say_when_they_are_empty() {
        let columns = Columns { heads: ["ID", "NAME"], least_first: &[] };
        let rows = [["1".to_owned(), "ü".into()], ["12345".into(), "b".into()]];
        assert_eq!(wide(80).table(&columns, &rows, "none"), "ID     NAME\n1      ü\n12345  b\n");
        assert_eq!(wide(80).table(&columns, &[], "none"), "none\n");
        let bare = Output { heads: Heads::LeftOut, ..wide(80) };
        assert_eq!(bare.table(&columns, &rows, "none"), "1      ü\n12345  b\n");
        let rows = [[paint(Paint::Good, "好"), "x".into()], ["12345".into(), "y".into()]];
        let painted = "ID     NAME\n\u{1b}[32m好\u{1b}[0m     x\n12345  y\n";
        assert_eq!(wide(80).table(&columns, &rows, "none"), painted);
    }

    #[test]
    fn a_table_that_is_too_wide_loses_columns_by_rank_and_then_breaks_its_last() {
        let columns = Columns { heads: ["ACCOUNT", "LANE", "WHAT"], least_first: &[1] };
        let rows = [["178".to_owned(), "inbound".into(), "on hold until somebody ends it".into()]];
        assert_eq!(
            wide(48).table(&columns, &rows, ""),
            "ACCOUNT  LANE     WHAT\n178      inbound  on hold until somebody ends it\n"
        );
        assert_eq!(
            wide(40).table(&columns, &rows, ""),
            "ACCOUNT  WHAT\n178      on hold until somebody ends it\n"
        );
        assert_eq!(
            wide(30).table(&columns, &rows, ""),
            "ACCOUNT  WHAT\n178      on hold until\n         somebody ends it\n"
        );
        let rows = [&rows[..], &[["179".to_owned(), "-".into(), "goes on".into()]]].concat();
        assert_eq!(
            wide(28).table(&columns, &rows, ""),
            "ACCOUNT  178\nLANE     inbound\nWHAT     on hold until\n         somebody ends it\n\n\
             ACCOUNT  179\nWHAT     goes on\n"
        );
        let bare = Output { heads: Heads::LeftOut, ..wide(24) };
        let expected = "178\ninbound\non hold until somebody\nends it\n\n179\ngoes on\n";
        assert_eq!(bare.table(&columns, &rows, ""), expected);
        assert_eq!(
            broken("https://example.com/guide is it", 5),
            ["https://example.com/guide", "is it"]
        );
        assert_eq!(broken("", 5), [""]);
    }
}
