//! A connection to the store: the socket, TLS, who we are, and whether the server is of use.

use std::{fs, io, path::PathBuf, sync::Arc, time::Duration};

use redis::{
    AsyncConnectionConfig, RedisConnectionInfo, RedisError,
    aio::{MultiplexedConnection, PubSub},
};
use rustls::{
    ClientConfig, RootCertStore,
    pki_types::{CertificateDer, PrivateKeyDer, ServerName, pem::PemObject},
};
use secrecy::{ExposeSecret, SecretString, zeroize::Zeroize as _};
use tokio::{
    io::{AsyncRead, AsyncWrite},
    net::TcpStream,
    task::{JoinHandle, spawn_blocking},
};
use tokio_rustls::TlsConnector;

use super::{Settings, StoreError};
use crate::outbound::{self, RootsError};

/// A server, as it names itself: another run of it is another server, whose memory may lack the last second.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Server {
    /// `run_id` of its `INFO`; nothing where it does not say.
    pub run_id: Option<Arc<str>>,
}

/// Why a connection was not made.
#[derive(Debug, thiserror::Error)]
pub enum SetupError {
    /// A file that `[shared]` names cannot be used.
    #[error("{path} {reason}")]
    File {
        /// The key of the configuration.
        key: &'static str,
        /// The file.
        path: PathBuf,
        /// Why; never anything that stands in it.
        reason: String,
    },
    /// The certificate authorities cannot be used.
    #[error(transparent)]
    Authorities(#[from] RootsError),
    /// The server cannot be reached.
    #[error("the store cannot be reached: {0}")]
    Unreachable(io::ErrorKind),
    /// TLS was not agreed upon. The reason is the library's own and repeats no secret.
    #[error("TLS with the store failed: {0}")]
    Tls(String),
    /// The server does not serve us.
    #[error(transparent)]
    Server(#[from] StoreError),
    /// It took too long.
    #[error("the store did not answer within {} s", .0.as_secs())]
    TimedOut(Duration),
}

impl SetupError {
    /// The key of the configuration that it is about, where it is about one.
    pub fn key(&self) -> Option<&'static str> {
        match self {
            Self::File { key, .. } => Some(key),
            Self::Authorities(_) => Some("shared.ca_file"),
            Self::Unreachable(_) | Self::Tls(_) | Self::Server(_) | Self::TimedOut(_) => None,
        }
    }
}

/// Whatever carries the bytes.
trait Stream: AsyncRead + AsyncWrite + Unpin + Send {}
impl<T: AsyncRead + AsyncWrite + Unpin + Send> Stream for T {}

/// A connection for commands, and the task that serves it.
pub(super) struct Connected {
    pub(super) connection: MultiplexedConnection,
    pub(super) server: Server,
    /// Ends when the connection does; aborting it closes the connection.
    pub(super) driver: JoinHandle<()>,
}

/// What the files of `[shared]` held when they were read.
pub(super) struct Materials {
    password: Option<SecretString>,
    tls: Option<Arc<ClientConfig>>,
}

/// Writes what every key of ours needs to be written, so that a store that cannot be written is found out before any
/// request depends on it. The key ends by itself.
const PROBE: &str = "return redis.call('SET', KEYS[1], '1', 'PX', 1000)";

/// The probe's key; the store sees at most one.
const PROBE_KEY: &str = "rbg:{probe}";

impl Materials {
    /// Reads the files that `settings` name. Blocks.
    ///
    /// # Errors
    ///
    /// With the first that cannot be used.
    pub(super) fn load(settings: &Settings) -> Result<Self, SetupError> {
        let password = settings.password_file.as_ref().map(|path| {
            let refused = |reason: String| SetupError::File { key: "shared.password_file", path: path.clone(), reason };
            let mut text = fs::read_to_string(path).map_err(|error| refused(format!("cannot be read: {error}")))?;
            let password = SecretString::from(text.trim_end_matches(['\r', '\n']));
            text.zeroize();
            if password.expose_secret().is_empty() {
                return Err(refused("is empty".to_owned()));
            }
            Ok(password)
        });
        let tls = settings.address.is_tls().then(|| tls(settings));
        Ok(Self { password: password.transpose()?, tls: tls.transpose()? })
    }

    fn info(&self, settings: &Settings) -> RedisConnectionInfo {
        // RESP2 and no word about the client: what every server and every proxy before one understands.
        let mut info =
            RedisConnectionInfo::default().set_db(i64::from(settings.address.database())).set_skip_set_lib_name();
        if let Some(username) = &settings.username {
            info = info.set_username(username);
        }
        if let Some(password) = &self.password {
            info = info.set_password(password.expose_secret());
        }
        info
    }
}

/// Connects, says who we are, asks the server who it is, and writes the probe.
pub(super) async fn connect(settings: &Settings) -> Result<Connected, SetupError> {
    let materials = materials(settings).await?;
    let stream = open(settings, &materials).await?;
    // Every trip is bounded where it is made.
    let config = AsyncConnectionConfig::new().set_response_timeout(None).set_connection_timeout(None);
    let made = MultiplexedConnection::new_with_config(&materials.info(settings), stream, config).await;
    let (mut connection, driver) = made.map_err(|error| refused(&error))?;
    let driver = tokio::spawn(driver);
    let server = async {
        let mut probe = redis::cmd("EVAL");
        probe.arg(PROBE).arg(1).arg(PROBE_KEY);
        probe.query_async::<()>(&mut connection).await.map_err(|error| refused(&error))?;
        // A server behind a proxy, or one that does not let us ask, has no name. Who needs it asks in a script.
        let info: Result<String, RedisError> = redis::cmd("INFO").arg("server").query_async(&mut connection).await;
        let run_id = info
            .ok()
            .and_then(|info| info.lines().find_map(|line| line.strip_prefix("run_id:")).map(|id| Arc::from(id.trim())));
        Ok::<_, SetupError>(Server { run_id })
    };
    match server.await {
        Ok(server) => Ok(Connected { connection, server, driver }),
        Err(error) => {
            driver.abort();
            Err(error)
        }
    }
}

/// A connection that only listens.
pub(super) async fn listen(settings: &Settings) -> Result<PubSub, SetupError> {
    let materials = materials(settings).await?;
    let stream = open(settings, &materials).await?;
    PubSub::new(&materials.info(settings), stream).await.map_err(|error| refused(&error))
}

async fn materials(settings: &Settings) -> Result<Materials, SetupError> {
    let settings = settings.clone();
    let loading = spawn_blocking(move || Materials::load(&settings));
    // It ends by a panic alone, or with the runtime.
    loading.await.unwrap_or(Err(SetupError::Server(StoreError::Broken)))
}

async fn open(settings: &Settings, materials: &Materials) -> Result<Box<dyn Stream>, SetupError> {
    let address = &settings.address;
    let socket = TcpStream::connect((address.host(), address.port()))
        .await
        .map_err(|error| SetupError::Unreachable(error.kind()))?;
    // A script is a small packet that somebody waits for.
    socket.set_nodelay(true).map_err(|error| SetupError::Unreachable(error.kind()))?;
    let Some(tls) = &materials.tls else { return Ok(Box::new(socket)) };
    let name = ServerName::try_from(address.host().to_owned())
        .map_err(|_| SetupError::Tls("its host is not a name that a certificate can hold".to_owned()))?;
    let stream = TlsConnector::from(Arc::clone(tls)).connect(name, socket).await;
    Ok(Box::new(stream.map_err(|error| SetupError::Tls(error.to_string()))?))
}

/// Where the operator names authorities, those alone are believed: a private store has no business with a certificate
/// that a public one made out.
fn tls(settings: &Settings) -> Result<Arc<ClientConfig>, SetupError> {
    let roots = match &settings.ca_file {
        Some(path) => outbound::authorities(path)?,
        None => RootCertStore { roots: webpki_roots::TLS_SERVER_ROOTS.to_vec() },
    };
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let builder = ClientConfig::builder_with_provider(provider)
        .with_protocol_versions(&[&rustls::version::TLS13, &rustls::version::TLS12])
        .expect("aws-lc-rs has cipher suites for TLS 1.2 and 1.3")
        .with_root_certificates(roots);
    let Some(own) = &settings.client_certificate else { return Ok(Arc::new(builder.with_no_client_auth())) };
    let of_cert =
        |reason: String| SetupError::File { key: "shared.client_cert_file", path: own.cert_file.clone(), reason };
    let of_key =
        |reason: String| SetupError::File { key: "shared.client_key_file", path: own.key_file.clone(), reason };
    let chain: Result<Vec<_>, _> =
        CertificateDer::pem_file_iter(&own.cert_file).and_then(|certificates| certificates.collect());
    let chain = chain.map_err(|error| of_cert(format!("cannot be read as PEM: {error}")))?;
    let key = PrivateKeyDer::from_pem_file(&own.key_file)
        .map_err(|error| of_key(format!("cannot be read as PEM: {error}")))?;
    let config = builder.with_client_auth_cert(chain, key);
    config.map(Arc::new).map_err(|error| of_cert(format!("and shared.client_key_file cannot be used: {error}")))
}

fn refused(error: &RedisError) -> SetupError {
    SetupError::Server(error.into())
}
