//! `[tencent]`, its endpoints, its credentials, and the restriction of downloads.

use std::{collections::BTreeMap, net::IpAddr, sync::Arc};

use ipnet::IpNet;

use crate::{
    config::field::{Field, Refused, all, refuse_repeats},
    domain::Region,
    tencent::{
        DownloadRestriction, Settings,
        credentials::{self, RoleArn, Source},
        endpoint::{Endpoint, Endpoints},
    },
};

pub(super) fn read(tencent: &Field<'_>) -> Result<Settings, Refused> {
    let account = tencent.at("account").parse(|text| is_account(text).then(|| Arc::from(text)));
    let regions = regions(&tencent.at("regions"));
    let default = endpoint(&tencent.at("endpoint"));
    let by_region = endpoints(&tencent.at("endpoints"), regions.as_deref().unwrap_or_default());
    let connect_timeout = tencent.at("connect_timeout").duration();
    let timeout = tencent.at("timeout").duration();
    let max_retries = tencent.at("max_retries").number();
    let ca_file = tencent.at("ca_file").given().map(|file| file.path_to_file()).transpose();
    let credentials = credentials(&tencent.at("credentials"));
    let download = tencent.at("download").given().map(|section| download(&section)).transpose();
    Ok(Settings {
        account: account?,
        regions: regions?,
        endpoints: Endpoints { default: default?, by_region: by_region? },
        connect_timeout: connect_timeout?,
        timeout: timeout?,
        max_retries: max_retries?,
        ca_file: ca_file?,
        credentials: credentials?,
        download: download?,
    })
}

fn regions(field: &Field<'_>) -> Result<Vec<Region>, Refused> {
    let items = field.some_items()?;
    let regions = all(items.iter().map(|item| item.parse(|text| Region::try_from(text).ok())));
    refuse_repeats(&items);
    regions
}

/// An endpoint is refused with the sentence of its own room, and is not repeated: it may hold a password.
fn endpoint(field: &Field<'_>) -> Result<Endpoint, Refused> {
    Endpoint::try_from(field.text()?).map_err(|error| field.refuse(error.to_string()))
}

/// `listed` is empty where `tencent.regions` itself is wrong; then membership is not judged.
fn endpoints(field: &Field<'_>, listed: &[Region]) -> Result<BTreeMap<Region, Endpoint>, Refused> {
    let entries = all(field.entries()?.iter().map(|(name, field)| {
        let endpoint = endpoint(field);
        let region = region_name(name, field)?;
        if !listed.is_empty() && !listed.contains(&region) {
            field.refuse(format!("must be for one of tencent.regions, and {region} is not among them"));
        }
        Ok((region, endpoint?))
    }))?;
    Ok(entries.into_iter().collect())
}

fn region_name(name: &str, field: &Field<'_>) -> Result<Region, Refused> {
    Region::try_from(name)
        .map_err(|error| field.refuse(format!("must stand under a region, matching {}", error.grammar)))
}

/// `tencent.credentials.source` as a word; which file it means is another key.
enum SourceWord {
    Auto,
    Env,
    File,
    CvmRole,
    TkeOidc,
}

fn credentials(section: &Field<'_>) -> Result<credentials::Settings, Refused> {
    let source = source(section);
    let assume_role = section.at("assume_role_arn").given().map(|field| {
        let role = RoleArn::try_from(field.text()?);
        role.map_err(|error| field.refuse(error.to_string()))
    });
    let metadata = section.at("metadata_endpoint");
    let metadata = metadata
        .text()
        .and_then(|text| Endpoint::try_metadata(text).map_err(|error| metadata.refuse(error.to_string())));
    let sts = endpoint(&section.at("sts_endpoint"));
    Ok(credentials::Settings { source: source?, assume_role: assume_role.transpose()?, metadata: metadata?, sts: sts? })
}

fn source(section: &Field<'_>) -> Result<Source, Refused> {
    let source = section.at("source").parse(|word| match word {
        "auto" => Some(SourceWord::Auto),
        "env" => Some(SourceWord::Env),
        "file" => Some(SourceWord::File),
        "cvm_role" => Some(SourceWord::CvmRole),
        "tke_oidc" => Some(SourceWord::TkeOidc),
        _ => None,
    });
    let file = section.at("file").given().map(|file| file.path_to_file()).transpose();
    match (source?, file?) {
        (SourceWord::Auto, file) => Ok(Source::Auto { file }),
        // A file beside these stays unread, so that one variable can point a deployment at another source.
        (SourceWord::Env, _) => Ok(Source::Env),
        (SourceWord::CvmRole, _) => Ok(Source::CvmRole),
        (SourceWord::TkeOidc, _) => Ok(Source::TkeOidc),
        (SourceWord::File, Some(file)) => Ok(Source::File(file)),
        (SourceWord::File, None) => {
            Err(section.at("file").refuse("must be set, to a path: tencent.credentials.source is \"file\""))
        }
    }
}

/// `tencent.download.limit_type` as a word; what it is limited to are other keys.
enum LimitType {
    NoLimit,
    LimitOnlyIntranet,
    Customize,
}

fn download(section: &Field<'_>) -> Result<DownloadRestriction, Refused> {
    let limit_type = section.at("limit_type").parse(|word| match word {
        "NoLimit" => Some(LimitType::NoLimit),
        "LimitOnlyIntranet" => Some(LimitType::LimitOnlyIntranet),
        "Customize" => Some(LimitType::Customize),
        _ => None,
    });
    let limits = [section.at("vpcs").given(), section.at("ips").given()];
    let vpcs = limits[0].as_ref().map(vpcs).transpose();
    let ips = limits[1].as_ref().map(ips).transpose();
    // A restriction that is written down and not in force is worse than none.
    let refuse_limits = || {
        for field in limits.iter().flatten() {
            field.refuse("must stand beside limit_type = \"Customize\" only: nothing else uses it");
        }
    };
    match limit_type? {
        LimitType::NoLimit => {
            refuse_limits();
            Ok(DownloadRestriction::NoLimit)
        }
        LimitType::LimitOnlyIntranet => {
            refuse_limits();
            Ok(DownloadRestriction::LimitOnlyIntranet)
        }
        LimitType::Customize if limits.iter().all(Option::is_none) => {
            Err(section.refuse("must name vpcs or ips beside limit_type = \"Customize\""))
        }
        LimitType::Customize => {
            Ok(DownloadRestriction::Customize { vpcs: vpcs?.unwrap_or_default(), ips: ips?.unwrap_or_default() })
        }
    }
}

fn vpcs(field: &Field<'_>) -> Result<Vec<(Region, Vec<String>)>, Refused> {
    all(field.entries()?.iter().map(|(name, field)| {
        let ids = field.some_items().and_then(|items| all(items.iter().map(vpc_id)));
        Ok((region_name(name, field)?, ids?))
    }))
}

fn vpc_id(item: &Field<'_>) -> Result<String, Refused> {
    let id = item.text()?;
    let is_id = id
        .strip_prefix("vpc-")
        .is_some_and(|rest| (1..=32).contains(&rest.len()) && rest.bytes().all(|byte| byte.is_ascii_alphanumeric()));
    if !is_id {
        return Err(item.refuse("must be the id of a VPC, such as \"vpc-1a2b3c4d\""));
    }
    Ok(id.to_owned())
}

fn ips(field: &Field<'_>) -> Result<Vec<String>, Refused> {
    let is_address = |text: &str| text.parse::<IpAddr>().is_ok() || text.parse::<IpNet>().is_ok();
    let items = field.some_items()?;
    all(items.iter().map(|item| item.parse(|text| is_address(text).then(|| text.to_owned()))))
}

fn is_account(text: &str) -> bool {
    (1..=64).contains(&text.len())
        && text.bytes().all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'.' | b'_' | b'-'))
}
