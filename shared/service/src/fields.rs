//! The fields of a value as a file names them, for showing and comparing: they follow from the
//! type, so a new field is shown and compared as soon as it is declared.

use serde::de::value::Error;
use serde::de::{DeserializeOwned, Deserializer, Error as _, Visitor};
use serde::{Serialize, forward_to_deserialize_any};
use serde_json::Value;

/// One field of a value.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Field {
    /// Its name in a file.
    pub name: &'static str,
    /// Its value as a file says it. A list has an entry for each item; a field that a file would
    /// leave out has none.
    pub values: Vec<String>,
}

impl Field {
    /// Returns the values in one line, or `none`.
    pub fn text(&self) -> String {
        let has_gap = |value: &String| value.contains([' ', ',', '\n']);
        if self.values.is_empty() {
            "none".into()
        } else if self.values.iter().any(has_gap) {
            format!("«{}»", self.values.join("», «"))
        } else {
            self.values.join(", ")
        }
    }
}

/// Returns the fields of a struct in the order of its declaration.
pub fn of<T: Serialize + DeserializeOwned>(value: &T) -> Vec<Field> {
    let mut names: &[&str] = &[];
    // It is not read: what serde asks for tells the names.
    let _ = T::deserialize(Names(&mut names));
    let values = serde_json::to_value(value).unwrap_or_default();
    let shown = |name: &&'static str| Field { name, values: lines(values.get(name)) };
    names.iter().map(shown).collect()
}

fn lines(value: Option<&Value>) -> Vec<String> {
    match value {
        None | Some(Value::Null) => Vec::new(),
        Some(Value::Array(items)) => items.iter().map(line).collect(),
        Some(table @ Value::Object(_)) => {
            let mut lines = Vec::new();
            add_table("", table, &mut lines);
            lines
        }
        Some(one) => vec![line(one)],
    }
}

/// Adds a line for each value of a table and of what is in it, after the way to it.
fn add_table(way: &str, value: &Value, lines: &mut Vec<String>) {
    match value {
        Value::Object(table) => {
            for (name, value) in table {
                let way = if way.is_empty() { name.clone() } else { format!("{way}.{name}") };
                add_table(&way, value, lines);
            }
        }
        Value::Array(items) => {
            items.iter().for_each(|item| add_table(way, item, lines));
        }
        _ => lines.push(format!("{way}: {}", line(value))),
    }
}

fn line(value: &Value) -> String {
    value.as_str().map_or_else(|| value.to_string(), str::to_owned)
}

/// Notes the names of the fields that a type asks for.
struct Names<'n>(&'n mut &'static [&'static str]);

impl<'de> Deserializer<'de> for Names<'_> {
    type Error = Error;

    fn deserialize_struct<V: Visitor<'de>>(
        self,
        _: &'static str,
        fields: &'static [&'static str],
        _: V,
    ) -> Result<V::Value, Error> {
        *self.0 = fields;
        Err(Error::custom("there is nothing to read"))
    }

    fn deserialize_any<V: Visitor<'de>>(self, _: V) -> Result<V::Value, Error> {
        Err(Error::custom("it is not a struct"))
    }

    forward_to_deserialize_any! {
        bool i8 i16 i32 i64 i128 u8 u16 u32 u64 u128 f32 f64 char str string bytes byte_buf option
        unit unit_struct newtype_struct seq tuple tuple_struct map enum identifier ignored_any
    }
}

#[cfg(test)]
mod tests {
    use serde::Deserialize;
    use serde_json::json;

    use super::*;

    #[derive(Serialize, Deserialize)]
    #[serde(rename_all = "snake_case")]
    struct Thing {
        words: Vec<String>,
        texts: Vec<String>,
        #[serde(default, skip_serializing_if = "Vec::is_empty")]
        left_out: Vec<String>,
        #[serde(rename = "count")]
        number: u32,
        table: Value,
    }

    #[test]
    fn fields_are_named_as_in_a_file_and_in_the_order_of_their_declaration() {
        let words = ["guide", "guía"].map(str::to_owned).to_vec();
        let texts = ["Hi", "Hi you"].map(str::to_owned).to_vec();
        let table =
            json!({ "ask": { "tries": 2, "texts": ["a", "b"] }, "list": [{ "text": "c" }] });
        let thing = Thing { words, texts, left_out: Vec::new(), number: 7, table };
        let fields = of(&thing);
        let shown: Vec<_> = fields.iter().map(|field| (field.name, field.text())).collect();
        let expected = [
            ("words", "guide, guía"),
            ("texts", "«Hi», «Hi you»"),
            ("left_out", "none"),
            ("count", "7"),
            ("table", "«ask.texts: a», «ask.texts: b», «ask.tries: 2», «list.text: c»"),
        ];
        assert_eq!(shown, expected.map(|(name, text)| (name, text.to_owned())));
    }
}
