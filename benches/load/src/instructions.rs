//! The instructions of a hit, counted by valgrind: the one figure that a busy machine does not change.
//!
//! Two runs that differ in nothing but the number of hits; what they differ by is the hits'. Only user mode counts. The
//! machine that valgrind plays has no SHA extensions, so hashes weigh more here than they do in life.

mod profile;

use std::{
    collections::BTreeMap,
    path::{Path, PathBuf},
    process::Command,
};

use clap::Args;

use crate::{
    Result,
    client::{each_once, get},
    figures::{Figure, Target},
    say,
    stage::{How, Server, Stage},
};
use profile::Profile;

#[derive(Args)]
pub(crate) struct Arguments {
    /// The gateway's program, as it is released.
    #[arg(long)]
    gateway: PathBuf,
    /// How many functions are listed, those with the most instructions of their own first.
    #[arg(long, default_value_t = 0)]
    functions: usize,
    /// A folder for what callgrind writes of the gateway, to be read with `callgrind_annotate` or KCachegrind.
    #[arg(long)]
    keep: Option<PathBuf>,
}

/// The most that a hit may take, hashes apart: some six in a hundred more than it does. A change that needs more says
/// why, and raises it.
const MOST_PER_HIT: f64 = 50_000.0;

/// The same of hashes, the token's and the record's.
const MOST_PER_HIT_HASHING: f64 = 63_700.0;

/// Where hashes are computed, in the gateway and beside it.
const HASHING: &str = "sha2::";

/// Hits of the two runs. The first makes connections, fills caches and grows buffers.
const HITS: [usize; 2] = [640, 6_400];

const CONNECTIONS: usize = 32;

/// Counts, prints, and compares with what is allowed.
///
/// # Errors
///
/// Where a hit takes more than that, or nothing could be counted.
pub(crate) fn run(arguments: &Arguments) -> Result<()> {
    let gateway = std::fs::canonicalize(&arguments.gateway)?;
    let stage = Stage::new()?;
    let token = stage.token("alice");
    let sample = stage.gateway(&gateway, How::default())?.warm(&token, 1)?;
    let (kept, scratch) = (arguments.keep.as_deref(), stage.folder.path());
    let ours = per_hit(kept.unwrap_or(scratch), &token, |valgrind| {
        stage.gateway(&gateway, How { under_valgrind: Some(valgrind), ..How::default() })
    })?;
    let theirs = per_hit(scratch, &token, |valgrind| stage.bare_under(valgrind, &sample))?;

    let sum = |functions: &BTreeMap<String, f64>, is_hashing| {
        functions.iter().filter(|(name, _)| name.contains(HASHING) == is_hashing).map(|(_, count)| count).sum::<f64>()
    };
    let [hit, bare] = [&ours, &theirs].map(|functions| sum(functions, false));
    let hashing = sum(&ours, true);
    say(&crate::figures::header())?;
    for figure in [
        Figure::new("instructions of a hit, hashes apart", "", vec![hit], Target::AtMost(MOST_PER_HIT)),
        Figure::new("bare actix-web, the same bytes", "", vec![bare], Target::None),
        Figure::ratio("a hit / bare", &[hit], &[bare], Target::None),
        Figure::new("hashes of a hit, in software", "", vec![hashing], Target::AtMost(MOST_PER_HIT_HASHING)),
    ] {
        say(&figure.to_string())?;
    }
    let mut functions: Vec<_> = ours.iter().collect();
    functions.sort_by(|(_, one), (_, other)| other.total_cmp(one));
    for (name, count) in functions.into_iter().take(arguments.functions) {
        let bare = theirs.get(name).copied().unwrap_or_default();
        say(&format!("{count:>9.0} {bare:>9.0}  {name}"))?;
    }
    if hit > MOST_PER_HIT || hashing > MOST_PER_HIT_HASHING {
        return Err("a hit takes more instructions than it may".into());
    }
    Ok(())
}

/// The instructions of a hit by function.
fn per_hit(folder: &Path, token: &str, start: impl Fn(&[String]) -> Result<Server>) -> Result<BTreeMap<String, f64>> {
    let mut profiles = Vec::new();
    for hits in HITS {
        let file = folder.join(format!("callgrind-{hits}"));
        let options = ["--tool=callgrind", "--vgdb=no", "--quiet"].map(str::to_owned);
        let out = format!("--callgrind-out-file={}", file.display());
        let server = start(&[options.as_slice(), &[out]].concat())?;
        let request = get(&Stage::path(0), token);
        each_once(server.address, 1, std::slice::from_ref(&request))?;
        each_once(server.address, CONNECTIONS, &vec![request; hits])?;
        end(server)?;
        profiles.push(read(&file)?);
    }
    let [few, many] = profiles.try_into().map_err(|_| "there are two runs")?;
    let hits = (HITS[1] - HITS[0]) as f64;
    Ok(many.minus(&few).into_iter().map(|(name, count)| (name, count / hits)).collect())
}

/// Asks a server to end and waits: valgrind writes its counts then.
fn end(mut server: Server) -> Result<()> {
    Command::new("kill").args(["-TERM", &server.process.pid().to_string()]).status()?;
    server.process.0.wait()?;
    Ok(())
}

fn read(file: &Path) -> Result<Profile> {
    Ok(Profile::parse(&std::fs::read_to_string(file).map_err(|error| format!("valgrind counted nothing: {error}"))?))
}
