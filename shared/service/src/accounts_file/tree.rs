//! A file as a tree of TOML values, each with its position: where a field of a campaign is, is
//! looked up by its name, so no type repeats the campaign's fields to keep their positions.

use std::ops::Range;

use serde::Deserialize;
use toml::Spanned;
use toml::de::{DeArray, DeTable, DeValue, Deserializer, Error};

/// All values of a file.
#[derive(Clone)]
pub(super) struct Tree<'a>(Spanned<DeTable<'a>>);

impl<'a> Tree<'a> {
    /// Parses a file.
    ///
    /// # Errors
    /// Fails if it is not TOML.
    pub(super) fn parse(text: &'a str) -> Result<Self, Error> {
        DeTable::parse(text).map(Self)
    }

    /// Reads the tree as a `T`.
    ///
    /// # Errors
    /// Fails at the first key or value that a `T` does not have.
    pub(super) fn read<T: Deserialize<'a>>(self) -> Result<T, Error> {
        T::deserialize(Deserializer::from(self.0))
    }

    /// Returns the table of a campaign, both counted from 0.
    pub(super) fn campaign(&self, account: usize, campaign: usize) -> Place<'_> {
        let accounts = Place(self.0.get_ref().get("account"));
        accounts.item(account).field("campaign").item(campaign)
    }

    /// Removes the messages of campaigns that `keep` refuses. Values of another type stay.
    pub(super) fn retain_messages(&mut self, keep: impl Fn(&str) -> bool) {
        let accounts = items_mut(self.0.get_mut().get_mut("account"));
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
