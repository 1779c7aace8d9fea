//! `DescribeBackupUrl`: the download URLs of one backup.

use std::num::NonZero;

use serde::{Deserialize, Serialize};

use super::{BackupFile, BackupUrls, SignedUrl, encode, open};
use crate::{
    domain::{BackupId, InstanceId},
    tencent::{
        DownloadRestriction,
        error::{CallError, Defect},
    },
};

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
    let files = infos.iter().map(Info::read).collect::<Result<Vec<_>, _>>();
    files.and_then(|files| BackupUrls::new(&files, request_id)).map_err(CallError::Malformed)
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

impl Info {
    fn read(&self) -> Result<BackupFile<'_>, Defect> {
        let (download_url, inner_download_url) =
            (url(self.download_url.as_deref())?, url(self.inner_download_url.as_deref())?);
        let any = download_url.or(inner_download_url).ok_or(Defect::MissingUrl)?;
        let given = self.file_name.as_deref().filter(|name| !name.is_empty() && !name.contains(char::is_control));
        let name = given.unwrap_or_else(|| any.file_name());
        // The vendor writes 0 where it does not know.
        let size_bytes = self.file_size.as_ref().and_then(serde_json::Number::as_u64).and_then(NonZero::new);
        Ok(BackupFile { name, size_bytes, download_url, inner_download_url })
    }
}

fn url(text: Option<&str>) -> Result<Option<SignedUrl<'_>>, Defect> {
    let text = text.filter(|text| !text.is_empty());
    text.map(SignedUrl::try_from).transpose().map_err(|_| Defect::UnusableUrl)
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
