//! An assignment, parsed.

use crate::task::{Task, TaskError};
use std::collections::BTreeMap;
use vertigo::bytes::Bytes;
use vertigo::id::{Digest, JobId};
use vertigo::task::Slot;
use vertigo::v1::Assignment;

/// What this worker was asked to do.
#[derive(Debug, Clone, PartialEq)]
pub struct Job {
    /// The job.
    pub id: JobId,
    /// What it may use.
    pub reserved: Bytes,
    /// The slot that it takes.
    pub slot: Slot,
    /// What this way to do it is called.
    pub variant: String,
    /// What is done.
    pub task: Task,
    /// What it reads, by role.
    pub inputs: BTreeMap<String, Digest>,
    /// The checkpoint to go on from.
    pub checkpoint: Option<Digest>,
    /// The trace that it is part of; empty for none.
    pub traceparent: String,
}

/// Why an assignment is not taken.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum JobError {
    /// A field that cannot be read.
    #[error("assignment.{0}")]
    Field(String),
    /// The task.
    #[error(transparent)]
    Task(#[from] TaskError),
}

impl Job {
    /// Reads an assignment.
    ///
    /// # Errors
    /// Says which field is wrong.
    pub fn parse(assignment: &Assignment) -> Result<Job, JobError> {
        let digest =
            |field: &str, text: &str| text.parse::<Digest>().map_err(|e| JobError::Field(format!("{field}: {e}")));
        let task = Task::parse(assignment.task.as_ref())?;
        let mut inputs = BTreeMap::new();
        for given in &assignment.inputs {
            if task.kind().input(&given.role).is_none() {
                let problem = format!("inputs: {} reads no `{}`", task.kind(), given.role);
                return Err(JobError::Field(problem));
            }
            inputs.insert(given.role.clone(), digest(&format!("inputs.{}", given.role), &given.digest)?);
        }
        let checkpoint = Some(&assignment.checkpoint_digest).filter(|text| !text.is_empty());
        Ok(Job {
            id: assignment.job_id.parse().map_err(|e| JobError::Field(format!("job_id: {e}")))?,
            reserved: Bytes(assignment.reserved_bytes),
            slot: assignment.slot().into(),
            variant: assignment.variant.clone(),
            task,
            inputs,
            checkpoint: checkpoint.map(|text| digest("checkpoint_digest", text)).transpose()?,
            traceparent: assignment.traceparent.clone(),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use vertigo::v1::{self, Given, task};

    fn given(role: &str, content: &[u8]) -> Given {
        Given { role: role.to_owned(), digest: Digest::of(content).to_string() }
    }

    fn assignment() -> Assignment {
        let train = v1::Train { recipe: "4b".to_owned(), yaml: "model: x".to_owned() };
        Assignment {
            job_id: JobId::new().to_string(),
            task: Some(v1::Task { kind: Some(task::Kind::Train(train)) }),
            inputs: vec![given("base", b"base"), given("data", b"data")],
            ..Assignment::default()
        }
    }

    #[test]
    fn reads_an_assignment_and_names_what_is_wrong() {
        let job = Job::parse(&assignment()).unwrap();
        assert_eq!((job.inputs["base"], job.checkpoint, job.slot), (Digest::of(b"base"), None, Slot::Gpu));
        let resumed = Assignment { checkpoint_digest: Digest::of(b"c").to_string(), ..assignment() };
        assert_eq!(Job::parse(&resumed).unwrap().checkpoint, Some(Digest::of(b"c")));
        let mut wrong = assignment();
        wrong.inputs[1].digest = "sha256:1".to_owned();
        assert!(Job::parse(&wrong).unwrap_err().to_string().starts_with("assignment.inputs.data: `sha256:1`"));
        let mut odd = assignment();
        odd.inputs.push(given("suite", b"suite"));
        assert!(Job::parse(&odd).unwrap_err().to_string().contains("train reads no `suite`"));
        let unknown = Assignment { task: None, ..assignment() };
        assert_eq!(Job::parse(&unknown), Err(JobError::Task(TaskError::Unknown)));
    }
}
