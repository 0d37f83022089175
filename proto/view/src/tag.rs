//! A move of a tag.

use crate::{known, tag_mover, text};
use serde::Serialize;
use serde_json::Value;
use serde_json::value::RawValue;
use vertigo::v1;

/// A move of a tag.
#[derive(Debug, Serialize)]
#[expect(missing_docs, reason = "the fields are the protocol's, and told there")]
pub struct TagMove {
    pub tag: String,
    pub number: u64,
    pub id: Option<String>,
    pub at_ms: Option<u64>,
    pub from: Option<String>,
    pub to: String,
    pub by: &'static str,
    pub by_name: Option<String>,
    pub job_id: Option<String>,
    pub reason: Option<String>,
    pub forced: bool,
    pub evidence: Vec<String>,
    /// As it was kept: it may be long, and is copied instead of taken apart.
    pub decision: Option<Box<RawValue>>,
}

impl From<&v1::TagMove> for TagMove {
    fn from(moved: &v1::TagMove) -> TagMove {
        // The coordinator has checked it; what is not JSON is shown as it is.
        let as_text = |json: &str| RawValue::from_string(Value::from(json).to_string()).ok();
        let raw = |json: String| RawValue::from_string(json.clone()).ok().or_else(|| as_text(&json));
        TagMove {
            tag: moved.tag.clone(),
            number: moved.number,
            id: text(&moved.id),
            at_ms: known(moved.at_ms),
            from: text(&moved.from),
            to: moved.to.clone(),
            by: tag_mover(moved.by()),
            by_name: text(&moved.by_name),
            job_id: text(&moved.job_id),
            reason: text(&moved.reason),
            forced: moved.forced,
            evidence: moved.evidence.clone(),
            decision: text(&moved.decision_json).and_then(raw),
        }
    }
}
