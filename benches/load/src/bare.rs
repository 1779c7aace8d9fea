//! The yardstick: actix-web with nothing on it but its router, answering the bytes that it is given.
//!
//! It has what the gateway's web server has: the same release, the same features, the same settings of connections, the
//! same allocator. It can answer many bodies, too, so that what memory costs is told apart from what the gateway does.

use std::{
    collections::HashMap,
    io::{self, Read as _},
    net::Ipv4Addr,
};

use actix_web::{
    App, HttpResponse, HttpServer,
    http::header::{HeaderName, HeaderValue},
    rt,
    web::{self, Bytes, Data},
};
use clap::Args;
use sandbox::known;

use crate::say;

#[derive(Args)]
pub(crate) struct Arguments {
    /// Worker threads.
    #[arg(long, default_value_t = 1)]
    workers: usize,
    /// So many bodies, one for each of the first synthetic backups, each in memory of its own. Without it there is one,
    /// and nobody looks at the path.
    #[arg(long)]
    bodies: Option<u32>,
    /// Connections that may wait to be accepted.
    #[arg(long, default_value_t = 1024)]
    backlog: u32,
}

/// What is answered, whoever asks.
struct Fixed {
    fields: Vec<(HeaderName, HeaderValue)>,
    body: Bytes,
    /// Where the backup of the path decides: the body of each.
    bodies: HashMap<String, Bytes>,
}

impl Fixed {
    /// Fields a line, an empty line, the body.
    fn parse(mut text: Vec<u8>) -> io::Result<Self> {
        let broken = || io::Error::new(io::ErrorKind::InvalidData, "fields, an empty line and a body are expected");
        let end_of_head = text.windows(2).position(|window| window == b"\n\n").ok_or_else(broken)?;
        let body = text.split_off(end_of_head + 2);
        let head = String::from_utf8(text).map_err(|_| broken())?;
        let field = |line: &str| {
            let (name, value) = line.split_once(": ")?;
            Some((name.to_ascii_lowercase().parse().ok()?, value.parse().ok()?))
        };
        let fields = head.lines().filter(|line| !line.is_empty()).map(field).collect::<Option<_>>();
        Ok(Self { fields: fields.ok_or_else(broken)?, body: body.into(), bodies: HashMap::new() })
    }

    /// The same with a copy of the body for each of so many backups.
    fn copied(mut self, count: u32) -> Self {
        let copy = |n| (known::synthetic_backup(n), Bytes::copy_from_slice(&self.body));
        self.bodies = (0..count).map(copy).collect();
        self
    }

    fn answer(&self, body: &Bytes) -> HttpResponse {
        let mut answer = HttpResponse::Ok();
        for (name, value) in &self.fields {
            answer.insert_header((name.clone(), value.clone()));
        }
        answer.body(body.clone())
    }
}

/// Serves until it is killed; its port is the one line that it prints.
///
/// # Errors
///
/// Where standard input is no answer, or there is no port.
pub(crate) fn run(arguments: &Arguments) -> io::Result<()> {
    let mut text = Vec::new();
    io::stdin().lock().read_to_end(&mut text)?;
    let fixed = Fixed::parse(text)?;
    let fixed = Data::new(match arguments.bodies {
        None => fixed,
        Some(count) => fixed.copied(count),
    });
    let &Arguments { workers, backlog, .. } = arguments;
    let has_many = arguments.bodies.is_some();
    rt::System::new().block_on(async move {
        let server = HttpServer::new(move || {
            let answers = if has_many { web::get().to(one_of_many) } else { web::get().to(the_one) };
            App::new().app_data(fixed.clone()).route("/instances/{instance_id}/backups/{backup_id}/urls", answers)
        })
        .workers(workers)
        .max_connections(25_000)
        .backlog(backlog)
        .tcp_nodelay(true)
        .keep_alive(std::time::Duration::from_secs(75))
        .disable_signals()
        .bind((Ipv4Addr::LOCALHOST, 0))?;
        let port = server.addrs().first().map_or(0, std::net::SocketAddr::port);
        say(&port.to_string())?;
        server.run().await
    })
}

async fn the_one(fixed: Data<Fixed>) -> HttpResponse {
    fixed.answer(&fixed.body)
}

async fn one_of_many(fixed: Data<Fixed>, path: web::Path<(String, String)>) -> HttpResponse {
    match fixed.bodies.get(&path.1) {
        Some(body) => fixed.answer(body),
        None => HttpResponse::NotFound().finish(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn fields_and_body_are_told_apart() {
        let fixed = Fixed::parse(b"Content-Type: text/plain\nVary: Accept\n\na\n\nb".to_vec()).unwrap();

        assert_eq!(fixed.fields.len(), 2);
        assert_eq!(fixed.body, "a\n\nb");
        assert!(Fixed::parse(b"no fields".to_vec()).is_err());
    }
    #[test]
    fn each_backup_has_a_body_in_memory_of_its_own() {
        let fixed = Fixed::parse(b"Vary: Accept\n\nbody".to_vec()).unwrap().copied(2);

        let bodies = [0, 1].map(|n| &fixed.bodies[&known::synthetic_backup(n)]);

        assert_eq!(fixed.bodies.len(), 2);
        assert_eq!(bodies, [&fixed.body; 2]);
        assert_ne!(bodies[0].as_ptr(), bodies[1].as_ptr());
    }
}
