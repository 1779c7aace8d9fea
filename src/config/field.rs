//! The walker: goes from table to key to value, and notes what is wrong instead of stopping there.
//!
//! It reads one thing at a time; how keys depend on each other is the sections' business.

use std::{path::PathBuf, time::Duration};

use super::{
    keys::{self, Kind},
    problem::{Notes, Origin, Problem, join, quoted},
    raw::{Node, Table, Value, literal},
};
use crate::domain::units::{parse_duration, parse_size};

/// A value was not right, and the problem has been noted. Only [`Field::refuse`] makes one.
#[derive(Clone, Copy, Debug)]
pub(super) struct Refused(());

/// A place in the configuration, whether something is written there or not.
#[derive(Clone)]
pub(super) struct Field<'a> {
    /// For people: `auth.issuers[0].name`.
    path: String,
    /// In the list of keys: `auth.issuers[].name`.
    pattern: String,
    /// What the list of keys says of this place; nothing for a section, and for what stands inside a value.
    kind: Option<&'static Kind>,
    /// What would be right here, with its article.
    right: String,
    written: Option<&'a Node>,
    /// Where the table around it was written, to point at when a key is missing.
    around: Option<&'a Origin>,
    notes: &'a Notes,
}

impl<'a> Field<'a> {
    /// The place of a section in the document.
    pub(super) fn section(root: &'a Table, name: &str, notes: &'a Notes) -> Self {
        Self::new(name.to_owned(), name.to_owned(), root.get(name), None, notes)
    }

    fn new(
        path: String,
        pattern: String,
        written: Option<&'a Node>,
        around: Option<&'a Origin>,
        notes: &'a Notes,
    ) -> Self {
        let kind = keys::find(&pattern).map(|key| &key.kind);
        let right = kind.map_or_else(|| "a table".to_owned(), Kind::right);
        Self { path, pattern, kind, right, written, around, notes }
    }

    /// The place `name` in the table that this is.
    pub(super) fn at(&self, name: &str) -> Self {
        let written = match self.written.map(|node| &node.value) {
            Some(Value::Table(table)) => table.get(name),
            _ => None,
        };
        let around = self.written.map(|node| &node.origin).filter(|origin| **origin != Origin::Default);
        Self::new(join(&self.path, name), join(&self.pattern, name), written, around, self.notes)
    }

    /// A place inside the list or the free table that this is.
    fn inside(&self, path: String, written: &'a Node) -> Self {
        let right = self.kind.map_or("a text", Kind::right_inside).to_owned();
        let pattern = format!("{}[]", self.pattern);
        Self { path, pattern, kind: None, right, written: Some(written), around: None, notes: self.notes }
    }

    /// This place if something is written there.
    pub(super) fn given(self) -> Option<Self> {
        self.written.is_some().then_some(self)
    }

    /// Whether nobody wrote anything here, so that the built-in default stands.
    pub(super) fn is_default(&self) -> bool {
        self.written.is_some_and(|node| node.origin == Origin::Default)
    }

    /// Whether what stands here is what stands there without anybody's doing.
    pub(super) fn says_the_default(&self) -> bool {
        let default = keys::find(&self.pattern).and_then(keys::Key::default);
        self.written.zip(default).is_some_and(|(here, default)| literal(&here.value) == literal(&default.value))
    }

    /// The path for people.
    pub(super) fn path(&self) -> &str {
        &self.path
    }

    /// Notes what is wrong here. `message` says what would be right.
    pub(super) fn refuse(&self, message: impl Into<String>) -> Refused {
        let origin = self.written.map(|node| &node.origin).or(self.around);
        self.notes.add(Problem::new(Some(self.path.clone()), origin.cloned(), message.into()));
        Refused(())
    }

    fn refuse_value(&self, node: &Node) -> Refused {
        match (&node.value, self.kind) {
            (Value::Text(_), Some(Kind::Url(_))) => self.refuse(format!("must be {}", self.right)),
            _ => self.refuse(format!("must be {}, not {}", self.right, found(node))),
        }
    }

    fn node(&self) -> Result<&'a Node, Refused> {
        match self.written {
            Some(node) => Ok(node),
            None if self.notes.covers(&self.path) => Err(Refused(())),
            None => Err(self.refuse(format!("must be set, to {}", self.right))),
        }
    }

    /// A text, whatever is in it.
    pub(super) fn text(&self) -> Result<&'a str, Refused> {
        self.parse(Some)
    }

    /// The text if there is one, without a complaint if there is none.
    pub(super) fn written_text(&self) -> Option<&'a str> {
        match self.written.map(|node| &node.value) {
            Some(Value::Text(text)) => Some(text),
            _ => None,
        }
    }

    /// What `parse` makes of the text; where it makes nothing, the value is refused.
    pub(super) fn parse<T>(&self, parse: impl FnOnce(&'a str) -> Option<T>) -> Result<T, Refused> {
        let node = self.node()?;
        match &node.value {
            Value::Text(text) => parse(text).ok_or_else(|| self.refuse_value(node)),
            _ => Err(self.refuse_value(node)),
        }
    }

    /// A whole number within its bounds.
    pub(super) fn number<T: TryFrom<u64>>(&self) -> Result<T, Refused> {
        let node = self.node()?;
        let number = match (&node.value, self.kind) {
            (Value::Number(number), Some(Kind::Number(least, most))) => {
                u64::try_from(*number).ok().filter(|number| (least..=most).contains(&number))
            }
            _ => None,
        };
        number.and_then(|number| T::try_from(number).ok()).ok_or_else(|| self.refuse_value(node))
    }

    /// A duration within its bounds.
    pub(super) fn duration(&self) -> Result<Duration, Refused> {
        self.parse(|text| match (parse_duration(text), self.kind) {
            (Some(duration), Some(Kind::Duration(least, most))) => {
                (Duration::from_millis(*least)..=Duration::from_millis(*most)).contains(&duration).then_some(duration)
            }
            _ => None,
        })
    }

    /// A size in bytes within its bounds.
    pub(super) fn size(&self) -> Result<u64, Refused> {
        self.parse(|text| match (parse_size(text), self.kind) {
            (Some(size), Some(Kind::Size(least, most))) => (least..=most).contains(&&size).then_some(size),
            _ => None,
        })
    }

    /// A path, taken from the working directory where it is relative.
    pub(super) fn path_to_file(&self) -> Result<PathBuf, Refused> {
        self.parse(|text| (!text.is_empty() && !text.contains('\0')).then(|| PathBuf::from(text)))
    }

    /// The places of a list.
    pub(super) fn items(&self) -> Result<Vec<Self>, Refused> {
        let node = self.node()?;
        let Value::List(items) = &node.value else { return Err(self.refuse_value(node)) };
        Ok(items.iter().enumerate().map(|(index, item)| self.inside(format!("{}[{index}]", self.path), item)).collect())
    }

    /// The places of a list that must have one.
    pub(super) fn some_items(&self) -> Result<Vec<Self>, Refused> {
        let items = self.items()?;
        if items.is_empty() {
            return Err(self.refuse(format!("must not be empty; it is {}", self.right)));
        }
        Ok(items)
    }

    /// Refuses what is no table.
    pub(super) fn must_be_table(&self) -> Result<(), Refused> {
        let node = self.node()?;
        if !matches!(node.value, Value::Table(_)) {
            return Err(self.refuse_value(node));
        }
        Ok(())
    }

    /// The names and places of a table whose names are free.
    pub(super) fn entries(&self) -> Result<Vec<(&'a str, Self)>, Refused> {
        let node = self.node()?;
        let Value::Table(table) = &node.value else { return Err(self.refuse_value(node)) };
        Ok(table.iter().map(|(name, node)| (name.as_str(), self.inside(join(&self.path, name), node))).collect())
    }
}

/// Every value, or the refusal of one; all of them are looked at before that.
pub(super) fn all<T>(results: impl IntoIterator<Item = Result<T, Refused>>) -> Result<Vec<T>, Refused> {
    let results: Vec<_> = results.into_iter().collect();
    results.into_iter().collect()
}

/// Refuses every value that stands at an earlier place already.
pub(super) fn refuse_repeats(fields: &[Field<'_>]) {
    for (index, field) in fields.iter().enumerate() {
        let Some(text) = field.written_text() else { continue };
        if let Some(earlier) = fields[..index].iter().find(|earlier| earlier.written_text() == Some(text)) {
            field.refuse(format!("must be unique, and {} has the same value", earlier.path));
        }
    }
}

/// What was found, for people: a short value as it is, anything else by its kind.
pub(super) fn found(node: &Node) -> String {
    match &node.value {
        Value::Text(text) => quoted(text),
        Value::Number(number) => number.to_string(),
        Value::Other(name) => (*name).to_owned(),
        Value::List(_) => "a list".to_owned(),
        Value::Table(_) => "a table".to_owned(),
    }
}
