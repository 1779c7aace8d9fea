//! Credentials of the environment, by the names of the vendor's own tools.
//!
//! This is the one place beside the configuration that reads the environment.

use secrecy::{ExposeSecret, SecretString};

use super::{Credentials, CredentialsError, Member};

pub(super) const SECRET_ID: &str = "TENCENTCLOUD_SECRET_ID";
pub(super) const SECRET_KEY: &str = "TENCENTCLOUD_SECRET_KEY";
/// The vendor's SDK ignores it and its command line reads it; a temporary key is of no use without.
pub(super) const TOKEN: &str = "TENCENTCLOUD_TOKEN";

/// Where the profile of the vendor's tools is looked for first.
pub(super) const HOME: &str = "HOME";

/// The credentials that `variable` gives; `None` where it gives no id.
///
/// # Errors
/// Where there is an id and no key, or a value is not usable.
pub(super) fn read(
    variable: impl Fn(&'static str) -> Result<Option<SecretString>, CredentialsError>,
) -> Result<Option<Credentials>, CredentialsError> {
    let Some(secret_id) = variable(SECRET_ID)? else {
        return Ok(None);
    };
    let Some(secret_key) = variable(SECRET_KEY)? else {
        return Err(CredentialsError::Missing { looked_for: format!("{SECRET_ID} is set and {SECRET_KEY} is not") });
    };
    Credentials::new(&secret_id, &secret_key, variable(TOKEN)?.as_ref(), |member| name(member).to_owned()).map(Some)
}

/// What was looked for, where nothing was found.
pub(super) fn looked_for() -> String {
    format!("{SECRET_ID} and {SECRET_KEY} are not set")
}

/// The value of a variable of this process. One that is empty or blank counts as not set: that is how a template
/// leaves it out.
#[expect(clippy::disallowed_methods, reason = "this is the room where the environment's credentials are read")]
pub(super) fn variable(name: &'static str) -> Result<Option<SecretString>, CredentialsError> {
    match std::env::var(name) {
        Ok(value) => {
            let value = SecretString::from(value);
            Ok(Some(value).filter(|value| !value.expose_secret().trim().is_empty()))
        }
        Err(std::env::VarError::NotPresent) => Ok(None),
        Err(std::env::VarError::NotUnicode(_)) => {
            Err(CredentialsError::Invalid { what: name.to_owned(), problem: "is not text" })
        }
    }
}

fn name(member: Member) -> &'static str {
    match member {
        Member::SecretId => SECRET_ID,
        Member::SecretKey => SECRET_KEY,
        Member::Token => TOKEN,
    }
}
