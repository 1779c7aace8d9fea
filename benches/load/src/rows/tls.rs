//! TLS: what a handshake costs, and a hit behind it.

use std::net::SocketAddr;

use rustls::HandshakeKind;

use super::{Plan, Round, values};
use crate::{
    Result,
    client::{Answer, Connection, get},
    figures::{Figure, Target},
    stage::{How, Server, Stage},
    tls::{Client, Exchange, Identity, Key},
    wrk::{Load, Scheme, Script},
};

/// Connections of a turn. As many tickets as a client keeps.
const AT_ONCE: usize = 8;

/// Turns of a round.
const TURNS: usize = 50;

/// How a connection comes about.
enum Way<'a> {
    Plain,
    Full(&'a Client),
    Resumed(&'a Client),
}

/// Connections that ask for one hit, plain and after each kind of handshake; and hits on connections that are kept.
pub(super) fn handshakes(plan: &Plan<'_>) -> Result<Vec<Figure>> {
    let stage = Stage::new()?;
    let token = stage.token("alice");
    let request = get(&Stage::path(0), &token);
    let [ecdsa, rsa] = [Identity::new(Key::EcdsaP256)?, Identity::new(Key::Rsa2048)?];
    let plain = stage.gateway(plan.gateway, How::default())?;
    let with_ecdsa = stage.gateway(plan.gateway, How { tls: Some(&ecdsa), ..How::default() })?;
    let with_rsa = stage.gateway(plan.gateway, How { tls: Some(&rsa), ..How::default() })?;
    let of_ecdsa = Client::new(&ecdsa, Exchange::Hybrid)?;
    let of_ecdsa_classic = Client::new(&ecdsa, Exchange::X25519)?;
    let of_rsa = Client::new(&rsa, Exchange::Hybrid)?;
    let resuming = Client::new(&ecdsa, Exchange::Hybrid)?.that_resumes();
    let ways = [
        (&plain, Way::Plain),
        (&with_ecdsa, Way::Full(&of_ecdsa)),
        (&with_ecdsa, Way::Full(&of_ecdsa_classic)),
        (&with_rsa, Way::Full(&of_rsa)),
        (&with_ecdsa, Way::Resumed(&resuming)),
    ];
    // The first answer of each gateway is fetched, and whoever resumes needs a ticket for each connection of a turn.
    for (server, way) in &ways[..4] {
        way.turn(server.address, &request)?;
    }
    Way::Full(&resuming).turn(with_ecdsa.address, &request)?;

    let (paths, tokens) = ([Stage::path(0)], [token]);
    let script = Script { paths: &paths, tokens: &tokens };
    let secure = Load { scheme: Scheme::Https, ..plan.load() };
    let mut of_ways = [const { Vec::new() }; 5];
    let [mut kept, mut kept_secure] = [const { Vec::<Round>::new() }; 2];
    for _ in 0..plan.rounds {
        for ((server, way), of_way) in ways.iter().zip(&mut of_ways) {
            of_way.push(cpu_us(server, way, &request)?);
        }
        kept.push(plan.round(&stage, &plain, &script, plan.load())?);
        kept_secure.push(plan.round(&stage, &with_ecdsa, &script, secure)?);
    }
    let [plain, full, classic, by_rsa, resumed] = of_ways;
    let beyond = |of: &[f64]| of.iter().zip(&plain).map(|(of, plain)| of - plain).collect::<Vec<_>>();
    // A session that is resumed knows no key of a certificate: it costs the same whichever there is.
    let [full, classic, by_rsa, resumed] = [full, classic, by_rsa, resumed].map(|of| beyond(&of));
    let [kept, kept_secure] = [kept, kept_secure].map(|rounds| values(&rounds, Round::cpu_us));
    Ok(vec![
        Figure::new("a connection for one hit, without TLS: CPU", "us", plain.clone(), Target::None),
        Figure::new("TLS 1.3 on top, full handshake, ECDSA P-256: CPU", "us", full.clone(), Target::None),
        Figure::new("the same without ML-KEM (X25519 alone)", "us", classic, Target::None),
        Figure::new("TLS 1.3 on top, full handshake, RSA-2048: CPU", "us", by_rsa.clone(), Target::None),
        Figure::new("TLS 1.3 on top, resumed by a ticket: CPU", "us", resumed.clone(), Target::None),
        Figure::ratio("TLS on top, resumed / full (ECDSA P-256)", &resumed, &full, Target::None),
        Figure::ratio("TLS on top, resumed / full (RSA-2048)", &resumed, &by_rsa, Target::None),
        Figure::new("connections kept, without TLS: CPU of a hit", "us", kept.clone(), Target::None),
        Figure::new("connections kept, over TLS: CPU of a hit", "us", kept_secure.clone(), Target::None),
        Figure::ratio("CPU of a hit on a kept connection, TLS / without", &kept_secure, &kept, Target::None),
    ])
}

/// The CPU of the server for a connection that asks once, in microseconds.
fn cpu_us(server: &Server, way: &Way<'_>, request: &[u8]) -> Result<f64> {
    let before = server.process.cpu()?;
    for _ in 0..TURNS {
        way.turn(server.address, request)?;
    }
    let cpu = server.process.cpu()? - before;
    Ok(cpu.as_secs_f64() * 1e6 / (TURNS * AT_ONCE) as f64)
}

impl Way<'_> {
    /// Opens some connections at once, asks once on each, and ends them. A handshake of another kind than is to be
    /// measured is an error.
    fn turn(&self, address: SocketAddr, request: &[u8]) -> Result<()> {
        let (client, expected) = match self {
            Self::Plain => return plain_turn(address, request),
            Self::Full(client) => (client, HandshakeKind::Full),
            Self::Resumed(client) => (client, HandshakeKind::Resumed),
        };
        let mut open = (0..AT_ONCE).map(|_| client.begin(address)).collect::<Result<Vec<_>>>()?;
        for connection in &mut open {
            connection.send(request)?;
        }
        for mut connection in open {
            good(&connection.receive()?)?;
            let was = connection.handshake()?;
            if was != expected {
                return Err(format!("a handshake was to be {expected:?} and was {was:?}").into());
            }
            connection.end()?;
        }
        Ok(())
    }
}

fn plain_turn(address: SocketAddr, request: &[u8]) -> Result<()> {
    let mut open = (0..AT_ONCE).map(|_| Connection::open(address)).collect::<std::io::Result<Vec<_>>>()?;
    for connection in &mut open {
        connection.send(request)?;
    }
    for mut connection in open {
        good(&connection.receive()?)?;
    }
    Ok(())
}

fn good(answer: &Answer) -> Result<()> {
    if answer.status == 200 { Ok(()) } else { Err(format!("a connection was answered {}", answer.status).into()) }
}
