//! `sandbox token`: asks the issuer of a running sandbox, over plain HTTP on loopback.

use std::io::{self, Read as _, Write as _};
use std::net::{SocketAddr, TcpStream};
use std::time::Duration;

use clap::{Args, ValueEnum};
use sandbox::{Algorithm, TokenSpec};
use serde_json::{Map, Value};

use super::{say, seconds};

const PATIENCE: Duration = Duration::from_secs(5);

#[derive(Args)]
pub(super) struct Token {
    /// The subject.
    #[arg(long, default_value = "alice")]
    sub: String,
    /// A group; may be given several times.
    #[arg(long = "group")]
    groups: Vec<String>,
    /// An audience; may be given several times.
    #[arg(long = "aud", default_value = "redis-backup-gateway")]
    audiences: Vec<String>,
    /// How long it is good: 90s, 15m, 1h; negative for one that is over.
    #[arg(long, default_value = "1h", value_parser = seconds, allow_hyphen_values = true)]
    lifetime: i64,
    /// The algorithm.
    #[arg(long, value_enum, ignore_case = true, default_value = "RS256")]
    alg: AlgorithmName,
    /// Further claims as a JSON object.
    #[arg(long, value_parser = object, default_value = "{}")]
    claims: Map<String, Value>,
    /// The issuer of the running sandbox.
    #[arg(long, visible_alias = "issuer", default_value = "http://127.0.0.1:18081")]
    issuer_url: String,
}

#[derive(Clone, Copy, ValueEnum)]
enum AlgorithmName {
    #[value(name = "RS256")]
    Rs256,
    #[value(name = "ES256")]
    Es256,
    #[value(name = "EdDSA")]
    EdDsa,
}

impl Token {
    /// Prints the token and nothing else.
    pub(super) fn run(self) -> io::Result<()> {
        let spec = TokenSpec {
            sub: self.sub,
            groups: self.groups,
            aud: self.audiences,
            lifetime_s: self.lifetime,
            alg: match self.alg {
                AlgorithmName::Rs256 => Algorithm::Rs256,
                AlgorithmName::Es256 => Algorithm::Es256,
                AlgorithmName::EdDsa => Algorithm::EdDsa,
            },
            claims: self.claims,
            ..TokenSpec::default()
        };
        let answer = post(&self.issuer_url, "/token", &serde_json::to_vec(&spec)?)?;
        let answer: Value = serde_json::from_slice(&answer)?;
        match answer["access_token"].as_str() {
            Some(token) => say(token),
            None => Err(other(&format!("the issuer refused: {answer}"))),
        }
    }
}

/// One `POST` on a connection of its own; the body of the answer comes back, whatever the status.
fn post(url: &str, path: &str, body: &[u8]) -> io::Result<Vec<u8>> {
    let authority = url.strip_prefix("http://").map(|rest| rest.trim_end_matches('/'));
    let address: SocketAddr = authority
        .and_then(|authority| authority.parse().ok())
        .ok_or_else(|| other("the issuer's URL must be http://<address>:<port>"))?;
    let mut stream = TcpStream::connect_timeout(&address, PATIENCE)
        .map_err(|error| io::Error::new(error.kind(), format!("no sandbox at {url}: {error}")))?;
    stream.set_read_timeout(Some(PATIENCE))?;

    let length = body.len();
    let head = format!(
        "POST {path} HTTP/1.1\r\nHost: {address}\r\nContent-Type: application/json\r\nContent-Length: {length}\r\n\
         Connection: close\r\n\r\n"
    );
    stream.write_all(&[head.as_bytes(), body].concat())?;
    let mut answer = Vec::new();
    stream.read_to_end(&mut answer)?;
    let end_of_head = answer.windows(4).position(|window| window == b"\r\n\r\n");
    end_of_head.map(|end| answer.split_off(end + 4)).ok_or_else(|| other("the answer is not HTTP"))
}

fn object(text: &str) -> Result<Map<String, Value>, String> {
    serde_json::from_str(text).map_err(|error| error.to_string())
}

fn other(why: &str) -> io::Error {
    io::Error::other(why.to_owned())
}
