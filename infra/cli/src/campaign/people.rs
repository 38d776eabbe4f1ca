//! Lists of people as CSV: a header that names the column `person`, and an id in each row. Columns are
//! divided by commas, by semicolons or by tabs, as spreadsheets of different countries write them.

use csv::{Position, Reader, ReaderBuilder, StringRecord};
use spillway_core::id::RecipientId;

use crate::arguments;

/// The column with the ids.
const COLUMN: &str = "person";

/// What may divide the columns. The header tells: the ids of people hold none of these.
const DIVIDERS: [u8; 3] = [b',', b';', b'\t'];

/// A row of a list.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Row {
    /// Its line in the file, counted from 1.
    pub(super) line: usize,
    /// Whom it names.
    pub(super) person: RecipientId,
}

/// Something that is wrong with a list, and its line.
pub(super) type Mistake = (usize, String);

/// Reads a list.
///
/// # Errors
/// Returns every mistake.
pub(super) fn parse(text: &str) -> Result<Vec<Row>, Vec<Mistake>> {
    // Spreadsheets begin a file with it.
    let text = text.trim_start_matches('\u{feff}');
    if text.trim().is_empty() {
        return Err(vec![(
            1,
            format!("the list is empty: write a line with `{COLUMN}`, and an id below it"),
        )]);
    }
    let mut reader = reader(text);
    let heads = reader.headers().map_err(|error| vec![(1, error.to_string())])?;
    let at = column(heads).map_err(|reason| vec![(1, reason)])?;
    let ends: Vec<usize> = text.match_indices('\n').map(|(at, _)| at).collect();
    // Of a row behind blank lines the reader tells where these begin.
    let line = |position: Option<&Position>| {
        let begin = position.map_or(0, |position| position.byte() as usize).min(text.len());
        let blank = text[begin..].len() - text[begin..].trim_start_matches(['\r', '\n']).len();
        1 + ends.partition_point(|&end| end < begin + blank)
    };
    let (mut rows, mut mistakes) = (Vec::new(), Vec::new());
    for record in reader.records() {
        match record {
            Ok(record) => match person(record.get(at)) {
                Ok(person) => rows.push(Row { line: line(record.position()), person }),
                Err(reason) => mistakes.push((line(record.position()), reason)),
            },
            Err(error) => mistakes.push((line(error.position()), error.to_string())),
        }
    }
    if rows.is_empty() && mistakes.is_empty() {
        mistakes.push((1, "there is no row below the header: the list is empty".into()));
    }
    if mistakes.is_empty() { Ok(rows) } else { Err(mistakes) }
}

/// Reads by the divider with which the header names the column; by commas if none does.
fn reader(text: &str) -> Reader<&[u8]> {
    let by = |divider| {
        let mut reader = ReaderBuilder::new();
        reader.flexible(true).delimiter(divider).from_reader(text.as_bytes())
    };
    let names_it =
        |&divider: &u8| by(divider).headers().is_ok_and(|heads| heads.iter().any(is_column));
    by(DIVIDERS.into_iter().find(names_it).unwrap_or(DIVIDERS[0]))
}

/// Whether a head names the column with the ids.
fn is_column(head: &str) -> bool {
    head.trim().eq_ignore_ascii_case(COLUMN)
}

/// Finds the column with the ids.
fn column(heads: &StringRecord) -> Result<usize, String> {
    let found: Vec<usize> =
        (0..heads.len()).filter(|&at| heads.get(at).is_some_and(is_column)).collect();
    match found[..] {
        [at] => Ok(at),
        [] => Err(format!(
            "no column is called `{COLUMN}`: the first line names the columns, divided by commas, semicolons or tabs"
        )),
        _ => Err(format!("{} columns are called `{COLUMN}`: leave one", found.len())),
    }
}

fn person(cell: Option<&str>) -> Result<RecipientId, String> {
    let cell = cell.map(str::trim).filter(|cell| !cell.is_empty());
    let cell =
        cell.ok_or_else(|| format!("the row has no `{COLUMN}`: remove it, or write the id"))?;
    arguments::person(cell).map_err(|error| {
        let is_rounded = cell.contains(['e', 'E', '.']) && cell.parse::<f64>().is_ok();
        let hint = "; a spreadsheet has rounded it: make the column text, and copy the ids again";
        format!("{error}{}", if is_rounded { hint } else { "" })
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_ids_are_read_with_their_lines_and_the_rest_is_ignored() {
        let text = "\u{feff}name,Person ,note\r\n\"Ana, of\nBerlin\",526,x\r\n\r\nBen, 527 \r\nCem,528,y,z\n";
        let rows = parse(text).unwrap();
        let told: Vec<_> = rows.iter().map(|row| (row.line, row.person.as_str())).collect();
        assert_eq!(told, [(2, "526"), (5, "527"), (6, "528")]);
    }

    #[test]
    fn the_header_tells_what_divides_the_columns() {
        for text in [
            "name;person\r\n\"Ana; of Berlin\";526\r\nBen, too;527\r\n",
            "name\tperson\nAna\t526\nBen;1\t527\n",
            "\"name, all\";person\nAna;526\nBen;527\n",
            "\"last; first\",person\nAna,526\n\"B;en\",527\n",
            "person\n526\n527\n",
        ] {
            let rows = parse(text).unwrap();
            let told: Vec<_> = rows.iter().map(|row| (row.line, row.person.as_str())).collect();
            assert_eq!(told, [(2, "526"), (3, "527")], "{text}");
        }
    }

    #[test]
    fn every_mistake_is_told_with_its_line() {
        let text = "name,person\nAna,@ana\nBen\nCem,528\nDan,5.26E+15\nEve, \n";
        let mistakes = parse(text).unwrap_err();
        let lines: Vec<usize> = mistakes.iter().map(|(line, _)| *line).collect();
        assert_eq!(lines, [2, 3, 5, 6]);
        assert!(mistakes[0].1.contains("no name"), "{mistakes:?}");
        assert!(mistakes[1].1.contains("has no `person`"), "{mistakes:?}");
        assert!(mistakes[2].1.contains("has rounded it"), "{mistakes:?}");
        for (text, said) in [
            ("", "the list is empty"),
            ("\u{feff}\r\n\n", "the list is empty"),
            ("id\n526\n", "no column is called `person`"),
            ("name;id\nAna;526\n", "divided by commas, semicolons or tabs"),
            ("name|person\nAna|526\n", "no column is called `person`"),
            ("name;person;person\nAna;1;2\n", "2 columns are called"),
            ("person,person\n1,2\n", "2 columns are called"),
            ("person\n", "the list is empty"),
        ] {
            let [(1, reason)] = &parse(text).unwrap_err()[..] else { panic!("{text}") };
            assert!(reason.contains(said), "{text}: {reason}");
        }
    }
}
