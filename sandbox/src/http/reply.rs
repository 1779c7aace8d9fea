//! What is sent back, and how badly.

use std::time::Duration;

/// What happens to a request that was read whole.
#[derive(Clone, Debug)]
pub(crate) struct Answer {
    /// How long nothing happens first.
    pub(crate) delay: Duration,
    /// What happens then.
    pub(crate) outcome: Outcome,
}

/// The end of a request.
#[derive(Clone, Debug)]
pub(crate) enum Outcome {
    /// An answer is sent.
    Reply(Reply),
    /// The connection is closed without a byte.
    Close,
    /// The connection is reset without a byte.
    Reset,
    /// Nothing is sent until the client goes away.
    Hang,
}

/// An HTTP answer. `Date`, `Content-Length` and `Connection` are added when it is sent.
#[derive(Clone, Debug)]
pub(crate) struct Reply {
    pub(crate) status: u16,
    pub(crate) headers: Vec<(&'static str, String)>,
    pub(crate) body: Vec<u8>,
    pub(crate) pace: Pace,
}

/// How the bytes of an answer leave.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Pace {
    /// At once; the connection stays open if the client wants so.
    Whole,
    /// At once; then the connection closes without having said so.
    ThenClose,
    /// In chunks of the body with a pause before each.
    Slow { chunk_bytes: usize, pause: Duration },
    /// The connection closes after so many bytes of the body.
    CutAfter(usize),
    /// Nothing follows after so many bytes of the body until the client goes away.
    StallAfter(usize),
}

impl Answer {
    /// An answer without delay.
    pub(crate) fn now(reply: Reply) -> Self {
        Self { delay: Duration::ZERO, outcome: Outcome::Reply(reply) }
    }
}

impl Reply {
    pub(crate) fn new(status: u16, content_type: &str, body: impl Into<Vec<u8>>) -> Self {
        Self { status, headers: vec![("Content-Type", content_type.to_owned())], body: body.into(), pace: Pace::Whole }
    }

    pub(crate) fn json(status: u16, body: &serde_json::Value) -> Self {
        Self::new(status, "application/json", body.to_string())
    }

    /// A page as a load balancer in front of the service would make it.
    pub(crate) fn html(status: u16) -> Self {
        let reason = reason(status);
        let page =
            format!("<html><head><title>{status} {reason}</title></head><body><h1>{reason}</h1></body></html>\n");
        Self::new(status, "text/html", page)
    }

    /// Replaces or adds a field.
    pub(crate) fn with_header(mut self, name: &'static str, value: impl Into<String>) -> Self {
        self.headers.retain(|(field, _)| !field.eq_ignore_ascii_case(name));
        self.headers.push((name, value.into()));
        self
    }
}

/// The reason phrase of the statuses in use here.
pub(crate) fn reason(status: u16) -> &'static str {
    match status {
        200 => "OK",
        204 => "No Content",
        301 => "Moved Permanently",
        302 => "Found",
        307 => "Temporary Redirect",
        400 => "Bad Request",
        403 => "Forbidden",
        404 => "Not Found",
        405 => "Method Not Allowed",
        411 => "Length Required",
        413 => "Content Too Large",
        429 => "Too Many Requests",
        431 => "Request Header Fields Too Large",
        500 => "Internal Server Error",
        502 => "Bad Gateway",
        503 => "Service Unavailable",
        504 => "Gateway Timeout",
        _ => "Status",
    }
}
