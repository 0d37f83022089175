//! What Open Cloud says of a script that it was sent: its record, read as a verdict.
//!
//! Source of the form: Roblox's own description of the service (`open-eval-api/v1.json` of its creator-docs) and the client that
//! OpenGameEval comes with. They differ in places, and both are read: the record may lie in a field `record`, and `evalSucceeded` may be a
//! boolean or its text.
//!
//! How a record is read: a job that Roblox calls failed has no verdict, because its checks never ended. One that completed passes where
//! Roblox says that it succeeded. Where it did not, a check that fails or an error is the program's; a record that has neither, or that
//! contradicts itself, says nothing of the program.

use serde::Deserialize;
use serde_json::Value;
use vertigo::bounds::shorten;
use vertigo_evaluation::roblox::{Interruption, Outcome, Run, TEXT_BYTES_MAX, Verdict};

/// Modes of a record that are kept.
const RUNS_MAX: usize = 16;

/// Interruptions of a mode that are kept.
const INTERRUPTIONS_MAX: usize = 32;

/// A name of a mode or an interruption is kept up to this, in bytes.
const NAME_BYTES_MAX: usize = 100;

/// Where a script is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Standing {
    /// Queued or being run.
    UnderWay,
    /// Judged.
    Ended(Verdict),
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Record {
    job_status: String,
    #[serde(default)]
    eval_succeeded: Value,
    #[serde(default)]
    results: Option<Vec<Mode>>,
}

#[derive(Deserialize)]
struct Mode {
    #[serde(default)]
    mode: Option<String>,
    #[serde(default)]
    result: Option<Counts>,
}

#[derive(Deserialize)]
struct Counts {
    #[serde(default)]
    passes: i64,
    #[serde(default)]
    fails: i64,
    #[serde(default)]
    checks: i64,
    #[serde(default)]
    warning: Value,
    #[serde(default)]
    error: Value,
    #[serde(default)]
    interruptions: Option<Vec<Broken>>,
}

#[derive(Deserialize)]
struct Broken {
    #[serde(default)]
    check: i64,
    #[serde(default, rename = "type")]
    kind: Option<String>,
}

/// Reads a record.
///
/// # Errors
/// Says what of it is none.
pub fn read(text: &str) -> Result<Standing, String> {
    let mut value: Value = serde_json::from_str(text).map_err(|error| format!("its record is no JSON: {error}"))?;
    if let Some(inner) = value.get_mut("record") {
        value = inner.take();
    }
    let record: Record = serde_json::from_value(value).map_err(|error| format!("its record is none: {error}"))?;
    match record.job_status.as_str() {
        "QUEUED" | "PENDING" => return Ok(Standing::UnderWay),
        "COMPLETED" | "FAILED" => {}
        other => return Err(format!("its record has a status that is none: {:?}", name(other))),
    }
    let runs: Vec<Run> = record.results.unwrap_or_default().into_iter().take(RUNS_MAX).map(run).collect();
    let nothing = |why: &str, runs| Verdict::of(Outcome::NoVerdict, why, runs);
    if record.job_status == "FAILED" {
        return Ok(Standing::Ended(nothing("Roblox says that the job failed", runs)));
    }
    let fails: u64 = runs.iter().map(|run| u64::from(run.fails)).sum();
    let has_succeeded = match &record.eval_succeeded {
        Value::Bool(has) => Some(*has),
        Value::String(text) if text.eq_ignore_ascii_case("true") => Some(true),
        Value::String(text) if text.eq_ignore_ascii_case("false") => Some(false),
        _ => None,
    };
    Ok(Standing::Ended(match has_succeeded {
        None => nothing("the record does not say whether the eval succeeded", runs),
        Some(true) if fails > 0 => nothing("the record contradicts itself: it succeeded, and checks failed", runs),
        Some(true) => Verdict::passed(runs),
        Some(false) => match failure(&runs, fails) {
            Some(why) => Verdict::of(Outcome::Failed, why, runs),
            None => nothing("the eval did not succeed, and the record names neither a check nor an error", runs),
        },
    }))
}

/// Why a program failed, as far as its runs say.
fn failure(runs: &[Run], fails: u64) -> Option<String> {
    let error = runs.iter().map(|run| run.error.as_str()).find(|error| !error.is_empty());
    match (fails, error) {
        (0, error) => error.map(str::to_owned),
        (fails, Some(error)) => Some(format!("{fails} of its checks failed: {error}")),
        (fails, None) => Some(format!("{fails} of its checks failed")),
    }
}

fn run(mode: Mode) -> Run {
    let count = |count: i64| u32::try_from(count.max(0)).unwrap_or(u32::MAX);
    let Some(counts) = mode.result else {
        return Run { mode: name(&mode.mode.unwrap_or_default()), ..Run::default() };
    };
    let interruption = |it: Broken| Interruption { check: count(it.check), kind: name(&it.kind.unwrap_or_default()) };
    Run {
        mode: name(&mode.mode.unwrap_or_default()),
        passes: count(counts.passes),
        fails: count(counts.fails),
        checks: count(counts.checks),
        warning: said(&counts.warning),
        error: said(&counts.error),
        interruptions: counts
            .interruptions
            .unwrap_or_default()
            .into_iter()
            .take(INTERRUPTIONS_MAX)
            .map(interruption)
            .collect(),
    }
}

fn name(text: &str) -> String {
    shorten(text, NAME_BYTES_MAX).into_owned()
}

/// A text, or a number that says how many there were, which its readme calls it.
fn said(value: &Value) -> String {
    match value {
        Value::String(text) => shorten(text, TEXT_BYTES_MAX).into_owned(),
        Value::Number(count) if count.as_f64() != Some(0.0) => format!("{count} of them"),
        _ => String::new(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use serde_json::json;

    fn ended(value: &Value) -> Verdict {
        match read(&value.to_string()).unwrap() {
            Standing::Ended(verdict) => verdict,
            Standing::UnderWay => panic!("{value} is under way"),
        }
    }

    fn record(succeeded: Value, fails: u32, error: &str) -> Value {
        json!({"record": {"jobStatus": "COMPLETED", "evalSucceeded": succeeded, "inputScript": "…", "results": [
            {"mode": "[EDIT]", "result": {"passes": 1, "fails": fails, "checks": 1 + fails, "warning": "", "error": error,
                "interruptions": []}}]}})
    }

    #[test]
    fn a_record_is_read_whole_or_in_its_field() {
        let wrapped = record(json!(true), 0, "");
        assert_eq!(ended(&wrapped), ended(&wrapped["record"]));
        let run = Run { mode: "[EDIT]".to_owned(), passes: 1, checks: 1, ..Run::default() };
        assert_eq!(ended(&wrapped), Verdict::passed(vec![run]));
        for status in ["QUEUED", "PENDING"] {
            assert_eq!(read(&json!({"jobStatus": status, "results": null}).to_string()), Ok(Standing::UnderWay));
        }
        assert_eq!(ended(&record(json!("True"), 0, "")).outcome, Outcome::Passed);
        assert_eq!(ended(&record(json!("false"), 2, "")).outcome, Outcome::Failed);
    }

    #[test]
    fn what_is_no_verdict_on_the_program_is_none() {
        let of = |value: &Value| ended(value).outcome;
        assert_eq!(of(&json!({"jobStatus": "FAILED"})), Outcome::NoVerdict);
        assert_eq!(of(&record(json!(false), 0, "")), Outcome::NoVerdict, "nothing failed and nothing is said");
        assert_eq!(of(&record(json!(true), 1, "")), Outcome::NoVerdict, "it contradicts itself");
        assert_eq!(of(&record(Value::Null, 1, "")), Outcome::NoVerdict);
        let broke = ended(&record(json!(false), 0, "attempt to index nil"));
        assert_eq!((broke.outcome, broke.why.as_str()), (Outcome::Failed, "attempt to index nil"));
        assert_eq!(ended(&record(json!(false), 2, "no Part")).why, "2 of its checks failed: no Part");
    }

    #[test]
    fn rubbish_is_named_and_whatever_is_long_is_cut() {
        for (text, said) in [
            ("<html>", "no JSON"),
            ("[]", "is none"),
            ("{\"record\": null}", "is none"),
            ("{\"jobStatus\": \"GONE\"}", "status that is none"),
            ("{\"jobStatus\": \"COMPLETED\", \"results\": 3}", "is none"),
        ] {
            let error = read(text).unwrap_err();
            assert!(error.contains(said), "{text}: {error}");
        }
        let long = "x".repeat(16 << 10);
        let run = json!({"mode": long, "result": {"fails": -3, "passes": 1u64 << 40, "error": long, "warning": 2,
            "interruptions": vec![json!({"check": 1, "type": long}); 40]}});
        let verdict = ended(&json!({"jobStatus": "COMPLETED", "evalSucceeded": false, "results": vec![run; 40]}));
        assert!(serde_json::to_string(&verdict).unwrap().len() < 200 << 10);
        assert_eq!((verdict.runs[0].fails, verdict.runs[0].passes), (0, u32::MAX));
        assert_eq!(verdict.runs[0].warning, "2 of them");
    }

    proptest! {
        #[test]
        fn any_text_is_read_or_named(text in ".{0,80}|\\{\"jobStatus\": ?\"(COMPLETED|FAILED)\"(, ?\"[a-zA-Z]*\": ?[0-9a-z\\[\\]\\{\\}\"]*)?\\}") {
            if let Err(error) = read(&text) {
                prop_assert!(!error.is_empty() && error.len() < 2000);
            }
        }
    }
}
