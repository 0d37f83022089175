//! Tokens, principals and contexts, for people.

use crate::render::output::{age, bold, duration, pairs, short_id, table};
use vertigo::v1;
use vertigo_access::contexts::ContextName;
use vertigo_access::identity::Identity;

/// Tokens that can be used.
pub(crate) fn render_tokens(tokens: &[v1::Token], now: u64) -> String {
    if tokens.is_empty() {
        return "no token can be used; `vertigo token create --role worker` makes one\n".to_owned();
    }
    let row = |token: &v1::Token| {
        [
            short_id(&token.id).to_owned(),
            token.role.clone(),
            token.name.clone(),
            duration(token.ends_ms.saturating_sub(now)),
            token.uses_left.to_string(),
            token.made_by.clone(),
        ]
    };
    table(["ID", "ROLE", "FOR", "ENDS IN", "USES", "MADE BY"], &[3, 4], tokens.iter().map(row).collect())
}

/// Everybody who has joined.
pub(crate) fn render_principals(principals: &[v1::Principal], now: u64) -> String {
    if principals.is_empty() {
        return "nobody has joined; `vertigo token create` makes a token to join with\n".to_owned();
    }
    let row = |it: &v1::Principal| {
        let certificate = match it.revoked_ms {
            0 if it.ends_ms <= now => "has ended".to_owned(),
            0 => format!("ends in {}", duration(it.ends_ms - now)),
            revoked => format!("revoked {} ago", age(now, revoked)),
        };
        [it.name.clone(), it.role.clone(), age(now, it.joined_ms), certificate]
    };
    table(["NAME", "ROLE", "JOINED", "CERTIFICATE"], &[2], principals.iter().map(row).collect())
}

/// Somebody who was revoked.
pub(crate) fn render_revoked(gone: &v1::Principal) -> String {
    format!("{} is revoked: its certificates open nothing any more, and its connections are closed\n", bold(&gone.name))
}

/// Who somebody is at a coordinator now.
pub(crate) fn render_login(context: &ContextName, identity: &Identity, now: u64) -> String {
    let rows = [
        ("coordinator", identity.coordinator.to_string()),
        ("you are", format!("{} ({})", identity.principal, identity.role)),
        (
            "certificate",
            format!("ends in {}, and is renewed by itself", duration(identity.life.ends.0.saturating_sub(now))),
        ),
        ("fingerprint", identity.anchor.fingerprint().to_string()),
        ("next", "vertigo workers".to_owned()),
    ];
    format!("logged in to {}\n{}", bold(&context.to_string()), pairs(rows))
}

/// The coordinators of this machine.
pub(crate) fn render_contexts(all: &[(ContextName, Identity)], current: Option<&ContextName>) -> String {
    if all.is_empty() {
        return "you have logged in nowhere; `vertigo login` takes a token\n".to_owned();
    }
    let row = |(name, identity): &(ContextName, Identity)| {
        let mark = if Some(name) == current { "*" } else { "" };
        [
            mark.to_owned(),
            name.to_string(),
            identity.coordinator.to_string(),
            identity.principal.to_string(),
            identity.role.to_string(),
        ]
    };
    table(["", "CONTEXT", "COORDINATOR", "YOU ARE", "ROLE"], &[], all.iter().map(row).collect())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::render::output::plain;

    #[test]
    fn a_principals_certificate_lives_has_ended_or_was_revoked() {
        let principal = |name: &str, ends_ms, revoked_ms| v1::Principal {
            name: name.to_owned(),
            role: "worker".to_owned(),
            joined_ms: 1_000,
            revoked_ms,
            ends_ms,
            ..Default::default()
        };
        let all = [principal("a", 90_000, 0), principal("b", 20_000, 0), principal("c", 90_000, 10_000)];
        let text = plain(&render_principals(&all, 30_000));
        let line = |name: &str| text.lines().find(|line| line.starts_with(name)).unwrap().to_owned();
        assert!(line("a").contains("ends in 1m"), "{text}");
        assert!(line("b").contains("has ended") && line("c").contains("revoked"), "{text}");
        assert!(plain(&render_principals(&[], 0)).contains("vertigo token create"));
    }

    #[test]
    fn a_token_shows_what_it_gives_and_no_secret() {
        let token = v1::Token {
            id: "0190163d-8694-739b-aea5-966c26f8ad90".to_owned(),
            role: "worker".to_owned(),
            ends_ms: 61_000,
            uses_left: 3,
            made_by: "ada".to_owned(),
            ..Default::default()
        };
        let text = plain(&render_tokens(&[token], 1_000));
        assert!(text.contains("0190163d-8694") && text.contains("1m") && text.contains("ada"), "{text}");
    }
}
