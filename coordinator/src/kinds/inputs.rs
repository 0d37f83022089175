//! Inputs by name: artifacts that tags, digests and jobs stand for, and what a kind takes.

use super::{KindError, Purpose};
use crate::core::{Artifact, Core, Found};
use serde_json::Value;
use vertigo::id::Digest;
use vertigo::manifest::{Kind, Manifest};
use vertigo::task::{InputRole, TaskKind};

/// An input as it is named: its role, and the kind of artifact that it is or will be.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Named<'a> {
    pub(crate) role: &'a str,
    /// What was written there.
    pub(crate) reference: &'a str,
    pub(crate) kind: Kind,
}

/// Checks roles and kinds of what a variant reads.
///
/// # Errors
/// The role that the kind does not have, that stands twice, that is missing, or that is of another kind.
pub(crate) fn check_inputs(
    variant: &str,
    kind: TaskKind,
    inputs: &[Named<'_>],
    purpose: Purpose,
) -> Result<(), KindError> {
    let invalid = |problem: String| KindError::Invalid(format!("`{variant}`: {problem}"));
    for (n, input) in inputs.iter().enumerate() {
        let Some(taken) = kind.input(input.role) else {
            let roles: Vec<_> = kind.inputs().iter().map(|input| input.role).collect();
            return Err(invalid(format!("{kind} reads no `{}`; it reads {}", input.role, roles.join(", "))));
        };
        if inputs[..n].iter().any(|other| other.role == input.role) {
            return Err(invalid(format!("`{}` is given twice", input.role)));
        }
        if !taken.takes.contains(&input.kind) {
            return Err(invalid(other_kind(taken, input)));
        }
    }
    let is_given = |taken: &InputRole| inputs.iter().any(|input| kind.input(input.role) == Some(taken));
    let lacks = |taken: &&InputRole| taken.required && !is_given(taken);
    match kind.inputs().iter().find(lacks) {
        Some(missing) if purpose == Purpose::Run => Err(invalid(format!("no {0}: name one with --{0}", missing.role))),
        _ => Ok(()),
    }
}

/// What an adapter was trained with in a role, by the facts of its manifest. `option` is how another is named.
pub(super) fn trained_with(
    core: &Core,
    (adapter, manifest): (&Digest, &Manifest),
    role: &str,
    takes: &[Kind],
    option: &str,
) -> Result<Found, KindError> {
    let fact = manifest.fact(role).and_then(Value::as_str);
    let Some(found) = fact.and_then(|text| text.parse::<Digest>().ok()) else {
        let unsaid = format!("the adapter {} does not say its {role}", adapter.short());
        return Err(KindError::missing(unsaid, format!("name it with {option}")));
    };
    match core.manifest(&found).filter(|manifest| takes.contains(&manifest.kind())) {
        Some(manifest) => Ok(Found { digest: found, bytes: manifest.bytes() }),
        None => Err(KindError::missing(
            format!("the {role} {} that the adapter {} was trained with is not there", found.short(), adapter.short()),
            format!("import it again, or name another with {option}"),
        )),
    }
}

fn other_kind(taken: &InputRole, input: &Named<'_>) -> String {
    let wanted: Vec<_> = taken.takes.iter().map(|kind| kind.as_str()).collect();
    format!("`{}` is no {} but an artifact of kind {}", input.reference, wanted.join(" or "), input.kind)
}

/// An artifact by tag, by digest or a prefix of it, or by the job that made it, as `JOB@ROLE` where it is not the job's first output.
///
/// # Errors
/// A reference that means several things, or an output that the job does not make.
pub(crate) fn resolve<'a>(core: &'a Core, reference: &str) -> Result<Option<(Digest, &'a Artifact)>, KindError> {
    core.find_artifact(reference).map_err(|error| KindError::Invalid(format!("{error}: {}", error.hint())))
}

/// The error of a named artifact that is not there, with what to do and tags that are spelt alike.
pub(crate) fn missing(core: &Core, kind: TaskKind, role: &str, reference: &str) -> KindError {
    let takes = kind.input(role).map_or(&[][..], |input| input.takes);
    let near: Vec<&str> = takes.iter().flat_map(|kind| core.index().near_tags(*kind, reference)).collect();
    let near = match near[..] {
        [] => String::new(),
        ref near => format!(" (did you mean `{}`?)", near.join("` or `")),
    };
    let what = takes.first().map_or("artifact", |kind| kind.as_str());
    match takes {
        [Kind::Dataset] => KindError::missing(
            format!("dataset `{reference}` is not imported"),
            format!("import it with `vertigo data import {reference} DIR`{near}"),
        ),
        [Kind::Base, ..] => KindError::missing(
            format!("base `{reference}` is not imported"),
            format!("import it with `vertigo base import {reference} DIR`{near}"),
        ),
        _ => KindError::missing(
            format!("there is no {what} `{reference}`"),
            format!("`vertigo artifacts --kind {what}` lists them{near}"),
        ),
    }
}
