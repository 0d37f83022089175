//! Workers: listed, held, let work again, and forgotten.

use clap::{Args, Subcommand};

#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  vertigo workers
  vertigo workers --json | jq '.[] | select(.hold) | .name'")]
pub(crate) struct WorkersArgs {
    /// At most this many, by name [default: all]
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..))]
    pub(crate) limit: Option<u32>,
}

#[derive(Debug, Args)]
#[command(after_help = "\
What runs there goes on to its end; services move to another worker at once. It stays so through restarts of the worker and of \
the coordinator.

Examples:
  vertigo drain studio --reason \"a new disk\"
  vertigo workers
  vertigo resume studio")]
pub(crate) struct DrainArgs {
    /// The worker: its name, or its id or the beginning of it
    pub(crate) worker: String,
    /// Why, for whoever looks at the workers
    #[arg(long, value_name = "TEXT", default_value = "", hide_default_value = true)]
    pub(crate) reason: String,
}

#[derive(Debug, Args)]
#[command(after_help = "\
Whoever held it, it is not held any more.

Example:
  vertigo resume studio")]
pub(crate) struct ResumeArgs {
    /// The worker: its name, or its id or the beginning of it
    pub(crate) worker: String,
}

#[derive(Debug, Args)]
#[command(after_help = "\
A worker that is connected is removed only where it is held and idle: drain it first, or stop its daemon. What it ran when it went \
away is tried again on another one. Its secret is forgotten with it: a daemon that still runs there joins as a new worker at once, and \
is held by nobody. So take the daemon away first, with `vertigo-worker uninstall` on that machine, or revoke its principal.

Examples:
  vertigo remove old-air
  vertigo revoke studio && vertigo remove studio")]
pub(crate) struct RemoveArgs {
    /// The worker: its name, or its id or the beginning of it
    pub(crate) worker: String,
}

#[derive(Debug, Args)]
pub(crate) struct WorkerArgs {
    #[command(subcommand)]
    pub(crate) command: WorkerCommand,
}

#[derive(Debug, Args)]
#[command(after_help = "\
Install the new version on that machine first: deploy/install.sh, or brew upgrade. What runs there is saved at its next step, given back, \
and goes on from there, here or elsewhere. It waits until the worker is back and says what it runs now.

Example:
  vertigo upgrade mac-36gb")]
pub(crate) struct UpgradeArgs {
    /// The worker: its name, or its id or the beginning of it
    pub(crate) worker: String,
}

#[derive(Debug, Subcommand)]
pub(crate) enum WorkerCommand {
    /// Say when a worker's machine takes part
    Set(SetArgs),
}

#[derive(Debug, Args)]
#[command(after_help = "\
Conditions are on-ac, on-battery, battery > 40%, thermal < serious (nominal, fair, serious, critical), pressure < warning (normal, \
warning, critical), lid-open, lid-closed, idle > 15m, 22:00-08:00, mon-fri, always and never, joined by and, or, not and parentheses. \
What does not hold any more pauses what runs there; after a grace of the worker's it is checkpointed and goes elsewhere. What a machine \
does not say closes nothing. The worker keeps the policy through restarts.

Examples:
  vertigo worker set mac-36gb --when \"on-ac and (22:00-08:00 or idle > 15m)\"
  vertigo worker set studio --when always")]
pub(crate) struct SetArgs {
    /// The worker: its name, or its id or the beginning of it
    pub(crate) worker: String,
    /// The policy
    #[arg(long, value_name = "POLICY")]
    pub(crate) when: String,
}
