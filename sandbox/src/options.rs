//! How a sandbox is started.

use std::net::{Ipv4Addr, SocketAddr};

use crate::credential::Credential;
use crate::known;
use crate::settings::Settings;

/// Where a sandbox listens and how it behaves at first. The default is ports of the system's choice on loopback.
#[derive(Clone, Debug)]
pub struct Options {
    /// The hosts of the API. Each has a limit of its own.
    pub endpoints: Vec<EndpointOptions>,
    /// Where the OIDC issuer listens.
    pub issuer: SocketAddr,
    /// Where the object storage listens.
    pub storage: SocketAddr,
    /// Where the metadata service of a server listens.
    pub metadata: SocketAddr,
    /// Where the token service listens.
    pub sts: SocketAddr,
    /// Where the control port listens.
    pub control: SocketAddr,
    /// The keys that may call the API.
    pub credentials: Vec<Credential>,
    /// The behaviour at first, and again after a reset.
    pub settings: Settings,
}

/// One host of the API.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct EndpointOptions {
    /// Its name in counters and faults; unique.
    pub name: String,
    /// Where it listens.
    pub listen: SocketAddr,
    /// For which regions.
    pub serves: Serves,
}

/// The regions that a host of the API serves; calls for others fail with `UnsupportedRegion`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Serves {
    /// All regions that are not financial zones.
    Ordinary,
    /// This one financial zone.
    Only(String),
}

/// The name of the endpoint for ordinary regions.
pub const ORDINARY: &str = "ordinary";

impl Default for Options {
    fn default() -> Self {
        let any = SocketAddr::from((Ipv4Addr::LOCALHOST, 0));
        Self {
            endpoints: vec![
                EndpointOptions::ordinary(ORDINARY, any),
                EndpointOptions::financial(known::SHANGHAI_FSI, any),
            ],
            issuer: any,
            storage: any,
            metadata: any,
            sts: any,
            control: any,
            credentials: Credential::all_fake(),
            settings: Settings::default(),
        }
    }
}

impl Options {
    /// The default options with other settings at first.
    #[must_use]
    pub fn with_settings(settings: Settings) -> Self {
        Self { settings, ..Self::default() }
    }
}

impl EndpointOptions {
    /// A host for ordinary regions.
    #[must_use]
    pub fn ordinary(name: &str, listen: SocketAddr) -> Self {
        Self { name: name.into(), listen, serves: Serves::Ordinary }
    }

    /// The host of a financial zone, named after it.
    #[must_use]
    pub fn financial(zone: &str, listen: SocketAddr) -> Self {
        Self { name: zone.into(), listen, serves: Serves::Only(zone.into()) }
    }
}
