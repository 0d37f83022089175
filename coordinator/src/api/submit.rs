//! From what people ask for to jobs that can be queued: every check that can be made before anything is.
//!
//! What tasks are is the matter of [`kinds`]; here names become artifacts and jobs, and the three steps of an appraisal are taken: with
//! the state, beside it, and with it again.

use super::error::broken;
use crate::core::{self, Core, Found, Index, Input, ReferenceError, Source, State, Variant};
use crate::kinds::{self, Appraisal, Named, Purpose, Task};
use std::collections::BTreeMap;
use vertigo::api_error::ApiError;
use vertigo::id::{Digest, JobId, ParseIdError};
use vertigo::manifest::Kind;
use vertigo::principal::PrincipalName;
use vertigo::task::split_output;
use vertigo::v1::{self, input};

/// A job to queue, with its tasks read.
pub(super) struct Asked {
    pub(super) id: JobId,
    name: Option<String>,
    priority: i32,
    labels: BTreeMap<String, String>,
    pub(super) variants: Vec<AskedVariant>,
}

/// A variant, with its task read.
pub(super) struct AskedVariant {
    name: String,
    task: Task,
    message: v1::Task,
    inputs: Vec<v1::Input>,
}

/// A job whose inputs are found; each variant with what its need depends on, where that is there.
pub(super) struct FoundJob {
    asked: Asked,
    variants: Vec<(Variant, Option<Appraisal>)>,
}

/// A job whose variants can be done; each with its need but for what attempts have taught.
pub(super) struct CheckedJob {
    asked: Asked,
    variants: Vec<(Variant, Option<kinds::Appraised>)>,
}

/// Reads jobs. Ids that nobody chose are chosen.
pub(super) fn read(jobs: Vec<v1::NewJob>) -> Result<Vec<Asked>, ApiError> {
    if jobs.is_empty() {
        return Err(ApiError::invalid("no job: name at least one"));
    }
    let mut asked: Vec<Asked> = Vec::with_capacity(jobs.len());
    for job in jobs {
        let id = match job.id.as_str() {
            "" => JobId::new(),
            id => id.parse().map_err(|error: ParseIdError| ApiError::invalid(error))?,
        };
        if asked.iter().any(|other| other.id == id) {
            return Err(ApiError::invalid(format!("two jobs of the call have the id {id}")));
        }
        asked.push(Asked {
            id,
            name: Some(job.name).filter(|name| !name.is_empty()),
            priority: job.priority,
            labels: job.labels.into_iter().collect(),
            variants: read_variants(job.variants)?,
        });
    }
    Ok(asked)
}

/// Reads the variants of a job.
pub(super) fn read_variants(variants: Vec<v1::NewVariant>) -> Result<Vec<AskedVariant>, ApiError> {
    if variants.is_empty() {
        return Err(ApiError::invalid("no variant: name at least one way to do the job, such as a recipe"));
    }
    let read = |variant: v1::NewVariant| {
        let message = variant.task.unwrap_or_default();
        let task = Task::read(&message)?;
        Ok(AskedVariant { name: variant.name, task, message, inputs: variant.inputs })
    };
    let variants = variants.into_iter().map(read).collect::<Result<Vec<_>, ApiError>>()?;
    let makes = |variant: &AskedVariant| variant.task.kind().outputs();
    match variants.iter().find(|variant| makes(variant) != makes(&variants[0])) {
        // Whoever reads an output must know what it will be.
        Some(other) => Err(ApiError::invalid(format!(
            "`{}` makes something else than `{}`: the variants of a job make the same",
            other.name, variants[0].name
        ))),
        None => Ok(variants),
    }
}

/// Finds what the jobs read. What is wrong with one is wrong with the call.
pub(super) fn find(core: &Core, jobs: Vec<Asked>) -> Result<Vec<FoundJob>, ApiError> {
    let mut found: Vec<FoundJob> = Vec::with_capacity(jobs.len());
    for asked in jobs {
        check_name(core, &asked, &found)?;
        let find = |variant: &AskedVariant| find_variant(core, variant, &found, Purpose::Run);
        let variants = asked.variants.iter().map(find).collect::<Result<Vec<_>, ApiError>>()?;
        found.push(FoundJob { asked, variants });
    }
    Ok(found)
}

/// Finds what a variant reads; `before` are jobs of the same call.
pub(super) fn find_variant(
    core: &Core,
    variant: &AskedVariant,
    before: &[FoundJob],
    purpose: Purpose,
) -> Result<(Variant, Option<Appraisal>), ApiError> {
    let AskedVariant { name, task, message, inputs } = variant;
    let inputs: Vec<(Input, Kind)> =
        inputs.iter().map(|input| find_input(core, input, task, before)).collect::<Result<_, ApiError>>()?;
    let named = |(input, kind): &(Input, Kind)| (input.role.clone(), reference(&variant.inputs, &input.role), *kind);
    let named: Vec<_> = inputs.iter().map(named).collect();
    let named: Vec<_> = named.iter().map(|(role, reference, kind)| Named { role, reference, kind: *kind }).collect();
    kinds::check_inputs(name, task.kind(), &named, purpose)?;
    let mut inputs: Vec<Input> = inputs.into_iter().map(|(input, _)| input).collect();
    let findings = task.find(core, &inputs, purpose)?;
    // What nobody named is read once its need is known, here or when the last input is there.
    inputs.extend(findings.added);
    let variant = Variant {
        name: name.clone(),
        task: kinds::held(task.kind(), message),
        model: task.model().to_owned(),
        inputs,
        need: None,
        raised: None,
        resume: None,
        began_anew: false,
        caveats: None,
    };
    Ok((variant, findings.appraisal))
}

/// What a person wrote for a role.
fn reference(inputs: &[v1::Input], role: &str) -> String {
    let source = inputs.iter().find(|input| input.role == role).and_then(|input| input.source.as_ref());
    match source {
        Some(input::Source::Artifact(reference)) => reference.clone(),
        Some(input::Source::Output(output)) => output.job.clone(),
        None => String::new(),
    }
}

/// An input, with the kind of artifact that it is or will be.
fn find_input(core: &Core, input: &v1::Input, task: &Task, before: &[FoundJob]) -> Result<(Input, Kind), ApiError> {
    let role = input.role.clone();
    match &input.source {
        Some(input::Source::Artifact(reference)) if !reference.is_empty() => {
            let Some((digest, artifact)) = kinds::resolve(core, reference)? else {
                // A job that is still to make it.
                let (job, wanted) = split_output(reference);
                if core.find_job(job).is_ok_and(|job| job.is_some()) {
                    let output = v1::OutputOf { job: job.to_owned(), role: wanted.to_owned() };
                    return find_output(core, role, &output, before);
                }
                return Err(ApiError::from(kinds::missing(core, task.kind(), &role, reference)));
            };
            let found = Found { digest, bytes: artifact.manifest.bytes() };
            Ok((Input { role, source: Source::Artifact, artifact: Some(found) }, artifact.manifest.kind()))
        }
        Some(input::Source::Output(output)) => find_output(core, role, output, before),
        _ => Err(ApiError::invalid(format!("the input `{role}` names neither an artifact nor a job"))),
    }
}

fn find_output(
    core: &Core,
    role: String,
    output: &v1::OutputOf,
    before: &[FoundJob],
) -> Result<(Input, Kind), ApiError> {
    let v1::OutputOf { job: reference, role: wanted } = output;
    let in_call = reference.parse::<JobId>().ok().and_then(|id| before.iter().find(|job| job.asked.id == id));
    let (job, kind, state) = match in_call {
        Some(job) => (job.asked.id, job.asked.variants.first().map(|variant| variant.task.kind()), None),
        None => {
            let job = super::jobs::find(core, reference)?;
            (job.id, job.variants.first().map(|variant| variant.task.kind), Some(job))
        }
    };
    let Some(kind) = kind else { return Err(ApiError::invalid(format!("job `{reference}` has no variant"))) };
    let Some(made) = kind.output(wanted) else {
        return Err(ReferenceError::NoRole { job: reference.clone(), kind, role: wanted.clone() }.into());
    };
    let ended = |job: std::borrow::Cow<'_, core::Job>| match job.state {
        State::Failed | State::Cancelled => {
            Err(ApiError::from(core::Refusal::NoOutput { id: job.id, state: job.state.name() }))
        }
        _ => Ok(job.output_of(made.role)),
    };
    let digest = state.map(ended).transpose()?.flatten();
    let found = digest.and_then(|digest| Some(Found { digest, bytes: core.manifest(&digest)?.bytes() }));
    Ok((Input { role, source: Source::Output { job, role: made.role.to_owned() }, artifact: found }, made.kind))
}

/// Jobs that are checked where they are: less work than to hand them to another thread.
const CHECKED_HERE_MAX: usize = 4;

/// Checks that the jobs can be done, and estimates what that takes; many of them on a thread that nobody waits for.
pub(super) async fn check(found: Vec<FoundJob>) -> Result<Vec<CheckedJob>, ApiError> {
    let check_job = |FoundJob { asked, variants }: FoundJob| {
        Ok(CheckedJob { asked, variants: variants.into_iter().map(appraised).collect::<Result<_, ApiError>>()? })
    };
    let is_short = found.len() <= CHECKED_HERE_MAX;
    let check = move || found.into_iter().map(check_job).collect();
    if is_short {
        return check();
    }
    tokio::task::spawn_blocking(check).await.map_err(broken)?
}

/// Checks and estimates one variant.
pub(super) fn appraised(
    (variant, appraisal): (Variant, Option<Appraisal>),
) -> Result<(Variant, Option<kinds::Appraised>), ApiError> {
    Ok((variant, appraisal.map(Appraisal::appraise).transpose()?))
}

impl CheckedJob {
    /// The job as the core queues it, with its memory predicted by what finished attempts have taught.
    pub(super) fn submit(self, core: &Core, by: &PrincipalName, traceparent: &str) -> core::Submit {
        let Asked { id, name, priority, labels, .. } = self.asked;
        let variants =
            self.variants.into_iter().map(|(variant, appraised)| needing(core, variant, appraised)).collect();
        let (traceparent, by) = (traceparent.to_owned(), by.clone());
        core::Submit { id, name, priority, labels, variants, traceparent, by }
    }

    /// Whether its name may still be given to what it makes.
    pub(super) fn check_name(&self, core: &Core) -> Result<(), ApiError> {
        check_name(core, &self.asked, &[])
    }
}

/// A variant with its need.
pub(super) fn needing(core: &Core, variant: Variant, appraised: Option<kinds::Appraised>) -> Variant {
    Variant { need: appraised.map(|appraised| appraised.need(core.factors())), ..variant }
}

/// Refuses a name that its first output's tag cannot have, or that names something that the output must not replace.
fn check_name(core: &Core, job: &Asked, before: &[FoundJob]) -> Result<(), ApiError> {
    let Some(name) = &job.name else { return Ok(()) };
    Index::check_tag(name).map_err(ApiError::invalid)?;
    let makes = |job: &Asked| job.variants.first().and_then(|it| it.task.kind().output("")).map(|output| output.kind);
    if before.iter().any(|other| other.asked.name.as_ref() == Some(name) && makes(&other.asked) != makes(job)) {
        return Err(ApiError::invalid(format!(
            "two jobs of the call are named `{name}`, and they make different kinds of thing"
        )));
    }
    let tagged = core.index().tagged(name).and_then(|digest: Digest| core.index().get(&digest));
    match tagged.map(|artifact| artifact.manifest.kind()).filter(|kind| Some(*kind) != makes(job)) {
        None => Ok(()),
        Some(kind) => {
            Err(ApiError::invalid(format!("`{name}` names an artifact of kind {kind}; choose another --name")))
        }
    }
}

#[cfg(test)]
mod tests;
