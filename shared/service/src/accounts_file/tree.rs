//! A file as a tree of TOML values, each with its position: where a field of a campaign is, is
//! looked up by its name, so no type repeats the campaign's fields to keep their positions.
//!
//! Reading a tree into types ends at the first key or value that they do not have. So a value that
//! is refused is taken out of the tree, and the rest is read again, until all of it can be.

use std::borrow::Cow;
use std::collections::HashSet;
use std::ops::Range;

use serde::Deserialize;
use spillway_core::content::Segment;
use toml::Spanned;
use toml::de::{DeArray, DeTable, DeValue, Deserializer, Error};

use super::wording::Refused;

/// All values of a file.
#[derive(Clone)]
pub(super) struct Tree<'a> {
    root: Spanned<DeTable<'a>>,
    /// Fields that were taken out: the begin of their table, and their name.
    removed: Vec<(usize, String)>,
    /// Begins of tables that something was taken out of.
    wounded: HashSet<usize>,
    /// Fields of the file, beneath which something was taken out.
    touched: HashSet<String>,
}

/// Why a value cannot be read.
pub(super) struct Fault {
    /// Where it is.
    pub(super) span: Range<usize>,
    /// What is wrong; `None` where it follows from another fault.
    pub(super) message: Option<String>,
}

/// A list or a table where none can be.
pub(super) struct Odd {
    /// Where it is.
    pub(super) span: Range<usize>,
    /// What the reader would say of it.
    pub(super) message: &'static str,
    /// The field that it is the value of, or in whose list it is.
    pub(super) field: String,
}

impl<'a> Tree<'a> {
    /// Parses a file.
    ///
    /// # Errors
    /// Returns everything that is not TOML.
    pub(super) fn parse(text: &'a str) -> Result<Self, Vec<Error>> {
        let (root, errors) = DeTable::parse_recoverable(text);
        match errors[..] {
            [] => {
                let (wounded, touched) = (HashSet::new(), HashSet::new());
                Ok(Self { root, removed: Vec::new(), wounded, touched })
            }
            _ => Err(errors),
        }
    }

    /// Reads the tree as a `T`.
    ///
    /// # Errors
    /// Fails at the first key or value that a `T` does not have.
    pub(super) fn read<T: Deserialize<'a>>(self) -> Result<T, Error> {
        T::deserialize(Deserializer::from(self.root))
    }

    /// Takes out what `error` refuses, so that the rest can be read; `None` if it is not found.
    pub(super) fn take_out(&mut self, error: &Error) -> Option<Fault> {
        let span = error.span()?;
        let missing = error.message().strip_prefix("missing field `");
        let missing = missing.and_then(|rest| rest.strip_suffix('`'));
        let is_told = missing.is_some_and(|field| {
            self.removed.iter().any(|(table, name)| *table == span.start && name == field)
        });
        let begin = self.root.span().start;
        let mut path = Path::default();
        // The rest of a table that lacks something is read with a value in its place.
        let is_filled = missing
            .is_some_and(|field| fill_in(self.root.get_mut(), begin, &span, field, &mut path));
        if !is_filled && !take_out_of(self.root.get_mut(), begin, &span, &mut path) {
            return None;
        }
        let refused = Refused {
            message: error.message(),
            field: path.fields.first().map(String::as_str),
            is_item: path.removed.is_none(),
        };
        let message = (!is_told).then(|| refused.said());
        self.wounded.extend(path.tables);
        self.touched.extend(path.fields.pop());
        self.removed.extend(path.removed);
        Some(Fault { span, message })
    }

    /// Takes out the first list that is where only a table or a figure can be, or table where only a
    /// word can be; `None` if there is none. Reading would take the items for the fields of the table,
    /// in their order, and the table's field for the word.
    pub(super) fn take_out_odd(&mut self) -> Option<Fault> {
        let Odd { span, field, message } = odd(self.root.get_ref())?;
        let mut path = Path::default();
        let begin = self.root.span().start;
        take_out_of(self.root.get_mut(), begin, &span, &mut path);
        let is_item = path.removed.is_none();
        let refused = Refused { message, field: Some(&field), is_item };
        let message = Some(refused.said());
        self.wounded.extend(path.tables);
        self.touched.extend(path.fields.pop());
        self.removed.extend(path.removed);
        Some(Fault { span, message })
    }

    /// Whether something was taken out of the table at this place, or of one in it.
    pub(super) fn is_wounded(&self, place: &Range<usize>) -> bool {
        self.wounded.contains(&place.start)
    }

    /// Whether something was taken out beneath this field of the file.
    pub(super) fn is_touched(&self, field: &str) -> bool {
        self.touched.contains(field)
    }

    /// Returns the table of an account, counted from 0.
    pub(super) fn account(&self, account: usize) -> Place<'_> {
        Place(self.root.get_ref().get("account")).item(account)
    }

    /// Returns the table of a campaign, both counted from 0.
    pub(super) fn campaign(&self, account: usize, campaign: usize) -> Place<'_> {
        self.account(account).field("campaign").item(campaign)
    }

    /// Removes the texts of campaigns that `keep` refuses. Values of another type stay.
    pub(super) fn retain_texts(&mut self, keep: impl Fn(&str) -> bool) {
        let accounts = items_mut(self.root.get_mut().get_mut("account"));
        for account in accounts {
            for campaign in items_mut(field_mut(account, "campaign")) {
                for field in TEXTS {
                    let Some(list) = field_mut(campaign, field) else { continue };
                    if let DeValue::Array(texts) = list.get_mut() {
                        let texts = std::mem::replace(texts, DeArray::new()).into_iter();
                        let kept = texts.filter(|text| text.get_ref().as_str().is_none_or(&keep));
                        *list.get_mut() = DeValue::Array(kept.collect());
                    }
                }
            }
        }
    }
}

/// Fields that hold a campaign's texts.
const TEXTS: [&str; 3] = ["messages", "public_replies", "public_fallback"];

/// Fields that hold a table, or a figure.
const NO_LISTS: [&str; 9] =
    ["terms", "spread", "warm_up", "slow_down", "limit", "then", "follow", "email", "card"];

/// Fields that hold a list of words.
const WORDS: [&str; 3] = ["on", "tolerate", "actions"];

/// Finds the first list that is in another list, or in a field that holds none, or the first table
/// among words.
fn odd(table: &DeTable<'_>) -> Option<Odd> {
    table.iter().find_map(|(key, value)| odd_in(key.get_ref(), value))
}

fn odd_in(field: &str, value: &Spanned<DeValue<'_>>) -> Option<Odd> {
    let of = |span, message| Some(Odd { span, message, field: field.to_owned() });
    let (list, among_words) =
        ("invalid type: sequence, expected a table", "invalid type: map, expected a word");
    match value.get_ref() {
        DeValue::Table(table) => odd(table),
        DeValue::Array(_) if NO_LISTS.contains(&field) => of(value.span(), list),
        DeValue::Array(items) => items.iter().find_map(|item| match item.get_ref() {
            DeValue::Array(_) => of(item.span(), list),
            DeValue::Table(_) if WORDS.contains(&field) => of(item.span(), among_words),
            _ => odd_in(field, item),
        }),
        _ => None,
    }
}

/// What was taken out, and the tables around it.
#[derive(Default)]
struct Path {
    removed: Option<(usize, String)>,
    /// From the inside to the outside.
    tables: Vec<usize>,
    fields: Vec<String>,
}

/// Takes the key or value at `span` out of a table or what is in it, and says whether it was found.
fn take_out_of(
    table: &mut DeTable<'_>,
    begin: usize,
    span: &Range<usize>,
    path: &mut Path,
) -> bool {
    let is_it =
        |(key, value): &(&Spanned<_>, &Spanned<_>)| key.span() == *span || value.span() == *span;
    let name = |key: &Spanned<Cow<'_, str>>| key.get_ref().to_string();
    let field = match table.iter().find(is_it).map(|(key, _)| name(key)) {
        Some(key) => {
            table.remove(key.as_str());
            path.removed = Some((begin, key.clone()));
            Some(key)
        }
        None => table
            .iter_mut()
            .find_map(|(key, value)| take_out_of_value(value, span, path).then(|| name(key))),
    };
    let is_found = field.is_some();
    if let Some(field) = field {
        path.fields.push(field);
        path.tables.push(begin);
    }
    is_found
}

/// Puts a value into the table at `span` for the field that it lacks, and says whether it was found.
/// The value's place is empty, as no value's of the file is.
fn fill_in(
    table: &mut DeTable<'_>,
    begin: usize,
    span: &Range<usize>,
    field: &str,
    path: &mut Path,
) -> bool {
    let name = |key: &Spanned<Cow<'_, str>>| key.get_ref().to_string();
    let Some(value) = placeholder(field) else { return false };
    let inside = table.iter_mut().find_map(|(key, value_of_key)| {
        fill_in_value(value_of_key, span, field, &value, path).then(|| name(key))
    });
    let is_found = inside.is_some();
    if let Some(inside) = inside {
        path.fields.push(inside);
        path.tables.push(begin);
    }
    is_found
}

fn fill_in_value(
    value: &mut Spanned<DeValue<'_>>,
    span: &Range<usize>,
    field: &str,
    filler: &DeValue<'static>,
    path: &mut Path,
) -> bool {
    let (begin, is_it) = (value.span().start, value.span() == *span);
    match value.get_mut() {
        DeValue::Table(table) if is_it => {
            let key = Spanned::new(0..0, Cow::Owned(field.to_owned()));
            table.insert(key, Spanned::new(0..0, filler.clone()));
            path.fields.push(field.to_owned());
            path.tables.push(begin);
            path.removed = Some((begin, field.to_owned()));
            true
        }
        DeValue::Table(table) => fill_in(table, begin, span, field, path),
        DeValue::Array(items) => {
            items.iter_mut().any(|item| fill_in_value(item, span, field, filler, path))
        }
        _ => false,
    }
}

/// A value that can be read where a field is missing. Nothing is used of a file with a mistake.
fn placeholder(field: &str) -> Option<DeValue<'static>> {
    let text = |text| Some(DeValue::String(Cow::Borrowed(text)));
    match field {
        "id" | "name" | "title" | "button" => text("(no name)"),
        "image" => text("https://example.com/picture.png"),
        "unit" => text("calls"),
        "window" | "active" | "after" => text("1h"),
        "actions" | "messages" | "ask" => Some(DeValue::Array(DeArray::new())),
        _ => None,
    }
}

fn take_out_of_value(
    value: &mut Spanned<DeValue<'_>>,
    span: &Range<usize>,
    path: &mut Path,
) -> bool {
    let begin = value.span().start;
    match value.get_mut() {
        DeValue::Table(table) => take_out_of(table, begin, span, path),
        DeValue::Array(items) => match items.iter().position(|item| item.span() == *span) {
            Some(at) => {
                let all = std::mem::replace(items, DeArray::new()).into_iter().enumerate();
                *items = all.filter(|&(index, _)| index != at).map(|(_, item)| item).collect();
                true
            }
            None => items.iter_mut().any(|item| take_out_of_value(item, span, path)),
        },
        _ => false,
    }
}

fn field_mut<'v, 'a>(
    table: &'v mut Spanned<DeValue<'a>>,
    name: &str,
) -> Option<&'v mut Spanned<DeValue<'a>>> {
    match table.get_mut() {
        DeValue::Table(table) => table.get_mut(name),
        _ => None,
    }
}

fn items_mut<'v, 'a>(
    array: Option<&'v mut Spanned<DeValue<'a>>>,
) -> &'v mut [Spanned<DeValue<'a>>] {
    match array.map(Spanned::get_mut) {
        Some(DeValue::Array(items)) => items,
        _ => &mut [],
    }
}

/// A value of the file, or the place where there is none.
#[derive(Clone, Copy)]
pub(super) struct Place<'t>(Option<&'t Spanned<DeValue<'t>>>);

impl<'t> Place<'t> {
    /// Returns a value of this table.
    pub(super) fn field(self, name: &str) -> Self {
        Self(self.0.and_then(|value| value.get_ref().get(name)))
    }

    /// Returns the value at the end of a way, and the innermost table on it.
    pub(super) fn along(self, path: &[Segment]) -> (Self, Self) {
        path.iter().fold((self, self), |(place, table), segment| {
            let next = match *segment {
                Segment::Field(name) => place.field(name),
                Segment::Item(at) => place.item(at),
            };
            let is_table = next.0.is_some_and(|value| value.get_ref().as_table().is_some());
            (next, if is_table { next } else { table })
        })
    }

    /// Returns a value of this array, counted from 0.
    pub(super) fn item(self, at: usize) -> Self {
        Self(self.0.and_then(|value| value.get_ref().get(at)))
    }

    /// Returns the texts of this array.
    pub(super) fn texts(self) -> impl Iterator<Item = (&'t str, Range<usize>)> {
        let items = self.0.and_then(|value| value.get_ref().as_array());
        items.into_iter().flatten().filter_map(|item| Some((item.get_ref().as_str()?, item.span())))
    }

    /// Finds the first text of this value, or of what is in it, that is the one looked for.
    pub(super) fn find_text(self, is_it: &dyn Fn(&str) -> bool) -> Option<Range<usize>> {
        let value = self.0?;
        match value.get_ref() {
            DeValue::String(found) => is_it(found).then(|| value.span()),
            DeValue::Array(items) => {
                items.iter().find_map(|item| Place(Some(item)).find_text(is_it))
            }
            DeValue::Table(table) => {
                let texts = table.iter().filter_map(|(_, item)| Place(Some(item)).find_text(is_it));
                texts.min_by_key(|span| span.start)
            }
            _ => None,
        }
    }

    /// Whether it is a list without items.
    pub(super) fn is_empty_list(self) -> bool {
        self.0.and_then(|value| value.get_ref().as_array()).is_some_and(|items| items.is_empty())
    }

    /// Returns the bytes of the file that hold it.
    pub(super) fn span(self) -> Range<usize> {
        self.0.map_or(0..0, Spanned::span)
    }
}
