//! `vertigo login`: a certificate for a token, kept as a context.

use crate::cli::LoginArgs;
use crate::error::{CliError, Exit, Result};
use crate::render::output::Output;
use crate::render::{access, json};
use std::io::{self, IsTerminal};
use vertigo::id::Millis;
use vertigo::principal::{PrincipalName, Role};
use vertigo_access::contexts::Contexts;
use vertigo_access::token::Token;
use vertigo_client::joining::{self, Newcomer};

pub(crate) async fn run(args: &LoginArgs, contexts: &Contexts, output: Output) -> Result<()> {
    if io::stdin().is_terminal() {
        output.note("paste the token that `vertigo token create` printed, and press return:");
    }
    let token = Token::read(&mut io::stdin().lock()).map_err(CliError::refused)?;
    if token.role == Role::Worker {
        return Err(
            CliError::refused("this token is for a worker").hint("on the Mac that is to work: vertigo-worker join")
        );
    }
    contexts.prepare().map_err(CliError::refused)?;
    // What the token says goes before what this machine is called, and what is typed before both.
    let named = Newcomer { name: args.name.clone(), otherwise: this_person(), worker: None };
    let identity = joining::join(&token, &named).await.map_err(|error| {
        let exit = if error.is_unreachable() { Exit::Unreachable } else { Exit::Refused };
        CliError::new(exit, error.to_string())
    })?;
    let context = args.context.clone().unwrap_or_else(|| contexts.name_for(&identity, Millis::now()));
    contexts.keep(&context, &identity).map_err(CliError::refused)?;
    contexts.choose(&context).map_err(CliError::refused)?;
    output.show(
        || json::context(&context, &identity, Some(&context)),
        || access::render_login(&context, &identity, Millis::now().0),
    );
    Ok(())
}

/// User and host, as far as a principal's name has room for them.
fn this_person() -> Option<PrincipalName> {
    let user = std::env::var("USER").ok()?;
    let host = nix::unistd::gethostname().ok()?.into_string().ok()?;
    let host = host.split('.').next().unwrap_or_default();
    PrincipalName::like(&format!("{user}-{host}"))
}
