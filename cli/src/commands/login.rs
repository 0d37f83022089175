//! `vertigo login`: a certificate for a token, kept as a context.

use crate::cli::LoginArgs;
use crate::error::{CliError, Exit, Result};
use crate::render::output::Output;
use crate::render::{access, json};
use std::io::{self, BufRead, IsTerminal, Read};
use vertigo::id::Millis;
use vertigo::principal::{PRINCIPAL_CHARS_MAX, PrincipalName, Role};
use vertigo_access::contexts::{ContextName, Contexts};
use vertigo_access::token::{LINE_BYTES_MAX, Token};
use vertigo_client::joining::{self, Newcomer};

pub(crate) async fn run(args: &LoginArgs, contexts: &Contexts, output: Output) -> Result<()> {
    if io::stdin().is_terminal() {
        output.note("paste the token that `vertigo token create` printed, and press return:");
    }
    let token: Token = first_line()?.parse().map_err(CliError::refused)?;
    if token.role == Role::Worker {
        return Err(
            CliError::refused("this token is for a worker").hint("on the Mac that is to work: vertigo-worker join")
        );
    }
    // What the token says goes before what this machine is called, and what is typed before both.
    let named = Newcomer { name: args.name.clone(), otherwise: this_person(), worker: None };
    let identity = joining::join(&token, &named).await.map_err(|error| {
        let exit = if error.is_unreachable() { Exit::Unreachable } else { Exit::Refused };
        CliError::new(exit, error.to_string())
    })?;
    let context = args.context.clone().or_else(|| identity.coordinator.host().parse().ok());
    let context: ContextName = match context {
        Some(context) => context,
        None => "coordinator".parse().map_err(CliError::refused)?,
    };
    contexts.keep(&context, &identity).map_err(CliError::refused)?;
    contexts.choose(&context).map_err(CliError::refused)?;
    output.show(
        || json::context(&context, &identity, Some(&context)),
        || access::render_login(&context, &identity, Millis::now().0),
    );
    Ok(())
}

fn first_line() -> Result<String> {
    let mut line = String::new();
    // One more than fits, so that what is too long is no token.
    let mut stdin = io::stdin().lock().take(LINE_BYTES_MAX as u64 + 1);
    stdin
        .read_line(&mut line)
        .map_err(|error| CliError::refused(format!("cannot read the token from stdin: {error}")))?;
    Ok(line)
}

/// User and host, as far as a principal's name has room for them.
fn this_person() -> Option<PrincipalName> {
    let user = std::env::var("USER").ok()?;
    let host = nix::unistd::gethostname().ok()?.into_string().ok()?;
    let host = host.split('.').next().unwrap_or_default();
    let named = |c: char| if c.is_ascii_alphanumeric() || "-_.".contains(c) { c } else { '-' };
    let name: String = format!("{user}-{host}").chars().map(named).take(PRINCIPAL_CHARS_MAX).collect();
    PrincipalName::of_certificate(&name).ok()
}
