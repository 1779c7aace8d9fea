//! `audit verify` and `audit find`: the records read again, by those who have the key.

use std::{
    fs::{self, File},
    io::{self, BufRead as _, BufReader},
    path::{Path, PathBuf},
};

use clap::Subcommand;

use super::{Outcome, output};
use crate::audit::{Broken, Found, Hash, Keys, Place, Search, Unverified, Verified, Verifier};

/// What to do with the records.
#[derive(Subcommand)]
pub(super) enum AuditCommand {
    /// Check that no record was changed, removed, inserted or moved, with the key of the configuration
    Verify {
        /// The files, the oldest first
        #[arg(required = true, value_name = "FILE")]
        files: Vec<PathBuf>,
        /// A hash that must be among the records: the head that the gateway logged. It shows that the end is not cut off
        #[arg(long, value_name = "HASH")]
        expect: Option<Hash>,
    },
    /// Find the records of those who were given a URL that leaked
    Find {
        /// A file with the URL as it was handed out, or several, one a line
        #[arg(long, value_name = "FILE")]
        url_file: PathBuf,
        /// The files to search
        #[arg(required = true, value_name = "FILE")]
        files: Vec<PathBuf>,
    },
}

/// A file that cannot be used, in a sentence.
type Unusable = String;

/// Runs the command with the key in `key_file`.
pub(super) fn run(command: &AuditCommand, key_file: Option<&Path>) -> Outcome {
    let outcome = keys(key_file).and_then(|keys| match command {
        AuditCommand::Verify { files, expect } => verify(&keys, files, *expect),
        AuditCommand::Find { url_file, files } => find(&keys, url_file, files),
    });
    outcome.unwrap_or_else(|unusable| {
        output::error(&unusable);
        Outcome::Wrong
    })
}

fn keys(key_file: Option<&Path>) -> Result<Keys, Unusable> {
    let path = key_file.ok_or("audit.key_file is not set: without its key nothing can be said about a record")?;
    Keys::load(path).map_err(|error| format!("audit.key_file: {error}"))
}

/// Says yes, or names the first line that is not as it was written.
fn verify(keys: &Keys, files: &[PathBuf], expect: Option<Hash>) -> Result<Outcome, Unusable> {
    let mut verifier = Verifier::new(keys, expect);
    for (number, path) in files.iter().enumerate() {
        let checked =
            verifier.begin_file(number).map_or_else(|broken| Ok(Err(broken)), |()| check(&mut verifier, path))?;
        if let Err(broken) = checked {
            report_broken(files, &broken, verifier.so_far());
            return Ok(Outcome::No);
        }
    }
    let records = verifier.so_far().records;
    match verifier.finish() {
        Ok(verified) => {
            report_verified(files, &verified);
            Ok(Outcome::Done)
        }
        Err(Unverified::Broken(broken)) => {
            report_broken(files, &broken, &Verified { records, ..Verified::default() });
            Ok(Outcome::No)
        }
        Err(Unverified::NotReached) => {
            let expect = expect.map(|hash| hash.to_string()).unwrap_or_default();
            output::error(&format!(
                "intact: {}, but none has the hash {expect}: the end was cut off, or the file that holds it was not \
                 given",
                count(records, "record")
            ));
            Ok(Outcome::No)
        }
    }
}

fn check(verifier: &mut Verifier<'_>, path: &Path) -> Result<Result<(), Broken>, Unusable> {
    read_lines(path, |line| match line.strip_suffix(b"\n") {
        Some(line) => verifier.line(line),
        None => verifier.unterminated(),
    })
}

fn find(keys: &Keys, url_file: &Path, files: &[PathBuf]) -> Result<Outcome, Unusable> {
    let text = fs::read_to_string(url_file).map_err(|error| unreadable(url_file, &error))?;
    let urls: Vec<&str> = text.lines().map(str::trim).filter(|line| !line.is_empty()).collect();
    if urls.is_empty() {
        return Err(format!("{} holds no URL", url_file.display()));
    }
    let mut search = Search::new(keys, urls);
    for path in files {
        let read = read_lines(path, |line| {
            search.line(line.trim_ascii_end());
            Ok::<(), std::convert::Infallible>(())
        });
        let Ok(()) = read?;
    }
    let Found { records, withheld, unknown_keys } = search.finish();
    for record in &records {
        output::bytes(record);
    }
    if withheld > 0 {
        output::error(&format!("{} with it never left", count(withheld as u64, "answer")));
    }
    if !unknown_keys.is_empty() {
        let names = unknown_keys.join(", ");
        output::error(&format!("records under keys that are not in audit.key_file were not searched: {names}"));
    }
    if records.is_empty() {
        output::error("no record of an answer that carried it");
        return Ok(Outcome::No);
    }
    Ok(Outcome::Done)
}

/// Gives every line of a file, with its line feed where it has one, to `take`, until that has had enough.
fn read_lines<E>(path: &Path, mut take: impl FnMut(&[u8]) -> Result<(), E>) -> Result<Result<(), E>, Unusable> {
    let mut reader = BufReader::with_capacity(1 << 18, File::open(path).map_err(|error| unreadable(path, &error))?);
    let mut line = Vec::new();
    loop {
        line.clear();
        if reader.read_until(b'\n', &mut line).map_err(|error| unreadable(path, &error))? == 0 {
            return Ok(Ok(()));
        }
        if let Err(enough) = take(&line) {
            return Ok(Err(enough));
        }
    }
}

fn unreadable(path: &Path, error: &io::Error) -> Unusable {
    format!("{} cannot be read: {error}", path.display())
}

fn report_verified(files: &[PathBuf], verified: &Verified) {
    for place in &verified.torn {
        output::line(&format!("{}: torn, and closed by the record behind it", at(files, *place)));
    }
    if verified.continues_another {
        output::line(&format!("{} continues a file that was not given", files[0].display()));
    }
    let Verified { records, segments, head, .. } = verified;
    let (records, segments) = (count(*records, "record"), count(*segments as u64, "segment"));
    let head =
        head.map(|(segment, link)| format!("; the last is {} of segment {segment}, hash {}", link.seq, link.hash));
    output::line(&format!("intact: {records} in {segments}{}", head.unwrap_or_default()));
}

fn report_broken(files: &[PathBuf], broken: &Broken, so_far: &Verified) {
    let Broken { place, flaw } = broken;
    output::error(&format!("{}: {flaw}", at(files, *place)));
    output::error(&format!("before it: {}, intact", count(so_far.records, "record")));
}

fn at(files: &[PathBuf], place: Place) -> String {
    format!("{}: line {}", files[place.file].display(), place.line)
}

/// `1 record`, `2 records`
fn count(number: u64, noun: &str) -> String {
    format!("{number} {noun}{}", if number == 1 { "" } else { "s" })
}
