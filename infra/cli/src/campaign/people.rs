//! Lists of people as CSV: a header that names the column `person`, and an id in each row.

use csv::{Position, ReaderBuilder, StringRecord};
use spillway_core::id::RecipientId;

use crate::arguments;

/// The column with the ids.
const COLUMN: &str = "person";

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
    let mut reader = ReaderBuilder::new().flexible(true).from_reader(text.as_bytes());
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

/// Finds the column with the ids.
fn column(heads: &StringRecord) -> Result<usize, String> {
    let is_it = |head: &str| head.trim().eq_ignore_ascii_case(COLUMN);
    let found: Vec<usize> =
        (0..heads.len()).filter(|&at| heads.get(at).is_some_and(is_it)).collect();
    match found[..] {
        [at] => Ok(at),
        [] if heads.iter().any(|head| head.contains([';', '\t'])) => {
            Err("the columns are not divided by commas: save the file as CSV with commas".into())
        }
        [] => Err(format!("no column is called `{COLUMN}`: the first line names the columns")),
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
    fn every_mistake_is_told_with_its_line() {
        let text = "name,person\nAna,@ana\nBen\nCem,528\nDan,5.26E+15\nEve, \n";
        let mistakes = parse(text).unwrap_err();
        let lines: Vec<usize> = mistakes.iter().map(|(line, _)| *line).collect();
        assert_eq!(lines, [2, 3, 5, 6]);
        assert!(mistakes[0].1.contains("no name"), "{mistakes:?}");
        assert!(mistakes[1].1.contains("has no `person`"), "{mistakes:?}");
        assert!(mistakes[2].1.contains("has rounded it"), "{mistakes:?}");
        for (text, said) in [
            ("", "no column is called `person`"),
            ("id\n526\n", "no column is called `person`"),
            ("name;person\nAna;526\n", "not divided by commas"),
            ("person,person\n1,2\n", "2 columns are called"),
            ("person\n", "the list is empty"),
        ] {
            let [(1, reason)] = &parse(text).unwrap_err()[..] else { panic!("{text}") };
            assert!(reason.contains(said), "{text}: {reason}");
        }
    }
}
