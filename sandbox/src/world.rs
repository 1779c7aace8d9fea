//! What all listeners share: the settings, the faults, the counters, the keys, the clock.
//!
//! One lock guards what changes; it is held for a few assignments at a time and never over an await.

use std::collections::VecDeque;
use std::net::SocketAddr;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::clock::Clock;
use crate::counters::{Arrival, BucketName, Counters, Ledger, count};
use crate::credential::Credential;
use crate::estate::Estate;
use crate::fault::{Effect, Fault, Faults, Struck, Target};
use crate::issuer::Issuer;
use crate::settings::Settings;
use crate::tc3::Key;
use crate::window::Verdict;

/// How many of the latest API requests are kept to be looked at.
const MOST_REQUESTS: usize = 256;

/// Where an endpoint of the API listens, and for which regions.
#[derive(Clone, Debug)]
pub(crate) struct Endpoint {
    pub(crate) name: String,
    pub(crate) address: SocketAddr,
    pub(crate) serves: crate::options::Serves,
}

/// Where everything listens.
#[derive(Clone, Debug)]
pub(crate) struct Addresses {
    pub(crate) endpoints: Vec<Endpoint>,
    pub(crate) issuer: SocketAddr,
    pub(crate) storage: SocketAddr,
    pub(crate) metadata: SocketAddr,
    pub(crate) sts: SocketAddr,
    pub(crate) control: SocketAddr,
}

/// One API request as it came in.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct SeenRequest {
    /// The name of the endpoint.
    pub endpoint: String,
    /// The fields in the order of the wire. On the control port the values of `Authorization` and `X-TC-Token` are
    /// masked.
    pub headers: Vec<(String, String)>,
    /// The body, as far as it is UTF-8.
    pub body: String,
}

impl SeenRequest {
    /// The first value of a field, whatever the case of its name.
    #[must_use]
    pub fn header(&self, name: &str) -> Option<&str> {
        self.headers.iter().find(|(field, _)| field.eq_ignore_ascii_case(name)).map(|(_, value)| value.as_str())
    }

    pub(crate) fn masked(mut self) -> Self {
        for (name, value) in &mut self.headers {
            if ["authorization", "x-tc-token"].iter().any(|secret| name.eq_ignore_ascii_case(secret)) {
                *value = "***".into();
            }
        }
        self
    }
}

/// The state of a sandbox.
pub(crate) struct World {
    pub(crate) addresses: Addresses,
    pub(crate) issuer: Issuer,
    clock: Clock,
    estate: Estate,
    first_settings: Settings,
    first_credentials: Vec<Credential>,
    changing: Mutex<Changing>,
}

struct Changing {
    settings: Settings,
    faults: Faults,
    credentials: Vec<Credential>,
    /// The id of the key that the server's role has.
    role_key: Option<String>,
    ledger: Ledger,
    requests: VecDeque<SeenRequest>,
}

impl World {
    pub(crate) fn new(addresses: Addresses, settings: Settings, credentials: Vec<Credential>) -> Self {
        let issuer = Issuer::new(&format!("http://{}", addresses.issuer));
        let changing = Changing {
            settings: settings.clone(),
            faults: Faults::default(),
            credentials: credentials.clone(),
            role_key: None,
            ledger: Ledger::default(),
            requests: VecDeque::new(),
        };
        Self {
            addresses,
            issuer,
            clock: Clock::start(),
            estate: Estate::new(),
            first_settings: settings,
            first_credentials: credentials,
            changing: Mutex::new(changing),
        }
    }

    pub(crate) fn estate(&self) -> &Estate {
        &self.estate
    }

    /// The machine's wall clock, which the issuer goes by.
    pub(crate) fn unix_now(&self) -> i64 {
        self.clock.unix_now()
    }

    /// The cloud's clock: the machine's plus the skew that was asked for.
    pub(crate) fn cloud_now(&self) -> i64 {
        self.unix_now().saturating_add(self.lock().settings.clock_skew_s)
    }

    /// Sets the cloud's clock; it goes on from there.
    pub(crate) fn set_cloud_clock(&self, unix: i64) {
        self.lock().settings.clock_skew_s = unix.saturating_sub(self.clock.unix_now());
    }

    pub(crate) fn settings(&self) -> Settings {
        self.lock().settings.clone()
    }

    pub(crate) fn change_settings<T>(&self, change: impl FnOnce(&mut Settings) -> T) -> T {
        change(&mut self.lock().settings)
    }

    pub(crate) fn add_fault(&self, fault: Fault) {
        self.lock().faults.add(fault);
    }

    pub(crate) fn faults(&self) -> Vec<Fault> {
        self.lock().faults.all().to_vec()
    }

    pub(crate) fn clear_faults(&self) {
        self.lock().faults.clear();
    }

    pub(crate) fn take_faults(&self, struck: Struck<'_>) -> Vec<Effect> {
        self.lock().faults.take(struck)
    }

    pub(crate) fn cuts_before_reading(&self, on: &[Target]) -> bool {
        let mut changing = self.lock();
        let cuts = changing.faults.take_cut_before_reading(on);
        changing.ledger.plain.cut_before_reading += u64::from(cuts);
        cuts
    }

    /// Counts an arrival at this moment and judges it by the limit of its bucket. A key that nobody knows has no
    /// sub-account, hence no limit.
    pub(crate) fn arrived(&self, secret_id: Option<&str>, endpoint: &str, action: &str) -> Verdict {
        let at: Duration = self.clock.elapsed();
        let mut changing = self.lock();
        let known = changing.credentials.iter().find(|known| Some(known.secret_id.as_str()) == secret_id);
        let limit = known.map(|_| changing.settings.requests_per_second);
        let name = BucketName {
            account: known.map_or("(unknown)", |known| &known.account).to_owned(),
            endpoint: endpoint.to_owned(),
            action: action.to_owned(),
        };
        let count_refused = changing.settings.count_refused;
        changing.ledger.arrive(&name, at, limit, count_refused)
    }

    pub(crate) fn key(&self, secret_id: &str) -> Option<Key> {
        let changing = self.lock();
        let known = changing.credentials.iter().find(|known| known.secret_id == secret_id)?;
        Some(Key { secret_key: known.secret_key.clone(), token: known.token.clone(), expires_at: known.expires_at })
    }

    pub(crate) fn credentials(&self) -> Vec<Credential> {
        self.lock().credentials.clone()
    }

    /// Adds a key, in the place of one with the same id.
    pub(crate) fn add_credential(&self, credential: Credential) {
        let mut changing = self.lock();
        changing.credentials.retain(|known| known.secret_id != credential.secret_id);
        changing.credentials.push(credential);
    }

    /// A new temporary key of a sub-account for so many seconds.
    pub(crate) fn issue(&self, account: &str, lifetime_s: i64) -> Credential {
        let key = Credential::issued(account, self.cloud_now().saturating_add(lifetime_s));
        self.add_credential(key.clone());
        key
    }

    /// The key of the server's role: the last one while more than half of its life is left and it is known, else a new
    /// one. The last one stays good until its end.
    pub(crate) fn role_key(&self) -> Credential {
        let (now, role) = (self.cloud_now(), self.settings().role);
        let last = {
            let changing = self.lock();
            changing.credentials.iter().find(|known| Some(&known.secret_id) == changing.role_key.as_ref()).cloned()
        };
        let is_young = |key: &Credential| key.expires_at.is_some_and(|end| end - now > role.lifetime_s / 2);
        if let Some(last) = last.filter(is_young) {
            return last;
        }
        let key = self.issue(&role.account, role.lifetime_s);
        self.lock().role_key = Some(key.secret_id.clone());
        key
    }

    /// The id of the key that the server's role has, where one was issued; the next to ask gets another.
    pub(crate) fn rotate_role_key(&self) -> Option<String> {
        self.lock().role_key.take()
    }

    /// Forgets a key; false when it was not known.
    pub(crate) fn remove_credential(&self, secret_id: &str) -> bool {
        let mut changing = self.lock();
        let before = changing.credentials.len();
        changing.credentials.retain(|known| known.secret_id != secret_id);
        changing.credentials.len() < before
    }

    pub(crate) fn counters(&self) -> Counters {
        self.lock().ledger.snapshot()
    }

    pub(crate) fn arrivals(&self) -> Vec<Arrival> {
        self.lock().ledger.arrivals().to_vec()
    }

    pub(crate) fn reset_counters(&self) {
        let mut changing = self.lock();
        changing.ledger.reset();
        changing.requests.clear();
    }

    pub(crate) fn keep_request(&self, request: SeenRequest) {
        let mut changing = self.lock();
        if changing.requests.len() == MOST_REQUESTS {
            changing.requests.pop_front();
        }
        changing.requests.push_back(request);
    }

    pub(crate) fn requests(&self) -> Vec<SeenRequest> {
        self.lock().requests.iter().cloned().collect()
    }

    pub(crate) fn connected(&self, listener: &str) {
        count(&mut self.lock().ledger.plain.connections, listener);
    }

    pub(crate) fn sent_error(&self, code: &str) {
        count(&mut self.lock().ledger.plain.errors, code);
    }

    pub(crate) fn asked_for_backup(&self, instance_id: &str, backup_id: &str) {
        count(&mut self.lock().ledger.plain.backups, &format!("{instance_id}/{backup_id}"));
    }

    pub(crate) fn downloaded(&self) {
        self.lock().ledger.plain.downloads += 1;
    }

    pub(crate) fn read_discovery(&self) {
        self.lock().ledger.plain.discovery_reads += 1;
    }

    pub(crate) fn read_key_set(&self) {
        self.lock().ledger.plain.key_set_reads += 1;
    }

    pub(crate) fn read_metadata(&self) {
        self.lock().ledger.plain.metadata_reads += 1;
    }

    pub(crate) fn called_sts(&self, action: &str) {
        count(&mut self.lock().ledger.plain.sts, action);
    }

    /// Back to the start: settings, faults, keys of the API, counters. The issuer keeps its keys.
    pub(crate) fn reset(&self) {
        let mut changing = self.lock();
        changing.settings = self.first_settings.clone();
        changing.credentials = self.first_credentials.clone();
        changing.role_key = None;
        changing.faults.clear();
        changing.ledger.reset();
        changing.requests.clear();
    }

    fn lock(&self) -> MutexGuard<'_, Changing> {
        // Nothing under the lock can leave it half done; a panic elsewhere is no reason to stop.
        self.changing.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
