//! The metadata service of a cloud server, as far as it hands out the keys of the server's role.
//!
//! Plain HTTP, no authentication: whoever reaches it gets a key. It never issues one while the last is young and known.

use std::sync::Arc;

use serde_json::json;

use crate::fault::{self, Struck, Target};
use crate::http::{Answer, Head, Reply, Request, Service};
use crate::text::rfc3339;
use crate::world::World;

/// Where the vendor's SDKs read the name of the role, and under it the key.
const ROLES: &str = "/latest/meta-data/cam/security-credentials/";

/// Serves the metadata.
pub(crate) struct Metadata {
    pub(crate) world: Arc<World>,
}

impl Service for Metadata {
    type Ticket = ();

    fn connected(&self) {
        self.world.connected("metadata");
    }

    fn cuts_before_reading(&self) -> bool {
        self.world.cuts_before_reading(&[Target::Metadata])
    }

    fn head_read(&self, _: &Head) {}

    async fn answer(&self, request: Request, (): ()) -> Answer {
        self.world.read_metadata();
        let effects = self.world.take_faults(Struck { on: Target::Metadata, action: "", endpoint: "" });
        fault::apply(&effects, Answer::now(self.reply(&request.head)))
    }

    fn unix_now(&self) -> i64 {
        self.world.cloud_now()
    }
}

impl Metadata {
    fn reply(&self, head: &Head) -> Reply {
        if head.method() != "GET" {
            return Reply::html(405);
        }
        let role = self.world.settings().role.name;
        // A server without a role has no such path.
        let asked = head.path().strip_prefix(ROLES).filter(|_| !role.is_empty());
        match asked {
            Some("") => Reply::new(200, "text/plain", role),
            Some(name) if name == role => self.key(),
            _ => Reply::html(404),
        }
    }

    fn key(&self) -> Reply {
        let key = self.world.role_key();
        let end = key.expires_at.unwrap_or_default();
        Reply::json(
            200,
            &json!({
                "TmpSecretId": key.secret_id,
                "TmpSecretKey": key.secret_key,
                "Token": key.token,
                "ExpiredTime": end,
                "Expiration": rfc3339(end),
                "Code": "Success",
            }),
        )
    }
}
