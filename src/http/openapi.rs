//! The OpenAPI 3.1 document, made from the handlers and their own types.
//!
//! What is the same for many routes (problems, headers, the bearer token) is added here, from the tables that the
//! answers themselves are made from.

mod parts;

use actix_web::web::Bytes;
use utoipa::{
    Modify, OpenApi,
    openapi::{
        self, RefOr, Schema,
        path::{Operation, Parameter},
        security::{Http, HttpAuthScheme, SecurityScheme},
    },
};

use super::problem::{Code, Document as Problem};
use crate::domain::Region;

#[derive(OpenApi)]
#[openapi(
    info(
        title = "redis-backup-gateway",
        description = include_str!("docs/introduction.md"),
        license(name = "Apache License 2.0", identifier = "Apache-2.0"),
    ),
    servers((url = "/", description = "this gateway")),
    tags(
        (name = "Download", description = "What it is for: the files of a backup."),
        (name = "Find", description = "Which instances and backups there are, as far as you may see them."),
        (name = "About", description = "The gateway itself. No token is needed."),
    ),
    paths(
        super::urls::urls,
        super::files::file,
        super::backups::backups,
        super::instances::instances,
        super::ops::alive,
        super::docs::document,
    ),
    components(schemas(Problem<'_>)),
    modifiers(&WhatIsTheSame),
)]
struct Api;

/// The document of a gateway for these regions.
pub fn document(regions: &[Region]) -> Bytes {
    let mut api = Api::openapi();
    name_regions(&mut api, regions);
    render(&api).into()
}

fn render(api: &openapi::OpenApi) -> String {
    let mut text = api.to_pretty_json().expect("a document of strings and numbers has a JSON form");
    text.push('\n');
    text
}

fn name_regions(api: &mut openapi::OpenApi, regions: &[Region]) {
    for parameter in api.paths.paths.values_mut().filter_map(|item| item.get.as_mut()).flat_map(parameters) {
        if parameter.name == "region"
            && let Some(RefOr::T(Schema::Object(schema))) = &mut parameter.schema
        {
            schema.enum_values = Some(regions.iter().map(|region| region.as_str().into()).collect());
        }
    }
}

fn parameters(operation: &mut Operation) -> impl Iterator<Item = &mut Parameter> {
    operation.parameters.iter_mut().flatten().filter_map(|parameter| match parameter {
        RefOr::T(parameter) => Some(parameter),
        RefOr::Ref(_) => None,
    })
}

/// Adds to every operation what is the same for many.
struct WhatIsTheSame;

impl Modify for WhatIsTheSame {
    fn modify(&self, api: &mut openapi::OpenApi) {
        let mut scheme = Http::new(HttpAuthScheme::Bearer);
        scheme.bearer_format = Some("JWT".to_owned());
        scheme.description =
            Some("A JSON Web Token of one of the issuers that the operator of this gateway trusts.".to_owned());
        let components = api.components.get_or_insert_default();
        components.security_schemes.insert("bearer".to_owned(), SecurityScheme::Http(scheme).into());

        for (path, item) in &mut api.paths.paths {
            let Some(operation) = &mut item.get else { continue };
            let codes = codes_of(path);
            if !codes.is_empty() {
                parts::take_headers(operation, path);
                parts::add_problems(operation, codes);
            }
            parts::tell_headers(operation, path, !codes.is_empty());
        }
    }
}

/// The problems that a route may answer with; none where no token is needed.
fn codes_of(path: &str) -> &'static [Code] {
    const LIST_INSTANCES: &[Code] = &[
        Code::InvalidRequest,
        Code::Unauthenticated,
        Code::NotAcceptable,
        Code::CallerRateLimited,
        Code::Internal,
        Code::Unavailable,
    ];
    const LIST_BACKUPS: &[Code] = &[
        Code::InvalidRequest,
        Code::Unauthenticated,
        Code::Forbidden,
        Code::NotFound,
        Code::InstanceNotFound,
        Code::NotAcceptable,
        Code::UnsupportedByInstance,
        Code::BackupNotReady,
        Code::CallerRateLimited,
        Code::UpstreamRateLimited,
        Code::Internal,
        Code::UpstreamError,
        Code::UpstreamDenied,
        Code::Unavailable,
        Code::UpstreamTimeout,
    ];
    const URLS: &[Code] = &[
        Code::InvalidRequest,
        Code::Unauthenticated,
        Code::Forbidden,
        Code::NotFound,
        Code::InstanceNotFound,
        Code::BackupNotFound,
        Code::NotAcceptable,
        Code::UnsupportedByInstance,
        Code::BackupNotReady,
        Code::CallerRateLimited,
        Code::UpstreamRateLimited,
        Code::Internal,
        Code::UpstreamError,
        Code::UpstreamDenied,
        Code::Unavailable,
        Code::UpstreamTimeout,
    ];
    const FILE: &[Code] = &[
        Code::InvalidRequest,
        Code::Unauthenticated,
        Code::Forbidden,
        Code::NotFound,
        Code::InstanceNotFound,
        Code::BackupNotFound,
        Code::UnsupportedByInstance,
        Code::BackupNotReady,
        Code::CallerRateLimited,
        Code::UpstreamRateLimited,
        Code::Internal,
        Code::UpstreamError,
        Code::UpstreamDenied,
        Code::Unavailable,
        Code::UpstreamTimeout,
    ];
    match path {
        "/instances" => LIST_INSTANCES,
        "/instances/{instance_id}/backups" => LIST_BACKUPS,
        "/instances/{instance_id}/backups/{backup_id}/urls" => URLS,
        "/instances/{instance_id}/backups/{backup_id}/files/{n}" => FILE,
        _ => &[],
    }
}

#[cfg(test)]
mod tests {
    use std::{fs, path::Path};

    use super::*;
    use crate::domain::Region;

    #[test]
    fn the_document_in_the_repository_is_current() {
        let current = render(&Api::openapi());
        let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("openapi.json");
        #[expect(clippy::disallowed_methods, reason = "the person at the keyboard says whether to write")]
        let update = std::env::var_os("UPDATE_DOCS").is_some();
        if update {
            fs::write(&path, &current).expect("a writable working copy");
        }

        let written = fs::read_to_string(&path).unwrap_or_default();

        assert!(written == current, "openapi.json is not current: UPDATE_DOCS=1 cargo test writes it anew");
    }

    #[test]
    fn a_gateways_own_document_names_its_regions() {
        let regions = ["ap-chengdu", "ap-shanghai-fsi"].map(|name| Region::try_from(name).unwrap());

        let api: serde_json::Value = serde_json::from_slice(&document(&regions)).unwrap();

        let parameters = api["paths"]["/instances"]["get"]["parameters"].as_array().unwrap();
        let region = parameters.iter().find(|parameter| parameter["name"] == "region").unwrap();
        assert_eq!(region["schema"]["enum"], serde_json::json!(["ap-chengdu", "ap-shanghai-fsi"]));
    }

    #[test]
    fn every_operation_has_an_id_a_summary_and_a_good_answer() {
        let api = Api::openapi();

        for (path, item) in &api.paths.paths {
            let operation = item.get.as_ref().unwrap();
            assert!(operation.operation_id.is_some() && operation.summary.is_some(), "{path}");
            assert!(operation.responses.responses.keys().any(|status| status < &"400".to_owned()), "{path}");
            assert_eq!(operation.security.is_some(), path.starts_with("/instances"), "{path}");
        }
    }
}
