//! Jobs: what differs in their recipes beside what came out of them.

use crate::cli::CompareArgs;
use crate::coordinator::Coordinator;
use crate::error::{CliError, Exit, Result, Subject};
use crate::render::jobs;
use crate::render::json;
use crate::render::output::{Output, WIDTH, bold, duration, pairs, short_id};
use serde_json::{Map, Value, json};
use std::collections::{BTreeMap, BTreeSet};
use vertigo::bytes::Bytes;
use vertigo::v1::{self, task};
use vertigo_client::traced;

/// Jobs that are compared at a time.
const JOBS_MAX: usize = 256;

pub(super) async fn run(args: &CompareArgs, coordinator: &Coordinator, output: Output) -> Result<()> {
    let mut found = Vec::new();
    for id in &args.jobs {
        found.push(coordinator.job(id).await?);
    }
    if let Some(group) = &args.group {
        // The oldest first, as they were queued; a list has no recipes.
        for id in of_group(group, coordinator).await?.iter().rev() {
            found.push(coordinator.job(id).await?);
        }
    }
    if found.is_empty() {
        let message = "there is nothing to compare".to_owned();
        return Err(CliError::new(Exit::NotFound, message)
            .hint("`vertigo jobs` lists jobs and `--group NAME` those of a sweep"));
    }
    let mut columns = Vec::new();
    for job in &found {
        columns.push(Column { facts: facts(job, coordinator).await?, job });
    }
    output.show(|| columns.iter().map(Column::json).collect(), || render(&columns));
    Ok(())
}

/// The ids of a group's jobs, the newest first: all of them, however many pages they take.
async fn of_group(group: &str, coordinator: &Coordinator) -> Result<Vec<String>> {
    let (mut ids, mut page_token) = (Vec::new(), String::new());
    loop {
        let labels = [("group".to_owned(), group.to_owned())].into();
        let request = v1::ListJobsRequest { labels, page_token, ..v1::ListJobsRequest::default() };
        let answer = coordinator.answer(coordinator.jobs().list(traced(request)).await, Subject::Job)?;
        ids.extend(answer.jobs.into_iter().map(|job| job.id));
        if ids.len() > JOBS_MAX {
            let message = format!("group `{group}` has more than the {JOBS_MAX} jobs that are compared at a time");
            return Err(CliError::new(Exit::Refused, message).hint("name the jobs to compare: vertigo compare JOB…"));
        }
        page_token = answer.next_page_token;
        if page_token.is_empty() {
            return Ok(ids);
        }
    }
}

/// The facts of a job's first output.
async fn facts(job: &v1::Job, coordinator: &Coordinator) -> Result<Map<String, Value>> {
    let Some(output) = job.outputs.first() else { return Ok(Map::new()) };
    let request = traced(v1::GetArtifactRequest { reference: output.digest.clone() });
    let artifact = coordinator.answer(coordinator.artifacts().get(request).await, Subject::Artifact)?;
    Ok(serde_json::from_str(&artifact.facts_json).unwrap_or_default())
}

/// A job and what came out of it.
struct Column<'a> {
    job: &'a v1::Job,
    facts: Map<String, Value>,
}

impl Column<'_> {
    /// The keys of the recipe that it ran by, or would run by first: flat, with dots.
    fn settings(&self) -> BTreeMap<String, String> {
        let variant = self.job.attempts.last().map_or(0, |attempt| attempt.variant as usize);
        let task = self.job.variants.get(variant).and_then(|variant| variant.task.as_ref());
        let mut flat = BTreeMap::new();
        if let Some(task::Kind::Train(train)) = task.and_then(|task| task.kind.as_ref())
            && let Ok(file) = serde_saphyr::from_str(&train.yaml)
        {
            flatten("", &file, &mut flat);
        }
        flat
    }

    fn number(&self, fact: &str) -> Option<f64> {
        self.facts.get(fact).and_then(Value::as_f64)
    }

    /// What came out, by name.
    fn results(&self) -> [(&'static str, String); 6] {
        let loss = |fact| self.number(fact).map(|loss| format!("{loss:.3}")).unwrap_or_default();
        let attempt = self.job.attempts.last();
        let peak = attempt.map_or(0, |attempt| attempt.peak_bytes);
        [
            ("state", json::state(self.job.state()).to_owned()),
            ("loss before", loss("validation_before")),
            ("loss after", loss("validation_after")),
            ("loss fused", loss("loss_fused")),
            ("time", self.took_ms().map(duration).unwrap_or_default()),
            ("peak", if peak == 0 { String::new() } else { Bytes(peak).to_string() }),
        ]
    }

    fn took_ms(&self) -> Option<u64> {
        let attempt = self.job.attempts.last().filter(|attempt| attempt.ended_ms > 0)?;
        Some(attempt.ended_ms.saturating_sub(attempt.started_ms))
    }

    fn json(&self) -> Value {
        json!({
            "id": self.job.id,
            "name": Some(&self.job.name).filter(|name| !name.is_empty()),
            "state": json::state(self.job.state()),
            "settings": self.settings(),
            "facts": self.facts,
            "took_ms": self.took_ms(),
            "peak_bytes": self.job.attempts.last().map(|attempt| attempt.peak_bytes),
        })
    }
}

fn flatten(prefix: &str, value: &Value, flat: &mut BTreeMap<String, String>) {
    match value {
        Value::Object(map) => {
            for (key, value) in map {
                let path = if prefix.is_empty() { key.clone() } else { format!("{prefix}.{key}") };
                flatten(&path, value, flat);
            }
        }
        Value::String(text) => drop(flat.insert(prefix.to_owned(), text.clone())),
        other => drop(flat.insert(prefix.to_owned(), other.to_string())),
    }
}

/// Keys whose values are not the same in all recipes.
fn differing(columns: &[Column<'_>]) -> Vec<String> {
    let settings: Vec<_> = columns.iter().map(Column::settings).collect();
    let keys: BTreeSet<&String> = settings.iter().flat_map(BTreeMap::keys).collect();
    let differs = |key: &&&String| settings.iter().any(|of| of.get(**key) != settings[0].get(**key));
    keys.iter().filter(differs).map(|key| (*key).clone()).collect()
}

/// A job a line: what differs, then what came out.
fn render(columns: &[Column<'_>]) -> String {
    let keys = differing(columns);
    let results: Vec<&str> = columns[0]
        .results()
        .iter()
        .map(|(name, _)| *name)
        .filter(|name| {
            columns.iter().any(|column| column.results().iter().any(|(n, value)| n == name && !value.is_empty()))
        })
        .collect();
    let rows: Vec<Vec<String>> = columns
        .iter()
        .map(|column| {
            let settings = column.settings();
            let differing = keys.iter().map(|key| settings.get(key).cloned().unwrap_or_else(|| "–".to_owned()));
            let came_out =
                column.results().into_iter().filter(|(name, _)| results.contains(name)).map(|(_, value)| value);
            [short_id(&column.job.id).to_owned()].into_iter().chain(differing).chain(came_out).collect()
        })
        .collect();
    let header: Vec<String> =
        ["job"].into_iter().chain(keys.iter().map(|key| short(key, &keys))).chain(results).map(str::to_owned).collect();
    // The table's columns are narrow; what they are of, the line above says.
    let narrow: Vec<String> = header.iter().map(|name| name.trim_start_matches("loss ").to_uppercase()).collect();
    let width: usize = (0..header.len())
        .map(|n| {
            rows.iter().map(|row| row[n].chars().count()).chain([narrow[n].chars().count()]).max().unwrap_or(0) + 2
        })
        .sum();
    if width <= usize::from(WIDTH) {
        format!("loss on held-out data before and after, then time and peak memory\n{}", lines(&narrow, &rows))
    } else {
        blocks(columns, &header, &rows)
    }
}

/// The last part of a key, where no other key ends so.
fn short<'a>(key: &'a str, keys: &[String]) -> &'a str {
    let last = |key: &'a str| key.rsplit('.').next().unwrap_or(key);
    let alike = keys.iter().filter(|other| other.rsplit('.').next() == Some(last(key)));
    if alike.count() > 1 { key } else { last(key) }
}

/// A table, as wide as it is.
fn lines(header: &[String], rows: &[Vec<String>]) -> String {
    let widths: Vec<usize> = (0..header.len())
        .map(|n| rows.iter().map(|row| row[n].chars().count()).chain([header[n].chars().count()]).max().unwrap_or(0))
        .collect();
    let line = |cells: &[String]| {
        let cells =
            cells.iter().zip(&widths).map(|(cell, width)| format!("{:width$}", crate::render::safe::line(cell)));
        cells.collect::<Vec<_>>().join("  ").trim_end().to_owned() + "\n"
    };
    [header].into_iter().chain(rows.iter().map(Vec::as_slice)).map(line).collect()
}

/// What has no room in a table: a block a job.
fn blocks(columns: &[Column<'_>], header: &[String], rows: &[Vec<String>]) -> String {
    let block = |(column, row): (&Column<'_>, &Vec<String>)| {
        let rows = header.iter().map(String::as_str).zip(row.iter().cloned()).skip(1);
        format!("{}\n{}", bold(&jobs::title(column.job)), pairs(rows))
    };
    columns.iter().zip(rows).map(block).collect::<Vec<_>>().join("\n")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::render::output::plain;

    fn trained(yaml: &str) -> v1::Job {
        let mut job = jobs::tests::job();
        let train = v1::Train { recipe: "4b".to_owned(), yaml: yaml.to_owned() };
        job.variants[1].task = Some(v1::Task { kind: Some(task::Kind::Train(train)) });
        job
    }

    fn facts(after: f64) -> Map<String, Value> {
        let facts = json!({"validation_before": 8.1, "validation_after": after, "recipe": "4b"});
        facts.as_object().unwrap().clone()
    }

    #[test]
    fn what_differs_stands_beside_what_came_out() {
        let jobs = [
            trained("model: m\nlearning_rate: 1e-6\nlora_parameters: {rank: 8, scale: 2.0, dropout: 0.0}\n"),
            trained("model: m\nlearning_rate: 1e-6\nlora_parameters: {rank: 16, scale: 2.0, dropout: 0.0}\nseed: 3\n"),
        ];
        let columns = [Column { job: &jobs[0], facts: facts(6.25) }, Column { job: &jobs[1], facts: facts(5.5) }];
        let text = plain(&render(&columns));
        assert!(text.lines().all(|line| line.chars().count() <= 80), "{text}");
        insta::assert_snapshot!(text, @r"
        loss on held-out data before and after, then time and peak memory
        JOB            RANK  SEED  STATE      BEFORE  AFTER  TIME    PEAK
        0190163d-8694  8     –     succeeded  8.100   6.250  1m 20s  310 MiB
        0190163d-8694  16    3     succeeded  8.100   5.500  1m 20s  310 MiB
        ");
        let long =
            format!("model: m\nlearning_rate: 1e-6\nlora_parameters: {{keys: [{}]}}\n", "self_attn.q_proj, ".repeat(5));
        let wide = trained(&long);
        let wide = [Column { job: &wide, facts: facts(6.25) }, Column { job: &jobs[1], facts: facts(5.5) }];
        let text = plain(&render(&wide));
        assert!(
            text.starts_with("luau-tutor 0190163d-8694\n") && text.contains("  keys ") && text.contains("  loss after"),
            "{text}"
        );
        assert_eq!(columns[1].json()["settings"]["seed"], "3");
    }
}
