//! Who may speak to a coordinator, and which coordinators this machine speaks to.

use clap::builder::NonEmptyStringValueParser;
use clap::{Args, Subcommand};
use std::time::Duration;
use vertigo::principal::{PrincipalName, Role};
use vertigo::times;
use vertigo_access::contexts::ContextName;

#[derive(Debug, Subcommand)]
pub(crate) enum TokenCommand {
    /// Make a token with which a machine joins, and print it on one line
    Create(CreateTokenArgs),
    /// List tokens that can be used
    List,
    /// End a token before its time. Who joined with it stays: `vertigo revoke`
    Revoke {
        /// The token's id, as `vertigo token list` shows it
        // With nothing every id begins.
        #[arg(value_parser = NonEmptyStringValueParser::new())]
        id: String,
    },
}

#[derive(Debug, Args)]
#[command(after_help = "\
The line is a secret until it is used: whoever has it first gets in. Paste it, and keep it out of files and chats. It is read \
by `vertigo login` on a laptop, and by `vertigo-worker join` on a Mac that is to work.

Roles:
  read    looks at jobs, artifacts and workers
  submit  queues and cancels jobs, imports data, moves tags
  worker  runs attempts, and sees what these need
  admin   all that people do, tokens and revocations among it

Examples:
  vertigo token create --role worker
  vertigo token create --role submit --name ada --ttl 1d
  vertigo token create --role worker --uses 3 --json | jq -r .line")]
pub(crate) struct CreateTokenArgs {
    /// What the machine may do: read, submit, worker or admin
    #[arg(long, value_name = "ROLE")]
    pub(crate) role: Role,
    /// How long the token can be used
    #[arg(long, value_name = "TIME", default_value = "1h", value_parser = times::read)]
    pub(crate) ttl: Duration,
    /// How many machines can join with it
    #[arg(long, value_name = "N", default_value_t = 1, value_parser = clap::value_parser!(u32).range(1..=1000))]
    pub(crate) uses: u32,
    /// What who joins is called unless it says another name itself
    #[arg(long, value_parser = PrincipalName::of_certificate)]
    pub(crate) name: Option<PrincipalName>,
    /// What who joins sees: all that there is lies in `default` for now
    #[arg(long, value_name = "NAME", hide = true)]
    pub(crate) namespace: Option<String>,
}

#[derive(Debug, Args)]
#[command(after_help = "\
The token comes from stdin, so that it stands in no list of processes and in no shell's history. The certificate lies in \
~/.vertigo/contexts and is renewed by itself while it is used.

Examples:
  vertigo login
  ssh mini vertigo token create --role submit | vertigo login --name ada
  vertigo login --as home < token")]
pub(crate) struct LoginArgs {
    /// What you are to be called there [default: what the token says, or user and host]
    #[arg(long, value_parser = PrincipalName::of_certificate)]
    pub(crate) name: Option<PrincipalName>,
    /// What you call the coordinator [default: its host]
    #[arg(long = "as", value_name = "CONTEXT")]
    pub(crate) context: Option<ContextName>,
}

#[derive(Debug, Subcommand)]
pub(crate) enum ContextCommand {
    /// List the coordinators that you have logged in to
    List,
    /// Speak to this one from now on
    Use {
        /// Its name
        name: ContextName,
    },
    /// Forget one. Your certificate there stays valid until it ends or is revoked
    Remove {
        /// Its name
        name: ContextName,
    },
}

#[derive(Debug, Args)]
#[command(after_help = "\
All its certificates end at once, and its connections are closed. It joins again with a new token only.

Example:
  vertigo revoke mac-36gb")]
pub(crate) struct RevokeArgs {
    /// The principal, as `vertigo principals` shows it
    pub(crate) name: PrincipalName,
}
