//! The first context of a coordinator that has been installed: whoever had it installed is its administrator, and gets what the next Mac
//! joins with.
//!
//! Promise: a context that works is kept, and nobody joins a second time for want of looking; a token for a worker is made only where a
//! terminal shows it to a person, and stands on its line alone.

use super::program::{CallError, Vertigo};
use serde_json::Value;
use std::fs::File;
use std::io::BufReader;
use std::path::Path;
use std::time::Duration;
use tokio::time::{Instant, sleep};
use vertigo::principal::{PrincipalName, Role};
use vertigo_access::token::Token;
use vertigo_daemon::plan::shell;

/// How long a daemon that runs may take until it can be joined.
pub(super) const OPENS_MAX: Duration = Duration::from_secs(30);

/// Between two looks at the token.
const PAUSE: Duration = Duration::from_millis(100);

/// Contexts of one coordinator that are tried whether they work.
const TRIED_MAX: usize = 4;

/// Who administers the coordinator from now on.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Administrator {
    /// What the person calls the coordinator.
    context: String,
    /// What the coordinator calls the person.
    principal: String,
    /// Whether it was so before.
    was_before: bool,
    /// Whether somebody else has the name that the first administrator gets.
    is_another: bool,
}

/// The token in a file; `None` where there is none, or no whole one yet.
pub(super) fn token_in(path: &Path) -> Option<Token> {
    Token::read(&mut BufReader::new(File::open(path).ok()?)).ok()
}

/// The token that the coordinator offers once it can be joined: it makes another at each start, when it listens. `before` is the one that
/// was there before the start.
pub(super) async fn offered(path: &Path, before: Option<&Token>, until: Instant) -> Option<Token> {
    loop {
        let token = token_in(path);
        let is_new = |token: &Token| before.is_none_or(|before| before.line() != token.line());
        if let Some(token) = token.filter(is_new) {
            return Some(token);
        }
        if Instant::now() >= until {
            return None;
        }
        sleep(PAUSE).await;
    }
}

/// Makes the person an administrator, unless they are one. `another` is what they are called where the first one has joined already.
pub(super) async fn administrator(
    vertigo: &impl Vertigo,
    token: &Token,
    another: Option<&PrincipalName>,
) -> Result<Administrator, CallError> {
    let contexts = vertigo.ask(&["context", "list"], "").await?;
    let mine = contexts_of(&contexts, token);
    for (context, principal) in mine.iter().take(TRIED_MAX) {
        if vertigo.ask(&["--context", context, "token", "list"], "").await.is_ok() {
            return Ok(Administrator {
                context: context.clone(),
                principal: principal.clone(),
                was_before: true,
                is_another: false,
            });
        }
    }
    // One that opens nothing any more is replaced.
    let replaced = mine.first().map(|(context, _)| context.as_str());
    let first = login(vertigo, token, None, replaced).await;
    let (answer, is_another) = match (first, another) {
        (Ok(answer), _) => (answer, false),
        // As a rule somebody has joined as the first administrator. What else it was, the second try says.
        (Err(CallError::Said { .. }), Some(name)) => (login(vertigo, token, Some(name), replaced).await?, true),
        (Err(error), _) => return Err(error),
    };
    let text = |key: &str| answer[key].as_str().map(str::to_owned);
    let named = text("name").zip(text("principal"));
    let (context, principal) = named.ok_or_else(|| CallError::Answer { command: "login".to_owned() })?;
    Ok(Administrator { context, principal, was_before: false, is_another })
}

/// The contexts of the coordinator that made the token in which a person administers it, with the person's name there.
fn contexts_of(contexts: &Value, token: &Token) -> Vec<(String, String)> {
    let (anchor, role) = (token.anchor.to_string(), Role::Admin.to_string());
    let is_mine = |it: &&Value| it["fingerprint"] == anchor && it["role"] == role;
    let named = |it: &Value| Some((it["name"].as_str()?.to_owned(), it["principal"].as_str()?.to_owned()));
    contexts.as_array().into_iter().flatten().filter(is_mine).filter_map(named).collect()
}

async fn login(
    vertigo: &impl Vertigo,
    token: &Token,
    name: Option<&PrincipalName>,
    context: Option<&str>,
) -> Result<Value, CallError> {
    let name = name.map(ToString::to_string);
    let named = name.iter().flat_map(|name| ["--name", name]);
    let words: Vec<&str> =
        ["login"].into_iter().chain(named).chain(context.iter().flat_map(|it| ["--as", it])).collect();
    vertigo.ask(&words, &format!("{}\n", token.line())).await
}

/// The line with which one worker joins.
pub(super) async fn worker_token(vertigo: &impl Vertigo, it: &Administrator) -> Result<String, CallError> {
    let answer = vertigo.ask(&["--context", &it.context, "token", "create", "--role", "worker"], "").await?;
    // Read, so that what is printed as a token is one.
    let token = answer["line"].as_str().and_then(|line| line.parse::<Token>().ok());
    token.map(|token| token.line()).ok_or_else(|| CallError::Answer { command: "token create".to_owned() })
}

/// What the person is told. `token` is the line for the next Mac, where a terminal shows it.
pub(super) fn said(it: &Administrator, token: Option<&str>) -> String {
    let Administrator { context, principal, was_before, is_another } = it;
    let since = if *was_before { "as before" } else { "now" };
    let mut text = format!("you administer it {since}: {principal}, in the context {context}\n");
    if *is_another {
        let first = PrincipalName::administrator();
        text +=
            &format!("{first} joined before you; where nobody has that certificate any more: vertigo revoke {first}\n");
    }
    match token {
        Some(token) => {
            text += &format!(
                "next, on a Mac that is to work: sudo vertigo-worker join\n\
                 which asks for this line. It lets in one machine, within an hour:\n\n{token}\n\n\
                 for each further one: vertigo token create --role worker"
            );
        }
        None => text += &format!("next, {FURTHER}"),
    }
    text
}

/// What lets Macs in.
const FURTHER: &str = "for each Mac that is to work: vertigo token create --role worker\n\
                       and there: sudo vertigo-worker join";

/// What a person does where nothing of this was done. `is_roots`: the token is not theirs to read.
pub(super) fn by_hand(token: &Path, is_roots: bool) -> String {
    let sudo = if is_roots { "sudo " } else { "" };
    format!("next, here: {sudo}cat {} | vertigo login\nthen, {FURTHER}", shell(&[token.display().to_string()]))
}

#[cfg(test)]
mod tests;
