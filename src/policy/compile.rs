//! From the texts of files to one validated set of policies.
//!
//! Pure, and never content with a part: what a file says is in force as a whole or not at all.

use std::{
    collections::{HashMap, HashSet},
    path::{Path, PathBuf},
};

use cedar_policy::{Policy, PolicyId, PolicySet, Schema, ValidationError, ValidationMode, Validator};

use super::{
    PolicyError, Position,
    bounds::{first_excess, on_a_deep_stack, skip_blanks_and_comments},
};

/// What a policy's `@id("…")` and a file's stem must look like: such a text is safe in a log and in an audit record, and
/// differs from the ids that are made up (`<stem>#<n>`).
pub(super) const ID_GRAMMAR: &str = "[A-Za-z0-9][A-Za-z0-9._-]{0,63}";

/// The most policies, for Cedar looks at each of them for each decision.
const MAX_POLICIES: usize = 1000;

/// How many steps from principal or resource a policy may look. One step is all there is, and asking for it makes
/// Cedar refuse `User::"bob".email` and `User::"bob" in Group::"dba"`: only the caller and the instance of a request
/// are known while it is decided, so the first would fail every time, and the second be false for ever.
const STEPS: u32 = 1;

const SCHEMA: &str = include_str!("schema.cedarschema");

/// A file of policies with its text.
#[derive(Debug)]
pub(super) struct SourceFile {
    /// Where it is, for messages.
    pub(super) path: PathBuf,
    /// Its name without `.cedar`: the first half of the ids of its nameless policies.
    pub(super) stem: String,
    /// What it says.
    pub(super) text: String,
}

/// Parses and validates all files; every mistake is added to `errors`. The set is worth something only if none was.
///
/// A file that does not parse contributes its parse errors, the others are validated all the same.
pub(super) fn compile(dir: &Path, files: &[SourceFile], errors: &mut Vec<PolicyError>) -> PolicySet {
    on_a_deep_stack(|| compile_here(files, errors)).unwrap_or_else(|error| {
        errors.push(PolicyError::new(dir, format!("no thread to read the policies on: {error}")));
        PolicySet::new()
    })
}

fn compile_here(files: &[SourceFile], errors: &mut Vec<PolicyError>) -> PolicySet {
    let mut set = PolicySet::new();
    let mut ids = Ids::default();
    for file in files {
        if let Some((offset, message)) = first_excess(&file.text) {
            errors.push(PolicyError::at(&file.path, Some(Position::of(&file.text, offset)), message));
            continue;
        }
        match file.text.parse::<PolicySet>() {
            Ok(parsed) => add_all(file, &parsed, &mut set, &mut ids, errors),
            Err(parse_errors) => errors
                .extend(parse_errors.iter().map(|error| PolicyError::from_diagnostic(&file.path, &file.text, error))),
        }
    }
    validate(&set, &ids, errors);
    set
}

/// The schema that every policy is validated against.
pub(super) fn schema() -> Schema {
    SCHEMA.parse().expect("the schema is part of the program and of its tests")
}

/// Whether a text is a policy id that somebody may have chosen.
pub(super) fn is_id(text: &str) -> bool {
    text.len() <= 64
        && text.starts_with(|first: char| first.is_ascii_alphanumeric())
        && text.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"._-".contains(&byte))
}

/// Which ids are taken, and by which policy.
#[derive(Default)]
struct Ids<'a>(HashMap<PolicyId, (&'a SourceFile, Option<Position>)>);

impl<'a> Ids<'a> {
    /// The id of the `n`th statement of a file: what its annotation says, or where it stands. A bad annotation is
    /// reported, and the place stands in for it so that the policy is validated with the rest.
    fn assign(
        &mut self,
        file: &'a SourceFile,
        n: usize,
        position: Option<Position>,
        chosen: Option<&str>,
        errors: &mut Vec<PolicyError>,
    ) -> PolicyId {
        let mut id = PolicyId::new(format!("{}#{n}", file.stem));
        if let Some(chosen) = chosen {
            let chosen_id = PolicyId::new(chosen);
            if !is_id(chosen) {
                errors.push(PolicyError::at(&file.path, position, format!("@id must match {ID_GRAMMAR}")));
            } else if let Some((other, place)) = self.0.get(&chosen_id) {
                let other = PolicyError::at(&other.path, *place, "already");
                errors.push(PolicyError::at(&file.path, position, format!("@id `{chosen}` is taken, see {other}")));
            } else {
                id = chosen_id;
            }
        }
        self.0.insert(id.clone(), (file, position));
        id
    }
}

/// Adds the policies of one file under their final ids.
fn add_all<'a>(
    file: &'a SourceFile,
    parsed: &PolicySet,
    set: &mut PolicySet,
    ids: &mut Ids<'a>,
    errors: &mut Vec<PolicyError>,
) {
    for (index, (position, statement)) in statements(&file.text, parsed).into_iter().enumerate() {
        match statement {
            Statement::Template => errors.push(PolicyError::at(
                &file.path,
                position,
                "templates (`?principal`, `?resource`) are not supported: nothing here fills the slots, so name the \
                 principal and the resource",
            )),
            Statement::Policy(policy) => {
                let id = ids.assign(file, index + 1, position, policy.annotation("id"), errors);
                if let Err(error) = set.add(policy.new_id(id)) {
                    errors.push(PolicyError::at(&file.path, position, error.to_string()));
                }
                if set.num_of_policies() == MAX_POLICIES + 1 {
                    errors.push(PolicyError::at(
                        &file.path,
                        position,
                        format!("from here on there are more than {MAX_POLICIES} policies"),
                    ));
                }
            }
        }
    }
}

enum Statement<'a> {
    Policy(&'a Policy),
    Template,
}

/// The statements of a parsed text in their order, with their places.
///
/// Cedar numbers what it parses (`policy0`, `policy1`, … in the order of the text) and keeps each statement's exact
/// text, but its public interface does not say where that stood. So we walk: between two statements are only blanks and
/// comments.
fn statements<'a>(text: &str, parsed: &'a PolicySet) -> Vec<(Option<Position>, Statement<'a>)> {
    let policies = parsed.policies().map(|policy| (policy.id(), policy.to_cedar(), Statement::Policy(policy)));
    let templates = parsed.templates().map(|template| (template.id(), Some(template.to_cedar()), Statement::Template));
    let mut statements: Vec<_> = policies.chain(templates).collect();
    // Sorted by length first, so that `policy10` comes after `policy9`.
    statements.sort_unstable_by(|(a, ..), (b, ..)| {
        let (a, b): (&str, &str) = (a.as_ref(), b.as_ref());
        a.len().cmp(&b.len()).then(a.cmp(b))
    });

    let mut end = Some(0);
    statements
        .into_iter()
        .map(|(_, source, statement)| {
            let start = end.map(|end| skip_blanks_and_comments(text, end));
            end = start.zip(source).filter(|(at, source)| text[*at..].starts_with(source)).map(|(at, s)| at + s.len());
            (start.filter(|_| end.is_some()).map(|start| Position::of(text, start)), statement)
        })
        .collect()
}

/// Strict validation, where a warning is a mistake as well. Of a policy with errors the warnings are left out: that it
/// cannot apply is then only what follows.
fn validate(set: &PolicySet, ids: &Ids<'_>, errors: &mut Vec<PolicyError>) {
    let result = Validator::new(schema()).validate_with_level(set, ValidationMode::Strict, STEPS);
    let wrong: HashSet<_> = result.validation_errors().map(ValidationError::policy_id).collect();
    let mistakes = result.validation_errors().map(|error| (error.policy_id(), error as &dyn miette::Diagnostic));
    let warnings = result
        .validation_warnings()
        .map(|warning| (warning.policy_id(), warning as &dyn miette::Diagnostic))
        .filter(|(id, _)| !wrong.contains(id));
    for (id, diagnostic) in mistakes.chain(warnings) {
        let (file, start) = ids.0.get(id).expect("each policy of the set was given its id by us");
        let error = PolicyError::from_diagnostic(&file.path, &file.text, diagnostic);
        errors.push(PolicyError { position: error.position.or(*start), ..error });
    }
}
