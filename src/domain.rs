//! The words of the trade: ids, callers, networks, units and the clock.
//!
//! Nothing here knows another room or does I/O, save that `clock` and `random` ask the machine; every other room may use
//! it.

pub mod caller;
pub mod clock;
pub mod decimal;
pub mod hashing;
pub mod ids;
pub mod key_file;
pub mod network;
mod random;
pub mod steady;
pub mod throttle;
pub mod trace_context;
pub mod units;

pub use caller::{Action, Caller};
pub use clock::Clock;
pub use hashing::FastHashing;
pub use ids::{BackupId, EventId, InstanceId, Region, RequestId};
pub use network::Network;
pub use steady::Steady;
pub use throttle::Throttle;
pub use trace_context::{SpanId, TraceId, TraceParent, TraceState};
