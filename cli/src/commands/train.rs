//! `vertigo train`.

use crate::cli::{Then, TrainArgs};
use crate::coordinator::Coordinator;
use crate::error::Result;
use crate::follow;
use crate::recipes::{RecipeOnDisk, read_recipes};
use crate::render::jobs;
use crate::render::output::Output;
use crate::submit;
use vertigo::task::role;

pub(crate) async fn run(args: &TrainArgs, coordinator: &Coordinator, output: Output) -> Result<()> {
    let recipes = read_recipes(&args.recipes)?;
    let train = |recipe: &RecipeOnDisk| submit::train(recipe, vec![submit::artifact(role::DATA, &args.data)]);
    let trains = submit::job(args.name.as_deref(), args.priority, recipes.iter().map(train).collect());
    let then = args.then.map(|Then::Fuse| submit::fuse_of(&trains, args.bits));
    let queued = submit::submit(coordinator, [trains].into_iter().chain(then).collect()).await?;
    if args.follow {
        return follow::follow_queued(&queued, coordinator, output).await;
    }
    jobs::show_queued(&queued, output);
    Ok(())
}
