//! What a promotion is judged by: the gate, the newest reports of two models, and the decision.

use crate::bounded;
use crate::coordinator::Coordinator;
use crate::error::{CliError, Exit, Result, Subject};
use futures::{StreamExt, TryStreamExt};
use serde_json::Value;
use std::path::Path;
use std::str::FromStr;
use vertigo::id::Digest;
use vertigo::manifest::{Kind, Manifest};
use vertigo::v1;
use vertigo_client::traced;
use vertigo_evaluation::compare::Side;
use vertigo_evaluation::gate::{Decision, Facts, Gate, Role, VERTIGO_V2, judge};
use vertigo_evaluation::report::{self, Report, facts_alongside};
use vertigo_evaluation::statistics::Resampling;

/// Bytes of a gate's file.
const GATE_BYTES_MAX: u64 = 64 * 1024;

/// Reports that are looked at, the newest first. A model whose reports are older is named with --report.
const REPORTS_MAX: usize = 1_000;

/// Reports of a page, and manifests that are asked for at once.
const PAGE_ITEMS: u32 = 200;
const AT_ONCE: usize = 8;

/// Reads a gate: a file, or the pipeline's by its name, which is about the suite `vertigo-benchmark`.
pub(crate) fn gate(name: &str) -> Result<Gate> {
    let path = Path::new(name);
    if name == VERTIGO_V2 && !path.exists() {
        let preset = format!("suites: {{vertigo-benchmark: {{preset: {VERTIGO_V2}}}}}");
        return Gate::parse(&preset).map_err(CliError::refused);
    }
    let text = bounded::read(path, GATE_BYTES_MAX).map_err(|error| {
        CliError::new(Exit::Usage, format!("cannot read the gate {name}: {error}"))
            .hint(format!("name a gate's YAML file, or {VERTIGO_V2}"))
    })?;
    Gate::parse(&text).map_err(|error| CliError::refused(format!("{name}: {error}")))
}

/// A model that is judged.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Judged {
    pub(crate) artifact: Digest,
    /// What an adapter was trained over, as far as it says.
    base: Option<Digest>,
}

impl Judged {
    pub(crate) fn of(manifest: &Manifest) -> Judged {
        let base = (manifest.kind() == Kind::Adapter).then(|| manifest.fact("base")).flatten();
        let base = base.and_then(Value::as_str).and_then(|text| Digest::from_str(text).ok());
        Judged { artifact: manifest.digest(), base }
    }

    /// Whether a report's model is this one. An adapter over another base than its own is another model.
    pub(crate) fn is(&self, model: &report::Model) -> bool {
        let own_base = match model {
            report::Model::Adapted { base, .. } => self.base.is_none_or(|own| own == *base),
            _ => true,
        };
        own_base && model.artifact() == Some(self.artifact)
    }
}

/// A suite that a gate asks about.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Asked {
    /// As the gate calls it: by a tag, or else by the name that it has itself.
    key: String,
    /// The name that it has itself, and that its reports have.
    name: String,
}

impl Asked {
    /// The suite that an artifact is, if a gate's key is a tag of it.
    fn tagged(key: &str, artifact: &v1::Artifact) -> Option<Asked> {
        let is_it = artifact.kind == Kind::Suite.as_str() && artifact.tags.iter().any(|tag| tag == key);
        let facts: Value = serde_json::from_str(&artifact.facts_json).unwrap_or_default();
        let name = facts["name"].as_str().filter(|_| is_it)?.to_owned();
        Some(Asked { key: key.to_owned(), name })
    }

    /// The suite that has a gate's key for its own name.
    fn named(key: &str) -> Asked {
        Asked { key: key.to_owned(), name: key.to_owned() }
    }
}

/// The suites of a gate.
pub(crate) async fn asked(gate: &Gate, coordinator: &Coordinator) -> Result<Vec<Asked>> {
    let mut all = Vec::new();
    for key in gate.suites.keys() {
        let request = traced(v1::GetArtifactRequest { reference: key.clone() });
        let found = match coordinator.answer(coordinator.artifacts().get(request).await, Subject::Artifact) {
            Ok(artifact) => Asked::tagged(key, &artifact),
            Err(error) if error.exit == Exit::Unreachable => return Err(error),
            // No tag has this name, or none could.
            Err(_) => None,
        };
        all.push(found.unwrap_or_else(|| Asked::named(key)));
    }
    Ok(all)
}

/// A report as its manifest tells of it.
#[derive(Debug, Clone)]
pub(crate) struct Known {
    pub(crate) digest: Digest,
    suite: String,
    suite_digest: String,
    model: report::Model,
    /// Whether all tasks were asked. Few that were chosen say nothing of a suite.
    is_whole: bool,
}

impl Known {
    fn of(manifest: &Manifest) -> Option<Known> {
        let text = |key: &str| manifest.fact(key).and_then(Value::as_str).map(str::to_owned);
        let model = serde_json::from_value(manifest.fact("model")?.clone()).ok()?;
        let is_whole = manifest.fact("only").is_none();
        let (suite, suite_digest) = (text("suite")?, text("suite_digest")?);
        Some(Known { digest: manifest.digest(), suite, suite_digest, model, is_whole })
    }
}

/// The reports that a model and the tag's present one are judged by.
#[derive(Debug, Default)]
pub(crate) struct Chosen {
    pub(crate) candidate: Vec<Digest>,
    pub(crate) present: Vec<Digest>,
}

/// Of each suite the newest report of the candidate over all of its tasks, and of the present model the newest of the same suite's content,
/// or else the newest of its name, of which the gate then says what is not alike. `known` has the newest first.
pub(crate) fn choose(known: &[Known], asked: &[Asked], candidate: &Judged, present: Option<&Judged>) -> Chosen {
    let mut chosen = Chosen::default();
    for suite in asked {
        let is_of = |it: &&Known| it.is_whole && it.suite == suite.name;
        let of = |who: &Judged| known.iter().filter(is_of).filter(|it| who.is(&it.model)).collect::<Vec<_>>();
        let ours = of(candidate).first().copied();
        chosen.candidate.extend(ours.map(|it| it.digest));
        let theirs = present.map(of).unwrap_or_default();
        let alike = theirs.iter().find(|it| ours.is_some_and(|ours| ours.suite_digest == it.suite_digest));
        chosen.present.extend(alike.or(theirs.first()).map(|it| it.digest));
    }
    chosen
}

/// The reports that the coordinator has of a gate's suites, the newest first.
pub(crate) async fn known(asked: &[Asked], coordinator: &Coordinator) -> Result<Vec<Known>> {
    let (mut digests, mut page_token) = (Vec::new(), String::new());
    loop {
        let request = v1::ListArtifactsRequest { kind: Kind::Report.to_string(), page_size: PAGE_ITEMS, page_token };
        let page = coordinator.answer(coordinator.artifacts().list(traced(request)).await, Subject::Artifact)?;
        let of_these = page.artifacts.into_iter().filter(|artifact| is_asked(asked, &artifact.facts_json));
        digests.extend(of_these.map(|artifact| artifact.digest));
        page_token = page.next_page_token;
        if page_token.is_empty() || digests.len() >= REPORTS_MAX {
            break;
        }
    }
    digests.truncate(REPORTS_MAX);
    let manifest = |digest: String| async move {
        let found = coordinator.transfer().manifest(&digest).await;
        found.map(|(_, manifest)| Known::of(&manifest)).map_err(|e| coordinator.transfer_error(&e))
    };
    let all: Vec<Option<Known>> = futures::stream::iter(digests).map(manifest).buffered(AT_ONCE).try_collect().await?;
    Ok(all.into_iter().flatten().collect())
}

/// Whether a report is of one of a gate's suites, as far as a list tells.
fn is_asked(asked: &[Asked], facts_json: &str) -> bool {
    let facts: Value = serde_json::from_str(facts_json).unwrap_or_default();
    facts["suite"].as_str().is_some_and(|name| asked.iter().any(|it| it.name == name))
}

/// Judges a model by its reports, beside those of the model that the tag is on, if it is on any. Either is called by its name.
pub(crate) fn decide(
    (gate, asked): (&Gate, &[Asked]),
    (candidate, ours): (&str, &[Report]),
    present: Option<(&str, &[Report])>,
    how: Resampling,
) -> Result<Decision> {
    let facts = |name: &str, reports: &[Report], role: Role| -> Result<Vec<Facts>> {
        let of = |report: &Report| -> Result<Vec<Facts>> {
            let told = |e| CliError::refused(format!("the report of `{name}` in suite {}: {e}", report.facts.suite));
            let facts = report.gate_facts(name, role).map_err(told)?;
            // The gate finds a suite by what it calls it itself.
            let keys = asked.iter().filter(|it| it.name == report.facts.suite).map(|it| it.key.clone());
            Ok(keys.map(|suite| Facts { side: Side { suite, ..facts.side.clone() }, ..facts.clone() }).collect())
        };
        Ok(reports.iter().map(of).collect::<Result<Vec<_>>>()?.into_iter().flatten().collect())
    };
    let mut ours = facts(candidate, ours, Role::Candidate)?;
    let mut theirs = present.map(|(name, reports)| facts(name, reports, Role::Present)).transpose()?;
    for one in &mut ours {
        // The gate takes the first of a suite. Both are judged in the tasks that both could be judged in.
        if let Some(other) = theirs.iter_mut().flatten().find(|other| other.side.suite == one.side.suite) {
            facts_alongside(one, other);
        }
    }
    Ok(judge(gate, &ours, theirs.as_deref(), how))
}

/// What a tag is on now; `None` where there is no such tag.
pub(crate) async fn on_now(tag: &str, coordinator: &Coordinator) -> Result<Option<Manifest>> {
    let request = traced(v1::GetArtifactRequest { reference: tag.to_owned() });
    match coordinator.answer(coordinator.artifacts().get(request).await, Subject::Artifact) {
        // A name may be that of a job, too, or begin a digest.
        Ok(artifact) if artifact.tags.iter().any(|other| other == tag) => {
            Manifest::parse(&artifact.manifest_json).map(Some).map_err(CliError::refused)
        }
        Ok(_) => Ok(None),
        Err(error) if error.exit == Exit::NotFound => Ok(None),
        Err(error) => Err(error),
    }
}

#[cfg(test)]
mod tests;
