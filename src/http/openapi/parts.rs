//! The parts of the document that many operations share: problems by status, and the headers both ways.

use std::collections::BTreeMap;

use utoipa::openapi::{
    ContentBuilder, HeaderBuilder, ObjectBuilder, Ref, RefOr, Required, Response, ResponseBuilder, Type,
    example::ExampleBuilder,
    path::{Operation, ParameterBuilder, ParameterIn},
    schema::Schema,
};

use crate::http::problem::{Code, Document as Problem};

/// Adds an answer for each status that `codes` come with, with an example for each code.
pub(super) fn add_problems(operation: &mut Operation, codes: &[Code]) {
    let mut by_status: BTreeMap<u16, Vec<Code>> = BTreeMap::new();
    for code in codes {
        by_status.entry(code.status().as_u16()).or_default().push(*code);
    }
    for (status, codes) in by_status {
        let titles: Vec<_> = codes
            .iter()
            .map(|code| {
                let (code, title) = code.texts();
                format!("`{code}`: {title}")
            })
            .collect();
        let examples = codes.iter().map(|code| {
            let value = serde_json::to_value(Problem::example(*code)).expect("strings and numbers always serialise");
            (code.texts().0, RefOr::T(ExampleBuilder::new().value(Some(value)).build()))
        });
        let content =
            ContentBuilder::new().schema(Some(Ref::from_schema_name("Problem"))).examples_from_iter(examples).build();
        let response =
            ResponseBuilder::new().description(titles.join("; ")).content("application/problem+json", content).build();
        operation.responses.responses.insert(status.to_string(), response.into());
    }
}

/// Adds the headers that a resource route takes.
pub(super) fn take_headers(operation: &mut Operation, path: &str) {
    let mut headers = vec![
        (
            "X-Access-Reason",
            "What it is for, such as the number of a ticket: for policies and the audit.",
            ObjectBuilder::new().schema_type(Type::String).pattern(Some("^[ -~]*$")).max_length(Some(256)),
        ),
        (
            "X-Request-Id",
            "Your own id of the request, 1 to 128 of `A-Za-z0-9._-`. Anything else is replaced by one of the gateway's.",
            ObjectBuilder::new().schema_type(Type::String),
        ),
        (
            "traceparent",
            "The W3C trace context that the request is part of.",
            ObjectBuilder::new().schema_type(Type::String),
        ),
    ];
    if hands_out_urls(path) {
        headers.push((
            "Cache-Control",
            "`no-cache` asks for fresh URLs. Those that are only seconds old are served all the same.",
            ObjectBuilder::new().schema_type(Type::String),
        ));
    }
    let parameters = headers.into_iter().map(|(name, description, schema)| {
        let parameter = ParameterBuilder::new()
            .name(name)
            .parameter_in(ParameterIn::Header)
            .required(Required::False)
            .description(Some(description))
            .schema(Some(schema))
            .build();
        RefOr::T(parameter)
    });
    operation.parameters.get_or_insert_default().extend(parameters);
}

/// Adds the headers that come with the answers.
pub(super) fn tell_headers(operation: &mut Operation, path: &str, needs_token: bool) {
    for (status, response) in &mut operation.responses.responses {
        let RefOr::T(response) = response else { continue };
        tell(response, "X-Request-Id", "The id of the request: yours, where it was valid.");
        if needs_token && status != "401" && status != "503" {
            tell(response, "RateLimit-Policy", "Your own quota, for example `\"caller\";q=100;w=2`.");
            tell(response, "RateLimit", "What is left of it, for example `\"caller\";r=99;t=1`.");
        }
        if matches!(status.as_str(), "200" | "302") && hands_out_urls(path) {
            tell(response, "Cache-Control", "`private, no-store`.");
            tell(
                response,
                "Cache-Status",
                "Where the URLs come from (RFC 9211), for example \
                `redis-backup-gateway; hit; ttl=20999` or `redis-backup-gateway; fwd=miss; stored`.",
            );
        }
        match status.as_str() {
            "302" => tell(response, "Location", "The URL of the file."),
            "401" => tell(response, "WWW-Authenticate", "`Bearer …` (RFC 6750)."),
            "429" | "503" => tell(response, "Retry-After", "Whole seconds to wait."),
            _ => {}
        }
    }
}

fn tell(response: &mut Response, name: &str, description: &str) {
    let header = HeaderBuilder::new()
        .schema(Some(RefOr::T(Schema::from(ObjectBuilder::new().schema_type(Type::String)))))
        .description(Some(description))
        .build();
    response.headers.insert(name.to_owned(), header.into());
}

fn hands_out_urls(path: &str) -> bool {
    path.contains("{backup_id}")
}
