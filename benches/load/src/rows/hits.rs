//! Hits: the work that the gateway does most.

use super::{Plan, Round, values};
use crate::{
    Result,
    figures::{Figure, Target, least},
    machine,
    process::{Cores, SERVER},
    stage::{How, Stage},
    wrk::{Load, Script},
};

/// Backups of the usual round.
const FEW_BACKUPS: u32 = 100;

/// Backups of the large one; their bodies have no room in any cache of the processor.
const MANY_BACKUPS: u32 = 10_000;

const TOKENS: usize = 64;

/// One token and one backup: the gateway, and the bare server that answers the same bytes.
pub(super) fn beside_bare(plan: &Plan<'_>) -> Result<Vec<Figure>> {
    let stage = Stage::new()?;
    let gateway = stage.gateway(plan.gateway, How::default())?;
    let token = stage.token("alice");
    let sample = gateway.warm(&token, 1)?;
    let bare = stage.bare(SERVER, 1, &sample)?;
    let mut body_alone = sample;
    let body_bytes = body_alone.body.len();
    body_alone.fields.retain(|(name, _)| name == "content-type");
    let plain = stage.bare(SERVER, 1, &body_alone)?;
    let (paths, tokens) = ([Stage::path(0)], [token]);
    let script = Script { paths: &paths, tokens: &tokens };

    let [mut ours, mut theirs, mut plainest] = [const { Vec::<Round>::new() }; 3];
    for _ in 0..plan.rounds {
        ours.push(plan.round(&stage, &gateway, &script, plan.load())?);
        theirs.push(plan.round(&stage, &bare, &script, plan.load())?);
        plainest.push(plan.round(&stage, &plain, &script, plan.load())?);
    }
    let [our_cpu, their_cpu, plain_cpu] = [&ours, &theirs, &plainest].map(|rounds| values(rounds, Round::cpu_us));
    let [our_rate, their_rate] = [&ours, &theirs].map(|rounds| values(rounds, Round::per_second));
    let [our_busy, their_busy] = [&ours, &theirs].map(|rounds| values(rounds, Round::busy_percent));
    Ok(vec![
        Figure::new(format!("hit of {body_bytes} B: CPU"), "us", our_cpu.clone(), Target::None),
        Figure::new("bare actix-web, the same bytes: CPU", "us", their_cpu.clone(), Target::None),
        Figure::new("bare actix-web, the body without our fields: CPU", "us", plain_cpu.clone(), Target::None),
        Figure::ratio("CPU of a hit / bare, the same bytes", &our_cpu, &their_cpu, Target::AtMost(1.5)),
        Figure::new("the same, of the best round of each", "", vec![least(&our_cpu) / least(&their_cpu)], Target::None),
        Figure::ratio("CPU of a hit / bare, without our fields", &our_cpu, &plain_cpu, Target::None),
        Figure::new("hits", "1/s", our_rate.clone(), Target::None),
        Figure::ratio("hits a second / bare", &our_rate, &their_rate, Target::AtLeast(0.67)),
        Figure::new("the gateway's core was busy", "%", our_busy, Target::None),
        Figure::new("the bare server's core was busy", "%", their_busy, Target::None),
    ])
}

/// Many tokens and many backups, chosen at random, beside as many tokens and few backups; and the same of a bare server
/// with as many bodies, for what lies outside of the processor's caches costs whoever reads it.
pub(super) fn spread(plan: &Plan<'_>) -> Result<Vec<Figure>> {
    let stage = Stage::new()?;
    let gateway = stage.gateway(plan.gateway, How::default())?;
    let tokens: Vec<_> = (0..TOKENS).map(|n| stage.token(&format!("caller-{n}"))).collect();
    let sample = gateway.warm(&tokens[0], MANY_BACKUPS)?;
    let bare = stage.bare_of_many(MANY_BACKUPS, &sample)?;
    let paths: Vec<_> = (0..MANY_BACKUPS).map(Stage::path).collect();
    let few = Script { paths: &paths[..FEW_BACKUPS as usize], tokens: &tokens };
    let many = Script { paths: &paths, tokens: &tokens };
    let large_tokens: Vec<_> = (0..TOKENS).map(|n| stage.large_token(&format!("caller-{n}"))).collect();
    let large = Script { paths: few.paths, tokens: &large_tokens };

    let turns = [(&gateway, &few), (&gateway, &many), (&gateway, &large), (&bare, &few), (&bare, &many)];
    let mut rounds = turns.map(|_| Vec::<Round>::new());
    for _ in 0..plan.rounds {
        for ((server, script), rounds) in turns.into_iter().zip(&mut rounds) {
            rounds.push(plan.round(&stage, server, script, plan.load())?);
        }
    }
    let [few_cpu, many_cpu, large_cpu, bare_few, bare_many] =
        rounds.each_ref().map(|rounds| values(rounds, Round::cpu_us));
    let [few_rate, many_rate, ..] = rounds.each_ref().map(|rounds| values(rounds, Round::per_second));
    let more = |many: &[f64], few: &[f64]| many.iter().zip(few).map(|(many, few)| many - few).collect();
    let what = |backups| format!("{TOKENS} tokens, {backups} backups: CPU");
    let bare_what = |bodies| format!("bare actix-web, the same requests, {bodies} bodies: CPU");
    Ok(vec![
        Figure::new(what(FEW_BACKUPS), "us", few_cpu.clone(), Target::None),
        Figure::new(what(MANY_BACKUPS), "us", many_cpu.clone(), Target::None),
        Figure::ratio("CPU, many backups / few", &many_cpu, &few_cpu, Target::AtMost(1.1)),
        Figure::ratio("hits a second, many backups / few", &many_rate, &few_rate, Target::AtLeast(0.9)),
        Figure::new(bare_what(FEW_BACKUPS), "us", bare_few.clone(), Target::None),
        Figure::new(bare_what(MANY_BACKUPS), "us", bare_many.clone(), Target::None),
        Figure::ratio("bare actix-web: CPU, many bodies / few", &bare_many, &bare_few, Target::None),
        Figure::new("CPU of a hit, many backups - few", "us", more(&many_cpu, &few_cpu), Target::None),
        Figure::new("bare actix-web: CPU, many bodies - few", "us", more(&bare_many, &bare_few), Target::None),
        Figure::ratio("CPU of a hit / bare, many backups of both", &many_cpu, &bare_many, Target::None),
        Figure::ratio(
            format!("CPU, tokens of {} B / of {} B", large_tokens[0].len(), tokens[0].len()),
            &large_cpu,
            &few_cpu,
            Target::None,
        ),
    ])
}

/// Two workers beside one.
///
/// Where there are cores for two workers and for those who ask, hits a second are compared. On two cores the callers
/// would take what the second worker needs, so there it is the CPU of a hit that is compared, with both workers busy:
/// whatever workers share would show in it.
pub(super) fn workers(plan: &Plan<'_>) -> Result<Vec<Figure>> {
    let roomy = machine::cores() >= 4;
    let stage = Stage::new()?;
    let one = stage.gateway(plan.gateway, How::default())?;
    let both = if roomy { Cores("0,2") } else { Cores("0,1") };
    let two = stage.gateway(plan.gateway, How { cores: both, workers: 2, ..How::default() })?;
    let tokens: Vec<_> = (0..TOKENS).map(|n| stage.token(&format!("caller-{n}"))).collect();
    for gateway in [&one, &two] {
        gateway.warm(&tokens[0], FEW_BACKUPS)?;
    }
    let paths: Vec<_> = (0..FEW_BACKUPS).map(Stage::path).collect();
    let script = Script { paths: &paths, tokens: &tokens };
    let load_of_two =
        Load { cores: if roomy { Cores("1,3") } else { Cores("0,1") }, threads: 2, connections: 64, ..plan.load() };

    let [mut of_one, mut of_two] = [const { Vec::<Round>::new() }; 2];
    for _ in 0..plan.rounds {
        of_one.push(plan.round(&stage, &one, &script, plan.load())?);
        of_two.push(plan.round(&stage, &two, &script, load_of_two)?);
    }
    let [one_cpu, two_cpu] = [&of_one, &of_two].map(|rounds| values(rounds, Round::cpu_us));
    let [one_rate, two_rate] = [&of_one, &of_two].map(|rounds| values(rounds, Round::per_second));
    let mut figures = vec![
        Figure::new("two workers: CPU of a hit", "us", two_cpu.clone(), Target::None),
        Figure::ratio("CPU of a hit, two workers / one", &two_cpu, &one_cpu, Target::None),
    ];
    figures.push(if roomy {
        Figure::ratio("hits a second, two workers / one", &two_rate, &one_rate, Target::AtLeast(1.7))
    } else {
        let by_cpu: Vec<_> = one_cpu.iter().zip(&two_cpu).map(|(one, two)| 2.0 * one / two).collect();
        Figure::new("two workers / one, by the CPU of a hit (only two cores)", "", by_cpu, Target::AtLeast(1.7))
    });
    Ok(figures)
}
