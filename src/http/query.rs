//! The query of a request, parameter by parameter. Whatever is not known is refused by name.

mod pairs;

use time::{Duration, PrimitiveDateTime, format_description::BorrowedFormatItem, macros::format_description};
use utoipa::{IntoParams, ToSchema};

use super::problem::Problem;
use crate::{
    broker::{Broker, Slice},
    domain::{Network, Region},
    tencent::wire::{BackupFilter, BackupStatus},
};
use pairs::{pairs, unknown};

/// The query of `/urls` and `/files/{n}`.
#[derive(Clone, Debug, PartialEq, Eq, IntoParams)]
#[into_params(parameter_in = Query)]
pub(super) struct UrlsQuery {
    /// The region of the instance, one of those that this gateway is configured for. Left out, the gateway looks for
    /// the instance in those that policy allows.
    #[param(value_type = Option<String>, example = "ap-chengdu", nullable = false)]
    pub(super) region: Option<Region>,
    /// Only the addresses in this network. Left out, `/urls` gives both of each file, and `/files` the public one.
    #[param(value_type = Option<NetworkName>, inline, nullable = false)]
    pub(super) network: Option<Network>,
}

/// The query of `/instances`.
#[derive(Clone, Debug, PartialEq, Eq, IntoParams)]
#[into_params(parameter_in = Query)]
pub(super) struct InstancesQuery {
    /// Only instances of this region, one of those that this gateway is configured for.
    #[param(value_type = Option<String>, example = "ap-chengdu", nullable = false)]
    pub(super) region: Option<Region>,
    /// The most that is listed.
    #[param(required = false, minimum = 1, maximum = 100, default = 20)]
    limit: u32,
    /// How many are passed over.
    #[param(required = false, minimum = 0, maximum = 2147483647, default = 0)]
    offset: u32,
}

/// The query of `/backups`.
#[derive(Clone, Debug, PartialEq, Eq, IntoParams)]
#[into_params(parameter_in = Query)]
pub(super) struct BackupsQuery {
    /// The region of the instance, one of those that this gateway is configured for. Left out, the gateway looks for
    /// the instance in those that policy allows.
    #[param(value_type = Option<String>, example = "ap-chengdu", nullable = false)]
    pub(super) region: Option<Region>,
    /// The most that is listed.
    #[param(required = false, minimum = 1, maximum = 100, default = 20)]
    limit: u32,
    /// How many are passed over.
    #[param(required = false, minimum = 0, maximum = 2147483647, default = 0)]
    offset: u32,
    /// Only backups in these states, split by commas: `normal` ones can be downloaded, with `locked` ones something is
    /// being done. Left out, all are listed. (One text, not a list: not every generator of clients knows lists of one.)
    #[param(value_type = Option<String>, example = "normal", nullable = false,
        pattern = "^(locked|normal|expired|exporting|exported)(,(locked|normal|expired|exporting|exported))*$")]
    status: Vec<BackupStatus>,
    /// Only those that were started at this time or later: a local date-time of the vendor, without a zone.
    #[param(value_type = Option<String>, pattern = r"^[0-9]{4}-[0-9]{2}-[0-9]{2}T[0-9]{2}:[0-9]{2}:[0-9]{2}$",
        example = "2026-11-01T00:00:00", nullable = false)]
    since: Option<PrimitiveDateTime>,
    /// Only those that were started at this time or earlier; not before `since`, and at most 30 days after it.
    #[param(value_type = Option<String>, pattern = r"^[0-9]{4}-[0-9]{2}-[0-9]{2}T[0-9]{2}:[0-9]{2}:[0-9]{2}$",
        example = "2026-11-24T00:00:00", nullable = false)]
    until: Option<PrimitiveDateTime>,
}

/// One of the two addresses that a file has.
#[derive(ToSchema)]
#[schema(rename_all = "snake_case")]
#[expect(dead_code, reason = "it is read by the derived documentation alone")]
enum NetworkName {
    Public,
    Inner,
}

/// Entries of a page where nothing is asked for.
const DEFAULT_LIMIT: u32 = 20;

/// The vendor's longest page of backups, and ours.
const LARGEST_LIMIT: u32 = 100;

/// Far beyond every list, and a number in every language.
const LARGEST_OFFSET: u32 = i32::MAX.unsigned_abs();

/// Local, without a zone: the vendor names none.
const DATE_TIME: &[BorrowedFormatItem<'_>] = format_description!("[year]-[month]-[day]T[hour]:[minute]:[second]");
const DATE_TIME_LENGTH: usize = "2026-11-24T00:00:00".len();

/// The vendor's longest span.
const LONGEST_SPAN: Duration = Duration::days(30);

impl UrlsQuery {
    /// Reads the query of a request.
    ///
    /// # Errors
    ///
    /// Names the parameter that is unknown, given twice, or has a value that it cannot have.
    pub(super) fn parse(query: &str, broker: &Broker) -> Result<Self, Problem> {
        let (mut region, mut network) = (None, None);
        for pair in pairs(query) {
            let (name, value) = pair?;
            match &*name {
                "region" => set(&mut region, "region", parse_region(&value, broker)?)?,
                "network" => set(&mut network, "network", parse_network(&value)?)?,
                _ => return Err(unknown(&name)),
            }
        }
        Ok(Self { region, network })
    }
}

impl InstancesQuery {
    /// See [`UrlsQuery::parse`].
    pub(super) fn parse(query: &str, broker: &Broker) -> Result<Self, Problem> {
        let (mut region, mut limit, mut offset) = (None, None, None);
        for pair in pairs(query) {
            let (name, value) = pair?;
            match &*name {
                "region" => set(&mut region, "region", parse_region(&value, broker)?)?,
                "limit" => set(&mut limit, "limit", parse_limit(&value)?)?,
                "offset" => set(&mut offset, "offset", parse_offset(&value)?)?,
                _ => return Err(unknown(&name)),
            }
        }
        let (limit, offset) = (limit.unwrap_or(DEFAULT_LIMIT), offset.unwrap_or(0));
        Ok(Self { region, limit, offset })
    }

    /// The part of the list that is asked for.
    pub(super) fn slice(&self) -> Slice {
        Slice { offset: self.offset, limit: self.limit }
    }
}

impl BackupsQuery {
    /// See [`UrlsQuery::parse`].
    pub(super) fn parse(query: &str, broker: &Broker) -> Result<Self, Problem> {
        let (mut region, mut limit, mut offset) = (None, None, None);
        let (mut statuses, mut since, mut until) = (None, None, None);
        for pair in pairs(query) {
            let (name, value) = pair?;
            match &*name {
                "region" => set(&mut region, "region", parse_region(&value, broker)?)?,
                "limit" => set(&mut limit, "limit", parse_limit(&value)?)?,
                "offset" => set(&mut offset, "offset", parse_offset(&value)?)?,
                "status" => set(&mut statuses, "status", parse_statuses(&value)?)?,
                "since" => set(&mut since, "since", parse_date_time("since", &value)?)?,
                "until" => set(&mut until, "until", parse_date_time("until", &value)?)?,
                _ => return Err(unknown(&name)),
            }
        }
        if let (Some(since), Some(until)) = (since, until) {
            check_span(since, until)?;
        }
        let (limit, offset) = (limit.unwrap_or(DEFAULT_LIMIT), offset.unwrap_or(0));
        Ok(Self { region, limit, offset, status: statuses.unwrap_or_default(), since, until })
    }

    /// The part of the list that is asked for.
    pub(super) fn slice(&self) -> Slice {
        Slice { offset: self.offset, limit: self.limit }
    }

    /// What the upstream is asked for.
    pub(super) fn filter(&self) -> BackupFilter {
        BackupFilter { statuses: self.status.clone(), since: self.since, until: self.until }
    }
}

fn parse_region(value: &str, broker: &Broker) -> Result<Region, Problem> {
    broker.region(value).cloned().ok_or_else(|| {
        let names: Vec<_> = broker.regions().iter().map(Region::as_str).collect();
        Problem::invalid_request(format!("parameter region must be one of {}", names.join(", ")))
    })
}

fn parse_network(value: &str) -> Result<Network, Problem> {
    match value {
        "public" => Ok(Network::Public),
        "inner" => Ok(Network::Inner),
        _ => Err(Problem::invalid_request("parameter network must be public or inner")),
    }
}

fn parse_limit(value: &str) -> Result<u32, Problem> {
    let limit = whole_number(value).filter(|limit| (1..=LARGEST_LIMIT).contains(limit));
    limit.ok_or_else(|| Problem::invalid_request(format!("parameter limit must be a number from 1 to {LARGEST_LIMIT}")))
}

fn parse_offset(value: &str) -> Result<u32, Problem> {
    let offset = whole_number(value).filter(|offset| *offset <= LARGEST_OFFSET);
    let right = || Problem::invalid_request(format!("parameter offset must be a number from 0 to {LARGEST_OFFSET}"));
    offset.ok_or_else(right)
}

/// Digits alone; what Rust would also take (`+1`) is another spelling.
fn whole_number(text: &str) -> Option<u32> {
    text.bytes().all(|byte| byte.is_ascii_digit()).then(|| text.parse().ok())?
}

/// States in the order of the vendor's table, each once, so that two spellings of one wish are the same wish.
fn parse_statuses(value: &str) -> Result<Vec<BackupStatus>, Problem> {
    let asked: Option<Vec<_>> = value.split(',').map(BackupStatus::from_name).collect();
    let asked = asked.ok_or_else(|| {
        let names: Vec<_> = BackupStatus::ALL.iter().map(|status| status.as_str()).collect();
        Problem::invalid_request(format!("parameter status must be a list, split by commas, of {}", names.join(", ")))
    })?;
    Ok(BackupStatus::ALL.into_iter().filter(|status| asked.contains(status)).collect())
}

fn parse_date_time(name: &'static str, value: &str) -> Result<PrimitiveDateTime, Problem> {
    let parsed = PrimitiveDateTime::parse(value, DATE_TIME).ok().filter(|_| value.len() == DATE_TIME_LENGTH);
    parsed.ok_or_else(|| {
        let right = "must be a local date-time without a zone, such as 2026-11-24T00:00:00";
        Problem::invalid_request(format!("parameter {name} {right}"))
    })
}

fn check_span(since: PrimitiveDateTime, until: PrimitiveDateTime) -> Result<(), Problem> {
    if since > until {
        return Err(Problem::invalid_request("parameter since must not be after until"));
    }
    if until - since > LONGEST_SPAN {
        return Err(Problem::invalid_request("parameters since and until must be at most 30 days apart"));
    }
    Ok(())
}

fn set<T>(slot: &mut Option<T>, name: &'static str, value: T) -> Result<(), Problem> {
    if slot.replace(value).is_some() {
        return Err(Problem::invalid_request(format!("parameter {name} is given more than once")));
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_digits_within_their_bounds() {
        for (text, limit, offset) in [
            ("0", None, Some(0)),
            ("1", Some(1), Some(1)),
            ("100", Some(100), Some(100)),
            ("007", Some(7), Some(7)),
            ("101", None, Some(101)),
            ("2147483647", None, Some(2_147_483_647)),
            ("2147483648", None, None),
            ("99999999999999999999", None, None),
            ("", None, None),
            ("-1", None, None),
            ("+1", None, None),
            ("1.0", None, None),
            ("1e1", None, None),
            (" 1", None, None),
            ("١", None, None),
        ] {
            assert_eq!(parse_limit(text).ok(), limit, "{text:?}");
            assert_eq!(parse_offset(text).ok(), offset, "{text:?}");
        }
    }

    #[test]
    fn states_are_known_names_in_any_order() {
        use BackupStatus::{Locked, Normal};

        assert_eq!(parse_statuses("normal").ok(), Some(vec![Normal]));
        assert_eq!(parse_statuses("normal,locked,normal").ok(), Some(vec![Locked, Normal]));
        for text in ["", "normal,", ",normal", "Normal", "unknown", "2", "normal locked", "normal, locked"] {
            assert!(parse_statuses(text).is_err(), "{text:?}");
        }
    }

    #[test]
    fn the_documented_states_are_those_that_can_be_asked_for() {
        let names = BackupStatus::ALL.map(BackupStatus::as_str).join("|");
        let parameters = BackupsQuery::into_params(|| None);
        let status = parameters.iter().find(|parameter| parameter.name == "status");

        let documented = serde_json::to_value(status.unwrap()).unwrap();

        assert_eq!(documented["schema"]["pattern"], format!("^({names})(,({names}))*$"));
    }

    #[test]
    fn a_date_time_has_one_spelling_and_no_zone() {
        let parse = |text: &str| parse_date_time("since", text).ok();

        assert_eq!(parse("2026-11-24T00:00:01").map(|time| time.to_string()).as_deref(), Some("2026-11-24 0:00:01.0"));
        for text in [
            "",
            "2026-11-24",
            "2026-11-24 00:00:00",
            "2026-11-24t00:00:00",
            "2026-11-24T00:00",
            "2026-11-24T00:00:00Z",
            "2026-11-24T00:00:00+08:00",
            "2026-11-24T00:00:00.5",
            "2026-11-31T00:00:00",
            "2026-11-24T24:00:00",
            "2026-11-24T00:00:60",
            "+2026-1-24T00:00:00",
            "20261-1-24T00:00:00",
        ] {
            assert_eq!(parse(text), None, "{text:?}");
        }
    }

    #[test]
    fn a_span_runs_forwards_and_for_thirty_days_at_the_most() {
        let span = |since, until| {
            check_span(parse_date_time("since", since).unwrap(), parse_date_time("until", until).unwrap()).is_ok()
        };

        assert!(span("2026-11-24T00:00:00", "2026-11-24T00:00:00"));
        assert!(span("2026-11-01T00:00:00", "2026-12-01T00:00:00"));
        assert!(!span("2026-11-01T00:00:00", "2026-12-01T00:00:01"));
        assert!(!span("2026-11-24T00:00:01", "2026-11-24T00:00:00"));
    }
}
