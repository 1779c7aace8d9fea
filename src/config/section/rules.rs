//! The sections whose keys stand for themselves: `[cors]`, `[policy]`, `[rate_limit]`, `[cache]`, `[audit]`, `[log]`.

use std::{num::NonZeroU32, path::PathBuf};

use tracing_subscriber::EnvFilter;

use crate::{
    audit, cache,
    config::field::{Field, Refused, all, refuse_repeats},
    http::cors::{self, Origin},
    policy, quota,
    telemetry::{self, Format},
    traces::CollectorUrl,
};

pub(super) fn cors(section: &Field<'_>) -> Result<cors::Settings, Refused> {
    let items = section.at("allowed_origins").items()?;
    let allowed_origins = all(items.iter().map(|item| item.parse(|text| Origin::try_from(text).ok())));
    refuse_repeats(&items);
    Ok(cors::Settings { allowed_origins: allowed_origins? })
}

pub(super) fn policy(section: &Field<'_>) -> Result<policy::Settings, Refused> {
    Ok(policy::Settings { dir: section.at("dir").path_to_file()? })
}

pub(super) fn rate_limit(section: &Field<'_>) -> Result<quota::Limits, Refused> {
    let requests_per_second = section.at("requests_per_second").number();
    let guard = section.at("guard").duration();
    let max_wait = section.at("max_wait").duration();
    let max_queue = section.at("max_queue").number();
    let max_queue_per_caller = section.at("max_queue_per_caller").number();
    Ok(quota::Limits {
        requests_per_second: requests_per_second?,
        guard: guard?,
        max_wait: max_wait?,
        max_queue: max_queue?,
        max_queue_per_caller: max_queue_per_caller?,
    })
}

pub(super) fn per_caller(section: &Field<'_>) -> Result<quota::CallerLimits, Refused> {
    let requests_per_second = section.at("requests_per_second").number();
    let burst = section.at("burst").number();
    // The table's bounds begin at one.
    let at_least_one = |number| NonZeroU32::new(number).unwrap_or(NonZeroU32::MIN);
    Ok(quota::CallerLimits { requests_per_second: at_least_one(requests_per_second?), burst: at_least_one(burst?) })
}

pub(super) fn cache(section: &Field<'_>) -> Result<cache::Rules, Refused> {
    let max_bytes = section.at("max_bytes").size();
    let min_validity = section.at("min_validity").duration();
    let refresh_ahead = section.at("refresh_ahead").duration();
    let stale_min_validity = section.at("stale_min_validity").duration();
    let unknown_lifetime = section.at("unknown_lifetime").duration();
    let token_url_max = section.at("token_url_max").duration();
    let negative_ttl = section.at("negative_ttl").duration();
    let min_age = section.at("min_age").duration();
    let list_ttl = section.at("list_ttl").duration();
    Ok(cache::Rules {
        max_bytes: max_bytes?,
        min_validity: min_validity?,
        refresh_ahead: refresh_ahead?,
        stale_min_validity: stale_min_validity?,
        unknown_lifetime: unknown_lifetime?,
        token_url_max: token_url_max?,
        negative_ttl: negative_ttl?,
        min_age: min_age?,
        list_ttl: list_ttl?,
    })
}

pub(super) fn audit(section: &Field<'_>) -> Result<audit::Settings, Refused> {
    let word = section.at("sink").parse(|word| match word {
        "stdout" => Some(SinkWord::Stdout),
        "file" => Some(SinkWord::File),
        _ => None,
    });
    let path = |name| section.at(name).given().map(|file| file.path_to_file()).transpose();
    let (file, key_file) = (path("file"), path("key_file"));
    let timeout = section.at("timeout").duration();
    let sink = match word? {
        // A file beside it stays unused, so that one variable can point a deployment at standard output.
        SinkWord::Stdout => audit::Sink::Stdout { key_file: key_file? },
        SinkWord::File => {
            let given = |name, path: Result<Option<PathBuf>, Refused>| {
                path?.ok_or_else(|| section.at(name).refuse("must be set, to a path: audit.sink is \"file\""))
            };
            let (path, key_file) = (given("file", file), given("key_file", key_file));
            audit::Sink::File { path: path?, key_file: key_file? }
        }
    };
    Ok(audit::Settings { sink, timeout: timeout? })
}

/// `audit.sink` as a word; which file it means is another key.
enum SinkWord {
    Stdout,
    File,
}

/// `log.otlp_endpoint`: where spans are sent. It is refused with the sentence of its own room, and not repeated.
pub(super) fn otlp(section: &Field<'_>) -> Result<Option<CollectorUrl>, Refused> {
    let endpoint = section
        .at("otlp_endpoint")
        .given()
        .map(|field| CollectorUrl::try_from(field.text()?).map_err(|error| field.refuse(error.to_string())));
    endpoint.transpose()
}

pub(super) fn log(section: &Field<'_>) -> Result<telemetry::Settings, Refused> {
    let level = section.at("level").parse(|text| is_filter(text).then(|| text.to_owned()));
    let format = section.at("format").parse(|word| match word {
        "auto" => Some(Format::Auto),
        "text" => Some(Format::Text),
        "json" => Some(Format::Json),
        _ => None,
    });
    Ok(telemetry::Settings { level: level?, format: format? })
}

/// The filter's own parser takes a bare word that is no level for the name of a module, logs that at `trace` and
/// silences everything else: `inof` would be a gateway that says nothing.
fn is_filter(text: &str) -> bool {
    const LEVELS: [&str; 6] = ["off", "error", "warn", "info", "debug", "trace"];
    let is_directive =
        |part: &str| part.contains('=') || LEVELS.iter().any(|level| part.trim().eq_ignore_ascii_case(level));
    text.split(',').all(is_directive) && EnvFilter::try_new(text).is_ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_word_that_is_no_level_is_not_taken_for_a_module() {
        for text in ["info", "off", "WARN", "info,actix_server=warn", "warn,redis_backup_gateway::quota=trace"] {
            assert!(is_filter(text), "{text}");
        }
        for text in ["", "inof", "info,actix_server", "actix_server=loud", "info,,warn", "=info=info"] {
            assert!(!is_filter(text), "{text}");
        }
    }
}
