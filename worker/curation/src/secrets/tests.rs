use super::*;
use crate::read::read;
use crate::row::Role;
use proptest::prelude::*;
use serde_json::json;

/// Secrets that were never anybody's, each put together here so that no scanner takes this file for a leak.
fn planted() -> Vec<(Kind, String)> {
    let long = |n: usize| "aB3dE5gH7jK9mN1pQ2sT4vW6xY8z".chars().cycle().take(n).collect::<String>();
    let upper = |n: usize| long(n).to_uppercase();
    vec![
        (
            Kind::PrivateKey,
            format!("-----BEGIN RSA PRIVATE KEY-----\n{}\n{}\n-----END RSA PRIVATE KEY-----", long(64), long(31)),
        ),
        (
            Kind::PrivateKey,
            format!("-----BEGIN PRIVATE KEY-----\\n{}\\n{}==\\n-----END PRIVATE KEY-----", long(64), long(3)),
        ),
        (
            Kind::RobloxCookie,
            format!("_|WARNING:-DO-NOT-SHARE-THIS.--Sharing-this-will-allow-someone-to-log-in-as-you.|_{}", upper(300)),
        ),
        (Kind::Webhook, format!("https://discord.com/api/webhooks/1234567890123456789/{}", long(68))),
        (Kind::Webhook, format!("https://hooks.slack.com/services/T{}/B{}/{}", upper(8), upper(8), long(24))),
        (Kind::RobloxKey, format!("{}ZXlKaGJHY2lP{}", long(48), long(400))),
        (Kind::Jwt, format!("eyJhbGciOiJIUzI1NiJ9.eyJ{}.{}", long(40), long(43))),
        (Kind::BotToken, format!("M{}.{}.{}", long(25), long(6), long(38))),
        (Kind::ApiKey, format!("sk-proj-{}", long(48))),
        (Kind::ApiKey, format!("ghp_{}", long(36))),
        (Kind::ApiKey, format!("github_pat_{}", long(60))),
        (Kind::ApiKey, format!("AKIA{}", upper(16))),
        (Kind::ApiKey, format!("AIza{}", long(35))),
        (Kind::ApiKey, format!("xoxb-{}", long(40))),
        (Kind::ApiKey, format!("hf_{}", long(34))),
        (Kind::Email, "jane.doe+x@mail.roblox-dev.co.uk".to_owned()),
    ]
}

fn kinds_in(text: &str) -> Vec<Kind> {
    let mut kinds = Vec::new();
    kinds::redact(&mut text.to_owned(), |kind| kinds.push(kind));
    kinds
}

#[test]
fn every_kind_is_found_and_nothing_of_it_is_left() {
    for (kind, secret) in planted() {
        for (before, after) in
            [("", ""), ("x = \"", "\"\n"), ("(", ")."), ("caf\u{e9} ", " \u{1f600}"), ("`", "`, and so")]
        {
            let text =
                redacted(&format!("{before}{secret}{after}")).unwrap_or_else(|| panic!("{before}{secret}{after}"));
            assert_eq!(text, format!("{before}{}{after}", kind.word()));
        }
    }
}

#[test]
fn what_gives_a_secret_away_stays_and_the_secret_goes() {
    let key = "q8Zt3LmX0vB7nK2wR5yP9dF4hJ6sC1aG";
    for (text, left) in [
        (format!("[\"x-api-key\"] = \"{key}\""), "[\"x-api-key\"] = \"<ROBLOX_KEY>\""),
        (format!("curl -H 'x-api-key: {key}'"), "curl -H 'x-api-key: <ROBLOX_KEY>'"),
        (format!("local API_KEY = \"{key}\""), "local API_KEY = \"<API_KEY>\""),
        (format!(".ROBLOSECURITY={}", key.repeat(4)), ".ROBLOSECURITY=<ROBLOX_COOKIE>"),
    ] {
        assert_eq!(redacted(&text).as_deref(), Some(left));
    }
}

#[test]
fn what_only_looks_like_a_secret_stays() {
    for text in [
        "git@github.com:roblox/creator-docs.git",
        "write to user@example.com or noreply@github.com",
        "icon@2x.png and sleitnick/knit@1.7.0",
        "@native function on@click",
        "sk-a-name-of-many-words-in-kebab-case",
        "task-scheduler-with-priorities-2-and-3",
        "local API_KEY = \"YOUR_API_KEY_HERE_1234567890\"",
        "headers = { [\"x-api-key\"] = config.apiKey }",
        "https://discord.com/api/webhooks/123/abc",
        "-----BEGIN PRIVATE KEY-----\n...\n-----END PRIVATE KEY-----",
        "password = \"correct-horse-battery-staple-99\"",
        "rbxassetid://12345678901234567890",
        "d41d8cd98f00b204e9800998ecf8427e",
    ] {
        assert_eq!(kinds_in(text), [], "{text}");
    }
}

fn row(body: Body) -> (Vec<Row>, Book) {
    let mut book = Book::default();
    let line = body.to_value().to_string();
    (read(vec![("a".to_owned(), line.as_bytes())], &mut book).unwrap(), book)
}

fn full_of(secret: &str) -> Body {
    let mut answer = Message::new(Role::Assistant, format!("take {secret}, or {secret}"));
    answer.thought = Some(secret.to_owned());
    let arguments = json!({"code": format!("f('{secret}')"), "more": [{"deep": secret}, 7]});
    let Value::Object(mut arguments) = arguments else { unreachable!() };
    arguments.insert(secret.to_owned(), json!(1));
    answer.calls = vec![crate::row::Call { id: None, name: "f".into(), arguments }];
    let mut result = Message::new(Role::Tool, secret);
    result.name = Some(secret.into());
    let tools = Some(vec![json!({"function": {"description": secret}})]);
    let last = Message::new(Role::Assistant, "done");
    Body::Chat { messages: vec![Message::new(Role::User, secret), answer, result, last], tools }
}

#[test]
fn a_row_is_looked_through_in_all_its_parts_and_its_detail_has_no_secret() {
    for (kind, secret) in planted() {
        let (rows, mut book) = row(full_of(&secret));
        let rows = apply(rows, Secrets::Redact, &mut book);
        let written = rows[0].body.to_value().to_string();
        let quoted = json!(secret).to_string();
        let inner = quoted.trim_matches('"');
        assert!(!written.contains(inner), "{written}");
        assert_eq!(written.matches(kind.word()).count(), 10, "{written}");
        let touched = &book.entries[0].touched;
        assert_eq!((touched.len(), touched[0].effect), (1, Effect::Repaired));
        let name = kind.as_str();
        assert_eq!(
            *touched[0].detail,
            format!("{name} in turn 1, 6 times {name} in turn 2, 2 times {name} in turn 3, {name} in its tools")[..]
        );
        let (rows, mut book) = row(full_of(&secret));
        let before = rows.clone();
        assert_eq!(apply(rows, Secrets::Note, &mut book), before);
        assert_eq!(book.entries[0].touched[0].effect, Effect::Noted);
        assert!(apply(before, Secrets::Drop, &mut book).is_empty());
        assert_eq!(book.entries[0].end().unwrap().rule, if kind == Kind::Email { PERSONAL_DATA } else { SECRET });
    }
}

#[test]
fn hostile_texts_take_no_time() {
    for part in [
        "a",
        "a@",
        "a.",
        "-----BEGIN PRIVATE KEY-----",
        "eyJa",
        "x-api-key ",
        "sk-",
        "/api/webhooks/",
        "_|WARNING:-DO-NOT-SHARE-THIS",
        "password=\"",
        "a@a.",
        "AKIA",
        "M.",
        "\\n",
    ] {
        let text = part.repeat(200_000 / part.len());
        let once = redacted(&text).unwrap_or(text);
        assert_eq!(redacted(&once), None, "{part}");
    }
}

proptest! {
    #[test]
    fn what_is_redacted_once_has_nothing_more_to_redact(
        parts in proptest::collection::vec((0usize..40, "[ -~]{0,6}|[a-zA-Z0-9@._=\"/+-]{0,30}|<|@|\n"), 0..6),
    ) {
        let planted = planted();
        let mut text = String::new();
        for (which, around) in parts {
            text.push_str(planted.get(which).map_or("", |(_, secret)| secret));
            text.push_str(&around);
        }
        let once = redacted(&text).unwrap_or(text);
        prop_assert_eq!(redacted(&once), None, "{}", once);
    }

    #[test]
    fn nothing_of_a_planted_secret_is_left(which in 0usize..16, before in "[ -~]{0,9}[ \"'(\n]", after in "([ \"')\n][ -~]{0,9})?") {
        let (_, secret) = &planted()[which];
        let text = redacted(&format!("{before}{secret}{after}")).unwrap();
        for start in 0..secret.len() - 12 {
            prop_assert!(!text.contains(&secret[start..start + 12]), "{}", text);
        }
    }
}
