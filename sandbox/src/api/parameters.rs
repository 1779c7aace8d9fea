//! The parameters of a call: the members of the JSON body, taken out one by one, typed.

use serde_json::{Map, Value};

use super::ApiError;

/// The members of the body.
#[derive(Debug)]
pub(super) struct Parameters(Map<String, Value>);

impl Parameters {
    /// Reads the body, which must be a JSON object.
    pub(super) fn parse(body: &[u8]) -> Result<Self, ApiError> {
        match serde_json::from_slice(body) {
            Ok(Value::Object(members)) => Ok(Self(members)),
            _ => Err(ApiError::new("InvalidParameter", "The request body is not a JSON object.")),
        }
    }

    /// Refuses members that the action does not have.
    pub(super) fn only(&self, known: &[&str]) -> Result<(), ApiError> {
        match self.0.keys().find(|name| !known.contains(&name.as_str())) {
            Some(unknown) => Err(ApiError::unknown_parameter(unknown)),
            None => Ok(()),
        }
    }

    /// A string, where there is one.
    pub(super) fn string(&self, name: &str) -> Result<Option<&str>, ApiError> {
        self.get(name).map(|value| value.as_str().ok_or_else(|| ApiError::invalid_type(name))).transpose()
    }

    /// A string that must be there, and not empty.
    pub(super) fn needed_string(&self, name: &str) -> Result<&str, ApiError> {
        match self.string(name)? {
            None => Err(ApiError::missing_parameter(name)),
            Some("") => Err(ApiError::invalid_value(name, "it is empty")),
            Some(value) => Ok(value),
        }
    }

    /// A number that counts something.
    pub(super) fn count(&self, name: &str) -> Result<Option<usize>, ApiError> {
        let count = |value: &Value| value.as_u64().and_then(|count| usize::try_from(count).ok());
        self.get(name).map(|value| count(value).ok_or_else(|| ApiError::invalid_type(name))).transpose()
    }

    /// A list of whole numbers.
    pub(super) fn integers(&self, name: &str) -> Result<Option<Vec<i64>>, ApiError> {
        self.list(name, Value::as_i64)
    }

    /// A list of strings.
    pub(super) fn strings(&self, name: &str) -> Result<Option<Vec<&str>>, ApiError> {
        self.list(name, Value::as_str)
    }

    /// Whether the member is there and a list of objects.
    pub(super) fn has_objects(&self, name: &str) -> Result<bool, ApiError> {
        Ok(self.list(name, Value::as_object)?.is_some_and(|list| !list.is_empty()))
    }

    /// `Limit` and `Offset`, which every listing has: `Limit` 1..=`most`, 20 by default, `Offset` a multiple of it.
    pub(super) fn page(&self, most: usize) -> Result<Page, ApiError> {
        let limit = self.count("Limit")?.unwrap_or(20);
        let offset = self.count("Offset")?.unwrap_or(0);
        if limit == 0 || limit > most {
            return Err(ApiError::invalid_value("Limit", &format!("it must be between 1 and {most}")));
        }
        if offset % limit != 0 {
            return Err(ApiError::invalid_value("Offset", "it must be a multiple of Limit"));
        }
        Ok(Page { limit, offset })
    }

    fn list<'a, T>(&'a self, name: &str, read: impl Fn(&'a Value) -> Option<T>) -> Result<Option<Vec<T>>, ApiError> {
        let Some(value) = self.get(name) else { return Ok(None) };
        let items = value.as_array().and_then(|items| items.iter().map(read).collect());
        items.map(Some).ok_or_else(|| ApiError::invalid_type(name))
    }

    /// `null` is as good as absent, as in the vendor's SDKs.
    fn get(&self, name: &str) -> Option<&Value> {
        self.0.get(name).filter(|value| !value.is_null())
    }
}

/// A part of a listing.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Page {
    limit: usize,
    offset: usize,
}

impl Page {
    /// The entries of this page.
    pub(super) fn of<'a, T>(&self, all: &'a [T]) -> impl Iterator<Item = &'a T> + use<'a, T> {
        all.iter().skip(self.offset).take(self.limit)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn page(body: &str) -> Result<Page, String> {
        let parameters = Parameters::parse(body.as_bytes()).expect("an object");
        parameters.page(100).map_err(|error| error.code.into_owned())
    }

    #[test]
    fn a_page_is_bounded_and_its_offset_a_multiple_of_its_limit() {
        let refused = || Err("InvalidParameterValue".to_owned());

        assert_eq!(page("{}"), Ok(Page { limit: 20, offset: 0 }));
        assert_eq!(page(r#"{"Limit":100,"Offset":300}"#), Ok(Page { limit: 100, offset: 300 }));
        assert_eq!(page(r#"{"Limit":101}"#), refused());
        assert_eq!(page(r#"{"Limit":0}"#), refused());
        assert_eq!(page(r#"{"Limit":20,"Offset":30}"#), refused());
        assert_eq!(page(r#"{"Limit":"20"}"#), Err("InvalidParameter".to_owned()));
    }

    #[test]
    fn members_that_the_action_does_not_have_are_named() {
        let parameters = Parameters::parse(br#"{"InstanceId":"a","Instance":"b"}"#).expect("an object");

        let error = parameters.only(&["InstanceId"]).expect_err("is refused");

        assert_eq!(error, ApiError::unknown_parameter("Instance"));
    }
}
