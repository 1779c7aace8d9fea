//! `DescribeBackupUrl`: the download URLs of one backup.

use serde::{Deserialize, Serialize};

use super::{SignedUrl, encode, open};
use crate::{
    domain::{BackupId, InstanceId},
    tencent::{
        DownloadRestriction, cos_url,
        error::{CallError, Defect, UpstreamRequestId},
    },
};

/// The files of one backup, in the vendor's order; at least one.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct BackupUrls {
    /// The files; one for each shard.
    pub files: Vec<BackupFile>,
    /// The vendor's id of the call.
    pub request_id: UpstreamRequestId,
}

/// One file of a backup. At least one of its URLs is there.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct BackupFile {
    /// The vendor's name for it, else the last segment of a URL's path as it is written there.
    pub name: String,
    /// Its size, where the vendor says one.
    pub size_bytes: Option<u64>,
    /// The address on the public internet.
    pub download_url: Option<SignedUrl>,
    /// The address inside the vendor's network.
    pub inner_download_url: Option<SignedUrl>,
}

#[derive(Serialize)]
#[serde(rename_all = "PascalCase")]
struct Request<'a> {
    instance_id: &'a str,
    backup_id: &'a str,
    #[serde(flatten)]
    restriction: Restriction<'a>,
}

#[derive(Default, Serialize)]
#[serde(rename_all = "PascalCase")]
struct Restriction<'a> {
    #[serde(skip_serializing_if = "Option::is_none")]
    limit_type: Option<&'static str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    vpc_comparison_symbol: Option<&'static str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    ip_comparison_symbol: Option<&'static str>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    limit_vpc: Vec<Vpcs<'a>>,
    #[serde(skip_serializing_if = "<[String]>::is_empty")]
    limit_ip: &'a [String],
}

#[derive(Serialize)]
#[serde(rename_all = "PascalCase")]
struct Vpcs<'a> {
    region: &'a str,
    vpc_list: &'a [String],
}

/// All members may be absent, `null` or empty: the two lists of URLs are the older form and being phased out.
#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Answer {
    backup_infos: Option<Vec<Info>>,
    download_url: Option<Vec<Option<String>>>,
    inner_download_url: Option<Vec<Option<String>>>,
    filenames: Option<Vec<Option<String>>>,
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Info {
    file_name: Option<String>,
    file_size: Option<serde_json::Number>,
    download_url: Option<String>,
    inner_download_url: Option<String>,
}

/// The body of a call for the URLs of `backup`.
pub fn backup_urls_request(
    instance: &InstanceId,
    backup: &BackupId,
    download: Option<&DownloadRestriction>,
) -> Vec<u8> {
    encode(&Request {
        instance_id: instance.as_str(),
        backup_id: backup.as_str(),
        restriction: download.map(Restriction::from).unwrap_or_default(),
    })
}

/// Reads the answer in either form; where both came, `BackupInfos` is taken, for it says which inner URL belongs to
/// which public one.
///
/// # Errors
/// Where the vendor refused, where there is no file, where a file has no URL, where the older form's lists differ in
/// length, or where one URL must not be passed on: then none is.
pub fn backup_urls(answer: &[u8]) -> Result<BackupUrls, CallError> {
    let (answer, request_id): (Answer, _) = open(answer)?;
    let infos = match answer.backup_infos {
        Some(infos) if !infos.is_empty() => infos,
        _ => {
            let public = answer.download_url.unwrap_or_default();
            let inner = answer.inner_download_url.unwrap_or_default();
            older_form(public, inner, answer.filenames.unwrap_or_default())?
        }
    };
    if infos.is_empty() {
        return Err(CallError::Malformed(Defect::NoFiles));
    }
    let files = infos.into_iter().map(BackupFile::try_from).collect::<Result<_, _>>().map_err(CallError::Malformed)?;
    Ok(BackupUrls { files, request_id })
}

/// The lists of the older form, paired by their order.
fn older_form(
    public: Vec<Option<String>>,
    inner: Vec<Option<String>>,
    names: Vec<Option<String>>,
) -> Result<Vec<Info>, CallError> {
    if !public.is_empty() && !inner.is_empty() && public.len() != inner.len() {
        return Err(CallError::Malformed(Defect::MissingUrl));
    }
    let count = public.len().max(inner.len());
    // Names that are more or fewer than the files belong to no file in particular.
    let mut names = if names.len() == count { names } else { Vec::new() }.into_iter();
    let (mut public, mut inner) = (public.into_iter(), inner.into_iter());
    let infos = (0..count).map(|_| Info {
        file_name: names.next().flatten(),
        file_size: None,
        download_url: public.next().flatten(),
        inner_download_url: inner.next().flatten(),
    });
    Ok(infos.collect())
}

impl BackupUrls {
    /// Whether one of the URLs was made with a temporary key, and dies with that key at a time that nobody here knows.
    pub fn carry_security_token(&self) -> bool {
        self.files.iter().flat_map(BackupFile::urls).any(|url| cos_url::carries_security_token(url.expose()))
    }
}

impl BackupFile {
    /// The URLs of the file, public before inner.
    pub fn urls(&self) -> impl Iterator<Item = &SignedUrl> {
        self.download_url.iter().chain(&self.inner_download_url)
    }
}

impl TryFrom<Info> for BackupFile {
    type Error = Defect;

    fn try_from(info: Info) -> Result<Self, Defect> {
        let url = |text: Option<String>| match text.filter(|text| !text.is_empty()) {
            Some(text) => SignedUrl::try_from(text).map(Some).map_err(|_| Defect::UnusableUrl),
            None => Ok(None),
        };
        let (download_url, inner_download_url) = (url(info.download_url)?, url(info.inner_download_url)?);
        let any = download_url.as_ref().or(inner_download_url.as_ref()).ok_or(Defect::MissingUrl)?;
        let given = info.file_name.filter(|name| !name.is_empty() && !name.contains(char::is_control));
        let name = given.unwrap_or_else(|| any.file_name().to_owned());
        // The vendor writes 0 where it does not know.
        let size_bytes = info.file_size.and_then(|size| size.as_u64()).filter(|size| *size > 0);
        Ok(Self { name, size_bytes, download_url, inner_download_url })
    }
}

impl<'a> From<&'a DownloadRestriction> for Restriction<'a> {
    fn from(restriction: &'a DownloadRestriction) -> Self {
        match restriction {
            DownloadRestriction::NoLimit => Self { limit_type: Some("NoLimit"), ..Self::default() },
            DownloadRestriction::LimitOnlyIntranet => Self { limit_type: Some("LimitOnlyIntranet"), ..Self::default() },
            DownloadRestriction::Customize { vpcs, ips } => Self {
                limit_type: Some("Customize"),
                vpc_comparison_symbol: (!vpcs.is_empty()).then_some("In"),
                ip_comparison_symbol: (!ips.is_empty()).then_some("In"),
                limit_vpc: vpcs.iter().map(|(region, vpcs)| Vpcs { region: region.as_str(), vpc_list: vpcs }).collect(),
                limit_ip: ips,
            },
        }
    }
}
