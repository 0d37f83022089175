//! What was evaluated, and what a reader is to know before any figure.

use super::figures::{count, percent};
use super::side::Side;
use super::text::line;
use crate::nonsense::Nonsense;
use crate::prompt::ToolsIn;
use crate::report::{Facts, Model, NonsenseScore};
use maud::{Markup, html};

/// What a kind of nonsense is called.
pub(super) fn nonsense_name(kind: Nonsense) -> &'static str {
    match kind {
        Nonsense::Empty => "an empty answer",
        Nonsense::Echo => "an echo of the prompt",
        Nonsense::EchoWithConventions => "an echo with a line of conventions",
    }
}

/// What is in the way of trusting the figures, in words.
pub(super) fn warnings(sides: &[Side]) -> Markup {
    let mut said: Vec<String> = Vec::new();
    for side in sides {
        let report = side.report;
        let whose = if sides.len() > 1 { format!("{}: ", side.letter) } else { String::new() };
        said.extend(
            report.nonsense.iter().filter(|score| score.is_alarming()).map(|score| whose.clone() + &alarm(score)),
        );
        if report.missing > 0 {
            said.push(format!(
                "{whose}{} still to come: the figures are of what is there.",
                are(report.missing, "answer")
            ));
        }
        if report.overall.broken > 0 {
            let answers = count(report.overall.broken as usize, "answer");
            said.push(format!("{whose}A check failed by itself at {answers}: the suite or the room is to be mended."));
        }
        if let Some(found) =
            report.contamination.as_ref().map(|it| it.contamination.found.len()).filter(|found| *found > 0)
        {
            said.push(format!("{whose}The training data has {} of this suite.", count(found, "task")));
        }
    }
    if let [a, b] = sides {
        let (a, b) = (&a.report.facts, &b.report.facts);
        if a.suite_digest != b.suite_digest {
            said.push("The two reports are of different suites: their figures are not to be compared.".to_owned());
        }
        if a.sampling != b.sampling || a.tools_in != b.tools_in {
            said.push("The two were not asked in the same way: their figures are not to be compared.".to_owned());
        }
        if a.engine != b.engine && !a.engine.is_empty() && !b.engine.is_empty() {
            said.push(format!("The two were answered by different engines, {} and {}.", a.engine, b.engine));
        }
        if a.room != b.room {
            said.push("The two were judged by different software: see what was evaluated.".to_owned());
        }
    }
    html! {
        @if !said.is_empty() {
            section.alarm aria-label="Warnings" {
                h2 { "Before you read the figures" }
                ul { @for said in &said { li { (line(said)) } } }
            }
        }
    }
}

fn are(of: u32, what: &str) -> String {
    format!("{} {}", count(of as usize, what), if of == 1 { "is" } else { "are" })
}

/// What an alarming kind of nonsense means for the reader.
pub(super) fn alarm(score: &NonsenseScore) -> String {
    let mut said = nonsense_name(score.kind).to_owned();
    match score.score {
        Some(share) => said += &format!(" scores {} here", percent(share)),
        None => said += " does well here",
    }
    if !score.passes.is_empty() {
        said += &format!(" and passes {}", count(score.passes.len(), "task"));
    }
    if !score.red.is_empty() {
        let mean = |check| score.checks.get(check).map(|mean| format!(" ({})", percent(*mean))).unwrap_or_default();
        let checks: Vec<String> = score.red.iter().map(|check| check.as_str().to_owned() + &mean(check)).collect();
        said +=
            &format!(": {} {} little of a model", checks.join(", "), if checks.len() == 1 { "says" } else { "say" });
    }
    let mut chars = said.chars();
    let first = chars.next().map(|c| c.to_ascii_uppercase().to_string()).unwrap_or_default();
    format!("{first}{}.", chars.as_str())
}

/// Suite, model, sampling, digests and software of each side.
pub(super) fn facts(sides: &[Side]) -> Markup {
    html! {
        section {
            h2 { "What was evaluated" }
            div.facts { @for side in sides { (of_side(side, sides.len() > 1)) } }
        }
    }
}

fn of_side(side: &Side, is_named: bool) -> Markup {
    let Facts { suite, suite_digest, model, sampling, tools_in, room, engine, suite_artifact, only, roblox, format: _ } =
        &side.report.facts;
    html! {
        dl {
            dt { "Model" } dd { @if is_named { (letter(side)) " " } b { (line(&model.name())) } }
            (model_facts(model))
            dt { "Suite" }
            dd {
                (line(suite)) " " code.quiet { (suite_artifact.unwrap_or(*suite_digest).to_string()) }
                @if !only.is_empty() { ", only " (line(&only.join(", "))) }
                @if suite_artifact.is_some() {
                    " " span.quiet { "of which these tasks" } " " code.quiet { (suite_digest.to_string()) }
                }
            }
            dt { "Sampling" }
            dd {
                (count(sampling.samples as usize, "sample")) " of each task, temperature " (sampling.temperature)
                ", top-p " (sampling.top_p) ", seed " (sampling.seed)
            }
            dt { "Tools" } dd { (tools(*tools_in)) }
            @if !engine.is_empty() { dt { "Answered by" } dd { (line(engine)) } }
            dt { "Judged by" } dd { @if room.is_empty() { "not said" } @else { (line(room)) } }
            @if let Some(roblox) = roblox { dt { "Asked beside it" } dd { (roblox.title()) ", apart from all other figures" } }
        }
    }
}

fn model_facts(model: &Model) -> Markup {
    let digests = match model {
        Model::Base { base, .. } => vec![("Base", base)],
        Model::Adapted { base, adapter, .. } => vec![("Base", base), ("Adapter", adapter)],
        Model::Fused { model, .. } => vec![("Fused model", model)],
        Model::Api { .. } => vec![],
    };
    html! {
        @for (name, digest) in digests { dt { (name) } dd { code.quiet { (digest.to_string()) } } }
        @if matches!(model, Model::Api { .. }) {
            dt { "Asked over" }
            dd { "an API: what answers there cannot be named by a digest" }
        }
    }
}

fn tools(tools_in: ToolsIn) -> &'static str {
    match tools_in {
        ToolsIn::Request => "as tools of the request",
        ToolsIn::SystemText => "written into the system prompt, as the pipeline did",
        ToolsIn::QuestionText => "written into the question, as the pipeline did",
    }
}

/// A side's letter in its colour.
pub(super) fn letter(side: &Side) -> Markup {
    html! { span.side.(side.letter) { (side.letter) } }
}
