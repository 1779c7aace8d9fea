//! What is refused, and how it is told.

use std::{fs, thread};

use super::*;

#[test]
fn each_is_told_with_its_place_and_what_would_be_right() {
    let mut missed = Vec::new();
    for (text, place, expected) in [
        // What does not parse.
        ("permit (principal, action, resource)", "1:37", "unexpected end of input"),
        ("// first\npermit (principal, action);", "2:26", "resource"),
        ("permit (principal, action, resource)\nwhen { foo };", "2:8", "foo"),
        ("permit (principal, action, resource) when { principal.email like 1 };", "1:", "like"),
        ("@id(\"a\") @id(\"b\") permit (principal, action, resource);", "1:10", "duplicate annotation"),
        // What the schema does not know.
        ("permit (principal, action == Action::\"ReadBackupUrl\", resource);", "1:30", "ReadBackupUrls"),
        ("permit (principal in Grup::\"dba\", action, resource);", "1:22", "Group"),
        ("permit (principal, action, resource)\nwhen { principal.isuer == \"sso\" };", "2:8", "issuer"),
        ("permit (principal, action, resource) when { context.network == \"inner\" };", "1:45", "network"),
        ("permit (principal, action, resource) when { principal.email == \"a\" };", "1:45", "has"),
        ("permit (principal, action, resource) when { principal.issuer == 1 };", "1:45", "compatible"),
        (
            "permit (principal, action, resource) when { context.client_ip == ip(\"10.0.0.256\") };",
            "1:66",
            "IP address",
        ),
        ("permit (principal, action, resource) when { principal.scopes == [] };", "1:65", "empty set"),
        // What can never apply.
        ("permit (principal in Region::\"ap-chengdu\", action, resource);", "1:1", "applicable action"),
        ("permit (principal, action, resource == User::\"x\");", "1:1", "applicable action"),
        ("permit (principal, action, resource)\nunless { true };", "1:1", "impossible"),
        ("permit (principal, action, resource) when { principal == resource };", "1:1", "impossible"),
        // What could be looked up only by luck.
        ("permit (principal, action, resource) when { User::\"bob\".issuer == \"sso\" };", "1:45", "literals"),
        ("permit (principal, action, resource) when { User::\"bob\" in Group::\"dba\" };", "1:45", "literals"),
        // What looks like something else.
        ("permit (principal in Group::\"db\u{430}\", action, resource);", "1:1", "mixed scripts"),
        ("permit (principal, action, resource) when { context.reason == \"\u{202e}x\" };", "1:63", "BIDI"),
        // What we do not do.
        ("permit (principal == ?principal, action, resource);", "1:1", "templates"),
        ("@id(\"a b\") permit (principal, action, resource);", "1:1", "@id must match"),
        ("@id permit (principal, action, resource);", "1:1", "@id must match"),
        ("@id(\"test#1\") permit (principal, action, resource);", "1:1", "@id must match"),
        ("// nothing but words", "", "there is no policy"),
        ("", "", "there is no policy"),
    ] {
        let found = mistakes(text);

        let file = if place.is_empty() { "policies: ".to_owned() } else { format!("test.cedar:{place}") };
        if !found.iter().any(|mistake| mistake.starts_with(&file) && mistake.contains(expected)) {
            missed.push((text, place, expected, found));
        }
    }
    assert!(missed.is_empty(), "{missed:#?}");
}

#[test]
fn all_of_all_files_are_told_at_once() {
    let errors = load_files(&[
        ("a", "permit (principal, action, resource"),
        (
            "b",
            "@id(\"one\")\n\
             permit (principal, action, resource)\n\
             when { principal.isuer == \"x\" };\n\
             // two\n  \
             @id(\"two\") forbid (principal, action, resource) when { false };",
        ),
        (
            "c",
            "// permit (principal, action, resource);\n\
             @id(\"one\")\n\
             permit (principal, action, resource);\n\
             permit (principal, action, resource);\n\t\
             permit (principal in ?principal, action, resource);",
        ),
        ("d", "@id(\"-\") permit (principal, action, resource) when { context.network == \"x\" };"),
    ])
    .err()
    .unwrap();

    let places: Vec<_> = errors
        .iter()
        .map(|error| {
            let position = error.position.unwrap();
            (error.file.display().to_string(), position.line, position.column)
        })
        .collect();
    let at = |file: &str, line, column| (file.to_owned(), line, column);
    assert_eq!(
        places,
        [
            at("a.cedar", 1, 36),
            at("b.cedar", 3, 8),
            at("b.cedar", 5, 3),
            at("c.cedar", 2, 1),
            at("c.cedar", 5, 2),
            at("d.cedar", 1, 1),
            at("d.cedar", 1, 54),
            at("d.cedar", 1, 54),
        ],
        "{errors}"
    );
    assert!(errors.to_string().contains("@id `one` is taken, see b.cedar:1:1: already"), "{errors}");
}

#[test]
fn names_in_one_script_are_fine_whatever_the_script() {
    let policies = policies("permit (principal in Group::\"数据库管理员\", action, resource);");
    assert!(allows(&policies, &caller("alice", &["数据库管理员"])));
}

#[test]
fn policies_without_an_id_are_called_after_their_place() {
    let text = "permit (principal, action, resource);".repeat(12);
    let policies = load_files(&[("10-a", &text), ("b.c", "permit (principal, action, resource);")]).ok().unwrap();

    assert_eq!(policies.ids()[..2], ids(&["10-a#1", "10-a#10"]));
    assert_eq!(policies.ids()[12..], ids(&["b.c#1"]));
}

#[test]
fn more_policies_than_can_be_asked_each_time_are_refused() {
    let policy = "permit (principal, action, resource);\n";
    assert!(load(&policy.repeat(1000)).is_ok());
    assert_eq!(mistakes(&policy.repeat(1002)), ["test.cedar:1001:1: from here on there are more than 1000 policies"]);
}

#[test]
fn deep_nesting_is_a_mistake_and_not_a_crash() {
    for (open, close) in [("(", ")"), ("!", ""), ("[", "]"), ("if true then ", " else true"), ("-", "")] {
        let depth = 200_000 / (open.len() + close.len());
        let text = format!(
            "permit (principal, action, resource) when {{ {}true{} }};",
            open.repeat(depth),
            close.repeat(depth)
        );
        assert_eq!(mistakes(&text).len(), 1, "{open}");
    }
}

#[test]
fn a_shallow_stack_of_the_caller_does_not_let_mistakes_pass() {
    let text = format!("permit (principal, action, resource) when {{ principal{} }};", ".a".repeat(298));

    let found = thread::Builder::new().stack_size(256 << 10).spawn(move || mistakes(&text)).unwrap().join();

    assert!(found.unwrap().iter().any(|mistake| mistake.contains("`a` on entity type `User` not found")));
}

#[test]
fn a_folder_is_loaded_as_one_set() {
    let dir = tempfile::tempdir().unwrap();
    fs::write(dir.path().join("a.cedar"), "@id(\"a\") permit (principal, action, resource);").unwrap();
    fs::write(dir.path().join("b.cedar"), "@id(\"b\") forbid (principal, action, resource);").unwrap();

    let policies = Policies::load(dir.path()).ok().unwrap();
    assert_eq!(policies.ids(), ids(&["a", "b"]));

    fs::remove_file(dir.path().join("b.cedar")).unwrap();
    fs::write(dir.path().join("c d.cedar"), "").unwrap();
    assert!(Policies::load(dir.path()).is_err(), "a file that cannot be read refuses the set");
}
