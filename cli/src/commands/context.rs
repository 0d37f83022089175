//! `vertigo context`: the coordinators that this machine speaks to.

use crate::cli::ContextCommand;
use crate::error::{CliError, Exit, Result};
use crate::render::output::{Output, bold};
use crate::render::{access, json};
use vertigo_access::contexts::{ContextName, Contexts};
use vertigo_access::identity::Identity;

pub(crate) fn run(command: Option<&ContextCommand>, contexts: &Contexts, output: Output) -> Result<()> {
    match command {
        None | Some(ContextCommand::List) => list(contexts, output),
        Some(ContextCommand::Use { name }) => {
            known(contexts, name)?;
            contexts.choose(name).map_err(CliError::refused)?;
            said(name, "is spoken to from now on", output);
            Ok(())
        }
        Some(ContextCommand::Remove { name }) => {
            if !contexts.remove(name).map_err(CliError::refused)? {
                return Err(unknown(name));
            }
            said(name, "is forgotten", output);
            Ok(())
        }
    }
}

fn list(contexts: &Contexts, output: Output) -> Result<()> {
    let (mut all, mut unread): (Vec<(ContextName, Identity)>, _) = (Vec::new(), None);
    for name in contexts.names().map_err(CliError::refused)? {
        match contexts.get(&name) {
            Ok(identity) => all.extend(identity.map(|identity| (name, identity))),
            Err(error) => unread = unread.or(Some(error)),
        }
    }
    let current = contexts.current().map_err(CliError::refused)?;
    let shown = || all.iter().map(|(name, it)| json::context(name, it, current.as_ref())).collect::<Vec<_>>().into();
    output.show(shown, || access::render_contexts(&all, current.as_ref()));
    // After those that can be used, which a person may be looking for because of it.
    unread.map_or(Ok(()), |error| Err(CliError::refused(error)))
}

fn said(name: &ContextName, what: &str, output: Output) {
    output
        .show(|| serde_json::json!({"context": name.to_string()}), || format!("{} {what}\n", bold(&name.to_string())));
}

fn known(contexts: &Contexts, name: &ContextName) -> Result<Identity> {
    contexts.get(name).map_err(CliError::refused)?.ok_or_else(|| unknown(name))
}

fn unknown(name: &ContextName) -> CliError {
    CliError::new(Exit::NotFound, format!("there is no context `{name}`"))
        .hint("`vertigo context` lists them; `vertigo login` makes one")
}
