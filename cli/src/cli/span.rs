//! What a command is called in its trace.

use super::Command;

impl Command {
    /// The span that all of a command's work is in: the root of its trace.
    pub(crate) fn span(&self) -> tracing::Span {
        match self {
            Command::Data(_) => tracing::info_span!("vertigo data"),
            Command::Curate(_) => tracing::info_span!("vertigo curate"),
            Command::Base(_) => tracing::info_span!("vertigo base"),
            Command::Plan(_) => tracing::info_span!("vertigo plan"),
            Command::Train(_) => tracing::info_span!("vertigo train"),
            Command::Fuse(_) => tracing::info_span!("vertigo fuse"),
            Command::Serve(_) => tracing::info_span!("vertigo serve"),
            Command::Chat(_) => tracing::info_span!("vertigo chat"),
            Command::Run(_) => tracing::info_span!("vertigo run"),
            Command::Sweep(_) => tracing::info_span!("vertigo sweep"),
            Command::Rerun(_) => tracing::info_span!("vertigo rerun"),
            Command::Suite(_) => tracing::info_span!("vertigo suite"),
            Command::Luau(_) => tracing::info_span!("vertigo luau"),
            Command::LuauRoom => tracing::info_span!("vertigo luau-room"),
            Command::Eval(_) => tracing::info_span!("vertigo eval"),
            Command::Report(_) => tracing::info_span!("vertigo report"),
            Command::Promote(_) => tracing::info_span!("vertigo promote"),
            Command::Compare(_) => tracing::info_span!("vertigo compare"),
            Command::Jobs(_) => tracing::info_span!("vertigo jobs"),
            Command::Job(_) => tracing::info_span!("vertigo job"),
            Command::Watch(_) => tracing::info_span!("vertigo watch"),
            Command::Logs(_) => tracing::info_span!("vertigo logs"),
            Command::Cancel(_) => tracing::info_span!("vertigo cancel"),
            Command::Workers(_) => tracing::info_span!("vertigo workers"),
            Command::Worker(_) => tracing::info_span!("vertigo worker"),
            Command::Drain(_) => tracing::info_span!("vertigo drain"),
            Command::Upgrade(_) => tracing::info_span!("vertigo upgrade"),
            Command::Resume(_) => tracing::info_span!("vertigo resume"),
            Command::Remove(_) => tracing::info_span!("vertigo remove"),
            Command::Artifacts(_) => tracing::info_span!("vertigo artifacts"),
            Command::Tag(_) => tracing::info_span!("vertigo tag"),
            Command::History(_) => tracing::info_span!("vertigo history"),
            Command::Rollback(_) => tracing::info_span!("vertigo rollback"),
            Command::Get(_) => tracing::info_span!("vertigo get"),
            Command::Storage => tracing::info_span!("vertigo storage"),
            Command::Gc(_) => tracing::info_span!("vertigo gc"),
            Command::Login(_) => tracing::info_span!("vertigo login"),
            Command::Context { .. } => tracing::info_span!("vertigo context"),
            Command::Token(_) => tracing::info_span!("vertigo token"),
            Command::Principals => tracing::info_span!("vertigo principals"),
            Command::Revoke(_) => tracing::info_span!("vertigo revoke"),
            Command::Doctor => tracing::info_span!("vertigo doctor"),
            Command::Man { .. } => tracing::info_span!("vertigo man"),
            Command::Completions { .. } => tracing::info_span!("vertigo completions"),
        }
    }
}
