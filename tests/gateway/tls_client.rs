//! A client that speaks HTTP/1.1 over TLS and tells what the two sides agreed on.

use std::{
    io::{self, Read as _, Write as _},
    net::{SocketAddr, TcpStream},
    sync::Arc,
};

use rustls::{
    ClientConfig, ClientConnection, HandshakeKind, ProtocolVersion, RootCertStore, StreamOwned,
    SupportedProtocolVersion,
    client::{Resumption, Tls12Resumption},
    crypto::{CryptoProvider, aws_lc_rs},
    pki_types::{CertificateDer, PrivateKeyDer, ServerName},
};

use crate::{
    certificates::{Authority, Leaf},
    harness::{Answer, PATIENCE},
};

/// What a client trusts and shows. Its connections share sessions.
#[derive(Clone)]
pub struct TlsClient(Arc<ClientConfig>);

/// One connection, shaken hands on.
pub struct Connection {
    stream: StreamOwned<ClientConnection, TcpStream>,
}

impl TlsClient {
    /// TLS 1.3 or 1.2, whichever the server prefers.
    pub fn new(roots: &[&Authority]) -> Self {
        Self::with(roots, rustls::DEFAULT_VERSIONS, None)
    }

    pub fn speaking(roots: &[&Authority], version: &'static SupportedProtocolVersion) -> Self {
        Self::with(roots, &[version], None)
    }

    /// One that shows a certificate.
    pub fn showing(roots: &[&Authority], version: &'static SupportedProtocolVersion, client: &Leaf) -> Self {
        Self::with(roots, &[version], Some(client))
    }

    fn with(roots: &[&Authority], versions: &[&'static SupportedProtocolVersion], client: Option<&Leaf>) -> Self {
        let mut store = RootCertStore::empty();
        for root in roots {
            store.add(CertificateDer::from(root.der().to_vec())).unwrap();
        }
        // As browsers do it: a key share for each of these goes out with the first message, and the server chooses.
        let kx_groups = vec![aws_lc_rs::kx_group::X25519MLKEM768, aws_lc_rs::kx_group::X25519];
        let provider = CryptoProvider { kx_groups, ..aws_lc_rs::default_provider() };
        let builder = ClientConfig::builder_with_provider(Arc::new(provider))
            .with_protocol_versions(versions)
            .unwrap()
            .with_root_certificates(store);
        let mut config = match client {
            None => builder.with_no_client_auth(),
            Some(leaf) => {
                let key = PrivateKeyDer::try_from(leaf.key.serialize_der()).unwrap();
                builder.with_client_auth_cert(vec![leaf.certificate.der().clone()], key).unwrap()
            }
        };
        config.alpn_protocols = vec![b"h2".to_vec(), b"http/1.1".to_vec()];
        Self(Arc::new(config))
    }

    /// The same client with no memory of sessions, and protocols of its own to offer.
    pub fn offering(&self, protocols: &[&str]) -> Self {
        let mut config = ClientConfig::clone(&self.0);
        config.alpn_protocols = protocols.iter().map(|name| name.as_bytes().to_vec()).collect();
        config.resumption = Resumption::disabled();
        Self(Arc::new(config))
    }

    /// The same client, which resumes sessions of TLS 1.2 by their id and takes no ticket for them.
    pub fn without_tickets(&self) -> Self {
        let mut config = ClientConfig::clone(&self.0);
        config.resumption = Resumption::in_memory_sessions(32).tls12_resumption(Tls12Resumption::SessionIdOnly);
        Self(Arc::new(config))
    }

    /// Shakes hands on a connection of its own.
    pub fn connect(&self, address: SocketAddr) -> io::Result<Connection> {
        let socket = TcpStream::connect(address)?;
        self.connect_on(socket)
    }

    pub fn connect_on(&self, socket: TcpStream) -> io::Result<Connection> {
        socket.set_read_timeout(Some(PATIENCE))?;
        socket.set_nodelay(true)?;
        let name = ServerName::try_from("localhost").unwrap();
        let connection = ClientConnection::new(Arc::clone(&self.0), name).map_err(io::Error::other)?;
        let mut stream = StreamOwned::new(connection, socket);
        while stream.conn.is_handshaking() {
            stream.conn.complete_io(&mut stream.sock)?;
        }
        Ok(Connection { stream })
    }

    /// One request on a connection of its own.
    pub fn get(&self, address: SocketAddr, path: &str, headers: &[(&str, &str)]) -> io::Result<Answer> {
        self.connect(address)?.ask("GET", path, headers)
    }
}

impl Connection {
    pub fn ask(&mut self, method: &str, path: &str, headers: &[(&str, &str)]) -> io::Result<Answer> {
        self.send(method, path, headers)?;
        self.answer()
    }

    pub fn send(&mut self, method: &str, path: &str, headers: &[(&str, &str)]) -> io::Result<()> {
        let headers: String = headers.iter().map(|(name, value)| format!("{name}: {value}\r\n")).collect();
        self.stream.write_all(format!("{method} {path} HTTP/1.1\r\nHost: localhost\r\n{headers}\r\n").as_bytes())?;
        self.stream.flush()
    }

    /// Reads an answer whose length its head tells, as the gateway's all do.
    pub fn answer(&mut self) -> io::Result<Answer> {
        let mut head = Vec::new();
        while !head.ends_with(b"\r\n\r\n") {
            let mut byte = [0];
            self.stream.read_exact(&mut byte)?;
            head.push(byte[0]);
        }
        let head = String::from_utf8(head).map_err(io::Error::other)?;
        let mut lines = head.lines();
        let status = lines.next().and_then(|line| line.split(' ').nth(1)?.parse().ok());
        let headers = lines.filter_map(|line| line.split_once(": "));
        let mut answer = Answer {
            status: status.ok_or(io::ErrorKind::InvalidData)?,
            headers: headers.map(|(name, value)| (name.to_lowercase(), value.to_owned())).collect(),
            body: Vec::new(),
        };
        let length = answer.header("content-length").and_then(|length| length.parse().ok()).unwrap_or(0);
        answer.body = vec![0; length];
        self.stream.read_exact(&mut answer.body)?;
        Ok(answer)
    }

    /// Whether the other side has closed, once it has sent all that it had to.
    pub fn is_closed(&mut self) -> bool {
        matches!(self.stream.read(&mut [0]), Ok(0) | Err(_))
    }

    pub fn is_resumed(&self) -> bool {
        self.stream.conn.handshake_kind() == Some(HandshakeKind::Resumed)
    }

    pub fn version(&self) -> Option<ProtocolVersion> {
        self.stream.conn.protocol_version()
    }

    /// What is spoken inside.
    pub fn protocol(&self) -> Option<String> {
        self.stream.conn.alpn_protocol().map(|name| String::from_utf8_lossy(name).into_owned())
    }

    pub fn key_exchange(&self) -> String {
        self.stream.conn.negotiated_key_exchange_group().map(|group| format!("{:?}", group.name())).unwrap_or_default()
    }

    /// The server's certificate, and those that it sent behind it.
    pub fn certificates(&self) -> Vec<Vec<u8>> {
        self.stream.conn.peer_certificates().unwrap_or_default().iter().map(|der| der.to_vec()).collect()
    }
}
