//! The query of a request, parameter by parameter. Whatever is not known is refused by name.

use std::borrow::Cow;

use super::problem::Problem;
use crate::{
    broker::Broker,
    domain::{Network, Region},
};

/// The query of `/urls`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct UrlsQuery {
    pub(super) region: Option<Region>,
    pub(super) network: Network,
}

impl UrlsQuery {
    /// Reads the query of a request.
    ///
    /// # Errors
    ///
    /// Names the parameter that is unknown, given twice, or has a value that it cannot have.
    pub(super) fn parse(query: &str, broker: &Broker) -> Result<Self, Problem> {
        let mut region = None;
        let mut network = None;
        for (name, value) in pairs(query)? {
            match &*name {
                "region" => set(&mut region, "region", parse_region(&value, broker)?)?,
                "network" => set(&mut network, "network", parse_network(&value)?)?,
                _ => return Err(unknown(&name)),
            }
        }
        Ok(Self { region, network: network.unwrap_or(Network::Both) })
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

fn set<T>(slot: &mut Option<T>, name: &'static str, value: T) -> Result<(), Problem> {
    if slot.replace(value).is_some() {
        return Err(Problem::invalid_request(format!("parameter {name} is given more than once")));
    }
    Ok(())
}

/// The name is the caller's own text: it is bounded, and what JSON cannot carry plainly is replaced.
fn unknown(name: &str) -> Problem {
    let name: String =
        name.chars().take(64).map(|symbol| if symbol.is_control() { '\u{fffd}' } else { symbol }).collect();
    Problem::invalid_request(format!("parameter {name} is unknown"))
}

/// A name and a value.
type Pair<'a> = (Cow<'a, str>, Cow<'a, str>);

/// Names and values, each percent-decoded exactly once.
fn pairs(query: &str) -> Result<Vec<Pair<'_>>, Problem> {
    let parts = query.split('&').filter(|part| !part.is_empty());
    parts
        .map(|part| {
            let (name, value) = part.split_once('=').unwrap_or((part, ""));
            Some((decode(name)?, decode(value)?))
        })
        .collect::<Option<_>>()
        .ok_or_else(|| Problem::invalid_request("the query is not percent-encoded UTF-8"))
}

fn decode(text: &str) -> Option<Cow<'_, str>> {
    if !text.contains(['%', '+']) {
        return Some(Cow::Borrowed(text));
    }
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = text.bytes();
    while let Some(byte) = rest.next() {
        bytes.push(match byte {
            b'+' => b' ',
            b'%' => {
                let high = char::from(rest.next()?).to_digit(16)?;
                let low = char::from(rest.next()?).to_digit(16)?;
                u8::try_from(high << 4 | low).ok()?
            }
            other => other,
        });
    }
    String::from_utf8(bytes).ok().map(Cow::Owned)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn a_text_is_decoded_once_and_only_where_it_is_encoded_well() {
        assert_eq!(decode("a%2Bb+c").as_deref(), Some("a+b c"));
        assert_eq!(decode("%2541").as_deref(), Some("%41"));
        for text in ["%", "%4", "%zz", "%ff", "%c0%80", "%+1"] {
            assert_eq!(decode(text), None, "{text}");
        }
    }

    proptest! {
        #[test]
        fn any_text_comes_through_encoding_and_decoding(text in "\\PC{0,40}") {
            let encoded: String = text.bytes().map(|byte| format!("%{byte:02X}")).collect();
            let decoded = decode(&encoded);
            prop_assert_eq!(decoded.as_deref(), Some(text.as_str()));
        }
    }
}
