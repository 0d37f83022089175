//! What jobs make: read from outside, and compared with what the same work makes where nothing breaks.

use crate::load::Load;
use crate::works::WORKS;
use serde_json::Value;
use std::collections::BTreeMap;
use std::time::Duration;
use vertigo::endpoint::Endpoint;
use vertigo::manifest::Manifest;
use vertigo::v1::artifacts_client::ArtifactsClient;
use vertigo::v1::jobs_client::JobsClient;
use vertigo::v1::{self, GetArtifactRequest, GetJobRequest, JobState};
use vertigo_tests::channel;

/// How the names of those jobs begin that run before anything breaks.
pub(crate) const UNDISTURBED: &str = "undisturbed";

/// How long they may take.
const UNDISTURBED_MAX: Duration = Duration::from_secs(180);

/// An output: its files by path, and those of its facts that were computed.
#[derive(Debug, Clone, PartialEq, Default)]
pub(crate) struct Output {
    files: BTreeMap<String, String>,
    facts: BTreeMap<String, Value>,
}

/// A job's outputs by role.
pub(crate) type Made = BTreeMap<String, Output>;

/// What the jobs of each work make, by work, key, and the recipe that its training ran as.
pub(crate) type References = BTreeMap<(usize, &'static str, String), Made>;

/// Whether a fact follows from the work alone. Memory, and digests of manifests that speak of memory, do not.
fn is_computed(fact: &str) -> bool {
    ["loss_", "kl_", "validation_", "trained_tokens", "iter", "bits", "matrices_changed", "measured"]
        .iter()
        .any(|beginning| fact.starts_with(beginning))
}

/// The manifest of an artifact.
///
/// # Errors
/// That there is none, or it cannot be read.
pub(crate) async fn manifest(endpoint: &Endpoint, digest: &str) -> Result<Manifest, String> {
    let mut client = ArtifactsClient::new(channel(endpoint));
    let request = GetArtifactRequest { reference: digest.to_owned() };
    let artifact = client.get(request).await.map_err(|status| format!("artifact {digest}: {status}"))?.into_inner();
    Manifest::parse_kept(&artifact.manifest_json).map_err(|error| format!("artifact {digest}: {error}"))
}

/// What a job has made.
///
/// # Errors
/// As [`manifest`].
pub(crate) async fn made(endpoint: &Endpoint, job: &v1::Job) -> Result<Made, String> {
    let mut made = Made::new();
    for output in &job.outputs {
        let manifest = manifest(endpoint, &output.digest).await?;
        let files = manifest.files().iter().map(|file| (file.path.to_string(), file.digest.to_string())).collect();
        let facts = manifest.facts().filter(|(fact, _)| is_computed(fact));
        let facts = facts.map(|(fact, value)| (fact.to_owned(), value.clone())).collect();
        made.insert(output.role.clone(), Output { files, facts });
    }
    Ok(made)
}

/// The recipe that a job ran as last.
pub(crate) fn variant(job: &v1::Job) -> String {
    let last = job.attempts.last().map_or(0, |attempt| attempt.variant as usize);
    job.variants.get(last).map(|variant| variant.name.clone()).unwrap_or_default()
}

/// Where what a job makes differs from what it should be, in words.
pub(crate) fn difference(expected: &Made, found: &Made) -> Option<String> {
    let roles = |made: &Made| made.keys().cloned().collect::<Vec<_>>();
    if roles(expected) != roles(found) {
        return Some(format!("outputs {:?} instead of {:?}", roles(found), roles(expected)));
    }
    let (role, expected, found) =
        expected.iter().zip(found.values()).find(|((_, a), b)| a != b).map(|((role, a), b)| (role, a, b))?;
    let unlike = |a: &BTreeMap<String, String>, b: &BTreeMap<String, String>| {
        let all: std::collections::BTreeSet<_> = a.keys().chain(b.keys()).cloned().collect();
        all.into_iter().filter(|key| a.get(key) != b.get(key)).collect::<Vec<_>>()
    };
    let texts = |facts: &BTreeMap<String, Value>| -> BTreeMap<String, String> {
        facts.iter().map(|(key, value)| (key.clone(), value.to_string())).collect()
    };
    let files = unlike(&expected.files, &found.files);
    let facts = unlike(&texts(&expected.facts), &texts(&found.facts));
    Some(format!("{role}: files that differ: {files:?}, facts that differ: {facts:?}"))
}

/// Runs every work as each of its recipes while nothing breaks, and keeps what they make.
///
/// # Errors
/// What of it did not succeed.
pub(crate) async fn undisturbed(load: &Load) -> Result<References, String> {
    let mut begun = Vec::new();
    for (number, work) in WORKS.iter().enumerate() {
        for recipe in work.recipes {
            let run = format!("{UNDISTURBED}-{number}-{recipe}");
            let ids = load.run(&load.direct, work, &run, &[recipe]).await;
            let ids = ids.ok_or_else(|| format!("{run} was not queued: {:?}", load.ledger.open().problems))?;
            begun.extend(ids.into_iter().map(|(key, id)| (number, key, (*recipe).to_owned(), id)));
        }
    }
    let mut references = References::new();
    for (work, key, recipe, id) in begun {
        let job = tokio::time::timeout(UNDISTURBED_MAX, ended(&load.direct, &id)).await;
        let job = job.map_err(|_| format!("job {id} has not ended after {UNDISTURBED_MAX:?}"))?;
        if job.state() != JobState::Succeeded || job.attempts.len() != 1 {
            return Err(format!("undisturbed, {key} of {}: {:?}: {}", WORKS[work].name, job.state(), job.reason));
        }
        references.insert((work, key, recipe), made(&load.direct, &job).await?);
    }
    Ok(references)
}

/// The job once it has ended.
pub(crate) async fn ended(endpoint: &Endpoint, id: &str) -> v1::Job {
    loop {
        let mut client = JobsClient::new(channel(endpoint));
        if let Ok(job) = client.get(GetJobRequest { id: id.to_owned() }).await
            && crate::load::has_ended(job.get_ref().state())
        {
            return job.into_inner();
        }
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_other_file_or_fact_is_a_difference_and_is_named() {
        let output = |file: &str, loss: f64| Output {
            files: [("a.safetensors".to_owned(), file.to_owned())].into(),
            facts: [("loss_base".to_owned(), loss.into())].into(),
        };
        let made = |output| Made::from([("adapter".to_owned(), output)]);
        let expected = made(output("1", 0.5));
        assert_eq!(difference(&expected, &made(output("1", 0.5))), None);
        let told = difference(&expected, &made(output("2", 0.5))).unwrap();
        assert!(told.contains("a.safetensors") && !told.contains("loss_base"), "{told}");
        let told = difference(&expected, &made(output("1", 0.25))).unwrap();
        assert!(!told.contains("a.safetensors") && told.contains("loss_base"), "{told}");
        assert!(difference(&expected, &Made::new()).is_some());
    }
}
