//! An assignment, parsed.

use vertigo::bytes::Bytes;
use vertigo::id::{Digest, JobId};
use vertigo::v1::Assignment;

/// What this worker was asked to do.
#[derive(Debug, Clone, PartialEq)]
pub struct Job {
    /// The job.
    pub id: JobId,
    /// What it may use.
    pub reserved: Bytes,
    /// The recipe's name.
    pub recipe: String,
    /// The recipe's text.
    pub yaml: String,
    /// The base.
    pub base: Digest,
    /// The dataset.
    pub data: Digest,
    /// The checkpoint to go on from.
    pub checkpoint: Option<Digest>,
    /// The trace that it is part of; empty for none.
    pub traceparent: String,
}

impl Job {
    /// Reads an assignment. The recipe's text is the child's to read.
    ///
    /// # Errors
    /// Says which field is wrong.
    pub fn parse(assignment: &Assignment) -> Result<Job, String> {
        let digest = |field: &str, text: &str| text.parse::<Digest>().map_err(|e| format!("assignment.{field}: {e}"));
        let recipe = assignment.recipe.as_ref().ok_or("assignment.recipe is missing")?;
        let checkpoint = Some(&assignment.checkpoint_digest).filter(|text| !text.is_empty());
        Ok(Job {
            id: assignment.job_id.parse().map_err(|e| format!("assignment.job_id: {e}"))?,
            reserved: Bytes(assignment.reserved_bytes),
            recipe: recipe.name.clone(),
            yaml: recipe.yaml.clone(),
            base: digest("base_digest", &assignment.base_digest)?,
            data: digest("data_digest", &assignment.data_digest)?,
            checkpoint: checkpoint.map(|text| digest("checkpoint_digest", text)).transpose()?,
            traceparent: assignment.traceparent.clone(),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use vertigo::v1::RecipeText;

    fn assignment() -> Assignment {
        Assignment {
            job_id: JobId::new().to_string(),
            recipe: Some(RecipeText { name: "4b".to_owned(), yaml: "model: x".to_owned() }),
            base_digest: Digest::of(b"base").to_string(),
            data_digest: Digest::of(b"data").to_string(),
            ..Assignment::default()
        }
    }

    #[test]
    fn reads_an_assignment_and_names_what_is_wrong() {
        let job = Job::parse(&assignment()).unwrap();
        assert_eq!((job.base, job.checkpoint), (Digest::of(b"base"), None));
        let resumed = Assignment { checkpoint_digest: Digest::of(b"c").to_string(), ..assignment() };
        assert_eq!(Job::parse(&resumed).unwrap().checkpoint, Some(Digest::of(b"c")));
        let wrong = Assignment { data_digest: "sha256:1".to_owned(), ..assignment() };
        assert!(Job::parse(&wrong).unwrap_err().starts_with("assignment.data_digest: `sha256:1`"));
        assert!(Job::parse(&Assignment { recipe: None, ..assignment() }).unwrap_err().contains("recipe"));
    }
}
