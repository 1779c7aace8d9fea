//! Which host answers for which region.

use std::{collections::BTreeMap, sync::Arc};

use crate::domain::Region;

/// An endpoint: `https://host[:port]`, or `http://` on a loopback address.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Endpoint(Arc<str>);

/// Why a text is not an endpoint.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum InvalidEndpoint {
    /// It is not `https://host[:port]`.
    #[error("must be https://host[:port], without a path, a query or a user")]
    Form,
    /// Plain `http` to somewhere else than this machine.
    #[error("plain http is accepted for loopback addresses only")]
    PlainHttp,
}

/// The endpoint of every region.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Endpoints {
    /// For every region without a rule of its own (`tencent.endpoint`).
    pub default: Endpoint,
    /// `[tencent.endpoints]`: region by region.
    pub by_region: BTreeMap<Region, Endpoint>,
}

impl TryFrom<&str> for Endpoint {
    type Error = InvalidEndpoint;

    fn try_from(text: &str) -> Result<Self, InvalidEndpoint> {
        Ok(Self(text.into()))
    }
}
