//! `vertigo serve`: a service on the fleet that answers requests over OpenAI's API.

use crate::cli::ServeArgs;
use crate::coordinator::Coordinator;
use crate::error::Result;
use crate::follow;
use crate::render::jobs;
use crate::render::output::Output;
use crate::submit::{self, ServeOptions};

pub(crate) async fn run(args: &ServeArgs, coordinator: &Coordinator, output: Output) -> Result<()> {
    let options = ServeOptions { cache: args.cache, listen: args.listen };
    let variant = submit::serve(&args.models, &options);
    let job = submit::job(args.name.as_deref(), args.priority, vec![variant]);
    let queued = submit::submit(coordinator, vec![job]).await?;
    if args.follow {
        return follow::follow_queued(&queued, coordinator, output).await;
    }
    jobs::show_queued(&queued, output);
    Ok(())
}
