//! Fingerprints of URLs: enough to find who was given a URL that leaked, useless to open anything.

use std::{fmt, sync::Arc};

use arc_swap::ArcSwapOption;

use super::key::{Key, KeyId};

/// The fingerprints of the URLs of one answer, rendered as a list in JSON. The empty list by default.
#[derive(Clone, Default, PartialEq, Eq)]
pub struct Fingerprints(Option<Arc<str>>);

/// Fingerprints that were made before, kept beside the URLs that they are of. Made anew when the key changes.
#[derive(Debug, Default)]
pub struct Remembered(ArcSwapOption<(KeyId, Fingerprints)>);

impl Fingerprints {
    /// The fingerprints of `urls` under `key`, in their order.
    pub(super) fn of<'a>(key: &Key, urls: impl IntoIterator<Item = &'a str>) -> Self {
        let mut list = String::from("[");
        for url in urls {
            list.push_str(if list.len() > 1 { ",\"" } else { "\"" });
            list.extend(key.fingerprint(url).map(char::from));
            list.push('"');
        }
        if list.len() == 1 {
            return Self::default();
        }
        list.push(']');
        Self(Some(list.into()))
    }

    /// Whether there are none: the answer carries no URL.
    pub fn is_empty(&self) -> bool {
        self.0.is_none()
    }

    /// The list in JSON.
    pub(super) fn as_json(&self) -> &str {
        self.0.as_deref().unwrap_or("[]")
    }
}

impl Remembered {
    /// What was made under `key`, or is made now.
    pub(super) fn get(&self, key: &Key, make: impl FnOnce() -> Fingerprints) -> Fingerprints {
        if let Some(made) = &*self.0.load()
            && made.0 == key.id()
        {
            return made.1.clone();
        }
        let made = make();
        self.0.store(Some(Arc::new((key.id(), made.clone()))));
        made
    }
}

impl fmt::Debug for Fingerprints {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_json())
    }
}

#[cfg(test)]
mod tests {
    use super::{super::key::testing::keys, *};

    #[test]
    fn urls_become_a_list_in_their_order_and_none_an_empty_one() {
        let keys = keys(7, &[]);
        let key = keys.current();
        let of = |urls: &[&str]| Fingerprints::of(key, urls.iter().copied()).as_json().to_owned();

        let both: Vec<String> = serde_json::from_str(&of(&["https://h/1", "https://h/2"])).unwrap();

        assert_eq!(of(&[]), "[]");
        assert_eq!(of(&["https://h/1"]), format!("[\"{}\"]", both[0]));
        assert_eq!(of(&["https://h/2"]), format!("[\"{}\"]", both[1]));
        assert_eq!(both[0].len(), 32);
    }

    #[test]
    fn they_are_made_once_for_each_key() {
        let (old, new) = (keys(7, &[]), keys(8, &[]));
        let remembered = Remembered::default();
        let made = std::cell::Cell::new(0);
        let get = |key: &Key| {
            remembered.get(key, || {
                made.set(made.get() + 1);
                Fingerprints::of(key, ["https://h/1"])
            })
        };

        let first = get(old.current());
        let second = get(old.current());
        let third = get(new.current());

        assert_eq!(first, second);
        assert_ne!(first, third);
        assert_eq!(made.get(), 2);
    }
}
