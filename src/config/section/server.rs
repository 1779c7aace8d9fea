//! `[server]`

use std::net::SocketAddr;

use crate::{
    config::field::{Field, Refused, all},
    server::{Settings, TlsSettings},
};

pub(super) fn read(server: &Field<'_>) -> Result<Settings, Refused> {
    let listen = server.at("listen").parse(|text| text.parse().ok());
    let admin_listen = server.at("admin_listen").parse(|text| text.parse().ok());
    let workers = server.at("workers").number();
    let request_timeout = server.at("request_timeout").duration();
    let drain_delay = server.at("drain_delay").duration();
    let shutdown_grace = server.at("shutdown_grace").duration();
    let trusted_proxies = server
        .at("trusted_proxies")
        .items()
        .and_then(|items| all(items.iter().map(|item| item.parse(|text| text.parse().ok()))));
    let tls = server.at("tls").given().map(|section| tls(&section)).transpose();

    let (listen, admin_listen) = (listen?, admin_listen?);
    if cannot_both_be_bound(listen, admin_listen) {
        server.at("admin_listen").refuse(format!("must be another address or port than server.listen, {listen}"));
    }
    Ok(Settings {
        listen,
        admin_listen,
        workers: workers?,
        request_timeout: request_timeout?,
        drain_delay: drain_delay?,
        shutdown_grace: shutdown_grace?,
        trusted_proxies: trusted_proxies?,
        tls: tls?,
    })
}

/// A section that is there at all means TLS: half of it must not end in plain HTTP.
fn tls(section: &Field<'_>) -> Result<TlsSettings, Refused> {
    let cert_file = section.at("cert_file").path_to_file();
    let key_file = section.at("key_file").path_to_file();
    let client_ca_file = section.at("client_ca_file").given().map(|file| file.path_to_file()).transpose();
    Ok(TlsSettings { cert_file: cert_file?, key_file: key_file?, client_ca_file: client_ca_file? })
}

/// One port on one address, or on all addresses; port 0 is a new one each time.
fn cannot_both_be_bound(one: SocketAddr, other: SocketAddr) -> bool {
    one.port() == other.port()
        && one.port() != 0
        && (one.ip() == other.ip() || one.ip().is_unspecified() || other.ip().is_unspecified())
}
