//! The security token service: temporary keys for a role, to whoever shows a key of the account or a token of its
//! identity provider.
//!
//! What it issues is known to the API at once and until it ends. It has no limit that anybody here comes near.

use std::sync::Arc;

use serde_json::{Map, Value, json};

use super::{ApiError, Content, parameters::Parameters, respond};
use crate::fault::{self, Effect, Struck, Target};
use crate::http::{Answer, Head, Reply, Request, Service};
use crate::settings::StsSettings;
use crate::tc3;
use crate::text::rfc3339;
use crate::world::World;

const SERVICE: &str = "sts";
const VERSION: &str = "2018-08-13";

const ASSUME_ROLE: &str = "AssumeRole";
const ASSUME_ROLE_WITH_WEB_IDENTITY: &str = "AssumeRoleWithWebIdentity";

/// What the vendor takes when the call does not say, and the most that it grants.
const DEFAULT_DURATION_S: i64 = 7200;
const LONGEST_DURATION_S: i64 = 43_200;

/// Serves the token service.
pub(crate) struct Sts {
    pub(crate) world: Arc<World>,
}

impl Service for Sts {
    type Ticket = ();

    fn connected(&self) {
        self.world.connected(SERVICE);
    }

    fn cuts_before_reading(&self) -> bool {
        self.world.cuts_before_reading(&[Target::Sts])
    }

    fn head_read(&self, _: &Head) {}

    async fn answer(&self, request: Request, (): ()) -> Answer {
        let action = action(&request.head);
        self.world.called_sts(action);
        let effects = self.world.take_faults(Struck { on: Target::Sts, action, endpoint: SERVICE });
        fault::apply(&effects, Answer::now(self.reply(&request, action, &effects)))
    }

    fn unix_now(&self) -> i64 {
        self.world.cloud_now()
    }
}

impl Sts {
    fn reply(&self, request: &Request, action: &str, effects: &[Effect]) -> Reply {
        if request.head.path() != "/" || request.head.method() != "POST" {
            return Reply::html(404);
        }
        let credentials = self.call(request, action, effects);
        respond(&self.world, credentials.map(Content::Members))
    }

    fn call(&self, request: &Request, action: &str, effects: &[Effect]) -> Result<Map<String, Value>, ApiError> {
        let head = &request.head;
        let settings = self.world.settings().sts;
        let account = match action {
            ASSUME_ROLE => {
                let now = self.world.cloud_now();
                tc3::verify(head, &request.body, SERVICE, now, |id| self.world.key(id))?;
                settings.account.clone()
            }
            // Whoever has no key yet cannot sign, and says so.
            ASSUME_ROLE_WITH_WEB_IDENTITY if head.header("authorization") == Some("SKIP") => settings.account.clone(),
            ASSUME_ROLE_WITH_WEB_IDENTITY => {
                return Err(ApiError::new("AuthFailure.InvalidAuthorization", "The Authorization must be SKIP."));
            }
            other => return Err(ApiError::invalid_action(other)),
        };
        match head.header("x-tc-version") {
            Some(VERSION) => {}
            Some(other) => return Err(ApiError::no_such_version(other)),
            None => return Err(ApiError::missing_parameter("Version")),
        }
        if head.header("x-tc-region").is_none() {
            return Err(ApiError::missing_parameter("Region"));
        }
        if let Some(error) = fault::api_error(effects) {
            return Err(error);
        }
        let parameters = Parameters::parse(&request.body)?;
        let duration_s = check(&parameters, action, &settings)?;
        let key = self.world.issue(&account, duration_s.min(settings.most_s));
        let end = key.expires_at.unwrap_or_default();
        Ok(Map::from_iter([
            (
                "Credentials".into(),
                json!({"Token": key.token, "TmpSecretId": key.secret_id, "TmpSecretKey": key.secret_key}),
            ),
            ("ExpiredTime".into(), end.into()),
            ("Expiration".into(), rfc3339(end).into()),
        ]))
    }
}

/// The duration that was asked for, where everything else fits.
fn check(parameters: &Parameters, action: &str, settings: &StsSettings) -> Result<i64, ApiError> {
    if action == ASSUME_ROLE_WITH_WEB_IDENTITY {
        parameters.only(&["ProviderId", "WebIdentityToken", "RoleArn", "RoleSessionName", "DurationSeconds"])?;
        if parameters.needed_string("ProviderId")? != settings.provider_id {
            return Err(ApiError::new("InvalidParameter.OIDCProviderNotFound", "No such identity provider."));
        }
        if parameters.needed_string("WebIdentityToken")? != settings.web_identity_token {
            return Err(ApiError::new("InvalidParameter.WebIdentityTokenError", "The web identity token is invalid."));
        }
    } else {
        parameters.only(&["RoleArn", "RoleSessionName", "DurationSeconds"])?;
    }
    if parameters.needed_string("RoleArn")? != settings.role_arn {
        return Err(ApiError::new("ResourceNotFound.RoleNotFound", "The role does not exist."));
    }
    let session = parameters.needed_string("RoleSessionName")?;
    let fits = |byte: u8| byte.is_ascii_alphanumeric() || b"_+=,.@-".contains(&byte);
    if !(2..=128).contains(&session.len()) || !session.bytes().all(fits) {
        return Err(ApiError::invalid_value("RoleSessionName", "it must be 2 to 128 of [\\w+=,.@-]"));
    }
    let duration_s = match parameters.count("DurationSeconds")? {
        None => DEFAULT_DURATION_S,
        Some(seconds) => i64::try_from(seconds).unwrap_or(i64::MAX),
    };
    if !(1..=LONGEST_DURATION_S).contains(&duration_s) {
        return Err(ApiError::invalid_value("DurationSeconds", "it must be at most 43200"));
    }
    Ok(duration_s)
}

/// The action, for counters; names that nobody knows share one.
fn action(head: &Head) -> &'static str {
    match head.header("x-tc-action") {
        Some(ASSUME_ROLE) => ASSUME_ROLE,
        Some(ASSUME_ROLE_WITH_WEB_IDENTITY) => ASSUME_ROLE_WITH_WEB_IDENTITY,
        _ => "(unknown)",
    }
}
