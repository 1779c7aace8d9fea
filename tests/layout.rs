//! The house rules that the compiler does not know: which room may use which, how long a file may grow, what is left out.
//!
//! The sources are read as words: comments and strings are dropped, and a path that starts at `crate`, or climbs there
//! by `super`, is followed to the room that it enters. Nothing is compiled and no macro is expanded.

#[path = "layout/words.rs"]
mod words;

use std::{
    fs,
    path::{Path, PathBuf},
};

use words::{Word, words};

/// Every room in reading order, and the rooms that it may use. An arrow points down this table, never up, and never to
/// a sibling: those who stand side by side are introduced to each other by whoever stands above them.
const ROOMS: [(&str, &[&str]); 19] = [
    ("lib", &[]),
    ("main", &["cli"]),
    (
        "cli",
        &[
            "config",
            "server",
            "http",
            "broker",
            "audit",
            "cache",
            "identity",
            "policy",
            "quota",
            "tencent",
            "traces",
            "store",
            "outbound",
            "telemetry",
            "domain",
        ],
    ),
    // It makes the settings of the rooms below, and knows no more of them.
    (
        "config",
        &[
            "server",
            "http",
            "audit",
            "cache",
            "identity",
            "policy",
            "quota",
            "tencent",
            "traces",
            "store",
            "telemetry",
            "domain",
        ],
    ),
    (
        "server",
        &[
            "http",
            "broker",
            "audit",
            "cache",
            "identity",
            "policy",
            "quota",
            "tencent",
            "traces",
            "store",
            "outbound",
            "telemetry",
            "domain",
            "metrics",
        ],
    ),
    ("http", &["broker", "audit", "cache", "identity", "policy", "quota", "tencent", "traces", "metrics", "domain"]),
    ("broker", &["audit", "cache", "identity", "policy", "quota", "tencent", "traces", "store", "metrics", "domain"]),
    ("audit", &["domain"]),
    ("cache", &["store", "domain"]),
    ("identity", &["outbound", "domain"]),
    ("policy", &["domain"]),
    ("quota", &["store", "domain"]),
    ("tencent", &["outbound", "domain"]),
    ("traces", &["outbound", "domain"]),
    // A room below the others: cache and quota share what they share through it.
    ("store", &["outbound", "domain"]),
    ("metrics", &["domain"]),
    ("outbound", &["domain"]),
    ("telemetry", &["domain"]),
    ("domain", &[]),
];

/// A file past this many lines, its tests aside, has two subjects.
const MAX_LINES: usize = 400;

/// The gateway's library as its own program and the tests call it.
const LIBRARY: &str = "redis_backup_gateway";

// ---- the house itself

#[test]
fn no_room_uses_one_that_stands_above_or_beside_it() {
    assert_clean("src", |file| arrows(&file.path, &file.text));
}

#[test]
fn the_table_of_rooms_points_down_only() {
    for (at, (room, uses)) in ROOMS.iter().enumerate() {
        for used in *uses {
            let below = ROOMS[at + 1..].iter().any(|(name, _)| name == used);

            assert!(below, "{room} may use {used}, but {used} does not stand below it");
        }
    }
}

#[test]
fn no_file_has_two_subjects() {
    for root in ["src", "sandbox/src"] {
        assert_clean(root, |file| too_long(&file.path, &file.text));
    }
}

#[test]
fn every_module_root_is_named_after_its_module() {
    for root in ["src", "sandbox/src", "tests"] {
        assert_clean(root, |file| badly_named(&file.path));
    }
}

#[test]
fn no_lint_is_allowed_where_it_can_be_expected() {
    for root in ["src", "sandbox/src", "tests", "benches"] {
        assert_clean(root, |file| allowed_lints(&file.path, &file.text));
    }
}

#[test]
fn nothing_is_left_for_later() {
    for root in ["src", "sandbox/src", "tests", "benches"] {
        assert_clean(root, |file| left_for_later(&file.path, &file.text));
    }
}

#[test]
fn every_test_that_the_threat_model_names_is_there() {
    let page = Path::new(env!("CARGO_MANIFEST_DIR")).join("SECURITY.md");
    let text = fs::read_to_string(page).expect("the file is in the repository");
    let sources: String = ["src", "tests"].into_iter().flat_map(rust_files).map(|file| file.text).collect();

    let named: Vec<_> = text.split('`').filter(|word| word.contains("::") && !word.contains('\u{2026}')).collect();
    let missing: Vec<_> = named
        .iter()
        .filter(|path| !sources.contains(&format!("fn {}(", path.rsplit("::").next().unwrap_or_default())))
        .collect();

    assert!(missing.is_empty(), "SECURITY.md names tests that are not there: {missing:?}");
    assert!(named.len() > 50, "only {} tests are named", named.len());
}

#[test]
fn the_sandbox_knows_nothing_of_the_gateway() {
    assert_clean("sandbox/src", |file| {
        words(&file.text)
            .filter(|word| word.text == LIBRARY)
            .map(|word| format!("{}:{}: the sandbox may not use {LIBRARY}", file.path.display(), word.line))
            .collect()
    });
}

// ---- the rules, tried on sources that break them

#[test]
fn an_arrow_that_runs_back_is_found() {
    let table = [
        ("src/domain/ids.rs", "use crate::broker::Broker;", "src/domain/ids.rs:1: domain may not use broker"),
        ("src/cache.rs", "\n\nuse crate::quota;", "src/cache.rs:3: cache may not use quota"),
        ("src/quota/local.rs", "use crate::{domain::Clock, http};", "src/quota/local.rs:1: quota may not use http"),
        ("src/broker.rs", "use crate::{\n domain::{a, b},\n cli,\n};", "src/broker.rs:3: broker may not use cli"),
        ("src/http/urls.rs", "fn f() { crate::server::run() }", "src/http/urls.rs:1: http may not use server"),
        ("src/audit.rs", "pub(crate) use crate::cache as c;", "src/audit.rs:1: audit may not use cache"),
        ("src/policy.rs", "use super::identity;", "src/policy.rs:1: policy may not use identity"),
        ("src/tencent/wire.rs", "use super::super::quota;", "src/tencent/wire.rs:1: tencent may not use quota"),
        ("src/cache.rs", "mod tests { use super::super::audit; }", "src/cache.rs:1: cache may not use audit"),
        ("src/main.rs", "fn main() { redis_backup_gateway::server::run() }", "src/main.rs:1: main may not use server"),
        ("src/server.rs", "use crate::config::Model;", "src/server.rs:1: server may not use config"),
        ("src/config/raw.rs", "use crate::broker;", "src/config/raw.rs:1: config may not use broker"),
        ("src/cache.rs", "use crate::*;", "src/cache.rs:1: cache may not use *"),
        ("src/attic.rs", "", "src/attic.rs: the room attic stands in no row of ROOMS"),
    ];

    for (path, source, expected) in table {
        let found = arrows(Path::new(path), source);

        assert_eq!(found, [expected], "{source}");
    }
}

#[test]
fn an_arrow_that_runs_down_or_stays_at_home_is_fine() {
    let table = [
        ("src/main.rs", "fn main() -> ExitCode { redis_backup_gateway::cli::run() }"),
        ("src/cli.rs", "use crate::{config, server, policy::Policy, domain};"),
        ("src/config/model.rs", "use crate::{server::Settings, tencent};\nuse super::raw;"),
        ("src/http/urls.rs", "use crate::{broker::Broker, domain::ids::*};\nuse super::problem::Problem;"),
        ("src/tencent/client.rs", "use crate::{outbound, tencent::tc3};\nmod tests { use super::super::wire; }"),
        ("src/cache/entry.rs", "pub(in crate::cache) fn f() {}\nmod tests { use super::*; }"),
        ("src/lib.rs", "//! Uses `crate::server`.\npub mod cli;"),
    ];

    for (path, source) in table {
        let found = arrows(Path::new(path), source);

        assert!(found.is_empty(), "{source}: {found:?}");
    }
}

#[test]
fn a_path_in_a_comment_or_a_string_is_no_arrow() {
    let source = r####"
        // use crate::server;
        /* use crate::http; /* nested */ use crate::cli; */
        /// See [`crate::broker`].
        const A: &str = "use crate::server; \" use crate::http;";
        const B: &str = r##"use crate::server; "# use crate::http;"##;
        const C: &[u8] = b"crate::server";
        const D: [char; 3] = ['"', '\'', '{'];
        fn f<'a>(x: &'a str) -> &'a str { x }
    "####;

    let found = arrows(Path::new("src/domain.rs"), source);

    assert!(found.is_empty(), "{found:?}");
}

#[test]
fn a_long_file_is_found_and_its_tests_are_not_counted() {
    let code = "fn f() {}\n".repeat(MAX_LINES);
    let tests = format!("#[cfg(test)]\nmod tests {{\n{}}}\n", "// a line\n".repeat(50));
    let path = Path::new("src/cache.rs");

    let fits = too_long(path, &format!("{code}{tests}"));
    let long = too_long(path, &format!("{code}fn one_more() {{}}\n{tests}"));
    let test_file = too_long(Path::new("src/cache/tests.rs"), &code.repeat(2));

    assert!(fits.is_empty(), "{fits:?}");
    assert_eq!(long, ["src/cache.rs: 401 lines without its tests: it has two subjects"]);
    assert!(test_file.is_empty(), "{test_file:?}");
}

#[test]
fn a_module_root_inside_its_folder_is_found() {
    let found = badly_named(Path::new("src/cache/mod.rs"));

    assert_eq!(found, ["src/cache/mod.rs: call it by its module's name, and put it beside the folder"]);
    assert!(badly_named(Path::new("src/cache/demod.rs")).is_empty());
}

#[test]
fn an_allowed_lint_is_found_wherever_it_hides() {
    let path = Path::new("src/cache.rs");
    let sources = [
        "#[allow(dead_code)] fn f() {}",
        "#![allow(unused)]",
        "#[cfg_attr(test, allow(dead_code))]\nfn f() {}",
        "#[ allow (dead_code) ]\nfn f() {}",
    ];

    for source in sources {
        let found = allowed_lints(path, source);

        assert_eq!(found, ["src/cache.rs:1: say #[expect(…, reason = \"…\")]"], "{source}");
    }
    assert!(
        allowed_lints(path, "#[expect(dead_code, reason = \"r\")] fn allow() { allow(1) } // #[allow(x)]").is_empty()
    );
}

#[test]
fn a_note_to_oneself_is_found() {
    let path = Path::new("src/cache.rs");
    let note = concat!("fn f() {}\n// TO", "DO: the rest");

    let found = left_for_later(path, note);

    assert_eq!(found, ["src/cache.rs:2: finish it, or file it"]);
    assert!(left_for_later(path, concat!("const TO", "DOS: u8 = 0;")).is_empty());
}

// ---- how it is found out

struct File {
    path: PathBuf,
    text: String,
}

/// Fails with every offence that `rule` finds in the `*.rs` files under `root`; a root that does not exist holds none.
fn assert_clean(root: &str, rule: impl Fn(&File) -> Vec<String>) {
    let files = rust_files(root);
    assert!(root == "benches" || !files.is_empty(), "{root} holds no source: the rule was not tried");

    let offences: Vec<String> = files.iter().flat_map(rule).collect();

    assert!(offences.is_empty(), "\n{}\n", offences.join("\n"));
}

fn rust_files(root: &str) -> Vec<File> {
    let repository = Path::new(env!("CARGO_MANIFEST_DIR"));
    let mut folders = vec![repository.join(root)];
    let mut files = Vec::new();
    while let Some(folder) = folders.pop() {
        let Ok(entries) = fs::read_dir(&folder) else { continue };
        for entry in entries {
            let path = entry.expect("the folder is listed").path();
            if path.is_dir() {
                folders.push(path);
            } else if path.extension().is_some_and(|extension| extension == "rs") {
                let text = fs::read_to_string(&path).expect("sources are UTF-8");
                let path = path.strip_prefix(repository).expect("it was found in there").to_owned();
                files.push(File { path, text });
            }
        }
    }
    files.sort_by(|a, b| a.path.cmp(&b.path));
    files
}

/// The uses of rooms in one file that [`ROOMS`] does not grant.
fn arrows(path: &Path, source: &str) -> Vec<String> {
    let modules = modules_of(path);
    let root = path.file_stem().and_then(|stem| stem.to_str()).unwrap_or_default();
    let room = modules.first().copied().unwrap_or(root);
    let Some((_, granted)) = ROOMS.iter().find(|(name, _)| *name == room) else {
        return vec![format!("{}: the room {room} stands in no row of ROOMS", path.display())];
    };

    rooms_entered(source, modules.len(), room == "main")
        .into_iter()
        .filter(|entered| entered.text != room && !granted.contains(&entered.text))
        .map(|entered| format!("{}:{}: {room} may not use {}", path.display(), entered.line, entered.text))
        .collect()
}

/// The module path of a file: `src/http/urls.rs` is `["http", "urls"]`, the crate's roots are `[]`.
fn modules_of(path: &Path) -> Vec<&str> {
    let inside = path.strip_prefix("src").expect("a path that starts with src").with_extension("");
    if inside == Path::new("main") || inside == Path::new("lib") {
        return Vec::new();
    }
    path.iter().skip(1).filter_map(|part| part.to_str()).map(|part| part.strip_suffix(".rs").unwrap_or(part)).collect()
}

/// The first segment of every path that starts at the crate's root, where `depth` is how far below it the file stands.
fn rooms_entered(source: &str, depth: usize, is_program: bool) -> Vec<Word<'_>> {
    let words: Vec<Word<'_>> = words(source).collect();
    // For each brace that is open, whether it belongs to an inline module: `super` climbs out of those first.
    let mut open = Vec::new();
    let mut entered = Vec::new();
    let mut at = 0;
    while at < words.len() {
        let inline = open.iter().filter(|is_module| **is_module).count();
        match words[at].text {
            "{" => open.push(at >= 2 && words[at - 2].text == "mod"),
            "}" => _ = open.pop(),
            "crate" => entered.extend(segments_after(&words[at + 1..])),
            LIBRARY if is_program => entered.extend(segments_after(&words[at + 1..])),
            "super" => {
                let mut climbed = 1;
                while words.get(at + 1).is_some_and(|word| word.text == "::")
                    && words.get(at + 2).is_some_and(|word| word.text == "super")
                {
                    climbed += 1;
                    at += 2;
                }
                if climbed == depth + inline {
                    entered.extend(segments_after(&words[at + 1..]));
                }
            }
            _ => {}
        }
        at += 1;
    }
    entered
}

/// What follows a root: the segment of `::a`, or the first segments of `::{a::b, c}`; nothing where no path follows.
fn segments_after<'s>(words: &[Word<'s>]) -> Vec<Word<'s>> {
    let [colons, first, rest @ ..] = words else { return Vec::new() };
    if colons.text != "::" {
        return Vec::new();
    }
    if first.text != "{" {
        return vec![*first];
    }
    let mut depth = 1;
    let mut starts = true;
    let mut segments = Vec::new();
    for word in rest {
        match word.text {
            "{" => depth += 1,
            "}" => depth -= 1,
            _ => {}
        }
        if depth == 0 {
            break;
        }
        if starts && word.text != "self" && word.text != "}" {
            segments.push(*word);
        }
        starts = depth == 1 && word.text == ",";
    }
    segments
}

/// Whether the file's lines, those under `#[cfg(test)]` aside, are too many. A file of tests may be as long as it likes.
fn too_long(path: &Path, source: &str) -> Vec<String> {
    if path.iter().any(|part| part == "tests" || part == "tests.rs") {
        return Vec::new();
    }
    let lines = source.lines().count() - test_lines(source);
    if lines <= MAX_LINES {
        return Vec::new();
    }
    vec![format!("{}: {lines} lines without its tests: it has two subjects", path.display())]
}

fn test_lines(source: &str) -> usize {
    const CFG_TEST: [&str; 7] = ["#", "[", "cfg", "(", "test", ")", "]"];
    let words: Vec<Word<'_>> = words(source).collect();
    let mut lines = 0;
    let mut at = 0;
    while at < words.len() {
        if !words[at..].iter().map(|word| word.text).take(CFG_TEST.len()).eq(CFG_TEST) {
            at += 1;
            continue;
        }
        let first_line = words[at].line;
        let mut depth = 0_usize;
        for word in &words[at..] {
            at += 1;
            match word.text {
                "{" => depth += 1,
                "}" => depth -= 1,
                _ => {}
            }
            if depth == 0 && (word.text == "}" || word.text == ";") {
                lines += word.line - first_line + 1;
                break;
            }
        }
    }
    lines
}

fn badly_named(path: &Path) -> Vec<String> {
    if !path.ends_with("mod.rs") {
        return Vec::new();
    }
    vec![format!("{}: call it by its module's name, and put it beside the folder", path.display())]
}

/// `allow` in an attribute, plain or conditional.
fn allowed_lints(path: &Path, source: &str) -> Vec<String> {
    let words: Vec<Word<'_>> = words(source).collect();
    let mut found = Vec::new();
    let mut brackets = 0_usize;
    for (at, word) in words.iter().enumerate() {
        let begins = word.text == "[" && at > 0 && matches!(words[at - 1].text, "#" | "!");
        match word.text {
            "[" if begins || brackets > 0 => brackets += 1,
            "]" => brackets = brackets.saturating_sub(1),
            "allow" if brackets > 0 && words.get(at + 1).is_some_and(|next| next.text == "(") => {
                found.push(format!("{}:{}: say #[expect(…, reason = \"…\")]", path.display(), word.line));
            }
            _ => {}
        }
    }
    found
}

fn left_for_later(path: &Path, source: &str) -> Vec<String> {
    let marks = [concat!("TO", "DO"), concat!("FIX", "ME")];
    (1..)
        .zip(source.lines())
        .filter(|(_, line)| line.split(|c: char| !c.is_alphanumeric()).any(|word| marks.contains(&word)))
        .map(|(number, _)| format!("{}:{number}: finish it, or file it", path.display()))
        .collect()
}
