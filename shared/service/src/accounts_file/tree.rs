//! A file as a tree of TOML values, each with its position: where a field of a campaign is, is
//! looked up by its name, so no type repeats the campaign's fields to keep their positions.
//!
//! Reading a tree into types ends at the first key or value that they do not have. So a value that
//! is refused is taken out of the tree, and the rest is read again, until all of it can be.

use std::borrow::Cow;
use std::collections::HashSet;
use std::ops::Range;

use serde::Deserialize;
use toml::Spanned;
use toml::de::{DeArray, DeTable, DeValue, Deserializer, Error};

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
        if !take_out_of(self.root.get_mut(), begin, &span, &mut path) {
            return None;
        }
        self.wounded.extend(path.tables);
        self.touched.extend(path.fields.pop());
        self.removed.extend(path.removed);
        let message = (!is_told).then(|| error.message().replace('\n', ", "));
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

    /// Returns the table of a campaign, both counted from 0.
    pub(super) fn campaign(&self, account: usize, campaign: usize) -> Place<'_> {
        let accounts = Place(self.root.get_ref().get("account"));
        accounts.item(account).field("campaign").item(campaign)
    }

    /// Removes the messages of campaigns that `keep` refuses. Values of another type stay.
    pub(super) fn retain_messages(&mut self, keep: impl Fn(&str) -> bool) {
        let accounts = items_mut(self.root.get_mut().get_mut("account"));
        for account in accounts {
            for campaign in items_mut(field_mut(account, "campaign")) {
                let Some(messages) = field_mut(campaign, "messages") else { continue };
                if let DeValue::Array(texts) = messages.get_mut() {
                    let texts = std::mem::replace(texts, DeArray::new());
                    let kept =
                        texts.into_iter().filter(|text| text.get_ref().as_str().is_none_or(&keep));
                    *messages.get_mut() = DeValue::Array(kept.collect());
                }
            }
        }
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

    /// Returns a value of this array, counted from 0.
    pub(super) fn item(self, at: usize) -> Self {
        Self(self.0.and_then(|value| value.get_ref().get(at)))
    }

    /// Returns the texts of this array.
    pub(super) fn texts(self) -> impl Iterator<Item = (&'t str, Range<usize>)> {
        let items = self.0.and_then(|value| value.get_ref().as_array());
        items.into_iter().flatten().filter_map(|item| Some((item.get_ref().as_str()?, item.span())))
    }

    /// Returns the bytes of the file that hold it.
    pub(super) fn span(self) -> Range<usize> {
        self.0.map_or(0..0, Spanned::span)
    }
}
