//! Where the store is: a pure rule of a URL's form.

use std::fmt;

/// `redis://host[:port][/database]`, or `rediss://` for TLS. It holds no password.
#[derive(Clone, PartialEq, Eq)]
pub struct Address {
    tls: bool,
    host: String,
    port: u16,
    database: u16,
}

/// Why a text is not the address of a store. It never repeats the text, which may hold a password.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum InvalidAddress {
    /// It is not of the form.
    #[error("must be redis://host[:port][/database], or rediss:// for TLS")]
    Form,
    /// There is a user or a password in it.
    #[error("must hold no user and no password: they stand in shared.username and shared.password_file")]
    User,
}

/// Where Redis listens, with and without TLS.
const DEFAULT_PORT: u16 = 6379;

impl Address {
    /// Whether the connection is encrypted.
    pub fn is_tls(&self) -> bool {
        self.tls
    }

    /// The host: a name or an address, an IPv6 address without its brackets.
    pub fn host(&self) -> &str {
        &self.host
    }

    /// The port.
    pub fn port(&self) -> u16 {
        self.port
    }

    /// The number of the database.
    pub fn database(&self) -> u16 {
        self.database
    }

    /// Whether it is on this machine, so that nobody else hears what is said without TLS.
    pub fn is_loopback(&self) -> bool {
        self.host == "localhost" || self.host.parse::<std::net::IpAddr>().is_ok_and(|address| address.is_loopback())
    }
}

impl TryFrom<&str> for Address {
    type Error = InvalidAddress;

    fn try_from(text: &str) -> Result<Self, InvalidAddress> {
        let (scheme, rest) = text.split_once("://").ok_or(InvalidAddress::Form)?;
        let tls = match scheme {
            "redis" => false,
            "rediss" => true,
            _ => return Err(InvalidAddress::Form),
        };
        if rest.contains('@') {
            return Err(InvalidAddress::User);
        }
        let (authority, database) = rest.split_once('/').unwrap_or((rest, ""));
        let database = if database.is_empty() { 0 } else { number(database)? };
        let (host, port) = match authority.strip_prefix('[') {
            Some(rest) => {
                let (address, behind) = rest.split_once(']').ok_or(InvalidAddress::Form)?;
                address.parse::<std::net::Ipv6Addr>().map_err(|_| InvalidAddress::Form)?;
                match behind.strip_prefix(':') {
                    Some(port) => (address, Some(port)),
                    None if behind.is_empty() => (address, None),
                    None => return Err(InvalidAddress::Form),
                }
            }
            None => match authority.split_once(':') {
                Some((host, port)) => (named(host)?, Some(port)),
                None => (named(authority)?, None),
            },
        };
        let port = port.map_or(Ok(DEFAULT_PORT), number)?;
        if port == 0 {
            return Err(InvalidAddress::Form);
        }
        Ok(Self { tls, host: host.to_ascii_lowercase(), port, database })
    }
}

fn named(host: &str) -> Result<&str, InvalidAddress> {
    let is_good = !host.is_empty()
        && host.len() <= 253
        && host.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"-._".contains(&byte));
    if is_good { Ok(host) } else { Err(InvalidAddress::Form) }
}

fn number(text: &str) -> Result<u16, InvalidAddress> {
    let is_plain = !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
    if is_plain { text.parse().map_err(|_| InvalidAddress::Form) } else { Err(InvalidAddress::Form) }
}

impl fmt::Display for Address {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let scheme = if self.tls { "rediss" } else { "redis" };
        let (open, close) = if self.host.contains(':') { ("[", "]") } else { ("", "") };
        write!(f, "{scheme}://{open}{}{close}:{}/{}", self.host, self.port, self.database)
    }
}

impl fmt::Debug for Address {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Address({self})")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_address_is_read_and_written_in_one_form() {
        for (text, written) in [
            ("redis://127.0.0.1:6379", "redis://127.0.0.1:6379/0"),
            ("redis://Store.example.internal", "redis://store.example.internal:6379/0"),
            ("rediss://r-bp1.redis.example:6380/3", "rediss://r-bp1.redis.example:6380/3"),
            ("redis://[::1]:7000/", "redis://[::1]:7000/0"),
            ("redis://[fd00::5]", "redis://[fd00::5]:6379/0"),
        ] {
            assert_eq!(Address::try_from(text).map(|address| address.to_string()).as_deref(), Ok(written), "{text}");
        }
    }

    #[test]
    fn what_is_no_address_of_a_store_is_refused() {
        for text in [
            "",
            "redis://",
            "redis:///0",
            "redis://:6379",
            "redis://host:",
            "redis://host:0",
            "redis://host:65536",
            "redis://host:+1",
            "redis://host/x",
            "redis://host/1/2",
            "redis://host?db=1",
            "redis://ho st",
            "redis://[::1",
            "redis://[::1]x",
            "redis://[zz]",
            "redis+unix:///run/redis.sock",
            "http://host",
            "host:6379",
        ] {
            assert_eq!(Address::try_from(text), Err(InvalidAddress::Form), "{text}");
        }
    }

    #[test]
    fn a_user_in_the_address_is_refused_and_not_repeated() {
        let error = Address::try_from("rediss://ada:hunter2@host:6379").expect_err("a password stands in it");

        assert_eq!(error, InvalidAddress::User);
        assert!(!error.to_string().contains("hunter2"));
    }

    #[test]
    fn loopback_is_told_from_elsewhere() {
        for (text, is_loopback) in [
            ("redis://127.0.0.1", true),
            ("redis://localhost:1", true),
            ("redis://[::1]", true),
            ("redis://10.0.0.5", false),
            ("redis://localhost.example", false),
        ] {
            assert_eq!(Address::try_from(text).map(|address| address.is_loopback()), Ok(is_loopback), "{text}");
        }
    }
}
