//! A client that shares nothing with the sandbox but the vendor's rules: raw sockets, its own signer.

use std::io::{ErrorKind, Read, Write};
use std::net::TcpStream;
use std::time::Duration;

use hmac::{Hmac, KeyInit, Mac};
use sandbox::{Sandbox, credential, known};
use serde_json::Value;
use sha2::{Digest, Sha256};
use time::OffsetDateTime;

/// An answer, read to the end of its body or of the connection.
#[derive(Debug)]
pub(crate) struct Answer {
    pub(crate) status: u16,
    pub(crate) head: String,
    pub(crate) body: Vec<u8>,
}

impl Answer {
    pub(crate) fn json(&self) -> Value {
        serde_json::from_slice(&self.body).expect("the body is JSON")
    }

    pub(crate) fn text(&self) -> String {
        String::from_utf8_lossy(&self.body).into_owned()
    }

    pub(crate) fn header(&self, name: &str) -> Option<&str> {
        self.head.lines().find_map(|line| {
            let (field, value) = line.split_once(':')?;
            field.eq_ignore_ascii_case(name).then(|| value.trim())
        })
    }

    /// The code of the API error, empty for a success.
    pub(crate) fn code(&self) -> String {
        self.json()["Response"]["Error"]["Code"].as_str().unwrap_or_default().to_owned()
    }
}

/// A keep-alive connection.
pub(crate) struct Connection {
    stream: TcpStream,
    /// What was read beyond the last answer.
    rest: Vec<u8>,
}

impl Connection {
    pub(crate) fn to(url: &str) -> Self {
        let address = authority(url);
        let stream = TcpStream::connect(address).expect("connects");
        stream.set_read_timeout(Some(Duration::from_secs(10))).expect("takes a timeout");
        Self { stream, rest: Vec::new() }
    }

    pub(crate) fn send(&mut self, request: &[u8]) {
        self.stream.write_all(request).expect("sends");
    }

    /// Reads one answer; `None` when the connection ends before its head does.
    pub(crate) fn receive(&mut self, is_head: bool) -> Option<Answer> {
        let mut bytes = std::mem::take(&mut self.rest);
        let end = loop {
            if let Some(end) = bytes.windows(4).position(|window| window == b"\r\n\r\n") {
                break end + 4;
            }
            if self.read_into(&mut bytes) == 0 {
                return None;
            }
        };
        let head = String::from_utf8(bytes[..end].to_vec()).expect("the head is text");
        let mut answer = Answer { status: head[9..12].parse().expect("a status"), head, body: bytes.split_off(end) };
        let announced: usize = answer.header("content-length").expect("a length").parse().expect("a number");
        let length = if is_head { 0 } else { announced };
        while answer.body.len() < length && self.read_into(&mut answer.body) > 0 {}
        self.rest = answer.body.split_off(length.min(answer.body.len()));
        Some(answer)
    }

    /// Reads some bytes; 0 when the other side has closed or reset the connection.
    fn read_into(&mut self, bytes: &mut Vec<u8>) -> usize {
        let mut chunk = [0; 4096];
        let count = loop {
            match self.stream.read(&mut chunk) {
                // A machine that was frozen for a moment interrupts reads that have a timeout.
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                Err(error) if error.kind() == ErrorKind::ConnectionReset => break 0,
                read => break read.expect("reads within the timeout"),
            }
        };
        bytes.extend_from_slice(&chunk[..count]);
        count
    }
}

/// One request on a connection of its own.
pub(crate) fn ask(method: &str, url: &str, body: &str) -> Answer {
    ask_raw(method, url, body).expect("is answered")
}

/// The same, where no answer may come.
pub(crate) fn ask_raw(method: &str, url: &str, body: &str) -> Option<Answer> {
    let host = authority(url);
    let path = url.trim_start_matches("http://").trim_start_matches(host);
    let path = if path.is_empty() { "/" } else { path };
    let mut connection = Connection::to(url);
    connection.send(
        format!("{method} {path} HTTP/1.1\r\nHost: {host}\r\nContent-Length: {}\r\n\r\n{body}", body.len()).as_bytes(),
    );
    connection.receive(method == "HEAD")
}

pub(crate) fn authority(url: &str) -> &str {
    let rest = url.trim_start_matches("http://");
    rest.split_once('/').map_or(rest, |(authority, _)| authority)
}

/// A call of the API, good by default.
#[derive(Clone)]
pub(crate) struct Call {
    pub(crate) url: String,
    pub(crate) service: &'static str,
    pub(crate) action: &'static str,
    pub(crate) version: &'static str,
    pub(crate) region: &'static str,
    pub(crate) body: String,
    pub(crate) id: &'static str,
    pub(crate) key: &'static str,
    pub(crate) token: Option<&'static str>,
    pub(crate) language: Option<&'static str>,
    pub(crate) at: i64,
}

impl Call {
    pub(crate) fn new(sandbox: &Sandbox, action: &'static str, body: &Value) -> Self {
        Self {
            url: sandbox.api_url(),
            service: "redis",
            action,
            version: "2018-04-12",
            region: known::CHENGDU,
            body: body.to_string(),
            id: credential::SECRET_ID,
            key: credential::SECRET_KEY,
            token: None,
            language: Some("en-US"),
            at: now(),
        }
    }

    /// The URLs of the seed's backup.
    pub(crate) fn urls(sandbox: &Sandbox) -> Self {
        Self::urls_of(sandbox, known::SEED_BACKUP)
    }

    pub(crate) fn urls_of(sandbox: &Sandbox, backup: &str) -> Self {
        Self::new(sandbox, "DescribeBackupUrl", &serde_json::json!({"InstanceId": known::ORDERS, "BackupId": backup}))
    }

    pub(crate) fn request(&self) -> Vec<u8> {
        let host = authority(&self.url);
        let date = OffsetDateTime::from_unix_timestamp(self.at).expect("a time").date().to_string();
        let canonical = format!(
            "POST\n/\n\ncontent-type:application/json\nhost:{host}\n\ncontent-type;host\n{}",
            hex(&Sha256::digest(&self.body))
        );
        let service = self.service;
        let scope = format!("{date}/{service}/tc3_request");
        let to_sign = format!("TC3-HMAC-SHA256\n{}\n{scope}\n{}", self.at, hex(&Sha256::digest(canonical)));
        let key = [service, "tc3_request"]
            .iter()
            .fold(hmac(format!("TC3{}", self.key).as_bytes(), &date), |key, part| hmac(&key, part));
        let signature = hex(&hmac(&key, &to_sign));
        let mut head = format!(
            "POST / HTTP/1.1\r\nHost: {host}\r\nContent-Type: application/json\r\nContent-Length: {}\r\n\
             X-TC-Action: {}\r\nX-TC-Version: {}\r\nX-TC-Region: {}\r\nX-TC-Timestamp: {}\r\n\
             Authorization: TC3-HMAC-SHA256 Credential={}/{scope}, SignedHeaders=content-type;host, Signature={signature}\r\n",
            self.body.len(),
            self.action,
            self.version,
            self.region,
            self.at,
            self.id,
        );
        for (name, value) in [("X-TC-Token", self.token), ("X-TC-Language", self.language)] {
            if let Some(value) = value {
                head.push_str(&format!("{name}: {value}\r\n"));
            }
        }
        format!("{head}\r\n{}", self.body).into_bytes()
    }

    pub(crate) fn send(&self) -> Answer {
        self.send_raw().expect("is answered")
    }

    /// `None` when the connection ends without an answer.
    pub(crate) fn send_raw(&self) -> Option<Answer> {
        let mut connection = Connection::to(&self.url);
        connection.send(&self.request());
        connection.receive(false)
    }
}

/// The first public and the first inner URL of a backup.
pub(crate) fn first_urls(answer: &Answer) -> (String, String) {
    let file = answer.json()["Response"]["BackupInfos"][0].clone();
    let url = |name: &str| file[name].as_str().expect("a URL").to_owned();
    (url("DownloadUrl"), url("InnerDownloadUrl"))
}

pub(crate) fn now() -> i64 {
    OffsetDateTime::now_utc().unix_timestamp()
}

fn hmac(key: &[u8], message: &str) -> Vec<u8> {
    let mut mac = Hmac::<Sha256>::new_from_slice(key).expect("takes any key");
    mac.update(message.as_bytes());
    mac.finalize().into_bytes().to_vec()
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}
