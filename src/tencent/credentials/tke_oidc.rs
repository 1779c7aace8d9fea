//! The identity that a Kubernetes cluster of the vendor gives to a pod: four variables and a file with a token.

use std::{
    io,
    path::{Path, PathBuf},
    sync::Arc,
};

use secrecy::{ExposeSecret, SecretString};
use tokio::task::spawn_blocking;

use super::{
    Credentials, CredentialsError, RoleArn, file,
    sts::{Sts, WebIdentity},
};
use crate::domain::Region;

const REGION: &str = "TKE_REGION";
const PROVIDER_ID: &str = "TKE_PROVIDER_ID";
const TOKEN_FILE: &str = "TKE_WEB_IDENTITY_TOKEN_FILE";
const ROLE_ARN: &str = "TKE_ROLE_ARN";

/// What the cluster says of the pod. It is fixed for the life of the process; the token in the file is not.
pub(super) struct TkeOidc {
    region: Region,
    provider_id: Arc<str>,
    token_file: PathBuf,
    role: RoleArn,
}

impl TkeOidc {
    /// The identity that the variables describe; `None` where none of them is set.
    ///
    /// # Errors
    /// Where some are set and others are not, or a value is not of its kind.
    pub(super) fn of_environment(
        variable: impl Fn(&'static str) -> Result<Option<SecretString>, CredentialsError>,
    ) -> Result<Option<Self>, CredentialsError> {
        let names = [REGION, PROVIDER_ID, TOKEN_FILE, ROLE_ARN];
        let values = names.map(|name| Ok(variable(name)?.map(|value| value.expose_secret().trim().to_owned())));
        let [region, provider_id, token_file, role] = values;
        let values = [region?, provider_id?, token_file?, role?];
        if values.iter().all(Option::is_none) {
            return Ok(None);
        }
        let missing: Vec<_> =
            names.iter().zip(&values).filter(|(_, value)| value.is_none()).map(|(name, _)| *name).collect();
        let [Some(region), Some(provider_id), Some(token_file), Some(role)] = values else {
            let looked_for =
                format!("other variables of a cluster's identity are set, and {} is not", missing.join(", "));
            return Err(CredentialsError::Missing { looked_for });
        };
        let wrong = |what: &str, problem| CredentialsError::Invalid { what: what.to_owned(), problem };
        Ok(Some(Self {
            region: Region::try_from(region.as_str()).map_err(|_| wrong(REGION, "is no region"))?,
            provider_id: provider_id.into(),
            token_file: token_file.into(),
            role: RoleArn::try_from(role.as_str()).map_err(|_| wrong(ROLE_ARN, "is no role"))?,
        }))
    }

    /// What was looked for, where nothing was found.
    pub(super) fn looked_for() -> String {
        format!("{REGION}, {PROVIDER_ID}, {TOKEN_FILE} and {ROLE_ARN} are not set")
    }

    /// The keys that the identity is worth. The token is read each time: the cluster replaces it.
    pub(super) async fn fetch(&self, http: &awc::Client, sts: &Sts) -> Result<Credentials, CredentialsError> {
        let path = self.token_file.clone();
        let token = spawn_blocking(move || token(&path)).await.unwrap_or(Err(io::ErrorKind::Other));
        let token =
            token.map_err(|reason| CredentialsError::IdentityToken { path: self.token_file.clone(), reason })?;
        let identity = WebIdentity { region: &self.region, provider_id: &self.provider_id, token: &token };
        sts.assume_with(http, &self.role, &identity).await
    }
}

fn token(path: &Path) -> Result<SecretString, io::ErrorKind> {
    let content = file::content(path)?;
    let token = str::from_utf8(&content).map_err(|_| io::ErrorKind::InvalidData)?.trim();
    if token.is_empty() { Err(io::ErrorKind::InvalidData) } else { Ok(token.into()) }
}

#[cfg(test)]
mod tests {
    use super::*;

    const ALL: [(&str, &str); 4] = [
        (REGION, "ap-guangzhou"),
        (PROVIDER_ID, "cls-1"),
        (TOKEN_FILE, "/var/run/token"),
        (ROLE_ARN, "qcs::cam::uin/1:roleName/reader"),
    ];

    fn read(variables: &[(&str, &str)]) -> Result<Option<TkeOidc>, String> {
        let value =
            |name| variables.iter().find(|(known, _)| *known == name).map(|(_, value)| SecretString::from(*value));
        TkeOidc::of_environment(|name| Ok(value(name))).map_err(|error| error.to_string())
    }

    #[test]
    fn all_four_variables_make_an_identity_and_none_of_them_makes_none() {
        assert!(read(&ALL).unwrap().is_some());
        assert!(read(&[]).unwrap().is_none());
    }

    #[test]
    fn what_is_missing_or_wrong_is_named() {
        assert_eq!(
            read(&ALL[..2]).err().as_deref(),
            Some(
                "no cloud credentials: other variables of a cluster's identity are set, and \
                 TKE_WEB_IDENTITY_TOKEN_FILE, TKE_ROLE_ARN is not"
            )
        );
        let mut variables = ALL;
        variables[0].1 = "Guangzhou";
        assert_eq!(read(&variables).err().as_deref(), Some("TKE_REGION is no region"));
        variables = ALL;
        variables[3].1 = "reader";
        assert_eq!(read(&variables).err().as_deref(), Some("TKE_ROLE_ARN is no role"));
    }
}
