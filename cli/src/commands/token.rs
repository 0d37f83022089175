//! `vertigo token`: what machines join with, made, listed and ended.

use crate::cli::{CreateTokenArgs, TokenCommand};
use crate::coordinator::Coordinator;
use crate::error::{CliError, Result, Subject};
use crate::render::output::{Output, duration, short_id};
use crate::render::{access, json};
use serde_json::json;
use vertigo::id::Millis;
use vertigo::v1;
use vertigo_client::traced;

pub(crate) async fn run(command: &TokenCommand, coordinator: &Coordinator, output: Output) -> Result<()> {
    match command {
        TokenCommand::Create(args) => create(args, coordinator, output).await,
        TokenCommand::List => {
            let tokens = list(coordinator).await?;
            let shown = || tokens.iter().map(json::token).collect::<Vec<_>>().into();
            output.show(shown, || access::render_tokens(&tokens, Millis::now().0));
            Ok(())
        }
        TokenCommand::Revoke { id } => revoke(id, coordinator, output).await,
    }
}

async fn list(coordinator: &Coordinator) -> Result<Vec<v1::Token>> {
    let answer = coordinator.access().list_tokens(traced(v1::ListTokensRequest {})).await;
    Ok(coordinator.answer(answer, Subject::Nothing)?.tokens)
}

async fn create(args: &CreateTokenArgs, coordinator: &Coordinator, output: Output) -> Result<()> {
    let request = v1::CreateTokenRequest {
        role: args.role.to_string(),
        ttl_ms: args.ttl.as_millis() as u64,
        uses: args.uses,
        name: args.name.as_ref().map(ToString::to_string).unwrap_or_default(),
        namespace: args.namespace.clone().unwrap_or_default(),
    };
    let answer = coordinator.access().create_token(traced(request)).await;
    let v1::CreatedToken { token, line } = coordinator.answer(answer, Subject::Nothing)?;
    let token = token.ok_or_else(|| CliError::refused("the coordinator answered without a token"))?;
    let times = if token.uses_left == 1 { "once".to_owned() } else { format!("{} times", token.uses_left) };
    let left = duration(token.ends_ms.saturating_sub(Millis::now().0));
    let taker = if token.role == "worker" { "vertigo-worker join" } else { "vertigo login" };
    output.note(&format!(
        "a token for the role {}, which can be used {times} within {left}; `{taker}` reads it:",
        token.role
    ));
    output.show(|| json!({"token": json::token(&token), "line": line}), || line.clone());
    Ok(())
}

/// By the beginning of an id, as everywhere.
async fn revoke(id: &str, coordinator: &Coordinator, output: Output) -> Result<()> {
    let tokens = list(coordinator).await?;
    let meant: Vec<&v1::Token> = tokens.iter().filter(|token| token.id.starts_with(id)).collect();
    let id = match meant[..] {
        [] => id.to_owned(),
        [token] => token.id.clone(),
        [..] => {
            return Err(
                CliError::refused(format!("`{id}` is the beginning of several tokens")).hint("write more of it")
            );
        }
    };
    let answer = coordinator.access().revoke_token(traced(v1::RevokeTokenRequest { id })).await;
    let gone = coordinator.answer(answer, Subject::Nothing)?;
    output.show(|| json::token(&gone), || format!("token {} opens nothing any more\n", short_id(&gone.id)));
    Ok(())
}
