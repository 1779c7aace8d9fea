//! JSON from strangers: every member name once, at every level.
//!
//! Two readers of `{"sub": "a", "sub": "b"}` may see two different subjects, so nobody here gets to see either.
//! Never lenient: what the grammar of RFC 8259 does not allow is an error, a second value after the first included.
//! What is read borrows its text, for a token has some thirty names and values, and few of them are kept.

use std::{borrow::Cow, collections::BTreeMap, fmt, str};

use serde::de::{Deserialize, Deserializer, Error as _, MapAccess, SeqAccess, Visitor};

/// The members of an object. Ordered by name, so that a repeated name is found in logarithmic time.
pub(super) type Object<'a> = BTreeMap<Cow<'a, str>, Json<'a>>;

/// A JSON value. Numbers are `f64`: those that tokens carry are seconds, exact in it for millions of years. Text is copied
/// only where it has escapes.
#[derive(Debug, PartialEq)]
pub(super) enum Json<'a> {
    Null,
    Bool(bool),
    Number(f64),
    String(Cow<'a, str>),
    Array(Vec<Json<'a>>),
    Object(Object<'a>),
}

/// Why bytes are not an object.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub(super) enum JsonError {
    /// Not UTF-8, not JSON, nested more than 127 levels deep, a number beyond `f64`, or not an object.
    #[error("not a JSON object")]
    Malformed,
    /// A member name stands twice in one object.
    #[error("a member name stands twice in one object")]
    Duplicate,
}

/// Reads one object and nothing after it.
pub(super) fn object(bytes: &[u8]) -> Result<Object<'_>, JsonError> {
    match serde_json::from_str(str::from_utf8(bytes).map_err(|_| JsonError::Malformed)?) {
        Ok(Json::Object(members)) => Ok(members),
        Ok(_) => Err(JsonError::Malformed),
        // The visitor takes a value of any type, so that the only thing wrong with the data, not the syntax, is a
        // repeated name.
        Err(error) if error.is_data() => Err(JsonError::Duplicate),
        Err(_) => Err(JsonError::Malformed),
    }
}

/// The name of a member.
#[derive(serde::Deserialize)]
struct Name<'a>(#[serde(borrow)] Cow<'a, str>);

impl<'de> Deserialize<'de> for Json<'de> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(AnyValue)
    }
}

struct AnyValue;

impl<'de> Visitor<'de> for AnyValue {
    type Value = Json<'de>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a JSON value")
    }

    fn visit_unit<E>(self) -> Result<Json<'de>, E> {
        Ok(Json::Null)
    }

    fn visit_bool<E>(self, value: bool) -> Result<Json<'de>, E> {
        Ok(Json::Bool(value))
    }

    fn visit_u64<E>(self, value: u64) -> Result<Json<'de>, E> {
        Ok(Json::Number(value as f64))
    }

    fn visit_i64<E>(self, value: i64) -> Result<Json<'de>, E> {
        Ok(Json::Number(value as f64))
    }

    fn visit_f64<E>(self, value: f64) -> Result<Json<'de>, E> {
        Ok(Json::Number(value))
    }

    fn visit_borrowed_str<E>(self, value: &'de str) -> Result<Json<'de>, E> {
        Ok(Json::String(Cow::Borrowed(value)))
    }

    fn visit_str<E>(self, value: &str) -> Result<Json<'de>, E> {
        Ok(Json::String(Cow::Owned(value.to_owned())))
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut elements: A) -> Result<Json<'de>, A::Error> {
        let mut array = Vec::new();
        while let Some(element) = elements.next_element()? {
            array.push(element);
        }
        Ok(Json::Array(array))
    }

    fn visit_map<A: MapAccess<'de>>(self, mut members: A) -> Result<Json<'de>, A::Error> {
        let mut object = Object::new();
        while let Some((Name(name), value)) = members.next_entry()? {
            if object.insert(name, value).is_some() {
                return Err(A::Error::custom("a member name stands twice"));
            }
        }
        Ok(Json::Object(object))
    }
}

#[cfg(test)]
mod tests {
    use proptest::{prelude::*, sample::Index};
    use serde_json::Value;

    use super::*;

    #[test]
    fn an_object_is_read_with_all_its_types() {
        let members = object(br#" {"a":[null,true,-1,2.5,18446744073709551615],"b":{"c":"\u0041"}} "#).unwrap();

        assert_eq!(
            members["a"],
            Json::Array(vec![
                Json::Null,
                Json::Bool(true),
                Json::Number(-1.0),
                Json::Number(2.5),
                Json::Number(18_446_744_073_709_551_615.0)
            ])
        );
        assert_eq!(members["b"], Json::Object([("c".into(), Json::String("A".into()))].into()));
    }

    #[test]
    fn a_name_that_stands_twice_is_found_at_every_level_and_behind_escapes() {
        for text in [
            r#"{"a":1,"a":1}"#,
            r#"{"a":1,"\u0061":2}"#,
            r#"{"x":{"a":1,"b":2,"a":3}}"#,
            r#"{"x":[{"y":[{"":0,"":1}]}]}"#,
        ] {
            assert_eq!(object(text.as_bytes()), Err(JsonError::Duplicate), "{text}");
        }
    }

    #[test]
    fn what_is_not_one_object_is_refused() {
        let deep = format!("{{\"a\":{}{}}}", "[".repeat(200), "]".repeat(200));
        for text in [
            "",
            "null",
            "[]",
            "\"a\"",
            "{}{}",
            "{} x",
            "{'a':1}",
            "{\"a\":1,}",
            "{\"a\":01}",
            "{\"a\":1e999}",
            "{\"a\":NaN}",
            "{\"a\":\"\\ud800\"}",
            "{\"a\":\"\n\"}",
            "\u{feff}{}",
            &deep,
        ] {
            assert_eq!(object(text.as_bytes()), Err(JsonError::Malformed), "{text}");
        }
        assert_eq!(object(b"{\"a\":\"\xff\"}"), Err(JsonError::Malformed));
    }

    /// A value as it is written: an object may have a name twice.
    #[derive(Clone, Debug)]
    enum Written {
        Leaf(Value),
        Array(Vec<Written>),
        Object(Vec<(String, Written)>),
    }

    /// Few names, so that some come twice, of one to four bytes and of what has to be escaped.
    const TEXT: &str = "[a\u{0}\u{e9}\u{20ac}\u{1f600}\"\\\\/]{0,3}";

    fn written() -> impl Strategy<Value = Written> {
        let leaf = prop_oneof![
            Just(Value::Null),
            any::<bool>().prop_map(Value::from),
            any::<u64>().prop_map(Value::from),
            any::<i64>().prop_map(Value::from),
            any::<f64>().prop_map(Value::from),
            TEXT.prop_map(Value::from),
        ];
        leaf.prop_map(Written::Leaf).prop_recursive(4, 40, 6, |inner| {
            prop_oneof![
                prop::collection::vec(inner.clone(), 0..6).prop_map(Written::Array),
                prop::collection::vec((TEXT, inner), 0..6).prop_map(Written::Object),
            ]
        })
    }

    impl Written {
        /// Its text, in which every other character of a name is escaped that need not be.
        fn text(&self, characters: &mut usize) -> String {
            match self {
                Self::Leaf(value) => value.to_string(),
                Self::Array(elements) => {
                    let elements: Vec<_> = elements.iter().map(|element| element.text(characters)).collect();
                    format!("[{}]", elements.join(" ,"))
                }
                Self::Object(members) => {
                    let members: Vec<_> = members
                        .iter()
                        .map(|(name, value)| format!("{}: {}", quoted(name, characters), value.text(characters)))
                        .collect();
                    format!("{{{}}}", members.join(", "))
                }
            }
        }

        /// Whether a name stands twice in one object.
        fn has_double(&self) -> bool {
            match self {
                Self::Leaf(_) => false,
                Self::Array(elements) => elements.iter().any(Self::has_double),
                Self::Object(members) => {
                    let is_double =
                        |(at, (name, _)): (usize, &(String, _))| members[..at].iter().any(|(n, _)| n == name);
                    members.iter().enumerate().any(is_double) || members.iter().any(|(_, value)| value.has_double())
                }
            }
        }
    }

    fn quoted(text: &str, characters: &mut usize) -> String {
        let quote = |character: char| {
            *characters += 1;
            if characters.is_multiple_of(2) && character >= ' ' && !"\"\\".contains(character) {
                return character.to_string();
            }
            character.encode_utf16(&mut [0; 2]).iter().map(|unit| format!("\\u{unit:04x}")).collect()
        };
        format!("\"{}\"", text.chars().map(quote).collect::<String>())
    }

    /// The same value as `serde_json` has it.
    fn plain(value: &Json<'_>) -> Value {
        match value {
            Json::Null => Value::Null,
            Json::Bool(value) => Value::from(*value),
            Json::Number(value) => Value::from(*value),
            Json::String(text) => Value::from(text.as_ref()),
            Json::Array(elements) => elements.iter().map(plain).collect(),
            Json::Object(members) => members.iter().map(|(name, value)| (name.as_ref(), plain(value))).collect(),
        }
    }

    /// Numbers as `f64`.
    fn as_floats(value: &mut Value) {
        match value {
            Value::Number(number) => *value = Value::from(number.as_f64()),
            Value::Array(elements) => elements.iter_mut().for_each(as_floats),
            Value::Object(members) => members.values_mut().for_each(as_floats),
            Value::Null | Value::Bool(_) | Value::String(_) => {}
        }
    }

    proptest! {
        #[test]
        fn what_is_read_is_what_serde_json_reads_unless_a_name_stands_twice(
            members in prop::collection::vec((TEXT, written()), 0..6),
        ) {
            let written = Written::Object(members);
            let text = written.text(&mut 0);
            let mut expected: Value = serde_json::from_str(&text).unwrap();
            as_floats(&mut expected);

            match object(text.as_bytes()) {
                Ok(members) => {
                    prop_assert!(!written.has_double(), "{}", text);
                    prop_assert_eq!(plain(&Json::Object(members)), expected);
                }
                Err(error) => prop_assert!(error == JsonError::Duplicate && written.has_double(), "{}: {}", error, text),
            }
        }

        #[test]
        fn what_serde_json_takes_for_no_object_is_none(
            written in written(), at in any::<Index>(), byte in any::<u8>(), is_longer in any::<bool>(),
        ) {
            let mut bytes = written.text(&mut 0).into_bytes();
            let at = at.index(bytes.len());
            bytes.splice(at..at + usize::from(!is_longer), [byte]);

            let is_object = serde_json::from_slice::<Value>(&bytes).is_ok_and(|value| value.is_object());
            let read = object(&bytes);

            prop_assert!(is_object || read.is_err());
            prop_assert!(!is_object || read != Err(JsonError::Malformed));
        }
    }
}
