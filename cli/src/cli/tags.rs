//! Tags: moved, moved back, and where they have been.

use clap::Args;

#[derive(Debug, Args)]
#[command(after_help = "\
Every move is kept: `vertigo history TAG` lists them, and `vertigo rollback TAG` goes back. What follows the tag, such as a \
service, goes with it.

Examples:
  vertigo tag luau-tutor-fused production --reason \"better by 3 points\"
  vertigo tag 0190163d-8694@best luau-best")]
pub(crate) struct TagArgs {
    /// What to move it to: a tag, a digest or its beginning, or the job that made it, by id, its beginning or name;
    /// JOB@best for a training job's best adapter
    pub(crate) model: String,
    /// The tag. One that there is not is made
    pub(crate) tag: String,
    /// Why, for whoever reads the history
    #[arg(long, value_name = "TEXT", default_value = "", hide_default_value = true)]
    pub(crate) reason: String,
}

#[derive(Debug, Args)]
#[command(after_help = "\
BY is the name of whoever moved it, or `person` where that was done on the coordinator's own machine; `rollback`, `import`, \
`job` for the success of a job of that name, or `earlier`: before moves were kept. --json has all that was said at each move, \
with the decision of a gate.

Examples:
  vertigo history production
  vertigo history production --json | jq '.[0].decision'")]
pub(crate) struct HistoryArgs {
    /// The tag
    pub(crate) tag: String,
    /// At most this many, newest first
    #[arg(long, default_value_t = 20, value_name = "N", value_parser = clap::value_parser!(u32).range(1..))]
    pub(crate) limit: u32,
}

#[derive(Debug, Args)]
#[command(after_help = "\
A second rollback goes further back, and not to where the first one began: after moves to A, B and C, rollbacks lead to B and \
then to A, and after a move to D from there the next leads to A again. A rollback is a move, and is kept like any other. It \
reaches as far as the tag's 20 newest moves; `vertigo tag` moves it to any artifact.

Examples:
  vertigo rollback production --reason \"answers in prose\"
  vertigo rollback production --to 4dfe542c1703")]
pub(crate) struct RollbackArgs {
    /// The tag
    pub(crate) tag: String,
    /// Why, for whoever reads the history
    #[arg(long, value_name = "TEXT", default_value = "", hide_default_value = true)]
    pub(crate) reason: String,
    /// Back to the last time that it was on this artifact, instead of one step
    #[arg(long, value_name = "DIGEST")]
    pub(crate) to: Option<String>,
}
