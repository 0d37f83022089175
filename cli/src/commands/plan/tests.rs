//! Plans as reports, and the decisions in them.

use super::*;
use crate::render::output::plain;
use clap::Parser;
use std::path::PathBuf;
use vertigo_model::estimate::{Estimate, Part};

const QLORA: &str = "model: mlx-community/Qwen3.5-4B-4bit\nnum_layers: 8\nbatch_size: 1\nmax_seq_length: 2048\n";
const FULL: &str = "model: Qwen/Qwen3.5-4B\nfine_tune_type: full\nnum_layers: -1\nbatch_size: 1\n";

fn args(line: &str) -> PlanArgs {
    let cli = crate::cli::Cli::parse_from(["vertigo", "plan", "x.yaml"].into_iter().chain(line.split(' ')));
    match cli.command {
        crate::cli::Command::Plan(args) => args,
        other => panic!("{other:?}"),
    }
}

fn planned(name: &str, yaml: &str, args: &PlanArgs) -> Result<Planned> {
    plan(&Recipe::parse(name, yaml).unwrap(), args)
}

/// A plan of a known peak, so that the text does not change with the estimate.
fn of_size(recipe: &str, gib: u64) -> Planned {
    let known = planned(recipe, QLORA, &args("--memory 36GiB")).unwrap();
    let part = |name, gib| Part { name, bytes: Bytes::gib(gib) };
    let estimate = Estimate { parts: vec![part("weights", gib - 1), part("optimizer", 1)] };
    Planned { estimate, other: (Engine::MlxLm, Bytes::gib(gib * 5)), ..known }
}

#[test]
fn a_plan_reads_as_a_report() {
    let plans = [of_size("9b-full", 60), of_size("4b-qlora", 6)];
    let mut fleet = decide(&plans, &[Bytes::gib(36), Bytes::gib(128)]);
    // How placement puts its reasons is its own matter.
    let decisions = fleet.machines.iter_mut().map(|machine| &mut machine.decision).chain(fleet.together.as_mut());
    decisions.for_each(|decision| decision.reason = format!("because {}", "it fits ".repeat(12)));
    let text = plain(&report::render(&plans, &fleet));
    assert!(text.lines().all(|line| line.chars().count() <= 80), "{text}");
    insta::assert_snapshot!(text, @r"
    9b-full
      QLoRA r8 of mlx-community/Qwen3.5-4B-4bit, the last 8 of 32 layers, batches of
      1 × 2048 tokens, with vertigo
        weights     59.0 GiB
        optimizer    1.0 GiB
        peak        60.0 GiB
        mlx-lm's loop over tokens: 300 GiB, 5.0 times as much

    4b-qlora
      QLoRA r8 of mlx-community/Qwen3.5-4B-4bit, the last 8 of 32 layers, batches of
      1 × 2048 tokens, with vertigo
        weights      5.0 GiB
        optimizer    1.0 GiB
        peak         6.0 GiB
        mlx-lm's loop over tokens: 30.0 GiB, 5.0 times as much

    Where it would go: the first of these that fits
      36.0 GiB Mac, 24.0 GiB usable: 4b-qlora
        because it fits it fits it fits it fits it fits it fits it fits it fits it
        fits it fits it fits it fits
      128 GiB Mac, 96.0 GiB usable: 9b-full
        because it fits it fits it fits it fits it fits it fits it fits it fits it
        fits it fits it fits it fits
      all of these together: 9b-full
        because it fits it fits it fits it fits it fits it fits it fits it fits it
        fits it fits it fits it fits
      Usable is what Metal recommends for a GPU's working set: taken to be 2/3 of a
      Mac's memory up to 36 GiB, and 3/4 of more. A worker reports what Metal says.
    ");
}

#[test]
fn each_machine_gets_the_first_plan_that_fits_it() {
    let plans = [of_size("large", 60), of_size("small", 6)];
    let fleet = decide(&plans, &[36, 128, 4].map(Bytes::gib));
    let recipes: Vec<_> = fleet.machines.iter().map(|machine| machine.decision.recipe.as_deref()).collect();
    assert_eq!(recipes, [Some("small"), Some("large"), None]);
    assert!(fleet.machines[2].decision.reason.contains("too large"), "{}", fleet.machines[2].decision.reason);
    let together = fleet.together.unwrap();
    assert_eq!((together.recipe.as_deref(), together.machine), (Some("large"), Some(1)));
    assert!(decide(&plans, &[Bytes::gib(36)]).together.is_none());
}

#[test]
fn what_is_planned_for_only_is_said_so_and_never_placed() {
    let yaml = "model: mlx-community/Qwen3.5-35B-A3B-4bit\n";
    let plan = planned("moe", yaml, &args("--memory 128GiB")).unwrap();
    assert!(!plan.runs && plan.remarks[0].contains("planned for only"), "{:?}", plan.remarks);
    let fleet = decide(&[plan], &[Bytes::gib(512)]);
    assert_eq!(fleet.machines[0].decision.recipe, None);
}

#[test]
fn sizes_that_are_not_confirmed_are_said_so() {
    let plan = planned("2b", "model: mlx-community/Qwen3.5-2B-4bit\n", &args("--memory 36GiB")).unwrap();
    assert!(plan.remarks.iter().any(|remark| remark.contains("not confirmed")), "{:?}", plan.remarks);
}

#[test]
fn recipes_that_cannot_run_are_refused_with_a_way_out() {
    let quantized = FULL.replace("Qwen/Qwen3.5-4B", "mlx-community/Qwen3.5-4B-4bit");
    let error = planned("full", &quantized, &args("--memory 36GiB")).unwrap_err();
    assert!(error.exit == Exit::Refused && error.message.contains("quantised"), "{error:?}");
    let error = planned("own", "model: mini-4b\n", &args("--memory 36GiB")).unwrap_err();
    assert!(error.exit == Exit::NotFound && error.hint.unwrap().contains("--base DIR"));
    assert!(planned("full", FULL, &args("--memory 36GiB")).is_ok());
}

#[test]
fn both_engines_tell_the_same_peaks() {
    let ours = planned("4b", QLORA, &args("--memory 36GiB")).unwrap();
    let theirs = planned("4b", QLORA, &args("--memory 36GiB --engine mlx-lm")).unwrap();
    let peaks = |plan: &Planned| {
        let document = report::json(std::slice::from_ref(plan), &decide(&[], &[]));
        ["vertigo_peak_bytes", "mlx_lm_peak_bytes"].map(|key| document["plans"][0][key].as_u64().unwrap())
    };
    assert_eq!(peaks(&ours), peaks(&theirs));
    assert!(peaks(&ours)[0] < peaks(&ours)[1]);
    assert_eq!(ours.estimate.total(), theirs.other.1);
}

#[test]
fn a_mac_gives_its_gpu_two_thirds_or_three_quarters() {
    assert_eq!(usable(Bytes::gib(36)), Bytes::gib(24));
    assert_eq!(usable(Bytes::gib(128)), Bytes::gib(96));
}

#[test]
fn the_coordinators_answer_reads_as_a_report_too() {
    let variant = |name: &str, peak_bytes: u64, factor| v1::Variant {
        name: name.to_owned(),
        model: "mini-4b".to_owned(),
        method: "full".to_owned(),
        peak_bytes,
        parts: vec![v1::MemoryPart { name: "weights".to_owned(), bytes: peak_bytes / 2 }],
        factor,
        ..v1::Variant::default()
    };
    let answer = v1::PlanResponse {
        variants: vec![variant("large", 1 << 30, 1.0), variant("small", 1 << 28, 1.25)],
        placement: Some(v1::Placement {
            worker: "book".to_owned(),
            variant: 1,
            reason: "small needs 256 MiB".to_owned(),
        }),
    };
    insta::assert_snapshot!(plain(&report::render_live(&answer)), @r"
    large
      full of mini-4b
        weights    512 MiB
        peak       1.0 GiB

    small
      full of mini-4b
        weights    128 MiB
        peak       256 MiB
        the parts' sum × 1.25, as finished attempts have taught

    it would run now: small on book
      small needs 256 MiB
    ");
    let waits = v1::Placement { reason: "no worker is connected".to_owned(), ..Default::default() };
    let text = report::render_live(&v1::PlanResponse { placement: Some(waits), ..answer });
    assert!(text.contains("it would wait\n  no worker is connected"), "{text}");
}

#[test]
fn the_pipelines_own_recipes_are_planned_as_they_are() {
    let folder = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../../shared/data/vertigo/recipes");
    if !folder.is_dir() {
        return vertigo_testkit::skipped(&format!("no recipes at {}", folder.display()));
    }
    let names = ["35b", "9b", "4b-8bit-128gb", "4b-128gb", "4b", "2b"];
    let paths: Vec<PathBuf> = names.iter().map(|name| folder.join(format!("{name}.yaml"))).collect();
    let recipes = read_recipes(&paths).unwrap();
    let args = args("--memory 36GiB");
    let plans: Vec<Planned> = recipes.iter().map(|recipe| plan(&recipe.recipe, &args).unwrap()).collect();
    let fleet = decide(&plans, &[Bytes::gib(36), Bytes::gib(128)]);
    let text = plain(&report::render(&plans, &fleet));
    assert!(text.lines().all(|line| line.chars().count() <= 80), "{text}");
    for name in names {
        assert!(text.lines().any(|line| line == name), "{name}");
    }
    // The large machine takes what its owner prefers; both machines find something.
    assert!(fleet.machines.iter().all(|machine| machine.decision.recipe.is_some()), "{text}");
    assert_eq!(fleet.machines[1].decision.recipe.as_deref(), Some("9b"));
    // The pipeline's own measurement of mlx-lm with 4b.yaml: 27.3 GB.
    let theirs = plans[4].other.1.0 as f64;
    assert!((theirs / 27.3e9 - 1.0).abs() < 0.1, "{theirs}");
}
