//! Which source gives the keys: chosen once, at the start, in the order of the vendor's SDKs, and kept.
//!
//! Something that is there and wrong ends the search. A typo in a file must not let the keys of the machine's role be
//! used instead.

use std::{
    io,
    path::{Path, PathBuf},
    sync::Arc,
};

use secrecy::{ExposeSecret, SecretString};
use tokio::task::spawn_blocking;

use super::{
    Credentials, CredentialsError, RoleArn, Settings, Source, env, file::WatchedFile, metadata::Metadata, sts::Sts,
    tke_oidc::TkeOidc,
};
use crate::domain::Clock;

/// The profile of the vendor's tools, in the home folder and for the whole machine.
const PROFILE_AT_HOME: &str = ".tencentcloud/credentials";
const PROFILE_OF_MACHINE: &str = "/etc/tencentcloud/credentials";

/// A source, and the role that is assumed with its keys.
pub(super) struct Chain {
    origin: Origin,
    role: Option<RoleArn>,
    sts: Sts,
}

enum Origin {
    Env(Arc<Credentials>),
    File(Arc<WatchedFile>),
    CvmRole(Metadata),
    TkeOidc(TkeOidc),
}

impl Chain {
    /// The source that `settings` name, with its first keys.
    ///
    /// # Errors
    /// Where there is none: the error names all that was looked for.
    pub(super) async fn choose(
        settings: &Settings,
        variable: impl Fn(&'static str) -> Result<Option<SecretString>, CredentialsError>,
        http: &awc::Client,
        clock: &Clock,
    ) -> Result<(Self, Arc<Credentials>), CredentialsError> {
        let sts = Sts { endpoint: settings.sts.clone(), clock: clock.clone() };
        let metadata = Metadata::new(settings.metadata.clone());
        let missing = |looked_for| CredentialsError::Missing { looked_for };
        let (origin, credentials) = match &settings.source {
            Source::Env => of_env(env::read(variable)?.ok_or_else(|| missing(env::looked_for()))?),
            Source::File(path) => of_file(path)?,
            Source::CvmRole => {
                let credentials = metadata.fetch(http).await?;
                (Origin::CvmRole(metadata), Arc::new(credentials))
            }
            Source::TkeOidc => {
                let oidc = TkeOidc::of_environment(variable)?.ok_or_else(|| missing(TkeOidc::looked_for()))?;
                let credentials = oidc.fetch(http, &sts).await?;
                (Origin::TkeOidc(oidc), Arc::new(credentials))
            }
            Source::Auto { file } => search(file.as_deref(), variable, http, metadata, &sts).await?,
        };
        let chain = Self { origin, role: settings.assume_role.clone(), sts };
        let credentials = chain.on_top(http, credentials).await?;
        Ok((chain, credentials))
    }

    /// The keys of the source now, those of the role on top of it where there is one.
    pub(super) async fn fetch(&self, http: &awc::Client) -> Result<Arc<Credentials>, CredentialsError> {
        let credentials = match &self.origin {
            Origin::Env(credentials) => Arc::clone(credentials),
            Origin::File(file) => {
                let file = Arc::clone(file);
                let read = spawn_blocking(move || file.read()).await;
                Arc::new(read.expect("reading a file and parsing it do not panic")?)
            }
            Origin::CvmRole(metadata) => Arc::new(metadata.fetch(http).await?),
            Origin::TkeOidc(oidc) => Arc::new(oidc.fetch(http, &self.sts).await?),
        };
        self.on_top(http, credentials).await
    }

    /// Whether another look could bring other keys.
    pub(super) fn can_change(&self) -> bool {
        !matches!(self.origin, Origin::Env(_)) || self.role.is_some()
    }

    /// The file to look at, where the keys are in one.
    pub(super) fn file(&self) -> Option<&Arc<WatchedFile>> {
        match &self.origin {
            Origin::File(file) => Some(file),
            _ => None,
        }
    }

    async fn on_top(
        &self,
        http: &awc::Client,
        credentials: Arc<Credentials>,
    ) -> Result<Arc<Credentials>, CredentialsError> {
        match &self.role {
            Some(role) => self.sts.assume(http, role, &credentials).await.map(Arc::new),
            None => Ok(credentials),
        }
    }
}

type Found = (Origin, Arc<Credentials>);

/// Environment, file or profile, the server's role, the cluster's identity.
async fn search(
    file: Option<&Path>,
    variable: impl Fn(&'static str) -> Result<Option<SecretString>, CredentialsError>,
    http: &awc::Client,
    metadata: Metadata,
    sts: &Sts,
) -> Result<Found, CredentialsError> {
    let mut looked_for = vec![env::looked_for()];
    if let Some(credentials) = env::read(&variable)? {
        return Ok(of_env(credentials));
    }
    if let Some(path) = file {
        return of_file(path);
    }
    looked_for.push("tencent.credentials.file is not set".to_owned());
    for path in profiles(variable(env::HOME)?.as_ref()) {
        match of_file(&path) {
            Err(CredentialsError::Unreadable { reason: io::ErrorKind::NotFound, .. }) => {
                looked_for.push(format!("there is no {}", path.display()));
            }
            found => return found,
        }
    }
    match metadata.fetch(http).await {
        Ok(credentials) => return Ok((Origin::CvmRole(metadata), Arc::new(credentials))),
        Err(error) => looked_for.push(error.to_string()),
    }
    if let Some(oidc) = TkeOidc::of_environment(variable)? {
        let credentials = oidc.fetch(http, sts).await?;
        return Ok((Origin::TkeOidc(oidc), Arc::new(credentials)));
    }
    looked_for.push(TkeOidc::looked_for());
    Err(CredentialsError::Missing { looked_for: looked_for.join("; ") })
}

fn of_env(credentials: Credentials) -> Found {
    let credentials = Arc::new(credentials);
    (Origin::Env(Arc::clone(&credentials)), credentials)
}

fn of_file(path: &Path) -> Result<Found, CredentialsError> {
    let (file, credentials) = WatchedFile::open(path)?;
    Ok((Origin::File(Arc::new(file)), Arc::new(credentials)))
}

fn profiles(home: Option<&SecretString>) -> impl Iterator<Item = PathBuf> {
    let at_home = home.map(|home| Path::new(home.expose_secret()).join(PROFILE_AT_HOME));
    at_home.into_iter().chain([PathBuf::from(PROFILE_OF_MACHINE)])
}
