//! A pipeline's file, parsed: YAML that reads like CI's.
//!
//! ```yaml
//! name: luau
//! jobs:
//!   train: {kind: train, recipes: [9b.yaml, 4b.yaml], data: luau}
//!   fuse: {kind: fuse, adapter: ${{ train }}, bits: 8}
//! ```
//!
//! Promise: what comes out can be sent as it is. Every job's kind and keys are known, every reference is to a job of the file whose
//! output is of a kind that the input takes, and each job stands after those that it reads. What is wrong is named by job and key, with
//! the line of the file.

mod fields;

use super::places::Places;
use fields::Fields;
use serde_json::Value;
use std::collections::BTreeMap;
use std::fmt;
use vertigo::bytes::Bytes;
use vertigo::spelling;
use vertigo::task::{Bits, TaskKind};
use vertigo::v1;

/// Jobs of a file.
const JOBS_MAX: usize = 100;

/// A pipeline.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Pipeline {
    pub(super) name: String,
    /// Each after those that it reads.
    pub(super) jobs: Vec<Job>,
}

/// A job of a pipeline.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Job {
    /// What the file calls it.
    pub(super) key: String,
    pub(super) name: Option<String>,
    pub(super) priority: i32,
    pub(super) kind: Kind,
    pub(super) inputs: BTreeMap<String, Source>,
}

/// What a job does.
#[derive(Debug, Clone, PartialEq)]
pub(super) enum Kind {
    /// Paths are relative to the pipeline's file.
    Train {
        recipes: Vec<String>,
    },
    Fuse {
        bits: Bits,
        is_measured: bool,
    },
    /// Names of the models, by which requests call them, in the order of their inputs.
    Serve {
        names: Vec<String>,
        cache: Option<Bytes>,
    },
    /// What is asked, but for what is read.
    Eval(Box<v1::Eval>),
    /// The path is relative to the pipeline's file.
    Curate {
        config: String,
    },
}

/// What a job reads.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Source {
    Artifact(String),
    /// Of the empty role, the first output.
    Output {
        job: String,
        role: String,
    },
}

/// What is wrong with a pipeline, and where.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub(super) enum PipelineError {
    #[error("{0}")]
    Yaml(String),
    #[error("{0}")]
    File(String),
    #[error("{}job `{job}`: {problem}", Line(line))]
    Job { line: Option<u64>, job: String, problem: String },
    #[error("{}job `{job}`, `{key}`: {problem}", Line(line))]
    Key { line: Option<u64>, job: String, key: String, problem: String },
}

/// Where a problem is, before what it is.
struct Line<'a>(&'a Option<u64>);

impl fmt::Display for Line<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.map_or(Ok(()), |line| write!(f, "line {line}, "))
    }
}

impl PipelineError {
    fn job(job: &str, problem: impl Into<String>) -> PipelineError {
        PipelineError::Job { line: None, job: job.to_owned(), problem: problem.into() }
    }

    fn key(job: &str, key: &str, problem: impl Into<String>) -> PipelineError {
        PipelineError::Key { line: None, job: job.to_owned(), key: key.to_owned(), problem: problem.into() }
    }

    /// The same, with the line of the file.
    fn located(mut self, text: &str) -> PipelineError {
        match &mut self {
            PipelineError::Yaml(_) | PipelineError::File(_) => {}
            PipelineError::Job { line, job, .. } => *line = Places::of(text).job(job),
            PipelineError::Key { line, job, key, .. } => *line = Places::of(text).key(job, key),
        }
        self
    }
}

/// Keys that every job has.
const SHARED_KEYS: [&str; 3] = ["kind", "name", "priority"];

/// Keys of a kind besides those of all and its inputs' roles.
fn own_keys(kind: TaskKind) -> &'static [&'static str] {
    match kind {
        TaskKind::Train => &["recipes"],
        TaskKind::Fuse => &["bits", "measure"],
        TaskKind::Serve => &["cache"],
        TaskKind::Eval => {
            &["samples", "seed", "temperature", "tokens_max", "thinking", "tasks", "key", "roblox", "roblox_key"]
        }
        TaskKind::Curate => &["config"],
    }
}

impl Pipeline {
    /// Reads a file.
    ///
    /// # Errors
    /// What is wrong, with its job and its key.
    pub(super) fn parse(text: &str) -> Result<Pipeline, PipelineError> {
        // A mark takes the place of what stood there, so lines stay what they are.
        let text = marked(text)?;
        Pipeline::parse_marked(&text).map_err(|error| error.located(&text))
    }

    fn parse_marked(text: &str) -> Result<Pipeline, PipelineError> {
        let value: Value =
            serde_saphyr::from_str(text).map_err(|error| PipelineError::Yaml(unmarked(&error.to_string())))?;
        let Value::Object(mut file) = value else {
            return Err(PipelineError::File("it is no mapping; write `name` and `jobs`".to_owned()));
        };
        let name = match file.remove("name") {
            Some(Value::String(name)) if !name.is_empty() => name,
            _ => {
                return Err(PipelineError::File("`name` is missing: what runs of this pipeline are called".to_owned()));
            }
        };
        let Some(Value::Object(jobs)) = file.remove("jobs") else {
            return Err(PipelineError::File("`jobs` is missing: a mapping from names to jobs".to_owned()));
        };
        if let Some(key) = file.keys().next() {
            return Err(PipelineError::File(unknown(key, &["name", "jobs"])));
        }
        if jobs.is_empty() || jobs.len() > JOBS_MAX {
            return Err(PipelineError::File(format!("it has {} jobs; write 1 to {JOBS_MAX}", jobs.len())));
        }
        let jobs = jobs.into_iter().map(|(key, job)| read_job(key, job)).collect::<Result<Vec<_>, _>>()?;
        check_references(&jobs)?;
        Ok(Pipeline { name, jobs: sorted(jobs)? })
    }
}

/// Stand around a reference, because YAML has no plain scalar with braces where a mapping is written on one line.
const OPEN: char = '\u{e000}';
const CLOSE: char = '\u{e001}';

/// The text with `${{ job.role }}` as a word that YAML reads as it is.
fn marked(text: &str) -> Result<String, PipelineError> {
    let (mut marked, mut rest) = (String::with_capacity(text.len()), text);
    while let Some(at) = rest.find("${{") {
        let line = text[..text.len() - rest.len() + at].lines().count().max(1);
        let unclosed = || PipelineError::Yaml(format!("line {line}: `${{{{` without `}}}}`"));
        let (before, after) = rest.split_at(at);
        let end = after.find("}}").filter(|end| !after[..*end].contains('\n')).ok_or_else(unclosed)?;
        marked.extend([before, &OPEN.to_string(), after["${{".len()..end].trim(), &CLOSE.to_string()]);
        rest = &after[end + "}}".len()..];
    }
    Ok(marked + rest)
}

/// What a person wrote.
fn unmarked(text: &str) -> String {
    text.replace(OPEN, "${{ ").replace(CLOSE, " }}")
}

/// What requests call what a job makes: as the reference names that.
fn unmarked_name(text: &str) -> String {
    text.replace([OPEN, CLOSE], "")
}

/// A key that there is none of, and the nearest that there is.
fn unknown(key: &str, known: &[&str]) -> String {
    match spelling::nearest(key, known.iter().copied()) {
        Some(name) => format!("unknown key `{key}` (did you mean `{name}`?)"),
        None => format!("unknown key `{key}`; there are {}", known.join(", ")),
    }
}

fn read_job(key: String, job: Value) -> Result<Job, PipelineError> {
    let of_job = |problem: String| PipelineError::job(&key, problem);
    if key.is_empty() || !key.chars().all(|c| c.is_ascii_alphanumeric() || c == '-' || c == '_') || key == "recipe" {
        return Err(of_job("a job is called by A-Z a-z 0-9 - and _, and not `recipe`".to_owned()));
    }
    let Value::Object(mut fields) = job else {
        return Err(of_job("it is no mapping; write `kind` and what it reads".to_owned()));
    };
    let kind: TaskKind = match fields.remove("kind") {
        Some(Value::String(kind)) => kind.parse().map_err(|error| of_job(format!("{error}")))?,
        _ => return Err(of_job(format!("`kind` is missing: {}", TaskKind::names().join(" or ")))),
    };
    let mut reader = Fields { job: &key, fields: &mut fields };
    let name = reader.string("name")?;
    let priority = reader.priority()?;
    let mut inputs = BTreeMap::new();
    for input in kind.inputs().iter().filter(|input| !input.is_numbered) {
        match reader.string(input.role)? {
            Some(text) => drop(inputs.insert(input.role.to_owned(), source(&text))),
            None if input.required => {
                return Err(of_job(format!("`{}` is missing: a {kind} job reads it", input.role)));
            }
            None => {}
        }
    }
    let what = match kind {
        TaskKind::Train => Kind::Train { recipes: reader.recipes()? },
        TaskKind::Fuse => Kind::Fuse { bits: reader.bits()?, is_measured: reader.measure()? },
        TaskKind::Serve => reader.serve(&mut inputs)?,
        TaskKind::Eval => reader.eval(&mut inputs)?,
        TaskKind::Curate => reader.curate(&mut inputs)?,
    };
    if let Some(odd) = fields.keys().next() {
        let roles = kind.inputs().iter().map(|input| input.role);
        let known: Vec<&str> = SHARED_KEYS.into_iter().chain(roles).chain(own_keys(kind).iter().copied()).collect();
        return Err(PipelineError::key(&key, odd, unknown(odd, &known)));
    }
    Ok(Job { key, name, priority, kind: what, inputs })
}

/// What a value of an input means.
fn source(text: &str) -> Source {
    match text.strip_prefix(OPEN).and_then(|text| text.strip_suffix(CLOSE)) {
        Some(reference) => {
            let (job, role) = reference.split_once('.').unwrap_or((reference, ""));
            Source::Output { job: job.to_owned(), role: role.to_owned() }
        }
        None => Source::Artifact(text.to_owned()),
    }
}

/// That every reference is to a job whose output the input takes.
fn check_references(jobs: &[Job]) -> Result<(), PipelineError> {
    for job in jobs {
        for (key, source) in &job.inputs {
            let wrong = |problem: String| Err(PipelineError::key(&job.key, key, problem));
            let Source::Output { job: of, role } = source else {
                if let Source::Artifact(text) = source
                    && text.contains([OPEN, CLOSE])
                {
                    return wrong(format!("`{}`: a reference stands alone, as ${{{{ job }}}}", unmarked(text)));
                }
                continue;
            };
            let Some(source) = jobs.iter().find(|job| job.key == *of) else {
                let keys: Vec<&str> = jobs.iter().map(|job| job.key.as_str()).collect();
                return wrong(format!("there is no job `{of}`; the pipeline has {}", keys.join(", ")));
            };
            let Some(made) = source.kind().output(role) else {
                let makes = match source.kind().output_names() {
                    none if none.is_empty() => "nothing".to_owned(),
                    names => names,
                };
                return wrong(format!("`{of}` makes no `{role}`; a {} job makes {makes}", source.kind()));
            };
            let takes = job.kind().input(key).map_or(&[][..], |input| input.takes);
            if !takes.contains(&made.kind) {
                let wanted: Vec<&str> = takes.iter().map(|kind| kind.as_str()).collect();
                return wrong(format!("`{of}` makes a {}, and this is a {}", made.kind, wanted.join(" or ")));
            }
        }
    }
    Ok(())
}

impl Job {
    fn kind(&self) -> TaskKind {
        match self.kind {
            Kind::Train { .. } => TaskKind::Train,
            Kind::Fuse { .. } => TaskKind::Fuse,
            Kind::Serve { .. } => TaskKind::Serve,
            Kind::Eval(_) => TaskKind::Eval,
            Kind::Curate { .. } => TaskKind::Curate,
        }
    }

    fn sources(&self) -> impl Iterator<Item = &str> {
        self.inputs.values().filter_map(|source| match source {
            Source::Output { job, .. } => Some(job.as_str()),
            Source::Artifact(_) => None,
        })
    }
}

/// Each job after those that it reads, else in the file's order.
fn sorted(mut left: Vec<Job>) -> Result<Vec<Job>, PipelineError> {
    let mut sorted: Vec<Job> = Vec::with_capacity(left.len());
    while !left.is_empty() {
        let is_ready = |job: &Job| job.sources().all(|source| sorted.iter().any(|done| done.key == source));
        let Some(next) = left.iter().position(is_ready) else {
            let keys: Vec<&str> = left.iter().map(|job| job.key.as_str()).collect();
            let problem = format!("these jobs wait for one another: {}", keys.join(", "));
            return Err(PipelineError::job(&left[0].key, problem));
        };
        let next = left.remove(next);
        sorted.push(next);
    }
    Ok(sorted)
}

#[cfg(test)]
mod tests;
