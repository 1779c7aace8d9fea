//! The control port: the handle over HTTP, JSON in and out. `sandbox/README.md` has a curl line for each route.

use std::sync::Arc;

use serde::Deserialize;
use serde::de::DeserializeOwned;
use serde_json::{Value, json};

use super::Control;
use crate::credential::Credential;
use crate::fault::Fault;
use crate::http::{Answer, Head, Reply, Request, Service};
use crate::issuer::OldKeys;
use crate::oidc::token_reply;
use crate::settings::Settings;
use crate::world::World;

/// Serves the control port.
pub(crate) struct ControlPort {
    world: Arc<World>,
    control: Control,
}

impl ControlPort {
    pub(crate) fn new(world: Arc<World>) -> Self {
        Self { control: Control::new(Arc::clone(&world)), world }
    }
}

impl Service for ControlPort {
    type Ticket = ();

    fn connected(&self) {
        self.world.connected("control");
    }

    fn cuts_before_reading(&self) -> bool {
        false
    }

    fn head_read(&self, _: &Head) {}

    async fn answer(&self, request: Request, (): ()) -> Answer {
        Answer::now(match self.route(&request).await {
            Ok(reply) => reply,
            Err(Refused { status, why }) => Reply::json(status, &json!({ "error": why })),
        })
    }

    fn unix_now(&self) -> i64 {
        self.world.unix_now()
    }
}

/// Why the control port does not do what was asked.
struct Refused {
    status: u16,
    why: String,
}

impl From<serde_json::Error> for Refused {
    fn from(error: serde_json::Error) -> Self {
        Self { status: 400, why: error.to_string() }
    }
}

/// One fault or several.
#[derive(Deserialize)]
#[serde(untagged)]
enum OneOrMore<T> {
    More(Vec<T>),
    One(T),
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Rotation {
    old: OldKeys,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct ClockTime {
    unix: i64,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct NewCredential {
    secret_id: String,
    secret_key: String,
    token: Option<String>,
    #[serde(default)]
    expires_at: Option<i64>,
    account: String,
}

impl ControlPort {
    async fn route(&self, request: &Request) -> Result<Reply, Refused> {
        let (control, body) = (&self.control, request.body.as_slice());
        match (request.head.method(), request.head.path()) {
            ("GET", "/") => Ok(Reply::json(200, &self.overview())),
            ("GET", "/settings") => Ok(shown(&control.settings())),
            ("PATCH", "/settings") => {
                let patch: Value = read(body)?;
                self.world.change_settings(|settings| change(settings, patch))?;
                Ok(shown(&control.settings()))
            }
            ("POST", "/clock") => {
                control.set_cloud_clock(read::<ClockTime>(body)?.unix);
                Ok(shown(&control.settings()))
            }
            ("GET", "/faults") => Ok(shown(&control.faults())),
            ("POST", "/faults") => {
                // One fault is read as such first, so that a mistake in it is named.
                let faults: Vec<Fault> = match read::<OneOrMore<Value>>(body)? {
                    OneOrMore::One(one) => vec![serde_json::from_value(one)?],
                    OneOrMore::More(more) => serde_json::from_value(more.into())?,
                };
                faults.into_iter().for_each(|fault| control.inject(fault));
                Ok(shown(&control.faults()))
            }
            ("DELETE", "/faults") => {
                control.clear_faults();
                Ok(done())
            }
            ("GET", "/counters") => Ok(shown(&control.counters())),
            ("DELETE", "/counters") => {
                control.reset_counters();
                Ok(done())
            }
            ("GET", "/arrivals") => Ok(shown(&control.arrivals())),
            ("GET", "/requests") => {
                let masked: Vec<_> = control.requests().into_iter().map(|request| request.masked()).collect();
                Ok(shown(&masked))
            }
            ("POST", "/keys/rotate") => self.rotate(read::<Rotation>(body)?.old).await,
            ("POST", "/token") => Ok(token_reply(&self.world, body).await),
            ("POST", "/credentials") => {
                let NewCredential { secret_id, secret_key, token, expires_at, account } = read(body)?;
                control.add_credential(Credential { secret_id, secret_key, token, expires_at, account });
                Ok(done())
            }
            ("DELETE", path) if path.starts_with("/credentials/") => {
                match control.remove_credential(path.trim_start_matches("/credentials/")) {
                    true => Ok(done()),
                    false => Err(Refused { status: 404, why: "no such key".into() }),
                }
            }
            ("POST", "/role/rotate") => Ok(shown(&json!({ "before": control.rotate_role_key() }))),
            ("POST", "/reset") => {
                control.reset();
                Ok(done())
            }
            (method, path) => Err(Refused { status: 404, why: format!("no route {method} {path}") }),
        }
    }

    /// Making keys takes long enough to disturb the arrival times of others, so another thread does it.
    async fn rotate(&self, old: OldKeys) -> Result<Reply, Refused> {
        let control = self.control.clone();
        match tokio::task::spawn_blocking(move || control.rotate_keys(old)).await {
            Ok(()) => Ok(done()),
            Err(_) => Err(Refused { status: 500, why: "the new keys could not be made".into() }),
        }
    }

    fn overview(&self) -> Value {
        let addresses = &self.world.addresses;
        let endpoints = addresses
            .endpoints
            .iter()
            .map(|endpoint| (endpoint.name.clone(), Value::from(format!("http://{}", endpoint.address))));
        let keys: Vec<_> = self
            .world
            .credentials()
            .into_iter()
            .map(|key| json!({"secret_id": key.secret_id, "account": key.account}))
            .collect();
        json!({
            "endpoints": serde_json::Map::from_iter(endpoints),
            "issuer": self.world.issuer.url(),
            "storage": format!("http://{}", addresses.storage),
            "metadata": format!("http://{}", addresses.metadata),
            "sts": format!("http://{}", addresses.sts),
            "control": format!("http://{}", addresses.control),
            "credentials": keys,
            "cloud_time": self.world.cloud_now(),
        })
    }
}

/// A merge patch (RFC 7396) on the settings: what is not named stays, what is unknown is refused.
fn change(settings: &mut Settings, patch: Value) -> Result<(), Refused> {
    let mut merged = serde_json::to_value(&*settings)?;
    merge(&mut merged, patch);
    *settings = serde_json::from_value(merged)?;
    Ok(())
}

fn merge(into: &mut Value, patch: Value) {
    match (into, patch) {
        (Value::Object(members), Value::Object(patch)) => {
            for (name, value) in patch {
                merge(members.entry(name).or_insert(Value::Null), value);
            }
        }
        (into, patch) => *into = patch,
    }
}

fn read<T: DeserializeOwned>(body: &[u8]) -> Result<T, Refused> {
    Ok(serde_json::from_slice(body)?)
}

fn shown(value: &impl serde::Serialize) -> Reply {
    match serde_json::to_value(value) {
        Ok(value) => Reply::json(200, &value),
        Err(error) => Reply::json(500, &json!({ "error": error.to_string() })),
    }
}

fn done() -> Reply {
    Reply::json(200, &json!({ "done": true }))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::settings::UrlForm;

    #[test]
    fn a_patch_changes_what_it_names_and_nothing_else() {
        let mut settings = Settings::default();

        let changed = change(&mut settings, json!({"latency_ms": 250, "urls": {"form": "parameters"}}));

        assert!(changed.is_ok());
        assert_eq!((settings.latency_ms, settings.urls.form), (250, UrlForm::Parameters));
        assert_eq!((settings.requests_per_second, settings.urls.lifetime_s), (20, 21_600));
    }

    #[test]
    fn a_patch_with_an_unknown_name_changes_nothing() {
        let mut settings = Settings::default();

        let changed = change(&mut settings, json!({"latency_ms": 250, "latencyms": 1}));

        assert!(changed.is_err());
        assert_eq!(settings, Settings::default());
    }
}
