//! Starts the listeners in a thread of their own and stops them.

use std::io;
use std::net::{SocketAddr, TcpListener as StdListener};
use std::sync::Arc;
use std::thread::JoinHandle;

use tokio::net::TcpListener;
use tokio::sync::oneshot;

use crate::api::{Api, Sts};
use crate::control::{Control, ControlPort};
use crate::http::{Service, serve};
use crate::issuer::TokenSpec;
use crate::metadata::Metadata;
use crate::oidc::IssuerService;
use crate::options::{Options, Serves};
use crate::storage::Storage;
use crate::world::{Addresses, Endpoint, World};

/// A running sandbox. Dropping it closes all listeners and connections at once.
pub struct Sandbox {
    world: Arc<World>,
    stop: Option<oneshot::Sender<()>>,
    thread: Option<JoinHandle<()>>,
}

impl Sandbox {
    /// Starts all listeners; when this returns they accept connections.
    ///
    /// # Errors
    /// An address that is not loopback, an address that is taken (the error names it), or no API endpoint at all.
    pub fn start(options: Options) -> io::Result<Self> {
        if options.endpoints.is_empty() {
            return Err(io::Error::new(io::ErrorKind::InvalidInput, "a sandbox needs an API endpoint"));
        }
        let apis = options.endpoints.iter().map(|endpoint| bind(endpoint.listen)).collect::<io::Result<Vec<_>>>()?;
        let (issuer, storage) = (bind(options.issuer)?, bind(options.storage)?);
        let (metadata, sts) = (bind(options.metadata)?, bind(options.sts)?);
        let control = bind(options.control)?;

        let endpoint = |(options, listener): (&crate::options::EndpointOptions, &StdListener)| {
            Ok(Endpoint { name: options.name.clone(), address: listener.local_addr()?, serves: options.serves.clone() })
        };
        let addresses = Addresses {
            endpoints: options.endpoints.iter().zip(&apis).map(endpoint).collect::<io::Result<_>>()?,
            issuer: issuer.local_addr()?,
            storage: storage.local_addr()?,
            metadata: metadata.local_addr()?,
            sts: sts.local_addr()?,
            control: control.local_addr()?,
        };
        let world = Arc::new(World::new(addresses, options.settings, options.credentials));

        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
        {
            let _inside = runtime.enter();
            for (listener, endpoint) in apis.into_iter().zip(&world.addresses.endpoints) {
                let api =
                    Api { world: Arc::clone(&world), name: endpoint.name.clone(), serves: endpoint.serves.clone() };
                accept(listener, api)?;
            }
            accept(issuer, IssuerService { world: Arc::clone(&world) })?;
            accept(storage, Storage { world: Arc::clone(&world) })?;
            accept(metadata, Metadata { world: Arc::clone(&world) })?;
            accept(sts, Sts { world: Arc::clone(&world) })?;
            accept(control, ControlPort::new(Arc::clone(&world)))?;
        }
        let (stop, stopped) = oneshot::channel();
        let thread = std::thread::Builder::new().name("sandbox".into()).spawn(move || {
            // The sender is dropped or used: either ends it.
            let _ = runtime.block_on(stopped);
            // Work that a thread of the pool has begun is not waited for.
            runtime.shutdown_background();
        })?;
        Ok(Self { world, stop: Some(stop), thread: Some(thread) })
    }

    /// The API for ordinary regions, `http://127.0.0.1:<port>`: the first endpoint.
    #[must_use]
    pub fn api_url(&self) -> String {
        let first = self.world.addresses.endpoints.first();
        first.map(|endpoint| format!("http://{}", endpoint.address)).unwrap_or_default()
    }

    /// The API of the financial zone: the first endpoint that serves one; empty where there is none.
    #[must_use]
    pub fn fsi_url(&self) -> String {
        let mut endpoints = self.world.addresses.endpoints.iter();
        let financial = endpoints.find(|endpoint| matches!(endpoint.serves, Serves::Only(_)));
        financial.map(|endpoint| format!("http://{}", endpoint.address)).unwrap_or_default()
    }

    /// The API endpoint of this name.
    #[must_use]
    pub fn endpoint_url(&self, name: &str) -> Option<String> {
        let endpoint = self.world.addresses.endpoints.iter().find(|endpoint| endpoint.name == name)?;
        Some(format!("http://{}", endpoint.address))
    }

    /// The OIDC issuer: also its name, the `iss` of its tokens.
    #[must_use]
    pub fn issuer_url(&self) -> String {
        self.world.issuer.url().to_owned()
    }

    /// The object storage that pre-signed URLs lead to.
    #[must_use]
    pub fn storage_url(&self) -> String {
        format!("http://{}", self.world.addresses.storage)
    }

    /// The metadata service of a server.
    #[must_use]
    pub fn metadata_url(&self) -> String {
        format!("http://{}", self.world.addresses.metadata)
    }

    /// The token service.
    #[must_use]
    pub fn sts_url(&self) -> String {
        format!("http://{}", self.world.addresses.sts)
    }

    /// The control port.
    #[must_use]
    pub fn control_url(&self) -> String {
        format!("http://{}", self.world.addresses.control)
    }

    /// A handle that does in process what the control port does.
    #[must_use]
    pub fn control(&self) -> Control {
        Control::new(Arc::clone(&self.world))
    }

    /// A token as ordered.
    #[must_use]
    pub fn token(&self, spec: &TokenSpec) -> String {
        self.control().token(spec)
    }
}

impl Drop for Sandbox {
    fn drop(&mut self) {
        drop(self.stop.take());
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}

/// Binds an address on loopback; no other is ever bound, whatever the options say.
fn bind(address: SocketAddr) -> io::Result<StdListener> {
    if !address.ip().is_loopback() {
        let why = format!("{address} is not on loopback: the sandbox listens nowhere else");
        return Err(io::Error::new(io::ErrorKind::InvalidInput, why));
    }
    let named = |error: io::Error| io::Error::new(error.kind(), format!("cannot listen on {address}: {error}"));
    let listener = StdListener::bind(address).map_err(named)?;
    listener.set_nonblocking(true)?;
    Ok(listener)
}

/// Accepts connections until the runtime ends.
fn accept<S: Service>(listener: StdListener, service: S) -> io::Result<()> {
    let listener = TcpListener::from_std(listener)?;
    let service = Arc::new(service);
    tokio::spawn(async move {
        loop {
            match listener.accept().await {
                Ok((stream, _)) => drop(tokio::spawn(serve(stream, Arc::clone(&service)))),
                // Out of descriptors, most likely: others need a moment to close theirs.
                Err(_) => tokio::time::sleep(std::time::Duration::from_millis(10)).await,
            }
        }
    });
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_address_off_loopback_is_refused() {
        let options = Options { storage: SocketAddr::from(([0, 0, 0, 0], 0)), ..Options::default() };

        let error = Sandbox::start(options).err().expect("is refused");

        assert_eq!(error.kind(), io::ErrorKind::InvalidInput);
    }

    #[test]
    fn a_busy_port_is_named() {
        let busy = StdListener::bind("127.0.0.1:0").expect("binds");
        let address = busy.local_addr().expect("has an address");

        let error = Sandbox::start(Options { issuer: address, ..Options::default() }).err().expect("is refused");

        assert!(error.to_string().contains(&address.to_string()), "{error}");
    }
}
