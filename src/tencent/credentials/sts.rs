//! The vendor's token service: temporary keys for a role.
//!
//! One attempt a call, in bounded time; when to ask again is the schedule's business.

use std::{sync::Arc, time::Duration};

use awc::ClientRequest;
use secrecy::{ExposeSecret, SecretString};
use serde::{Deserialize, Serialize};
use tokio::time::timeout;

use super::{Credentials, CredentialsError, Member, RoleArn, secret};
use crate::{
    domain::{Clock, Region, clock::checked_from_unix_seconds},
    tencent::{
        endpoint::Endpoint,
        error::{CallError, Defect},
        request::{ApiRequest, not_sent, read_answer},
        wire,
    },
};

/// The longest that a call may take, from the connection to the last byte.
const TIMEOUT: Duration = Duration::from_secs(2);

const SERVICE: &str = "sts";
const VERSION: &str = "2018-08-13";
const ASSUME_ROLE: &str = "AssumeRole";
const ASSUME_ROLE_WITH_WEB_IDENTITY: &str = "AssumeRoleWithWebIdentity";

/// Names us in the account's own audit.
const SESSION_NAME: &str = "redis-backup-gateway";

/// What the vendor's SDKs ask for.
const DURATION_S: u32 = 7200;

/// The service answers alike everywhere; this is the region that the vendor's SDKs name.
const REGION: &str = "ap-guangzhou";

const LIMIT_BYTES: usize = 64 * 1024;

/// The token service.
#[derive(Clone)]
pub(super) struct Sts {
    pub(super) endpoint: Endpoint,
    pub(super) clock: Clock,
}

/// What a cluster says of a pod.
pub(super) struct WebIdentity<'a> {
    pub(super) region: &'a Region,
    pub(super) provider_id: &'a Arc<str>,
    pub(super) token: &'a SecretString,
}

#[derive(Serialize)]
#[serde(rename_all = "PascalCase")]
struct Ask<'a> {
    #[serde(skip_serializing_if = "Option::is_none")]
    provider_id: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    web_identity_token: Option<&'a str>,
    role_arn: &'a str,
    role_session_name: &'static str,
    duration_seconds: u32,
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Assumed {
    credentials: Key,
    expired_time: u64,
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Key {
    #[serde(deserialize_with = "secret")]
    tmp_secret_id: Option<SecretString>,
    #[serde(deserialize_with = "secret")]
    tmp_secret_key: Option<SecretString>,
    #[serde(deserialize_with = "secret")]
    token: Option<SecretString>,
}

impl Sts {
    /// The keys of `role`, for whoever holds `base`.
    pub(super) async fn assume(
        &self,
        http: &awc::Client,
        role: &RoleArn,
        base: &Credentials,
    ) -> Result<Credentials, CredentialsError> {
        let body = encode(&Ask { provider_id: None, web_identity_token: None, ..ask(role) });
        let region = Region::try_from(REGION).expect("it is the vendor's oldest region");
        let request = self.request(ASSUME_ROLE, &region, &body).signed(http, base, self.clock.wall());
        self.call(ASSUME_ROLE, request, body).await
    }

    /// The keys of `role`, for whoever has been given an identity. Nothing is signed: there is no key yet.
    pub(super) async fn assume_with(
        &self,
        http: &awc::Client,
        role: &RoleArn,
        identity: &WebIdentity<'_>,
    ) -> Result<Credentials, CredentialsError> {
        let body = encode(&Ask {
            provider_id: Some(identity.provider_id),
            web_identity_token: Some(identity.token.expose_secret()),
            ..ask(role)
        });
        let request = self.request(ASSUME_ROLE_WITH_WEB_IDENTITY, identity.region, &body);
        let request = request.unsigned(http, self.clock.wall());
        self.call(ASSUME_ROLE_WITH_WEB_IDENTITY, request, body).await
    }

    fn request<'a>(&'a self, action: &'static str, region: &'a Region, body: &'a [u8]) -> ApiRequest<'a> {
        ApiRequest { service: SERVICE, version: VERSION, action, region, endpoint: &self.endpoint, body }
    }

    async fn call(
        &self,
        action: &'static str,
        request: ClientRequest,
        body: Vec<u8>,
    ) -> Result<Credentials, CredentialsError> {
        let exchange = async {
            let mut response = request.send_body(body).await.map_err(|error| not_sent(&error))?;
            let answer = read_answer(&mut response, LIMIT_BYTES).await?;
            let (assumed, _) = wire::open::<Assumed>(&answer)?;
            credentials(assumed).ok_or(CallError::Malformed(Defect::NotAnAnswer))
        };
        let outcome = timeout(TIMEOUT, exchange).await.unwrap_or(Err(CallError::Timeout));
        outcome.map_err(|error| CredentialsError::Sts { action, error })
    }
}

fn ask(role: &RoleArn) -> Ask<'_> {
    Ask {
        provider_id: None,
        web_identity_token: None,
        role_arn: role.as_str(),
        role_session_name: SESSION_NAME,
        duration_seconds: DURATION_S,
    }
}

fn encode(ask: &Ask<'_>) -> Vec<u8> {
    serde_json::to_vec(ask).expect("a struct of texts and a number has a JSON form")
}

fn credentials(Assumed { credentials: key, expired_time }: Assumed) -> Option<Credentials> {
    let origin = |member: Member| member.in_file().to_owned();
    let credentials = Credentials::new(&key.tmp_secret_id?, &key.tmp_secret_key?, Some(&key.token?), origin).ok()?;
    Some(credentials.until(checked_from_unix_seconds(expired_time)?))
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::{
        domain::clock::from_unix_seconds,
        outbound::{
            self, TlsRoots,
            test_peer::{Peer, Reply, ok, on_worker},
        },
    };

    fn role() -> RoleArn {
        RoleArn::try_from("qcs::cam::uin/1:roleName/reader").unwrap()
    }

    fn base() -> Credentials {
        let secret = |text: &str| SecretString::from(text);
        Credentials::new(&secret("AKIDbase"), &secret("base-key"), None, |_| String::new()).unwrap()
    }

    fn assumed(response: &serde_json::Value) -> (Result<Credentials, CredentialsError>, String) {
        on_worker(async {
            let peer = Peer::start([Reply::Send(ok(&json!({ "Response": response }).to_string()))]).await;
            let endpoint = Endpoint::try_from(peer.origin().as_str()).unwrap();
            let sts = Sts { endpoint, clock: Clock::manual(from_unix_seconds(1_551_952_863)) };
            let http = outbound::client(&TlsRoots::load(None).unwrap(), TIMEOUT, TIMEOUT);

            let outcome = sts.assume(&http, &role(), &base()).await;

            (outcome, String::from_utf8(peer.requests().remove(0)).unwrap())
        })
    }

    #[test]
    fn a_role_is_assumed_by_a_signed_call_and_its_key_ends() {
        let (outcome, request) = assumed(&json!({
            "Credentials": {"Token": "t", "TmpSecretId": "AKIDtmp", "TmpSecretKey": "k"},
            "ExpiredTime": 1_551_960_063, "Expiration": "2019-03-07T12:01:03Z", "RequestId": "id"}));

        let credentials = outcome.unwrap();
        assert_eq!(credentials.exposed(), ("AKIDtmp", "k", Some("t")));
        assert_eq!(credentials.expires_at(), Some(from_unix_seconds(1_551_960_063)));
        for part in [
            "x-tc-action: AssumeRole\r\n",
            "x-tc-version: 2018-08-13\r\n",
            "x-tc-region: ap-guangzhou\r\n",
            "Credential=AKIDbase/2019-03-07/sts/tc3_request, SignedHeaders=content-type;host",
            r#"{"RoleArn":"qcs::cam::uin/1:roleName/reader","RoleSessionName":"redis-backup-gateway","DurationSeconds":7200}"#,
        ] {
            assert!(request.contains(part), "{part} is not in {request}");
        }
    }

    #[test]
    fn a_refusal_is_told_by_its_code_and_repeats_no_name() {
        let error = json!({"Code": "AuthFailure.UnauthorizedOperation", "Message": "uin 100000000001 may not"});

        let (outcome, _) = assumed(&json!({"Error": error, "RequestId": "id"}));

        let told = outcome.unwrap_err().to_string();
        assert_eq!(
            told,
            "AssumeRole at the token service failed: the upstream refused the call: AuthFailure.UnauthorizedOperation"
        );
    }

    #[test]
    fn an_answer_without_a_key_is_none() {
        for response in [
            json!({"Credentials": {"Token": "t", "TmpSecretId": "x", "TmpSecretKey": ""}, "ExpiredTime": 1}),
            json!({"Credentials": {"Token": "t", "TmpSecretId": "x", "TmpSecretKey": "k"}}),
            json!({"Credentials": null, "ExpiredTime": 1}),
            json!({"Credentials": {"Token": "t", "TmpSecretId": "x", "TmpSecretKey": "k"}, "ExpiredTime": u64::MAX}),
        ] {
            let (outcome, _) = assumed(&response);

            let malformed = CallError::Malformed(Defect::NotAnAnswer);
            assert_eq!(outcome.unwrap_err(), CredentialsError::Sts { action: "AssumeRole", error: malformed });
        }
    }
}
