//! A request of the vendor's API 3.0 as it is sent, and its answer as it comes: what all of the vendor's services share.
//!
//! It decides nothing: not with which key, not how long to wait, not whether to try again.

use std::{io, time::SystemTime};

use actix_web::error::ParseError;
use awc::{
    ClientRequest, ClientResponse,
    error::{ConnectError, PayloadError, SendRequestError},
    http::header::{self, HeaderValue},
};
use bytes::Bytes;
use futures_util::Stream;
use secrecy::ExposeSecret;

use super::{
    credentials::Credentials,
    endpoint::Endpoint,
    error::{CallError, Defect, Unreachable},
    tc3::{Method, Payload, Request, Scope},
    wire,
};
use crate::{
    domain::Region,
    outbound::{self, BodyError},
};

/// What is sent is what is signed, to the byte.
const CONTENT_TYPE: &str = "application/json; charset=utf-8";

/// Tells the vendor who calls, where its own SDKs write their names.
pub(super) const REQUEST_CLIENT: &str = concat!("redis-backup-gateway_", env!("CARGO_PKG_VERSION"));

/// In place of a signature, for the one action that takes none: whoever calls it has no key yet.
const UNSIGNED: &str = "SKIP";

/// A call of one of the vendor's services.
#[derive(Clone, Copy)]
pub(super) struct ApiRequest<'a> {
    /// The service's name in signatures.
    pub(super) service: &'static str,
    /// The version of its API.
    pub(super) version: &'static str,
    /// What it is to do.
    pub(super) action: &'static str,
    /// In which region.
    pub(super) region: &'a Region,
    /// At which host.
    pub(super) endpoint: &'a Endpoint,
    /// The parameters, as JSON.
    pub(super) body: &'a [u8],
}

impl ApiRequest<'_> {
    /// The request without its body, signed for `now`: a signature made earlier could expire while a call waits.
    pub(super) fn signed(&self, http: &awc::Client, credentials: &Credentials, now: SystemTime) -> ClientRequest {
        let scope = Scope::at(now, self.service);
        let signed = Request {
            method: Method::Post,
            query: "",
            content_type: CONTENT_TYPE,
            host: self.endpoint.host_header(),
            action: None,
            payload: Payload::Signed(self.body),
        };
        let authorization = signed.authorization(credentials.secret_id(), credentials.secret_key(), &scope);
        let request = self.headed(http, &scope).insert_header((header::AUTHORIZATION, sensitive(&authorization)));
        match credentials.token() {
            Some(token) => request.insert_header(("x-tc-token", sensitive(token.expose_secret()))),
            None => request,
        }
    }

    /// The request without its body and without a signature.
    pub(super) fn unsigned(&self, http: &awc::Client, now: SystemTime) -> ClientRequest {
        self.headed(http, &Scope::at(now, self.service)).insert_header((header::AUTHORIZATION, UNSIGNED))
    }

    fn headed(&self, http: &awc::Client, scope: &Scope<'_>) -> ClientRequest {
        http.post(self.endpoint.uri())
            .insert_header((header::HOST, self.endpoint.host_header()))
            .insert_header((header::CONTENT_TYPE, CONTENT_TYPE))
            .insert_header(("x-tc-action", self.action))
            .insert_header(("x-tc-version", self.version))
            .insert_header(("x-tc-timestamp", scope.timestamp_s()))
            .insert_header(("x-tc-region", self.region.as_str()))
            .insert_header(("x-tc-language", "en-US"))
            .insert_header(("x-tc-requestclient", REQUEST_CLIENT))
    }
}

/// Reads an answer of at most `limit_bytes`; what it says in place of an answer is an error.
pub(super) async fn read_answer<S>(response: &mut ClientResponse<S>, limit_bytes: usize) -> Result<Bytes, CallError>
where
    S: Stream<Item = Result<Bytes, PayloadError>> + Unpin,
{
    let answer = outbound::read_body(response, limit_bytes).await;
    let status = response.status();
    if status != awc::http::StatusCode::OK {
        // The API writes its errors into a 200. Should it ever write one into another status, its code says more.
        let refusal = answer.ok().and_then(|answer| wire::refusal(&answer));
        return Err(refusal.unwrap_or(CallError::Status(status.as_u16())));
    }
    answer.map_err(|error| match error {
        BodyError::TooLong { .. } => CallError::Malformed(Defect::TooLong),
        BodyError::Broken => CallError::Dropped,
    })
}

/// A header's value that its `Debug` does not show.
fn sensitive(value: &str) -> HeaderValue {
    let mut value = HeaderValue::from_str(value).expect("credentials are printable ASCII");
    value.set_sensitive(true);
    value
}

/// What awc's error means. Its own text may name the host and more, and is not kept.
pub(super) fn not_sent(error: &SendRequestError) -> CallError {
    match error {
        SendRequestError::Timeout | SendRequestError::Connect(ConnectError::Timeout) => CallError::Timeout,
        // awc's words for a connection that closes before the answer's head.
        SendRequestError::Connect(ConnectError::Disconnected) => CallError::Dropped,
        SendRequestError::Connect(ConnectError::Io(error)) => CallError::Connect(unreachable(error)),
        SendRequestError::Connect(_) => CallError::Connect(Unreachable::NoAddress),
        SendRequestError::Response(ParseError::Io(_) | ParseError::Incomplete) => CallError::Dropped,
        SendRequestError::Response(_) => CallError::Malformed(Defect::NotAnAnswer),
        _ => CallError::Dropped,
    }
}

fn unreachable(error: &io::Error) -> Unreachable {
    match error.get_ref().and_then(|inner| inner.downcast_ref::<rustls::Error>()) {
        Some(error) => Unreachable::Tls(error.to_string().into()),
        None => Unreachable::Io(error.kind()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_value_that_is_sent_in_secret_does_not_show() {
        assert!(!format!("{:?}", sensitive("FAKEtoken")).contains("FAKE"));
    }
}
