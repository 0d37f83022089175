//! `vertigo fuse`: one model of an adapter and its base.

use crate::cli::{FuseArgs, Measure};
use crate::coordinator::Coordinator;
use crate::error::Result;
use crate::follow;
use crate::render::jobs;
use crate::render::output::Output;
use crate::submit;
use vertigo::task::role;

pub(crate) async fn run(args: &FuseArgs, coordinator: &Coordinator, output: Output) -> Result<()> {
    let named = [(role::BASE, &args.base), (role::DATA, &args.data)];
    let named = named.into_iter().filter_map(|(role, it)| Some(submit::artifact(role, it.as_deref()?)));
    let inputs = [submit::artifact(role::ADAPTER, &args.adapter)].into_iter().chain(named).collect();
    let variant = submit::fuse(args.bits, args.measure == Measure::All, inputs);
    let job = submit::job(args.name.as_deref(), args.priority, vec![variant]);
    let queued = submit::submit(coordinator, vec![job]).await?;
    if args.follow {
        return follow::follow_queued(&queued, coordinator, output).await;
    }
    jobs::show_queued(&queued, output);
    Ok(())
}
