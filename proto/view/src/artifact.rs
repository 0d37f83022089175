//! An artifact, with its facts and its manifest.

use crate::text;
use serde::Serialize;
use serde_json::Value;
use serde_json::value::RawValue;
use vertigo::v1;

/// An artifact.
#[derive(Debug, Serialize)]
#[expect(missing_docs, reason = "the fields are the protocol's, and told there")]
pub struct Artifact {
    pub digest: String,
    pub kind: String,
    pub tags: Vec<String>,
    pub bytes: u64,
    pub created_ms: u64,
    pub job_id: Option<String>,
    /// `null` where a job made it.
    pub by: Option<String>,
    pub files: u64,
    pub facts: Value,
    /// `null` in a list. As it was registered: it may be long, and is copied instead of taken apart.
    pub manifest: Option<Box<RawValue>>,
}

impl From<&v1::Artifact> for Artifact {
    fn from(artifact: &v1::Artifact) -> Artifact {
        // The coordinator has checked them; what is not JSON is shown as it is.
        let parsed = |json: &str| serde_json::from_str(json).unwrap_or_else(|_| text(json).into());
        let as_text = |json: &str| RawValue::from_string(Value::from(json).to_string()).ok();
        let raw = |json: &str| RawValue::from_string(json.to_owned()).ok().or_else(|| as_text(json));
        Artifact {
            digest: artifact.digest.clone(),
            kind: artifact.kind.clone(),
            tags: artifact.tags.clone(),
            bytes: artifact.bytes,
            created_ms: artifact.created_ms,
            job_id: text(&artifact.job_id),
            by: text(&artifact.by),
            files: artifact.files,
            facts: parsed(&artifact.facts_json),
            manifest: Some(&artifact.manifest_json).filter(|json| !json.is_empty()).and_then(|json| raw(json)),
        }
    }
}
