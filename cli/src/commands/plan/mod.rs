//! `vertigo plan`: what recipes will need, and where they would run.
//!
//! With `--memory` it is worked out here, by the functions that the coordinator uses itself; without, the coordinator says what it
//! would do with its workers as they are.

mod report;

use crate::base;
use crate::cli::PlanArgs;
use crate::coordinator::Coordinator;
use crate::error::{CliError, Exit, Result, Subject};
use crate::recipes::{RecipeOnDisk, read_recipes};
use crate::render::output::Output;
use crate::submit;
use report::{Fleet, Machine, Planned};
use std::path::Path;
use vertigo::bytes::Bytes;
use vertigo::placement::{Candidate, Need, place};
use vertigo::task::{Slot, role};
use vertigo::v1;
use vertigo_client::traced;
use vertigo_model::estimate::{Engine, FitError, estimate, fit, notes};
use vertigo_model::recipe::Recipe;
use vertigo_model::shape::Shape;

/// Up to this much memory, Metal recommends two thirds of it for the GPU's working set; above, three quarters.
const SMALL_MAC: Bytes = Bytes::gib(36);

pub(crate) async fn run(args: &PlanArgs, coordinator: &Coordinator, output: Output) -> Result<()> {
    let recipes = read_recipes(&args.recipes)?;
    if args.memory.is_empty() {
        return ask(args, recipes, coordinator, output).await;
    }
    let plans = recipes.iter().map(|recipe| plan(&recipe.recipe, args)).collect::<Result<Vec<_>>>()?;
    let fleet = decide(&plans, &args.memory);
    output.show(|| report::json(&plans, &fleet), || report::render(&plans, &fleet));
    Ok(())
}

async fn ask(args: &PlanArgs, recipes: Vec<RecipeOnDisk>, coordinator: &Coordinator, output: Output) -> Result<()> {
    let data: Vec<v1::Input> = args.data.iter().map(|data| submit::artifact(role::DATA, data)).collect();
    let variants = recipes.iter().map(|recipe| submit::train(recipe, data.clone())).collect();
    let answer = coordinator.jobs().plan(traced(v1::PlanRequest { variants })).await;
    let answer = coordinator.answer(answer, Subject::Inputs).map_err(|error| match error.exit {
        Exit::Unreachable => error.hint("start it with `vertigo-coordinator`, or plan without it: --memory 36GiB"),
        _ => error,
    })?;
    output.show(|| report::live_json(&answer), || report::render_live(&answer));
    Ok(())
}

/// A recipe's plan on this machine's knowledge alone.
fn plan(recipe: &Recipe, args: &PlanArgs) -> Result<Planned> {
    let (shape, confirmed) = shape(recipe, args.base.as_deref())?;
    let (mut remarks, runs) = match fit(&shape, recipe) {
        Ok(notes) => (notes, true),
        Err(FitError::Experts { .. }) => {
            let only = "mixtures of experts are planned for only; Vertigo does not train them yet".to_owned();
            ([vec![only], notes(&shape, recipe)].concat(), false)
        }
        Err(error) => return Err(CliError::refused(error)),
    };
    if !confirmed {
        remarks.push(format!("the sizes of {} are not confirmed", recipe.model));
    }
    let other = if args.engine == Engine::Vertigo { Engine::MlxLm } else { Engine::Vertigo };
    Ok(Planned {
        recipe: recipe.name.clone(),
        model: recipe.model.clone(),
        method: recipe.method_name(shape.quantization.is_some()),
        layers: (recipe.layers.of(shape.layers), shape.layers),
        batch: (recipe.batch_size, recipe.max_seq_length),
        engine: args.engine,
        estimate: estimate(&shape, recipe, args.engine),
        other: (other, estimate(&shape, recipe, other).total()),
        remarks,
        runs,
    })
}

/// The base's shape, and whether it is confirmed.
fn shape(recipe: &Recipe, folder: Option<&Path>) -> Result<(Shape, bool)> {
    if let Some(folder) = folder {
        let (_, shape) = base::read_config(folder).map_err(CliError::refused)?;
        return Ok((shape, true));
    }
    let named = Shape::named(&recipe.model).ok_or_else(|| {
        let message = format!("recipe `{}`: `{}` is no model of the built-in table", recipe.name, recipe.model);
        CliError::new(Exit::NotFound, message).hint(
            "say where its config.json is with --base DIR, or leave --memory out to ask the coordinator about a base \
             that it has",
        )
    })?;
    Ok((named.shape, named.confirmed))
}

/// What a Mac's GPU may use of its memory.
fn usable(memory: Bytes) -> Bytes {
    if memory <= SMALL_MAC { Bytes(memory.0 / 3 * 2) } else { Bytes(memory.0 / 4 * 3) }
}

/// Where the plans would go: on each machine alone, and on all of them together.
fn decide(plans: &[Planned], memory: &[Bytes]) -> Fleet {
    let running: Vec<&Planned> = plans.iter().filter(|plan| plan.runs).collect();
    let need = |plan: &&Planned| Need {
        name: plan.recipe.clone(),
        peak: plan.estimate.total(),
        disk: Bytes::ZERO,
        slot: Slot::Gpu,
    };
    let needs: Vec<Need> = running.iter().map(need).collect();
    let candidate = |&memory: &Bytes| Candidate {
        name: format!("the {memory} Mac"),
        usable: usable(memory),
        reserved: Bytes::ZERO,
        withheld: Bytes::ZERO,
        shut: Vec::new(),
        held: Bytes::ZERO,
        // Machines that are named by their memory have no disk yet.
        disk_free: None,
        to_fetch: Vec::new(),
    };
    let candidates: Vec<Candidate> = memory.iter().map(candidate).collect();
    let machine = |(&memory, candidate): (&Bytes, &Candidate)| Machine {
        memory,
        usable: candidate.usable,
        decision: report::Decision::new(place(&needs, std::slice::from_ref(candidate)), &needs),
    };
    Fleet {
        machines: memory.iter().zip(&candidates).map(machine).collect(),
        together: (memory.len() > 1).then(|| report::Decision::new(place(&needs, &candidates), &needs)),
    }
}

#[cfg(test)]
mod tests;
