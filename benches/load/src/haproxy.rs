//! HAProxy, configured to do what of the gateway's work it can: `haproxy.cfg.in` says what that is.

use std::{
    fs::{self, File},
    io,
    net::{Ipv4Addr, SocketAddr, TcpListener},
    process::{Command, Stdio},
    time::Duration,
};

use aws_lc_rs::encoding::AsDer as _;

use crate::{
    Result,
    client::Connection,
    pem,
    process::{Cores, Process},
    stage::{AUDIENCE, Server, Stage},
    time::{now, pause},
};

const PROGRAM: &str = "haproxy";

const TEMPLATE: &str = include_str!("../haproxy.cfg.in");

/// Which one it is, such as `2.6.12-1+deb12u4`; nothing where none is installed.
pub(crate) fn version() -> Option<String> {
    let output = Command::new(PROGRAM).arg("-v").output().ok()?;
    let text = String::from_utf8(output.stdout).ok()?;
    text.split_once("version ")?.1.split(' ').next().map(str::to_owned)
}

/// Starts it in front of `origin`, and waits until it listens.
///
/// # Errors
///
/// Where it is not installed, does not take the configuration, or does not listen within ten seconds.
pub(crate) fn start(stage: &Stage, cores: Cores, origin: SocketAddr) -> Result<Server> {
    let folder = stage.folder.path().join("haproxy");
    fs::create_dir_all(&folder)?;
    let key = folder.join("issuer.pem");
    fs::write(&key, pem::encode("PUBLIC KEY", stage.rsa_key()?.as_der()?.as_ref()))?;
    let address = free_address()?;
    let config = filled(&[
        ("port", &address.port().to_string()),
        ("issuer", &stage.sandbox.issuer_url()),
        ("audience", AUDIENCE),
        ("key", &key.display().to_string()),
        ("origin", &origin.to_string()),
    ])?;
    let file = folder.join("haproxy.cfg");
    fs::write(&file, config)?;

    let began = now();
    let mut command = cores.command(PROGRAM);
    command.arg("-db").arg("-f").arg(&file).stdin(Stdio::null());
    command.stdout(File::create(folder.join("access.log"))?).stderr(File::create(folder.join("errors.log"))?);
    let mut process = Process(command.spawn()?);
    while Connection::open(address).is_err() {
        let has_ended = process.0.try_wait()?.is_some();
        if has_ended || began.elapsed() > Duration::from_secs(10) {
            let errors = fs::read_to_string(folder.join("errors.log"))?;
            return Err(format!("haproxy does not listen: {errors}").into());
        }
        pause(Duration::from_millis(5));
    }
    Ok(Server { process, address, admin: address, ready_after: began.elapsed() })
}

/// A port that nobody listens at. HAProxy cannot be asked for the one that the system would give it.
fn free_address() -> io::Result<SocketAddr> {
    TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?.local_addr()
}

/// The configuration with a value in place of each name.
fn filled(values: &[(&str, &str)]) -> Result<String> {
    let mut config = TEMPLATE.to_owned();
    for (name, value) in values {
        let name = format!("@{name}@");
        if !config.contains(&name) {
            return Err(format!("haproxy.cfg.in has no {name}").into());
        }
        config = config.replace(&name, value);
    }
    Ok(config)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_name_is_left_in_the_configuration_and_none_is_there_in_vain() {
        let names = ["port", "issuer", "audience", "key", "origin"].map(|name| (name, "value"));

        let config = filled(&names).unwrap();

        let lines = config.lines().filter(|line| !line.trim_start().starts_with('#'));
        assert!(lines.clone().count() > 20);
        assert!(lines.clone().all(|line| !line.contains('@')), "{config}");
        assert!(filled(&[("nobody", "value")]).is_err());
    }
}
