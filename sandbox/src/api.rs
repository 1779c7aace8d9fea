//! API 3.0 as the cloud speaks it: `POST /`, JSON, TC3 signatures, errors in an HTTP 200.
//!
//! The order of a call: it arrives and is counted when its head has been read; then come the signature, the limit,
//! the common parameters, the action. It never looks at anything but the request and the sandbox's own estate.

mod backup_url;
mod backups;
mod instances;
mod parameters;
mod sts;

use std::sync::Arc;
use std::time::Duration;

use serde_json::{Map, Value, json};

use parameters::Parameters;
pub(crate) use sts::Sts;

use crate::api_error::ApiError;
use crate::estate::{Instance, REGIONS, is_financial};
use crate::fault::{self, Effect, Struck, Target};
use crate::http::{Answer, Head, Reply, Request, Service};
use crate::options::Serves;
use crate::settings::{RegionCheck, Settings};
use crate::tc3;
use crate::text::random_uuid;
use crate::window::Verdict;
use crate::world::{SeenRequest, World};

const SERVICE: &str = "redis";
const VERSION: &str = "2018-04-12";

/// The actions that the sandbox knows, all of them `Describe…`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Action {
    BackupUrl,
    InstanceBackups,
    Instances,
}

impl Action {
    const ALL: [Self; 3] = [Self::BackupUrl, Self::InstanceBackups, Self::Instances];

    fn name(self) -> &'static str {
        match self {
            Self::BackupUrl => "DescribeBackupUrl",
            Self::InstanceBackups => "DescribeInstanceBackups",
            Self::Instances => "DescribeInstances",
        }
    }

    fn of(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|action| action.name() == name)
    }
}

/// A good call on its way to the action: where it came in, for which region, with which parameters.
struct Call<'a> {
    world: &'a World,
    settings: Settings,
    region: &'a str,
    parameters: Parameters,
}

impl Call<'_> {
    /// The instance of an id, as far as it is to be seen from the region of the call.
    fn instance(&self, id: &str) -> Result<&Instance, ApiError> {
        let visible = |instance: &&Instance| {
            let near = is_financial(instance.region) == is_financial(self.region);
            instance.region == self.region || (self.settings.region_check == RegionCheck::Lenient && near)
        };
        self.world.estate().instance(id).filter(visible).ok_or_else(|| {
            ApiError::new(
                "ResourceNotFound.InstanceNotExists",
                format!("No Redis instance found by the serialId `{id}`."),
            )
        })
    }
}

/// What an action answers.
enum Content {
    /// The members beside `RequestId`.
    Members(Map<String, Value>),
    /// A whole document, sent byte for byte.
    Verbatim(&'static str),
}

/// One endpoint of the API: a host of its own, with limits of its own.
pub(crate) struct Api {
    pub(crate) world: Arc<World>,
    pub(crate) name: String,
    pub(crate) serves: Serves,
}

impl Service for Api {
    type Ticket = Verdict;

    fn connected(&self) {
        self.world.connected(&self.name);
    }

    fn cuts_before_reading(&self) -> bool {
        self.world.cuts_before_reading(&[Target::Api])
    }

    fn head_read(&self, head: &Head) -> Verdict {
        let secret_id = tc3::claimed_secret_id(head);
        self.world.arrived(secret_id, &self.name, action_name(head))
    }

    async fn answer(&self, request: Request, arrival: Verdict) -> Answer {
        let struck = Struck { on: Target::Api, action: action_name(&request.head), endpoint: &self.name };
        let effects = self.world.take_faults(struck);
        self.world.keep_request(SeenRequest {
            endpoint: self.name.clone(),
            headers: request.head.headers().to_vec(),
            body: String::from_utf8_lossy(&request.body).into_owned(),
        });

        let mut answer = Answer::now(self.reply(&request, arrival, &effects));
        answer.delay = Duration::from_millis(self.world.settings().latency_ms);
        fault::apply(&effects, answer)
    }

    fn unix_now(&self) -> i64 {
        self.world.cloud_now()
    }
}

impl Api {
    fn reply(&self, request: &Request, arrival: Verdict, effects: &[Effect]) -> Reply {
        if request.head.path() != "/" {
            return Reply::html(404);
        }
        respond(&self.world, self.call(request, arrival, effects))
    }

    fn call(&self, request: &Request, arrival: Verdict, effects: &[Effect]) -> Result<Content, ApiError> {
        let head = &request.head;
        if head.method() != "POST" {
            return Err(ApiError::new("UnsupportedProtocol", "The sandbox takes POST only."));
        }
        let needed = |name: &'static str, field| head.header(field).ok_or_else(|| ApiError::missing_parameter(name));
        let action = needed("Action", "x-tc-action")?;
        let version = needed("Version", "x-tc-version")?;
        let now = self.world.cloud_now();
        tc3::verify(head, &request.body, SERVICE, now, |id| self.world.key(id))?;

        let settings = self.world.settings();
        if !arrival.passes {
            let language = head.header("x-tc-language").unwrap_or("zh-CN");
            return Err(ApiError::limit_exceeded(arrival.in_this_second, settings.requests_per_second, language));
        }
        let action = Action::of(action).ok_or_else(|| ApiError::invalid_action(action))?;
        if version != VERSION {
            return Err(ApiError::no_such_version(version));
        }
        let region = needed("Region", "x-tc-region")?;
        self.check_region(region)?;
        if let Some(error) = fault::api_error(effects) {
            return Err(error);
        }

        let parameters = Parameters::parse(&request.body)?;
        let call = Call { world: &self.world, settings, region, parameters };
        match action {
            Action::BackupUrl => backup_url::describe(&call),
            Action::InstanceBackups => backups::describe(&call).map(Content::Members),
            Action::Instances => instances::describe(&call).map(Content::Members),
        }
    }

    /// A financial zone has a host of its own, and only that one; the other hosts serve all other regions.
    fn check_region(&self, region: &str) -> Result<(), ApiError> {
        let served = match &self.serves {
            Serves::Ordinary => !is_financial(region),
            Serves::Only(zone) => region == zone,
        };
        if served && REGIONS.iter().any(|(known, _)| *known == region) {
            return Ok(());
        }
        Err(ApiError::new("UnsupportedRegion", format!("The region `{region}` is not supported by this domain name.")))
    }
}

/// The answer in the vendor's envelope; an error is an answer like any other.
fn respond(world: &World, outcome: Result<Content, ApiError>) -> Reply {
    let mut response = match outcome {
        Ok(Content::Verbatim(document)) => return Reply::new(200, "application/json", document),
        Ok(Content::Members(members)) => members,
        Err(error) => {
            world.sent_error(&error.code);
            Map::from_iter([("Error".into(), json!({"Code": error.code, "Message": error.message}))])
        }
    };
    response.insert("RequestId".into(), random_uuid().into());
    Reply::json(200, &json!({ "Response": response }))
}

/// The action to count a call under; names that nobody knows share one, so that they cannot fill the memory.
fn action_name(head: &Head) -> &str {
    let claimed = head.header("x-tc-action").unwrap_or_default();
    Action::of(claimed).map_or("(unknown)", Action::name)
}
