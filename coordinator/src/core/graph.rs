//! Jobs that read what other jobs make.
//!
//! A job is blocked for as long as it lacks an output. When the last one is there, its needs are computed and it is queued; when a job
//! that it waits for fails or is cancelled, it ends with that reason. Sources are older than what reads them, so the graph has no cycle
//! and a blocked job names at least one job that has not ended.

use super::{ArchiveError, Core, Found, Input, Job, Refusal, Source, State, Submit, Variant};
use std::collections::BTreeMap;
use std::fmt::Debug;
use std::sync::Arc;
use vertigo::id::{Digest, JobId, Millis};

/// What the core asks about tasks, which it cannot read. Pure, and quick: it is called by the writer.
pub trait Kinds: Debug + Send {
    /// Completes a variant of which every named input is there: adds what it reads besides, and its need.
    ///
    /// # Errors
    /// Why the task cannot be done with these inputs, for a person.
    fn complete(&self, core: &Core, variant: &mut Variant) -> Result<(), String>;

    /// What the names that a task follows stand for now, with what that needs besides. Most tasks follow none.
    ///
    /// # Errors
    /// One is a job's that has ended, and the archive cannot be read.
    fn followed(&self, core: &Core, variant: &Variant) -> Result<Vec<Digest>, ArchiveError> {
        let _ = (core, variant);
        Ok(Vec::new())
    }
}

impl Core {
    /// Fills in what is there by now of what `jobs` read, in their order, and checks that each source comes before its reader.
    pub(super) fn connect_inputs(&self, jobs: &mut [Submit]) -> Result<(), Refusal> {
        for at in 0..jobs.len() {
            let (before, rest) = jobs.split_at_mut(at);
            let reader = &mut rest[0];
            for input in reader.variants.iter_mut().flat_map(|variant| &mut variant.inputs) {
                let Input { source: Source::Output { job, role }, artifact: None, .. } = input else { continue };
                if before.iter().any(|queued| queued.id == *job) {
                    continue;
                }
                let source = self.any_job(*job)?.ok_or(Refusal::NoJob(*job))?;
                match source.state {
                    State::Failed | State::Cancelled => {
                        return Err(Refusal::NoOutput { id: *job, state: source.state.name() });
                    }
                    State::Succeeded => {
                        let missing = || Refusal::NoSuchOutput { id: *job, role: role.clone() };
                        input.artifact = Some(self.found(&source, role).ok_or_else(missing)?);
                    }
                    State::Blocked | State::Queued | State::Backoff { .. } | State::Leased { .. } => {}
                }
            }
        }
        Ok(())
    }

    /// An output of a job that has succeeded.
    fn found(&self, job: &Job, role: &str) -> Option<Found> {
        let digest = job.output_of(role)?;
        Some(Found { digest, bytes: self.index.get(&digest)?.manifest.bytes() })
    }

    /// Notes whose outputs a job waits for.
    pub(super) fn note_sources(&mut self, id: JobId) {
        let Some(job) = self.jobs.get(&id) else { return };
        for source in job.waits_for() {
            self.readers.entry(source).or_default().insert(id);
        }
    }

    /// Why a blocked job waits.
    pub(super) fn blocked_reason(&self, id: JobId) -> String {
        let Some(job) = self.jobs.get(&id) else { return String::new() };
        let title = |source: JobId| match self.jobs.get(&source) {
            Some(source) => format!("{} ({})", source.title(), source.state.name()),
            None => source.to_string(),
        };
        let sources: Vec<String> = job.waits_for().into_iter().map(title).collect();
        format!("waits for what {} makes", sources.join(" and "))
    }

    /// Hands on what the jobs that have just ended made, or that they made nothing. Goes on until nothing follows any more: a job that
    /// ends here may have readers of its own.
    pub(super) fn settle_graph(&mut self, now: Millis) {
        while let Some(ended) = self.just_ended.pop() {
            let Some(source) = self.jobs.get(&ended) else { continue };
            let (state, title) = (source.state, source.title());
            for reader in self.readers.remove(&ended).unwrap_or_default() {
                match state {
                    State::Succeeded => self.hand_on(now, ended, reader),
                    State::Cancelled => {
                        let reason = format!("cancelled, because {title}, whose output it needs, was cancelled");
                        self.end_blocked(now, reader, State::Cancelled, reason);
                    }
                    _ => {
                        let reason = format!("it needs what {title} makes, which failed");
                        self.end_blocked(now, reader, State::Failed, reason);
                    }
                }
            }
        }
    }

    fn end_blocked(&mut self, now: Millis, id: JobId, state: State, reason: String) {
        if self.jobs.get(&id).is_some_and(|job| job.state == State::Blocked) {
            self.set_state(now, id, state, reason);
        }
    }

    /// Gives a reader the outputs of `source`, and queues it where it lacks nothing more.
    fn hand_on(&mut self, now: Millis, source: JobId, reader: JobId) {
        let Some(job) = self.jobs.get(&source) else { return };
        let made: BTreeMap<String, Option<Found>> = self.roles_read(reader, source, job);
        let Some(job) = self.jobs.get_mut(&reader).filter(|job| job.state == State::Blocked) else { return };
        for input in Arc::make_mut(&mut job.variants).iter_mut().flat_map(|variant| &mut variant.inputs) {
            if let Source::Output { job, role } = &input.source
                && (*job == source && input.artifact.is_none())
            {
                let Some(found) = made.get(role).copied().flatten() else {
                    let reason = format!("it needs the output `{role}` of job {source}, which made none of that name");
                    return self.end_blocked(now, reader, State::Failed, reason);
                };
                input.artifact = Some(found);
            }
        }
        self.effects.jobs.insert(reader);
        if !self.jobs[&reader].waits_for().is_empty() {
            let reason = self.blocked_reason(reader);
            return self.set_state(now, reader, State::Blocked, reason);
        }
        match self.completed(reader) {
            Ok(variants) => {
                let variants = self.shared.of(Arc::new(variants));
                if let Some(job) = self.jobs.get_mut(&reader) {
                    job.variants = variants;
                }
                self.set_state(now, reader, State::Queued, String::new());
            }
            Err(reason) => self.set_state(now, reader, State::Failed, reason),
        }
    }

    /// What a reader needs of a source, by role.
    fn roles_read(&self, reader: JobId, source: JobId, made: &Job) -> BTreeMap<String, Option<Found>> {
        let inputs = self.jobs.get(&reader).into_iter().flat_map(|job| &*job.variants).flat_map(|v| &v.inputs);
        let roles = inputs.filter_map(|input| match &input.source {
            Source::Output { job, role } if *job == source => Some(role.clone()),
            Source::Output { .. } | Source::Artifact => None,
        });
        roles.map(|role| (role.clone(), self.found(made, &role))).collect()
    }

    /// The variants of a job that lacks nothing any more, with what they need.
    pub(super) fn completed(&self, id: JobId) -> Result<Vec<Variant>, String> {
        let complete = |variant: &Variant| {
            let mut variant = variant.clone();
            if variant.need.is_none() {
                self.kinds.complete(self, &mut variant).map_err(|why| format!("{}: {why}", variant.name))?;
            }
            Ok(variant)
        };
        self.jobs[&id].variants.iter().map(complete).collect()
    }
}
