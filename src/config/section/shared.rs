//! `[shared]`.

use std::{num::NonZeroU32, time::Duration};

use crate::{
    config::field::{Field, Refused},
    domain::units::format_duration,
    store::{Address, ClientCertificate, Settings},
};

/// The keys that mean nothing without `shared.url`.
const REST: [&str; 8] = [
    "username",
    "password_file",
    "ca_file",
    "client_cert_file",
    "client_key_file",
    "encryption_key_file",
    "replicas",
    "timeout",
];

/// The keys that mean nothing without TLS.
const OF_TLS: [&str; 3] = ["ca_file", "client_cert_file", "client_key_file"];

/// Nothing where no store is named.
pub(super) fn read(section: &Field<'_>) -> Result<Option<Settings>, Refused> {
    let url = section.at("url");
    // `check-config --print` writes the defaults down, too.
    let written = |name: &&str| section.at(name).given().filter(|field| !field.says_the_default());
    let path = |name: &str| section.at(name).given().map(|file| file.path_to_file()).transpose();
    let address = url.clone().given().map(|field| {
        // Refused with the sentence of its own room, and not repeated: it may hold a password.
        Address::try_from(field.text()?).map_err(|error| field.refuse(error.to_string()))
    });
    let username = section.at("username");
    let user = username.clone().given().map(|field| field.parse(|text| is_user(text).then(|| text.to_owned())));
    let (password_file, ca_file) = (path("password_file"), path("ca_file"));
    let (cert_file, key_file) = (path("client_cert_file"), path("client_key_file"));
    let encryption_key_file = path("encryption_key_file");
    let replicas = section.at("replicas").number();
    let timeout = section.at("timeout").duration();

    let Some(address) = address else {
        // What is written down and not in force would be taken for a shared quota.
        return refuse_each(REST.iter().filter_map(written), "must stand beside shared.url").map_or(Ok(None), Err);
    };
    let address = address?;
    let mut refused = None;
    if !address.is_tls() {
        let fields = OF_TLS.iter().filter_map(written);
        refused = refuse_each(fields, "must stand beside a shared.url with rediss:// only");
    }
    let (user, password_file) = (user.transpose()?, password_file?);
    if user.is_some() && password_file.is_none() {
        refused = Some(section.at("password_file").refuse("must be set, to a path: shared.username is"));
    }
    let client_certificate = match (cert_file?, key_file?) {
        (Some(cert_file), Some(key_file)) => Some(ClientCertificate { cert_file, key_file }),
        (None, None) => None,
        (Some(_), None) => {
            return Err(section.at("client_key_file").refuse("must be set, to a path: shared.client_cert_file is"));
        }
        (None, Some(_)) => {
            return Err(section.at("client_cert_file").refuse("must be set, to a path: shared.client_key_file is"));
        }
    };
    if let Some(refused) = refused {
        return Err(refused);
    }
    Ok(Some(Settings {
        address,
        username: user,
        password_file,
        ca_file: ca_file?,
        client_certificate,
        encryption_key_file: encryption_key_file?,
        // The table's bounds begin at one.
        replicas: NonZeroU32::new(replicas?).unwrap_or(NonZeroU32::MIN),
        timeout: timeout?,
    }))
}

/// A request makes two or three trips. A store that hangs must not use up the time that there is to do without it.
pub(super) fn leave_time(shared: &Settings, request_timeout: Duration, section: &Field<'_>) {
    if shared.timeout.saturating_mul(4) > request_timeout {
        let whole = format_duration(request_timeout);
        section.at("timeout").refuse(format!("must be at most a quarter of server.request_timeout, {whole}"));
    }
}

/// Refuses all of them, for every mistake is told; nothing where there are none.
fn refuse_each<'a>(fields: impl Iterator<Item = Field<'a>>, message: &str) -> Option<Refused> {
    fields.fold(None, |_, field| Some(field.refuse(message)))
}

fn is_user(text: &str) -> bool {
    !text.is_empty() && text.chars().all(|char| !char.is_whitespace() && !char.is_control())
}
