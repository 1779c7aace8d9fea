//! The yardstick: actix-web with nothing on it but its router, answering the bytes that it is given.
//!
//! It has what the gateway's web server has: the same release, the same features, the same settings of connections.

use std::{
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

use crate::say;

#[derive(Args)]
pub(crate) struct Arguments {
    /// Worker threads.
    #[arg(long, default_value_t = 1)]
    workers: usize,
}

/// What is answered, whoever asks.
struct Fixed {
    fields: Vec<(HeaderName, HeaderValue)>,
    body: Bytes,
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
        Ok(Self { fields: fields.ok_or_else(broken)?, body: body.into() })
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
    let fixed = Data::new(Fixed::parse(text)?);
    let workers = arguments.workers;
    rt::System::new().block_on(async move {
        let server = HttpServer::new(move || {
            App::new()
                .app_data(fixed.clone())
                .route("/instances/{instance_id}/backups/{backup_id}/urls", web::get().to(answer))
        })
        .workers(workers)
        .max_connections(25_000)
        .keep_alive(std::time::Duration::from_secs(75))
        .disable_signals()
        .bind((Ipv4Addr::LOCALHOST, 0))?;
        let port = server.addrs().first().map_or(0, std::net::SocketAddr::port);
        say(&port.to_string())?;
        server.run().await
    })
}

async fn answer(fixed: Data<Fixed>) -> HttpResponse {
    let mut answer = HttpResponse::Ok();
    for (name, value) in &fixed.fields {
        answer.insert_header((name.clone(), value.clone()));
    }
    answer.body(fixed.body.clone())
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
}
