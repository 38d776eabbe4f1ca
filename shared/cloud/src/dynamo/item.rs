//! Items: attributes out of and into our types.

use std::collections::HashMap;

use aws_sdk_dynamodb::primitives::Blob;
use aws_sdk_dynamodb::types::AttributeValue;
use serde::Serialize;
use serde::de::DeserializeOwned;
use serde::de::value::StrDeserializer;
use spillway_core::time::Timestamp;
use spillway_service::port::StoreError;

use crate::secrets::random;

pub(crate) type Item = HashMap<String, AttributeValue>;

pub(crate) fn s(value: impl Into<String>) -> AttributeValue {
    AttributeValue::S(value.into())
}

pub(crate) fn n(value: impl ToString) -> AttributeValue {
    AttributeValue::N(value.to_string())
}

pub(crate) fn at(value: Timestamp) -> AttributeValue {
    n(value.as_millis())
}

pub(crate) fn b(value: impl Into<Vec<u8>>) -> AttributeValue {
    AttributeValue::B(Blob::new(value))
}

/// As JSON text, which people can read in a console.
pub(crate) fn json(value: &impl Serialize) -> AttributeValue {
    s(json_text(value))
}

pub(crate) fn json_text(value: &impl Serialize) -> String {
    serde_json::to_string(value).unwrap_or_default()
}

/// As text, of an enum whose variants are words.
pub(crate) fn word(value: &impl Serialize) -> AttributeValue {
    s(json_text(value).trim_matches('"'))
}

/// Reads an item's attributes; what is missing or of another type is a corrupt item.
pub(crate) struct Reader<'a> {
    pub(crate) item: &'a Item,
    /// The operation, for errors.
    pub(crate) what: &'static str,
}

impl Reader<'_> {
    pub(crate) fn corrupt(&self, detail: impl ToString) -> StoreError {
        StoreError::Corrupt { what: self.what, detail: detail.to_string() }
    }

    fn missing(&self, name: &str) -> StoreError {
        self.corrupt(format!("attribute `{name}` is missing or of another type"))
    }

    pub(crate) fn text(&self, name: &str) -> Result<&str, StoreError> {
        self.opt_text(name).ok_or_else(|| self.missing(name))
    }

    pub(crate) fn opt_text(&self, name: &str) -> Option<&str> {
        self.item.get(name)?.as_s().ok().map(String::as_str)
    }

    /// The members of a set; none where there is no set.
    pub(crate) fn members(&self, name: &str) -> Result<&[String], StoreError> {
        match self.item.get(name) {
            Some(value) => value.as_ss().map(Vec::as_slice).map_err(|_| self.missing(name)),
            None => Ok(&[]),
        }
    }

    pub(crate) fn number<N: std::str::FromStr>(&self, name: &str) -> Result<N, StoreError> {
        let value = self.item.get(name).and_then(|value| value.as_n().ok());
        value.and_then(|value| value.parse().ok()).ok_or_else(|| self.missing(name))
    }

    /// The same for an attribute that an item may lack.
    pub(crate) fn optional_number<N: std::str::FromStr>(
        &self,
        name: &str,
    ) -> Result<Option<N>, StoreError> {
        self.item.contains_key(name).then(|| self.number(name)).transpose()
    }

    pub(crate) fn at(&self, name: &str) -> Result<Timestamp, StoreError> {
        self.number(name).map(Timestamp::from_millis)
    }

    /// The instant, where there is one.
    pub(crate) fn opt_at(&self, name: &str) -> Result<Option<Timestamp>, StoreError> {
        Ok(self.optional_number(name)?.map(Timestamp::from_millis))
    }

    /// The word, of an enum whose variants are words, where there is one.
    pub(crate) fn optional_word<T: DeserializeOwned>(
        &self,
        name: &str,
    ) -> Result<Option<T>, StoreError> {
        let read = |word| {
            T::deserialize(StrDeserializer::<serde::de::value::Error>::new(word))
                .map_err(|error| self.corrupt(format!("attribute `{name}`: {error}")))
        };
        self.item.contains_key(name).then(|| self.text(name).and_then(read)).transpose()
    }

    pub(crate) fn bytes(&self, name: &str) -> Result<&[u8], StoreError> {
        let value = self.item.get(name).and_then(|value| value.as_b().ok());
        value.map(Blob::as_ref).ok_or_else(|| self.missing(name))
    }

    /// The same for an attribute that an item may lack.
    pub(crate) fn optional_bytes(&self, name: &str) -> Result<Option<&[u8]>, StoreError> {
        self.item.contains_key(name).then(|| self.bytes(name)).transpose()
    }

    /// The same for an attribute that an item may lack.
    pub(crate) fn optional_json<T: DeserializeOwned>(
        &self,
        name: &str,
    ) -> Result<Option<T>, StoreError> {
        self.item.contains_key(name).then(|| self.json(name)).transpose()
    }

    pub(crate) fn json<T: DeserializeOwned>(&self, name: &str) -> Result<T, StoreError> {
        // The error's own text may quote what is stored, and a person's name with it.
        let corrupt = |error: serde_json::Error| {
            let (kind, column) = (error.classify(), error.column());
            self.corrupt(format!("attribute `{name}` has a {kind:?} error at column {column}"))
        };
        serde_json::from_str(self.text(name)?).map_err(corrupt)
    }
}

/// The attribute that names the last conditional write of an item, where the item's other
/// attributes could be another write's too.
pub(super) const WRITTEN_BY: &str = "written_by";

/// Bytes that no other write draws. The SDK sends a write again when its answer was lost; the
/// second one is refused, and the item that is stored then has these bytes.
pub(super) fn writer(what: &'static str) -> Result<Vec<u8>, StoreError> {
    let bytes: [u8; 8] =
        random().map_err(|error| StoreError::unavailable(what, error.to_string()))?;
    Ok(bytes.to_vec())
}

/// Whether the stored item was last written by `writer`.
pub(super) fn is_by(item: &Item, writer: &[u8]) -> bool {
    let written_by = item.get(WRITTEN_BY).and_then(|value| value.as_b().ok());
    written_by.is_some_and(|bytes| bytes.as_ref() == writer)
}
