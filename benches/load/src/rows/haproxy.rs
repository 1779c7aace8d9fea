//! HAProxy beside the gateway: the same token, the same bytes out of its cache, a line for each request.

use sandbox::TokenSpec;

use super::{Plan, Round, values};
use crate::{
    Result,
    client::{Answer, Connection, get},
    figures::{Figure, Target},
    haproxy,
    process::SERVER,
    stage::{AUDIENCE, How, Server, Stage},
    wrk::Script,
};

pub(super) fn beside_us(plan: &Plan<'_>) -> Result<Vec<Figure>> {
    let version = haproxy::version().ok_or("haproxy is not installed: `make bench ROWS=haproxy` installs it")?;
    let stage = Stage::new()?;
    let token = stage.token("alice");
    let gateway = stage.gateway(plan.gateway, How::default())?;
    let mut sample = gateway.warm(&token, 1)?;
    // It would keep nothing that varies by `Accept`, and nothing that says `no-store`.
    sample.fields.retain(|(name, _)| name != "vary");
    for (name, value) in &mut sample.fields {
        if name == "cache-control" {
            "max-age=3600".clone_into(value);
        }
    }
    let origin = stage.bare(SERVER, 1, &sample)?;
    let peer = haproxy::start(&stage, SERVER, origin.address)?;
    does_its_work(&stage, &peer, &token, &sample)?;
    let idle = origin.process.cpu()?;

    let (paths, tokens) = ([Stage::path(0)], [token]);
    let script = Script { paths: &paths, tokens: &tokens };
    let [mut ours, mut theirs] = [const { Vec::<Round>::new() }; 2];
    for _ in 0..plan.rounds {
        ours.push(plan.round(&stage, &gateway, &script, plan.load())?);
        theirs.push(plan.round(&stage, &peer, &script, plan.load())?);
    }
    // A request costs ten microseconds, and there were a hundred thousand.
    let origin_used = origin.process.cpu()? - idle;
    if origin_used.as_millis() > 50 {
        return Err(format!("haproxy did not answer out of its cache: its origin took {origin_used:?}").into());
    }
    let [our_cpu, their_cpu] = [&ours, &theirs].map(|rounds| values(rounds, Round::cpu_us));
    let [our_rate, their_rate] = [&ours, &theirs].map(|rounds| values(rounds, Round::per_second));
    let their_busy = values(&theirs, Round::busy_percent);
    Ok(vec![
        Figure::new("the gateway beside HAProxy: CPU of a hit", "us", our_cpu.clone(), Target::None),
        Figure::new(
            format!("HAProxy {version}, verifying each time: CPU of a hit"),
            "us",
            their_cpu.clone(),
            Target::None,
        ),
        Figure::ratio("CPU of a hit, the gateway / HAProxy", &our_cpu, &their_cpu, Target::None),
        Figure::new("the gateway beside HAProxy: hits", "1/s", our_rate.clone(), Target::None),
        Figure::new(format!("HAProxy {version}: hits"), "1/s", their_rate.clone(), Target::None),
        Figure::ratio("hits a second, the gateway / HAProxy", &our_rate, &their_rate, Target::None),
        Figure::new("HAProxy's core was busy", "%", their_busy, Target::None),
    ])
}

/// Whether it refuses what it must, and answers the gateway's bytes out of its cache: a proxy that looks at less would
/// be measured at less.
fn does_its_work(stage: &Stage, peer: &Server, token: &str, sample: &Answer) -> Result<()> {
    let ask = |token: &str| Connection::open(peer.address)?.ask(&get(&Stage::path(0), token));
    let alice = || TokenSpec::new("alice").group("dba");
    let bad = [
        ("a broken signature", alice().with_broken_signature()),
        ("another issuer", alice().issuer("http://127.0.0.1:1")),
        ("another audience", TokenSpec { aud: vec![format!("not-{AUDIENCE}")], ..alice() }),
        ("a life that is over", alice().lifetime_s(-60)),
    ];
    for (what, spec) in bad {
        let status = ask(&stage.sandbox.token(&spec))?.status;
        if status != 401 {
            return Err(format!("haproxy answered {status} to a token with {what}").into());
        }
    }
    ask(token)?;
    let cached = ask(token)?;
    let is_from_cache = cached.fields.iter().any(|(name, _)| name.eq_ignore_ascii_case("age"));
    if cached.status == 200 && is_from_cache && cached.body == sample.body {
        Ok(())
    } else {
        Err(format!("haproxy answered {} with {:?}", cached.status, cached.fields).into())
    }
}
