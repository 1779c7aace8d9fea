//! What it costs to know who calls and what they may do: the part of a request that no cache of URLs saves.

use std::{hint::black_box, num::NonZeroU32, path::Path, sync::Arc, time::Duration};

use actix_web::rt::System;
use criterion::{BenchmarkId, Criterion, Throughput, criterion_group, criterion_main};
use redis_backup_gateway::{
    domain::{Action, Clock, InstanceId, Network, Region},
    identity::{
        Algorithm, FailureLimits, Identity, IssuerSettings, KeySetUrl, KeySource, LastToken, Settings,
        key_set::KeySet,
        token::{Parts, Rules, UnverifiedToken},
    },
    policy::{Policies, Principal, Request},
};
use sandbox::{Options, Sandbox, TokenSpec};

fn issuer(sandbox: &Sandbox) -> IssuerSettings {
    let key_set = KeySetUrl::try_from(format!("{}/jwks", sandbox.issuer_url()).as_str());
    IssuerSettings {
        name: "sandbox".into(),
        prefix: "".into(),
        issuer: sandbox.issuer_url(),
        audiences: vec!["redis-backup-gateway".to_owned()],
        algorithms: vec![Algorithm::Rs256, Algorithm::Es256, Algorithm::EdDsa],
        keys: KeySource::Url(key_set.expect("the sandbox listens on loopback")),
        ca_file: None,
        bearer_token_file: None,
        groups_claim: vec!["groups".to_owned()],
    }
}

fn settings(issuer: IssuerSettings) -> Settings {
    const DAY: Duration = Duration::from_secs(86_400);
    Settings {
        leeway: Duration::from_secs(30),
        max_token_life: DAY,
        jwks_refresh: Duration::from_secs(300),
        jwks_cooldown: Duration::from_secs(10),
        jwks_max_stale: DAY,
        revoked_file: None,
        failed_auth: FailureLimits { requests_per_second: NonZeroU32::MIN, burst: NonZeroU32::MIN },
        issuers: vec![issuer],
    }
}

fn token(sandbox: &Sandbox, algorithm: sandbox::Algorithm) -> String {
    sandbox.token(&TokenSpec::new("alice").group("dba").group("oncall-chengdu").algorithm(algorithm))
}

fn callers(criterion: &mut Criterion) {
    let sandbox = Sandbox::start(Options::default()).expect("the sandbox starts");
    let issuer = issuer(&sandbox);
    let clock = Clock::machine();
    let (identity, refresher) = Identity::new(&settings(issuer.clone()), clock.clone()).expect("no file is named");
    System::new().block_on(refresher.run_once());
    let document = ureq::get(format!("{}/jwks", sandbox.issuer_url())).call().expect("the sandbox answers");
    let document = document.into_body().read_to_vec().expect("a key set");
    let keys = KeySet::parse(&document).expect("a key set");
    let rules = Rules { leeway: Duration::from_secs(30), max_token_life: Duration::from_secs(86_400) };

    let mut group = criterion.benchmark_group("token");
    for algorithm in sandbox::Algorithm::ALL {
        let token = token(&sandbox, algorithm);
        let verify = || UnverifiedToken::read(&Parts::of(&token)?)?.verify(&issuer, &keys, &rules, clock.wall());
        assert!(verify().is_ok());
        group.bench_function(BenchmarkId::new("verify", algorithm.name()), |bencher| {
            bencher.iter(|| black_box(verify()));
        });
    }
    let known = token(&sandbox, sandbox::Algorithm::Rs256);
    let admitted = futures_util::FutureExt::now_or_never(identity.authenticate(&known));
    assert!(admitted.is_some_and(|verdict| verdict.is_ok()));
    group.throughput(Throughput::Bytes(known.len() as u64));
    let recognise = |last: &LastToken| identity.recognise(black_box(known.as_bytes()), last);
    group.bench_function("recognise", |bencher| {
        bencher.iter(|| black_box(recognise(&LastToken::default())));
    });
    let last = LastToken::default();
    // It keeps what comes twice in a row.
    assert!(recognise(&last).is_some() && recognise(&last).is_some());
    group.bench_function("recognise on the same connection", |bencher| {
        bencher.iter(|| black_box(recognise(&last)));
    });
    group.finish();
}

fn decisions(criterion: &mut Criterion) {
    let policies = Policies::load(Path::new("config/policies")).expect("the shipped policies are valid");
    let sandbox = Sandbox::start(Options::default()).expect("the sandbox starts");
    let (identity, refresher) = Identity::new(&settings(issuer(&sandbox)), Clock::machine()).expect("no file is named");
    System::new().block_on(refresher.run_once());
    let token = token(&sandbox, sandbox::Algorithm::EdDsa);
    let verified = futures_util::FutureExt::now_or_never(identity.authenticate(&token)).expect("the keys are there");
    let caller = Arc::clone(&verified.expect("a good token").caller);
    let instance = InstanceId::try_from("crs-4y9t57vt").expect("an instance");
    let region = Region::try_from("ap-chengdu").expect("a region");

    criterion.bench_function("policy/decide", |bencher| {
        bencher.iter(|| {
            let principal = Principal::new(&caller);
            let decision = policies.decide(&Request {
                principal: &principal,
                action: Action::ReadBackupUrls,
                instance: &instance,
                region: &region,
                network: Network::Both,
                client_ip: [192, 0, 2, 1].into(),
                reason: "INC-4711",
            });
            assert!(black_box(decision).allowed);
        });
    });
}

criterion_group!(benches, callers, decisions);
criterion_main!(benches);
