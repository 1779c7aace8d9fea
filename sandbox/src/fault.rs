//! What can be made to go wrong on request.

use std::time::Duration;

use serde::{Deserialize, Serialize};
use serde_json::json;

use crate::api_error::ApiError;
use crate::http::{Answer, Outcome, Pace, Reply};

/// One thing that goes wrong, where, and how many times.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Fault {
    /// Which part of the sandbox misbehaves.
    pub on: Target,
    /// Only for calls of this action (API and token service only).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub action: Option<String>,
    /// Only on the API endpoint of this name (API only).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub endpoint: Option<String>,
    /// How many requests it strikes; without it, all of them until the faults are cleared.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub times: Option<u32>,
    /// What happens to them.
    pub effect: Effect,
}

/// The parts of the sandbox that can misbehave.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Target {
    /// API 3.0.
    Api,
    /// `/.well-known/openid-configuration` of the issuer.
    Discovery,
    /// `/jwks` of the issuer.
    Jwks,
    /// The downloads.
    Storage,
    /// The metadata service.
    Metadata,
    /// The token service.
    Sts,
}

/// What happens to a request. Delays add up; of the rest, the first fault that strikes decides.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Effect {
    /// So many milliseconds pass before the answer.
    LatencyMs(u64),
    /// An API error in an HTTP 200, as the vendor sends them. Bad signatures and the limit still come first.
    Error {
        /// For example `InternalError.InternalError`.
        code: String,
        /// The text beside it.
        #[serde(default)]
        message: String,
    },
    /// An HTML page with this HTTP status.
    Status(u16),
    /// The connection is cut with the request unread; action and endpoint do not matter then.
    DropBeforeReading,
    /// The connection is closed after the request was read, without an answer.
    DropAfterReading,
    /// The connection is reset after the request was read.
    Reset,
    /// The connection closes after so many bytes of the body, short of what was announced.
    CutAfterBytes(usize),
    /// Nothing follows after so many bytes of the body.
    StallAfterBytes(usize),
    /// No answer ever.
    Hang,
    /// The body comes in small chunks.
    SlowBody {
        /// The size of a chunk.
        chunk_bytes: usize,
        /// The pause before each, in milliseconds.
        pause_ms: u64,
    },
    /// The body is cut to so many bytes, and announced so.
    TruncateBody(usize),
    /// The body is bytes that mean nothing.
    Garbage,
    /// The body is an HTML page, with status 200.
    Html,
    /// There is no body.
    EmptyBody,
    /// The body is this text.
    Body(String),
    /// The body is followed by so many blanks: still JSON, but large.
    PadBody(usize),
    /// The answer names this content type.
    ContentType(String),
    /// The answer is a redirect to this address.
    Redirect(String),
    /// The connection closes after the answer, without having said so.
    CloseAfterAnswer,
    /// The body is `{"keys":[]}`.
    EmptyKeySet,
    /// The discovery document names this issuer.
    Issuer(String),
}

impl Fault {
    /// A fault that strikes every request of a part.
    #[must_use]
    pub fn new(on: Target, effect: Effect) -> Self {
        Self { on, action: None, endpoint: None, times: None, effect }
    }

    /// A fault of the API.
    #[must_use]
    pub fn api(effect: Effect) -> Self {
        Self::new(Target::Api, effect)
    }

    /// An API error with a code of the vendor.
    #[must_use]
    pub fn api_error(code: &str) -> Self {
        Self::api(Effect::Error { code: code.into(), message: format!("{code}, as the sandbox was told") })
    }

    /// The same for calls of one action only.
    #[must_use]
    pub fn action(mut self, action: &str) -> Self {
        self.action = Some(action.into());
        self
    }

    /// The same on one endpoint only.
    #[must_use]
    pub fn endpoint(mut self, endpoint: &str) -> Self {
        self.endpoint = Some(endpoint.into());
        self
    }

    /// The same for the next so many requests only.
    #[must_use]
    pub fn times(mut self, times: u32) -> Self {
        self.times = Some(times);
        self
    }
}

/// What makes one request differ from another, as far as faults care.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Struck<'a> {
    pub(crate) on: Target,
    pub(crate) action: &'a str,
    pub(crate) endpoint: &'a str,
}

/// The faults in force, in the order in which they were asked for.
#[derive(Clone, Debug, Default)]
pub(crate) struct Faults(Vec<Fault>);

impl Faults {
    pub(crate) fn add(&mut self, fault: Fault) {
        if fault.times != Some(0) {
            self.0.push(fault);
        }
    }

    pub(crate) fn clear(&mut self) {
        self.0.clear();
    }

    pub(crate) fn all(&self) -> &[Fault] {
        &self.0
    }

    /// Takes what strikes this request: every delay, and the first other effect.
    pub(crate) fn take(&mut self, struck: Struck<'_>) -> Vec<Effect> {
        let mut effects = Vec::new();
        let mut decided = false;
        for fault in &mut self.0 {
            let is_delay = matches!(fault.effect, Effect::LatencyMs(_));
            if !fault.strikes(struck) || (decided && !is_delay) {
                continue;
            }
            decided |= !is_delay;
            fault.times = fault.times.map(|left| left - 1);
            effects.push(fault.effect.clone());
        }
        self.forget_spent();
        effects
    }

    /// Takes one cut of an unread request, where one is asked for.
    pub(crate) fn take_cut_before_reading(&mut self, on: &[Target]) -> bool {
        let cut = self.0.iter_mut().find(|fault| fault.effect == Effect::DropBeforeReading && on.contains(&fault.on));
        let Some(fault) = cut else { return false };
        fault.times = fault.times.map(|left| left - 1);
        self.forget_spent();
        true
    }

    fn forget_spent(&mut self) {
        self.0.retain(|fault| fault.times != Some(0));
    }
}

impl Fault {
    fn strikes(&self, struck: Struck<'_>) -> bool {
        self.on == struck.on
            && self.effect != Effect::DropBeforeReading
            && self.action.as_deref().is_none_or(|action| action == struck.action)
            && self.endpoint.as_deref().is_none_or(|endpoint| endpoint == struck.endpoint)
    }
}

/// Lets the effects loose on an answer.
pub(crate) fn apply(effects: &[Effect], mut answer: Answer) -> Answer {
    for effect in effects {
        if let Effect::LatencyMs(ms) = effect {
            answer.delay += Duration::from_millis(*ms);
            continue;
        }
        if let Outcome::Reply(reply) = answer.outcome {
            answer.outcome = spoil(effect, reply);
        }
    }
    answer
}

fn spoil(effect: &Effect, mut reply: Reply) -> Outcome {
    match effect {
        Effect::LatencyMs(_) => {}
        // The API itself answers with this where the call was good; elsewhere there are no such errors.
        Effect::Error { .. } => {}
        Effect::Status(status) => reply = Reply::html(*status),
        Effect::DropBeforeReading | Effect::DropAfterReading => return Outcome::Close,
        Effect::Reset => return Outcome::Reset,
        Effect::Hang => return Outcome::Hang,
        Effect::CutAfterBytes(count) => reply.pace = Pace::CutAfter(*count),
        Effect::StallAfterBytes(count) => reply.pace = Pace::StallAfter(*count),
        Effect::SlowBody { chunk_bytes, pause_ms } => {
            reply.pace = Pace::Slow { chunk_bytes: *chunk_bytes, pause: Duration::from_millis(*pause_ms) };
        }
        Effect::TruncateBody(count) => reply.body.truncate(*count),
        Effect::Garbage => reply.body = b"\x00\xff\xfe}{[\"\xc3\x28 not json, not even text".to_vec(),
        Effect::Html => reply = Reply::html(200),
        Effect::EmptyBody => reply.body.clear(),
        Effect::Body(text) => reply.body = text.clone().into_bytes(),
        Effect::PadBody(count) => reply.body.resize(reply.body.len().saturating_add(*count), b' '),
        Effect::ContentType(name) => reply = reply.with_header("Content-Type", name.clone()),
        Effect::Redirect(location) => reply = Reply::html(302).with_header("Location", location.clone()),
        Effect::CloseAfterAnswer => reply.pace = Pace::ThenClose,
        Effect::EmptyKeySet => reply.body = br#"{"keys":[]}"#.to_vec(),
        Effect::Issuer(issuer) => {
            reply = Reply::json(200, &json!({"issuer": issuer, "jwks_uri": format!("{issuer}/jwks")}));
        }
    }
    Outcome::Reply(reply)
}

/// The API error among the effects.
pub(crate) fn api_error(effects: &[Effect]) -> Option<ApiError> {
    effects.iter().find_map(|effect| match effect {
        Effect::Error { code, message } => Some(ApiError::new(code.clone(), message.clone())),
        _ => None,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    const CALL: Struck<'_> = Struck { on: Target::Api, action: "DescribeBackupUrl", endpoint: "ordinary" };

    #[test]
    fn a_fault_strikes_as_often_as_was_asked() {
        let mut faults = Faults::default();
        faults.add(Fault::api(Effect::Status(503)).times(2));

        let struck: Vec<_> = (0..3).map(|_| faults.take(CALL).len()).collect();

        assert_eq!(struck, [1, 1, 0]);
    }

    #[test]
    fn a_fault_of_one_action_or_endpoint_spares_the_others() {
        let mut faults = Faults::default();
        faults.add(Fault::api_error("InternalError.InternalError").action("DescribeInstances"));
        faults.add(Fault::api(Effect::Hang).endpoint("ap-shanghai-fsi"));

        assert_eq!(faults.take(CALL), []);
        assert_eq!(faults.take(Struck { action: "DescribeInstances", ..CALL }).len(), 1);
        assert_eq!(faults.take(Struck { endpoint: "ap-shanghai-fsi", ..CALL }), [Effect::Hang]);
    }

    #[test]
    fn delays_add_up_and_the_first_other_fault_decides() {
        let mut faults = Faults::default();
        for effect in [Effect::LatencyMs(100), Effect::Status(500), Effect::Garbage, Effect::LatencyMs(50)] {
            faults.add(Fault::api(effect));
        }

        let answer = apply(&faults.take(CALL), Answer::now(Reply::new(200, "application/json", "{}")));

        assert_eq!(answer.delay, Duration::from_millis(150));
        assert!(matches!(answer.outcome, Outcome::Reply(reply) if reply.status == 500));
    }

    #[test]
    fn a_fault_reads_as_the_control_port_writes_it() {
        let written = r#"{"on":"api","action":"DescribeBackupUrl","times":3,"effect":{"slow_body":{"chunk_bytes":8,"pause_ms":20}}}"#;

        let fault: Fault = serde_json::from_str(written).expect("reads");

        let expected = Fault::api(Effect::SlowBody { chunk_bytes: 8, pause_ms: 20 });
        assert_eq!(fault, expected.action("DescribeBackupUrl").times(3));
        assert_eq!(serde_json::to_string(&fault).expect("writes"), written);
    }
}
