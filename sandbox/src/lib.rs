//! A loopback-only stand-in for Tencent Cloud and an OIDC issuer, hostile by default.
//!
//! It must never import anything of the gateway: a mistake in signing would otherwise be made twice and agree.
//!
//! ```no_run
//! use sandbox::{Fault, Options, Sandbox, TokenSpec};
//!
//! let sandbox = Sandbox::start(Options::default())?;      // its own thread, ports of the system's choice
//! let upstream = sandbox.api_url();                        // API 3.0; `fsi_url()` for the financial zone
//! let token = sandbox.token(&TokenSpec::new("alice").group("dba"));
//!
//! let control = sandbox.control();                         // Clone + Send + Sync
//! control.update(|settings| settings.latency_ms = 200);
//! control.inject(Fault::api_error("InternalError.InternalError").action("DescribeBackupUrl").times(2));
//! // ... drive the gateway ...
//! assert_eq!(control.counters().calls_of("DescribeBackupUrl"), 3);
//! assert!(control.counters().largest_rolling_second <= 20);
//! # Ok::<(), std::io::Error>(())
//! ```
//!
//! - Keys: [`credential`] holds the fake ones, two of one sub-account to rotate between, a temporary one with its
//!   token, and one of another sub-account. Instances and backups: [`known`].
//! - Behaviour that lasts is a [`Settings`]; what goes wrong (a few times, or until cleared) is a [`Fault`].
//! - What came in is in [`Counters`], [`Control::arrivals`] and [`Control::requests`].
//! - Dropping the [`Sandbox`] closes everything at once.

mod api;
mod api_error;
mod clock;
mod control;
mod cos;
mod counters;
pub mod credential;
mod estate;
mod fault;
mod http;
mod issuer;
pub mod known;
mod metadata;
mod oidc;
mod options;
mod rdb;
mod server;
mod settings;
mod storage;
mod tc3;
mod text;
mod window;
mod world;

pub use control::Control;
pub use counters::{Arrival, Bucket, Counters};
pub use credential::Credential;
pub use fault::{Effect, Fault, Target};
pub use issuer::{Algorithm, OldKeys, SigningKey, TokenSpec};
pub use options::{EndpointOptions, ORDINARY, Options, Serves};
pub use server::Sandbox;
pub use settings::{Part, RegionCheck, RoleSettings, Settings, Shape, StsSettings, UrlDefect, UrlForm, UrlSettings};
pub use world::SeenRequest;
