//! The vendor's errors: a code from its published lists, and a text for people.

use std::borrow::Cow;

/// An error in the vendor's form.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct ApiError {
    /// For example `ResourceNotFound.InstanceNotExists`.
    pub(crate) code: Cow<'static, str>,
    /// The text beside it.
    pub(crate) message: Cow<'static, str>,
}

impl ApiError {
    pub(crate) fn new(code: impl Into<Cow<'static, str>>, message: impl Into<Cow<'static, str>>) -> Self {
        Self { code: code.into(), message: message.into() }
    }

    pub(crate) fn missing_parameter(name: &str) -> Self {
        Self::new("MissingParameter", format!("The request is missing a required parameter `{name}`."))
    }

    pub(crate) fn invalid_type(name: &str) -> Self {
        Self::new("InvalidParameter", format!("The value type of parameter `{name}` is not valid."))
    }

    pub(crate) fn invalid_value(name: &str, why: &str) -> Self {
        Self::new("InvalidParameterValue", format!("The value of parameter `{name}` is not valid: {why}."))
    }

    pub(crate) fn unknown_parameter(name: &str) -> Self {
        Self::new("UnknownParameter", format!("The parameter `{name}` is not recognized."))
    }

    pub(crate) fn invalid_action(name: &str) -> Self {
        Self::new("InvalidAction", format!("The request action `{name}` is invalid."))
    }

    pub(crate) fn no_such_version(version: &str) -> Self {
        Self::new("NoSuchVersion", format!("The request action version `{version}` is invalid."))
    }

    /// The vendor's wording, in the language that was asked for; Chinese unless it was English.
    pub(crate) fn limit_exceeded(in_this_second: usize, limit: usize, language: &str) -> Self {
        let message = if language == "en-US" {
            format!(
                "Your current request times equals to `{in_this_second}` in a second, which exceeds the frequency limit \
                 `{limit}` for a second. Please reduce the frequency of calls."
            )
        } else {
            format!("您当前每秒请求 `{in_this_second}` 次，超过了每秒频率上限 `{limit}` 次，请稍后重试。")
        };
        Self::new("RequestLimitExceeded", message)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_limit_is_told_in_the_language_of_the_caller() {
        let english = ApiError::limit_exceeded(21, 20, "en-US").message;
        let chinese = ApiError::limit_exceeded(21, 20, "zh-CN").message;

        assert!(english.starts_with("Your current request times equals to `21` in a second, which exceeds"));
        assert!(chinese.contains("`21`") && chinese.contains("频率上限 `20`"));
    }
}
