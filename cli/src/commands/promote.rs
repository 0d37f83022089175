//! `vertigo promote`: moves a tag to a model, where a gate holds.

use crate::cli::PromoteArgs;
use crate::coordinator::Coordinator;
use crate::error::{CliError, Result};
use crate::promotion::{self, Asked, Judged};
use crate::render::decision;
use crate::render::output::{Output, bold};
use crate::reports;
use crate::tags;
use serde_json::{Value, json};
use vertigo::bounds::{DECISION_BYTES_MAX, REASON_CHARACTERS_MAX};
use vertigo::id::Digest;
use vertigo::manifest::{Kind, Manifest};
use vertigo::v1;
use vertigo_evaluation::gate::Decision;
use vertigo_evaluation::report::Report;
use vertigo_evaluation::statistics::Resampling;

/// What came of it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Outcome {
    /// The tag has moved.
    Moved,
    /// The tag has moved although the gate does not hold.
    Forced,
    /// It would have moved.
    WouldMove,
    /// It stays, because the gate does not hold.
    Stays,
}

/// The reports of a model and of what the tag is on.
#[derive(Default)]
struct Evidence {
    ours: Vec<Report>,
    theirs: Vec<Report>,
    /// The artifacts of all of them.
    digests: Vec<Digest>,
}

pub(crate) async fn run(args: &PromoteArgs, coordinator: &Coordinator, output: Output) -> Result<()> {
    check_reason(args.reason.as_deref())?;
    let gate = promotion::gate(&args.gate)?;
    let found = coordinator.transfer().manifest(&args.model).await;
    let (digest, manifest) = found.map_err(|e| coordinator.transfer_error(&e))?;
    check_kind(&args.model, manifest.kind())?;
    let present = promotion::on_now(&args.to, coordinator).await?;
    if present.as_ref().is_some_and(|present| present.digest() == digest) {
        let document = || json!({"tag": args.to, "model": digest, "outcome": "there-already"});
        output.show(document, || format!("{} is on {} already\n", bold(&args.to), args.model));
        return Ok(());
    }
    if let Some(other) = present.as_ref().map(Manifest::kind).filter(|kind| !is_model(*kind)) {
        let message = format!("{} is on an artifact of kind {other}, and what moves by a gate is on models", args.to);
        return Err(CliError::refused(message)
            .hint("name another tag with --to; `vertigo tag` moves one without looking at what it is on"));
    }
    let asked = promotion::asked(&gate, coordinator).await?;
    let evidence = evidence(args, &asked, &manifest, present.as_ref(), coordinator, output).await?;
    let theirs = present.as_ref().map(|_| (args.to.as_str(), evidence.theirs.as_slice()));
    let decision = promotion::decide((&gate, &asked), (&args.model, &evidence.ours), theirs, Resampling::default())?;
    let outcome = outcome(decision.held, args.force, args.dry_run);
    let from = present.map(|present| present.digest());
    if matches!(outcome, Outcome::Moved | Outcome::Forced) {
        let request = v1::MoveTagRequest {
            tag: args.to.clone(),
            reference: digest.to_string(),
            expected: from.map_or_else(|| tags::NOTHING.to_owned(), |from| from.to_string()),
            reason: args.reason.clone().unwrap_or_default(),
            forced: outcome == Outcome::Forced,
            evidence: evidence.digests.iter().map(ToString::to_string).collect(),
            decision_json: decision_json(&decision),
            ..Default::default()
        };
        tags::move_tag(coordinator, request).await?;
    }
    let document = || document(args, (from, digest), &decision, outcome, &evidence.digests);
    output.show(document, || render(args, &decision, outcome));
    if decision.held || outcome == Outcome::Forced { Ok(()) } else { Err(refused(args)) }
}

/// The decision as it is kept with the move; nothing of one that is too long to be.
fn decision_json(decision: &Decision) -> String {
    let json = serde_json::to_string(decision).unwrap_or_default();
    if json.len() <= DECISION_BYTES_MAX { json } else { String::new() }
}

fn outcome(held: bool, is_forced: bool, is_dry: bool) -> Outcome {
    match (held, is_forced) {
        (true, _) if is_dry => Outcome::WouldMove,
        (true, _) => Outcome::Moved,
        (false, true) => Outcome::Forced,
        (false, false) => Outcome::Stays,
    }
}

fn check_reason(reason: Option<&str>) -> Result<()> {
    let Some(reason) = reason else { return Ok(()) };
    let characters = reason.chars().count();
    if reason.trim().is_empty() || characters > REASON_CHARACTERS_MAX {
        let message = format!("--reason has {characters} characters; write 1 to {REASON_CHARACTERS_MAX} that say why");
        return Err(CliError::new(crate::error::Exit::Usage, message));
    }
    Ok(())
}

fn check_kind(name: &str, kind: Kind) -> Result<()> {
    if is_model(kind) {
        return Ok(());
    }
    Err(CliError::refused(format!("`{name}` is no model but an artifact of kind {kind}"))
        .hint("name a base, a fused model or an adapter; `vertigo artifacts` lists what there is"))
}

fn is_model(kind: Kind) -> bool {
    matches!(kind, Kind::Base | Kind::Adapter | Kind::Model)
}

/// The reports to judge by: those that were named, or the newest.
async fn evidence(
    args: &PromoteArgs,
    asked: &[Asked],
    candidate: &Manifest,
    present: Option<&Manifest>,
    coordinator: &Coordinator,
    output: Output,
) -> Result<Evidence> {
    let (candidate, present) = (Judged::of(candidate), present.map(Judged::of));
    let names: Vec<String> = if args.report.is_empty() {
        let known = promotion::known(asked, coordinator).await?;
        let chosen = promotion::choose(&known, asked, &candidate, present.as_ref());
        chosen.candidate.iter().chain(&chosen.present).map(ToString::to_string).collect()
    } else {
        args.report.clone()
    };
    let mut evidence = Evidence::default();
    for name in &names {
        let named = reports::named(name, coordinator, output).await?;
        let model = &named.report.facts.model;
        let Some(digest) = named.digest else {
            // Nobody could look up afterwards what it said, nor whether it was written by hand.
            let message = format!("report `{name}` is a folder on this machine, and what a tag moves by is kept");
            return Err(
                CliError::refused(message).hint("name a report that the coordinator has, by tag, digest or job")
            );
        };
        // A gate may call one suite by two names.
        if evidence.digests.contains(&digest) {
            continue;
        }
        evidence.digests.push(digest);
        if candidate.is(model) {
            evidence.ours.push(named.report);
        } else if present.as_ref().is_some_and(|present| present.is(model)) {
            evidence.theirs.push(named.report);
        } else {
            let message = format!("report `{name}` is neither of {} nor of what {} is on now", args.model, args.to);
            return Err(CliError::refused(message).hint("without --report the newest reports are found"));
        }
    }
    Ok(evidence)
}

fn document(
    args: &PromoteArgs,
    (from, to): (Option<Digest>, Digest),
    decision: &Decision,
    outcome: Outcome,
    evidence: &[Digest],
) -> Value {
    let outcome = match outcome {
        Outcome::Moved => "moved",
        Outcome::Forced => "forced",
        Outcome::WouldMove => "would-move",
        Outcome::Stays => "stays",
    };
    json!({
        "tag": args.to,
        "model": to,
        "from": from,
        "outcome": outcome,
        "reason": args.reason,
        "evidence": evidence,
        "decision": decision,
    })
}

fn render(args: &PromoteArgs, decision: &Decision, outcome: Outcome) -> String {
    let (tag, model) = (bold(&args.to), bold(&args.model));
    let said = match outcome {
        Outcome::Moved => format!("moved {tag} to {model}\n"),
        Outcome::Forced => format!("moved {tag} to {model} although the gate does not hold\n"),
        Outcome::WouldMove => format!("{tag} would move to {model}\n"),
        Outcome::Stays => format!("{tag} stays where it is\n"),
    };
    decision::render(decision) + &said
}

fn refused(args: &PromoteArgs) -> CliError {
    CliError::refused(format!("the gate {} does not let {} through", args.gate, args.model)).hint(
        "each rule says what it lacks; `vertigo eval MODEL --suite SUITE` makes a report, and --force --reason TEXT moves \
         the tag all the same",
    )
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cli::{Cli, Command};
    use crate::render::output::plain;
    use clap::Parser;
    use vertigo_evaluation::gate::Reason;

    fn args() -> PromoteArgs {
        let line = "vertigo promote tutor --to production --gate gates.yaml --reason why";
        match Cli::try_parse_from(line.split(' ')).unwrap().command {
            Command::Promote(args) => args,
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn a_tag_moves_where_the_gate_holds_or_by_force_and_never_in_a_dry_run() {
        assert_eq!(outcome(true, false, false), Outcome::Moved);
        assert_eq!(outcome(true, true, false), Outcome::Moved, "what holds needs no force");
        assert_eq!(outcome(false, true, false), Outcome::Forced);
        assert_eq!(outcome(false, false, false), Outcome::Stays);
        assert_eq!(outcome(true, false, true), Outcome::WouldMove);
        assert_eq!(outcome(false, false, true), Outcome::Stays);
    }

    #[test]
    fn the_decision_stands_before_what_came_of_it() {
        let reasons =
            vec![Reason { rule: "luau.floors.overall".to_owned(), held: false, said: "3.0 points".to_owned() }];
        let decision = Decision { held: false, reasons };
        insta::assert_snapshot!(plain(&render(&args(), &decision, Outcome::Stays)), @r"
          fails luau.floors.overall
            3.0 points
        production stays where it is
        ");
        let to = Digest::of(b"to");
        let document = document(&args(), (None, to), &decision, Outcome::Forced, &[to]);
        assert_eq!(
            (&document["outcome"], &document["from"], &document["reason"]),
            (&json!("forced"), &Value::Null, &json!("why"))
        );
        assert_eq!(document["evidence"], json!([to]));
        assert!(refused(&args()).hint.unwrap().contains("vertigo eval"));
    }

    #[test]
    fn what_is_no_model_and_what_is_no_reason_are_refused() {
        assert!(check_kind("luau", Kind::Dataset).unwrap_err().message.contains("`luau` is no model"));
        assert!([Kind::Base, Kind::Adapter, Kind::Model].iter().all(|kind| check_kind("m", *kind).is_ok()));
        assert!(check_reason(Some(" ")).is_err() && check_reason(Some(&"x".repeat(2_001))).is_err());
        assert!(check_reason(Some("it answers")).is_ok() && check_reason(None).is_ok());
    }
}
