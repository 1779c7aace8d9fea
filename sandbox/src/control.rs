//! The handle with which a test, or a person through the control port, makes the sandbox do things.

mod port;

use std::sync::Arc;

pub(crate) use port::ControlPort;

use crate::counters::{Arrival, Counters};
use crate::credential::Credential;
use crate::fault::Fault;
use crate::issuer::{OldKeys, TokenSpec};
use crate::settings::Settings;
use crate::world::{SeenRequest, World};

/// Everything that the control port can do, as methods. Cheap to clone; works from any thread.
#[derive(Clone)]
pub struct Control {
    world: Arc<World>,
}

impl Control {
    pub(crate) fn new(world: Arc<World>) -> Self {
        Self { world }
    }

    /// The settings in force.
    #[must_use]
    pub fn settings(&self) -> Settings {
        self.world.settings()
    }

    /// Changes settings; requests that have been read whole may still see the old ones.
    pub fn update(&self, change: impl FnOnce(&mut Settings)) {
        self.world.change_settings(change);
    }

    /// Sets the cloud's clock to this time, in seconds since 1970; it goes on from there. The issuer's stays.
    pub fn set_cloud_clock(&self, unix: i64) {
        self.world.set_cloud_clock(unix);
    }

    /// Makes something go wrong from now on, after the faults that are already in force.
    pub fn inject(&self, fault: Fault) {
        self.world.add_fault(fault);
    }

    /// The faults that are in force, each with the times that are left.
    #[must_use]
    pub fn faults(&self) -> Vec<Fault> {
        self.world.faults()
    }

    /// Nothing goes wrong any more.
    pub fn clear_faults(&self) {
        self.world.clear_faults();
    }

    /// What was counted since the start, or since the counters were reset.
    #[must_use]
    pub fn counters(&self) -> Counters {
        self.world.counters()
    }

    /// The API calls with their arrival times, in order (the first half million).
    #[must_use]
    pub fn arrivals(&self) -> Vec<Arrival> {
        self.world.arrivals()
    }

    /// Starts counting anew. The limit does not forget the second that is under way.
    pub fn reset_counters(&self) {
        self.world.reset_counters();
    }

    /// The latest API requests (256 at most), the last one last, nothing masked: for tests only.
    #[must_use]
    pub fn requests(&self) -> Vec<SeenRequest> {
        self.world.requests()
    }

    /// The issuer signs with new keys from now on.
    pub fn rotate_keys(&self, old: OldKeys) {
        self.world.issuer.rotate(old);
    }

    /// A token as ordered.
    #[must_use]
    pub fn token(&self, spec: &TokenSpec) -> String {
        self.world.issuer.mint(spec, self.world.unix_now())
    }

    /// One more key may call the API, in the place of one with the same id.
    pub fn add_credential(&self, credential: Credential) {
        self.world.add_credential(credential);
    }

    /// The keys that may call the API, those that have ended included.
    #[must_use]
    pub fn credentials(&self) -> Vec<Credential> {
        self.world.credentials()
    }

    /// A key may no longer call the API; false when it was not known.
    pub fn remove_credential(&self, secret_id: &str) -> bool {
        self.world.remove_credential(secret_id)
    }

    /// The server's role gets another key when it is next asked for. The id of the one before, where there was one; it
    /// stays good until it ends or is removed.
    pub fn rotate_role_key(&self) -> Option<String> {
        self.world.rotate_role_key()
    }

    /// Back to the start: settings, faults, keys of the API, counters. The issuer keeps its keys.
    pub fn reset(&self) {
        self.world.reset();
    }
}
