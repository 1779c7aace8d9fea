//! What can go wrong with one call, and what that means for whoever made it.
//!
//! Pure rules: nothing here waits, counts or knows a status code of our own.

use std::{fmt, io, sync::Arc, time::Duration};

use super::breaker::CircuitOpen;

/// The longest part of the vendor's message that is kept, in characters.
const MESSAGE_LIMIT: usize = 400;

/// An error code of the vendor, for example `ResourceNotFound.InstanceNotExists`.
#[derive(Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct UpstreamCode(Arc<str>);

/// The vendor's id of one call, which its support asks for.
#[derive(Clone, PartialEq, Eq, Hash)]
pub struct UpstreamRequestId(Arc<str>);

/// What a refusal means to the caller of the gateway.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Class {
    /// A value in the request is wrong.
    InvalidRequest,
    /// There is no such instance.
    InstanceNotFound,
    /// There is no such backup.
    BackupNotFound,
    /// The instance cannot do this.
    UnsupportedByInstance,
    /// The backup or the instance is in the wrong state, for now.
    BackupNotReady,
    /// Too many calls at the upstream.
    RateLimited,
    /// The gateway's own credentials are refused.
    Denied,
    /// Anything else.
    Failed,
}

/// What is wrong with an answer that arrived whole.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, thiserror::Error)]
pub enum Defect {
    /// It is not JSON, or the JSON of another document.
    #[error("it is not an answer of the API")]
    NotAnAnswer,
    /// It is longer than any answer should be.
    #[error("it is too long")]
    TooLong,
    /// It lists no file.
    #[error("it lists no file")]
    NoFiles,
    /// One of its files has no URL, or its lists of public and inner URLs differ in length.
    #[error("a file without a URL")]
    MissingUrl,
    /// One of its URLs is not absolute `http(s)`, or holds a blank or a control character.
    #[error("a URL that must not be passed on")]
    UnusableUrl,
}

/// Why no connection came about.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Unreachable {
    /// The host's name has no address.
    #[error("its name has no address")]
    NoAddress,
    /// The operating system reports this.
    #[error("{0}")]
    Io(io::ErrorKind),
    /// The TLS handshake failed; what the TLS library says.
    #[error("TLS: {0}")]
    Tls(Arc<str>),
}

/// Why a call brought no result.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum CallError {
    /// The vendor's API answered with an error.
    #[error("the upstream refused the call: {code}")]
    Refused {
        /// What it means.
        class: Class,
        /// The vendor's code.
        code: UpstreamCode,
        /// The vendor's message, without control characters and of bounded length. Absent for [`Class::Denied`]: there
        /// it can name keys and accounts.
        message: Option<Arc<str>>,
        /// The vendor's id of the call.
        request_id: UpstreamRequestId,
    },
    /// Something answered that is not the API, with this status.
    #[error("the upstream answered with status {0}")]
    Status(u16),
    /// No connection came about.
    #[error("no connection to the upstream")]
    Connect(#[source] Unreachable),
    /// The connection broke before the answer was whole.
    #[error("the connection to the upstream broke")]
    Dropped,
    /// Connection or answer took too long.
    #[error("the upstream took too long")]
    Timeout,
    /// The answer cannot be used.
    #[error("the upstream's answer cannot be used: {0}")]
    Malformed(Defect),
    /// Nothing was called: the gateway's own keys have ended, and no others could be had.
    #[error("the gateway's cloud credentials have expired")]
    CredentialsExpired,
    /// Nothing was called: the endpoint failed so often that it is left alone for a moment.
    #[error(transparent)]
    CircuitOpen(#[from] CircuitOpen),
}

impl Class {
    /// All of them.
    const ALL: [Self; 8] = [
        Self::InvalidRequest,
        Self::InstanceNotFound,
        Self::BackupNotFound,
        Self::UnsupportedByInstance,
        Self::BackupNotReady,
        Self::RateLimited,
        Self::Denied,
        Self::Failed,
    ];

    fn as_str(self) -> &'static str {
        match self {
            Self::InvalidRequest => "invalid_request",
            Self::InstanceNotFound => "instance_not_found",
            Self::BackupNotFound => "backup_not_found",
            Self::UnsupportedByInstance => "unsupported_by_instance",
            Self::BackupNotReady => "backup_not_ready",
            Self::RateLimited => "rate_limited",
            Self::Denied => "denied",
            Self::Failed => "failed",
        }
    }
}

/// What a code means, by the contract's table of errors.
pub fn classify(code: &str) -> Class {
    let (family, _) = code.split_once('.').unwrap_or((code, ""));
    match (code, family) {
        ("InvalidParameterValue.BackupNotExists", _) => Class::BackupNotFound,
        ("InvalidParameter.PermissionDenied", _) => Class::Denied,
        (_, "AuthFailure" | "UnauthorizedOperation") => Class::Denied,
        (_, "ResourceNotFound") => Class::InstanceNotFound,
        (_, "UnsupportedOperation") => Class::UnsupportedByInstance,
        (_, "ResourceUnavailable") => Class::BackupNotReady,
        (_, "RequestLimitExceeded") => Class::RateLimited,
        (_, "MissingParameter") => Class::InvalidRequest,
        (_, family) if family.starts_with("InvalidParameter") => Class::InvalidRequest,
        _ => Class::Failed,
    }
}

impl CallError {
    /// A refusal with this code and message, as they came from the vendor.
    pub fn refused(code: &str, message: &str, request_id: &str) -> Self {
        let code = UpstreamCode::new(code);
        let class = classify(code.as_str());
        let message = (class != Class::Denied).then(|| readable(message)).filter(|message| !message.is_empty());
        Self::Refused { class, code, message, request_id: UpstreamRequestId::new(request_id) }
    }

    /// What the vendor's refusal means; `None` where no refusal came.
    pub fn class(&self) -> Option<Class> {
        match self {
            Self::Refused { class, .. } => Some(*class),
            _ => None,
        }
    }

    /// The vendor's id of the call, where it refused it.
    pub fn request_id(&self) -> Option<&UpstreamRequestId> {
        match self {
            Self::Refused { request_id, .. } => Some(request_id),
            _ => None,
        }
    }

    /// What went wrong, as a word of a closed set for metrics.
    pub fn kind(&self) -> &'static str {
        match self {
            Self::Refused { class, .. } => class.as_str(),
            Self::Status(_) => "status",
            Self::Connect(_) => "connect",
            Self::Dropped => "dropped",
            Self::Timeout => "timeout",
            Self::Malformed(_) => "malformed",
            Self::CredentialsExpired => "credentials_expired",
            Self::CircuitOpen(_) => "circuit_open",
        }
    }

    /// Every word of [`Self::kind`] for a call that was made.
    pub fn kinds_of_calls() -> impl Iterator<Item = &'static str> {
        let not_refused = ["status", "connect", "dropped", "timeout", "malformed"];
        Class::ALL.into_iter().map(Class::as_str).chain(not_refused)
    }

    /// Whether the upstream was not there, as against an answer that somebody will not like.
    pub fn is_outage(&self) -> bool {
        match self {
            Self::Connect(_) | Self::Dropped | Self::Timeout => true,
            Self::Status(status) => (500..=599).contains(status),
            Self::Refused { .. } | Self::Malformed(_) | Self::CredentialsExpired | Self::CircuitOpen(_) => false,
        }
    }

    /// Whether newer credentials may be all that the call lacked: it was refused as it is after a rotation, or not made
    /// because its key had ended. A permission that is missing is not among these.
    pub fn concerns_credentials(&self) -> bool {
        match self {
            Self::CredentialsExpired => true,
            Self::Refused { code, .. } => matches!(
                code.as_str(),
                "AuthFailure.TokenFailure" | "AuthFailure.SecretIdNotFound" | "AuthFailure.SignatureFailure"
            ),
            _ => false,
        }
    }

    /// Whether the same call may succeed if it is made again soon. Every call of this room is a read, so making it
    /// twice does no harm.
    ///
    /// - What broke on the way, and a server's own failure (5xx): yes.
    /// - An answer that is no answer of the API: yes, something on the way spoke for it; one that is, and lists a URL
    ///   that cannot be used: no, the next will list it too.
    /// - `InternalError*`, `ServiceUnavailable*`: yes by their meaning. `FailedOperation.SystemError`: yes, the vendor
    ///   describes it as internal and unrelated to the request. Other `FailedOperation*`: no, they name a cause.
    /// - `RequestLimitExceeded*`: yes, after a longer pause (the vendor's SDK leaves out `.IPLimitExceeded`; within the
    ///   few seconds of a deadline a second try costs a token and nothing else).
    /// - Everything that the caller or the operator has to mend: no.
    pub fn is_retryable(&self) -> bool {
        match self {
            Self::Connect(_) | Self::Dropped | Self::Timeout => true,
            Self::Status(status) => (500..=599).contains(status),
            Self::Malformed(defect) => *defect == Defect::NotAnAnswer,
            Self::Refused { class: Class::RateLimited, .. } => true,
            Self::Refused { class: Class::Failed, code, .. } => {
                let (family, _) = code.as_str().split_once('.').unwrap_or((code.as_str(), ""));
                matches!(family, "InternalError" | "ServiceUnavailable")
                    || code.as_str() == "FailedOperation.SystemError"
            }
            Self::Refused { .. } | Self::CredentialsExpired | Self::CircuitOpen(_) => false,
        }
    }

    /// The pause before the next attempt after `attempt` failed ones (0 for the first failure). `random` is uniform
    /// over all of its values.
    ///
    /// Full jitter over a bound that doubles from 100 ms to 1 s. For a refusal by rate the vendor counts by the second:
    /// the bound doubles from 1 s to 4 s, and at least half of it is waited.
    pub fn backoff(&self, attempt: u32, random: u64) -> Duration {
        let doubled = |base: u64, cap: u64| base.saturating_mul(1 << attempt.min(10)).min(cap);
        if self.class() == Some(Class::RateLimited) {
            let half = doubled(1_000_000, 4_000_000) / 2;
            return Duration::from_micros(half + fraction(half, random));
        }
        Duration::from_micros(fraction(doubled(100_000, 1_000_000), random))
    }
}

/// The part `random` / 2^64 of `whole`.
fn fraction(whole: u64, random: u64) -> u64 {
    u64::try_from((u128::from(whole) * u128::from(random)) >> 64).unwrap_or(whole)
}

/// The text as one line of bounded length.
fn readable(text: &str) -> Arc<str> {
    let line: String =
        text.chars().take(MESSAGE_LIMIT).map(|char| if char.is_control() { ' ' } else { char }).collect();
    line.trim().into()
}

impl UpstreamCode {
    /// The code as the vendor writes them, `[A-Za-z0-9._-]{1,128}`; anything else is `malformed`.
    pub fn new(text: &str) -> Self {
        Self(if is_token(text, b"._-") { text.into() } else { "malformed".into() })
    }

    /// The code as text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl UpstreamRequestId {
    /// The id, `[A-Za-z0-9._-]{1,128}`; `unknown` where there is none or it is something else.
    pub fn new(text: &str) -> Self {
        Self(if is_token(text, b"._-") { text.into() } else { "unknown".into() })
    }

    /// The id as text.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// The same, shared and not copied.
    pub fn shared(&self) -> Arc<str> {
        Arc::clone(&self.0)
    }
}

fn is_token(text: &str, beside: &[u8]) -> bool {
    (1..=128).contains(&text.len()) && text.bytes().all(|byte| byte.is_ascii_alphanumeric() || beside.contains(&byte))
}

impl fmt::Display for UpstreamCode {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl fmt::Debug for UpstreamCode {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "UpstreamCode({})", self.0)
    }
}

impl fmt::Display for UpstreamRequestId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl fmt::Debug for UpstreamRequestId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "UpstreamRequestId({})", self.0)
    }
}

#[cfg(test)]
mod tests;
