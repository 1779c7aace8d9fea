//! Tokens that are seen for the first time: each is verified.

use std::time::Duration;

use aws_lc_rs::signature::{RSA_PKCS1_2048_8192_SHA256, RsaPublicKeyComponents};
use base64::{Engine as _, prelude::BASE64_URL_SAFE_NO_PAD};
use sandbox::TokenSpec;

use super::Plan;
use crate::{
    Result,
    client::{each_once, get},
    figures::{Figure, Target},
    process::SERVER,
    stage::{How, Server, Stage},
    time::now,
};

/// Tokens of a round. Each takes the sandbox half a millisecond to sign.
const TOKENS: usize = 4_000;

/// Callers that take turns with them: a token is renewed every hour or so, its owner is not.
const CALLERS: usize = 64;

const CONNECTIONS: usize = 32;

/// Each token once, to a gateway that has just started; the bare server answers the same requests.
pub(super) fn first_seen(plan: &Plan<'_>) -> Result<Vec<Figure>> {
    let stage = Stage::new()?;
    let of_known: Vec<_> = (0..TOKENS).map(|n| token(&stage, n % CALLERS, n)).collect();
    let of_new: Vec<_> = (0..TOKENS).map(|n| token(&stage, CALLERS + n, n)).collect();
    let [known, new] = [&of_known, &of_new].map(|tokens| requests(tokens));
    let verify = Verify(stage.rsa_key()?);

    let [mut seen, mut strangers, mut bare_us, mut raw_us] = [const { Vec::new() }; 4];
    for _ in 0..plan.rounds {
        let (gateway, sample) = warmed(&stage, plan)?;
        let bare = stage.bare(SERVER, 1, &sample)?;
        // Whoever comes first pays for growing buffers.
        each_once(bare.address, CONNECTIONS, &known[..CONNECTIONS])?;
        seen.push(cpu_us(&gateway, &known)?);
        bare_us.push(cpu_us(&bare, &known)?);
        drop(gateway);
        let (gateway, _) = warmed(&stage, plan)?;
        strangers.push(cpu_us(&gateway, &new)?);
        raw_us.push(verify.cpu_us(&of_known)?);
    }
    let expected: Vec<_> = bare_us.iter().zip(&raw_us).map(|(bare, raw)| bare + raw).collect();
    Ok(vec![
        Figure::new("first-seen RS256 token of a caller who was seen before: CPU", "us", seen.clone(), Target::None),
        Figure::new("first-seen RS256 token of a caller who was not: CPU", "us", strangers.clone(), Target::None),
        Figure::new("bare actix-web, the same requests: CPU", "us", bare_us, Target::None),
        Figure::new("the RSA verification alone (aws-lc-rs): CPU", "us", raw_us, Target::None),
        Figure::ratio("first-seen token / (bare + verification)", &seen, &expected, Target::AtMost(1.2)),
        Figure::ratio("the same, of a caller who was not seen before", &strangers, &expected, Target::None),
    ])
}

fn token(stage: &Stage, caller: usize, n: usize) -> String {
    let mut spec = TokenSpec::new(&format!("caller-{caller}")).group("dba");
    spec.claims.insert("jti".into(), format!("token-{n}").into());
    stage.sandbox.token(&spec)
}

fn requests(tokens: &[String]) -> Vec<Vec<u8>> {
    tokens.iter().map(|token| get(&Stage::path(0), token)).collect()
}

/// A gateway that has the entry and has seen every one of the callers, though none of the tokens.
fn warmed(stage: &Stage, plan: &Plan<'_>) -> Result<(Server, crate::client::Answer)> {
    let gateway = stage.gateway(plan.gateway, How::default())?;
    let tokens: Vec<_> = (0..CALLERS).map(|caller| token(stage, caller, TOKENS + caller)).collect();
    let sample = gateway.warm(&tokens[0], 1)?;
    each_once(gateway.address, CONNECTIONS, &requests(&tokens))?;
    Ok((gateway, sample))
}

/// The CPU of each of these requests, in microseconds.
fn cpu_us(server: &Server, requests: &[Vec<u8>]) -> Result<f64> {
    let before = server.process.cpu()?;
    each_once(server.address, CONNECTIONS, requests)?;
    let cpu = server.process.cpu()? - before;
    Ok(cpu.as_secs_f64() * 1e6 / requests.len() as f64)
}

/// The signature check that nobody can do without.
struct Verify(RsaPublicKeyComponents<Vec<u8>>);

impl Verify {
    /// A verification, in microseconds. Nothing else runs on this core meanwhile, so its time is its CPU.
    fn cpu_us(&self, tokens: &[String]) -> Result<f64> {
        let parts = tokens.iter().map(|token| {
            let (signed, signature) = token.rsplit_once('.').ok_or("a token has three parts")?;
            Ok((signed, BASE64_URL_SAFE_NO_PAD.decode(signature)?))
        });
        let parts = parts.collect::<Result<Vec<_>>>()?;
        let key = self.0.to_parsed_public_key(&RSA_PKCS1_2048_8192_SHA256)?;
        let mut fastest = Duration::MAX;
        for chunk in parts.chunks(TOKENS / 10) {
            let began = now();
            for (signed, signature) in chunk {
                key.verify_sig(signed.as_bytes(), signature).map_err(|_| "the sandbox signs well")?;
            }
            fastest = fastest.min(began.elapsed() / u32::try_from(chunk.len())?);
        }
        Ok(fastest.as_secs_f64() * 1e6)
    }
}
