//! The role of the server that the gateway runs on, from the server's metadata service.
//!
//! The vendor's own SDK waits for it without a limit; nothing here does.

use std::{future::Future, time::Duration};

use awc::http::StatusCode;
use secrecy::SecretString;
use serde::Deserialize;
use tokio::time::timeout;

use super::{Credentials, CredentialsError, Member, MetadataProblem, secret};
use crate::{
    domain::clock::checked_from_unix_seconds,
    outbound,
    tencent::{endpoint::Endpoint, error::CallError, request::not_sent},
};

/// The longest that one question may take, from the connection to the last byte.
const TIMEOUT: Duration = Duration::from_secs(2);

/// Where the name of the role is, and under it the key.
const ROLES: &str = "/latest/meta-data/cam/security-credentials/";

/// No key and no name is longer.
const LIMIT_BYTES: usize = 16 * 1024;

/// A server's metadata service.
pub(super) struct Metadata {
    endpoint: Endpoint,
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Key {
    code: Option<String>,
    #[serde(default, deserialize_with = "secret")]
    tmp_secret_id: Option<SecretString>,
    #[serde(default, deserialize_with = "secret")]
    tmp_secret_key: Option<SecretString>,
    #[serde(default, deserialize_with = "secret")]
    token: Option<SecretString>,
    expired_time: Option<u64>,
}

impl Metadata {
    pub(super) fn new(endpoint: Endpoint) -> Self {
        Self { endpoint }
    }

    /// The key of the server's role, and when it ends. Two questions: which role, and its key.
    pub(super) async fn fetch(&self, http: &awc::Client) -> Result<Credentials, CredentialsError> {
        let problem = |problem| CredentialsError::Metadata { endpoint: self.endpoint.clone(), problem };
        let role = in_time(self.get(http, "")).await.map_err(problem)?;
        let role = role_name(&role).ok_or(MetadataProblem::NoRole).map_err(problem)?;
        let answer = in_time(self.get(http, role)).await.map_err(problem)?;
        key(&answer).ok_or(MetadataProblem::Malformed).map_err(problem)
    }

    async fn get(&self, http: &awc::Client, role: &str) -> Result<bytes::Bytes, MetadataProblem> {
        let address = format!("{}{ROLES}{role}", self.endpoint);
        let mut response = http.get(address).send().await.map_err(|error| match not_sent(&error) {
            CallError::Timeout => MetadataProblem::Timeout,
            _ => MetadataProblem::Unreachable,
        })?;
        match response.status() {
            StatusCode::OK => {}
            StatusCode::NOT_FOUND => return Err(MetadataProblem::NoRole),
            other => return Err(MetadataProblem::Status(other.as_u16())),
        }
        outbound::read_body(&mut response, LIMIT_BYTES).await.map_err(|_| MetadataProblem::Malformed)
    }
}

async fn in_time<T>(asking: impl Future<Output = Result<T, MetadataProblem>>) -> Result<T, MetadataProblem> {
    timeout(TIMEOUT, asking).await.unwrap_or(Err(MetadataProblem::Timeout))
}

/// The first line, where it is a name: it becomes part of an address.
fn role_name(answer: &[u8]) -> Option<&str> {
    let name = str::from_utf8(answer).ok()?.lines().next()?.trim();
    let is_name = (1..=128).contains(&name.len())
        && name.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"_+=,.@-".contains(&byte))
        && name.bytes().any(|byte| byte != b'.');
    is_name.then_some(name)
}

fn key(answer: &[u8]) -> Option<Credentials> {
    let key: Key = serde_json::from_slice(answer).ok()?;
    key.code.filter(|code| code == "Success")?;
    let origin = |member: Member| member.in_file().to_owned();
    let credentials = Credentials::new(&key.tmp_secret_id?, &key.tmp_secret_key?, Some(&key.token?), origin).ok()?;
    Some(credentials.until(checked_from_unix_seconds(key.expired_time?)?))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        domain::clock::from_unix_seconds,
        outbound::{
            TlsRoots,
            test_peer::{Peer, Reply, ok, on_worker},
        },
    };

    const KEY: &str = r#"{"Code": "Success", "TmpSecretId": "AKIDtmp", "TmpSecretKey": "k", "Token": "t",
                          "ExpiredTime": 1551952863, "Expiration": "2019-03-07T10:01:03Z"}"#;

    fn fetched(replies: impl IntoIterator<Item = Reply>) -> (Result<Credentials, String>, Vec<String>) {
        on_worker(async {
            let peer = Peer::start(replies).await;
            let http = outbound::client(&TlsRoots::load(None).unwrap(), TIMEOUT, TIMEOUT);
            let metadata = Metadata::new(Endpoint::try_metadata(&peer.origin()).unwrap());

            let outcome = metadata.fetch(&http).await;

            let outcome = outcome.map_err(|error| error.to_string().replace(&peer.origin(), "ORIGIN"));
            let first_line = |bytes: Vec<u8>| String::from_utf8(bytes).unwrap().lines().next().unwrap().to_owned();
            (outcome, peer.requests().into_iter().map(first_line).collect())
        })
    }

    fn said(body: &str) -> Reply {
        Reply::Send(ok(body))
    }

    #[test]
    fn the_role_is_asked_for_and_then_its_key() {
        let (outcome, asked) = fetched([said("redis-backup-reader\n"), said(KEY)]);

        let credentials = outcome.unwrap();
        assert_eq!(credentials.exposed(), ("AKIDtmp", "k", Some("t")));
        assert_eq!(credentials.expires_at(), Some(from_unix_seconds(1_551_952_863)));
        assert_eq!(
            asked,
            [
                "GET /latest/meta-data/cam/security-credentials/ HTTP/1.1",
                "GET /latest/meta-data/cam/security-credentials/redis-backup-reader HTTP/1.1",
            ]
        );
    }

    #[test]
    fn whatever_is_no_key_is_told_in_words_that_repeat_nothing() {
        let head = |status: &str| Reply::Send(format!("HTTP/1.1 {status}\r\ncontent-length: 0\r\n\r\n").into_bytes());
        let told = |replies: Vec<Reply>| fetched(replies).0.unwrap_err();
        let no_role = "the metadata service at ORIGIN knows no role of this machine";
        let malformed = "the metadata service at ORIGIN answers with something that is no key";

        assert_eq!(told(vec![head("404 None")]), no_role);
        assert_eq!(told(vec![said("")]), no_role);
        assert_eq!(told(vec![said("../../user-data")]), no_role);
        assert_eq!(told(vec![said("..")]), no_role);
        assert_eq!(told(vec![head("500 Oops")]), "the metadata service at ORIGIN answers with status 500");
        assert_eq!(told(vec![Reply::Reset]), "the metadata service at ORIGIN cannot be reached");
        for key in [
            KEY.replace("Success", "Failed"),
            KEY.replace("\"k\"", "\"\""),
            KEY.replace("\"k\"", "5"),
            KEY.replace("1551952863", "null"),
            KEY.replace("1551952863", "18446744073709551615"),
            KEY.replace("1551952863", "9223372036854775807"),
            "<html>".to_owned(),
            " ".repeat(LIMIT_BYTES + 1),
        ] {
            assert_eq!(told(vec![said("role"), said(&key)]), malformed, "{key:.80}");
        }
    }

    #[test]
    fn a_service_that_is_silent_is_waited_for_in_bounded_time() {
        let (outcome, _) = fetched([Reply::Silence]);

        assert_eq!(outcome.unwrap_err(), "the metadata service at ORIGIN does not answer in time");
    }
}
