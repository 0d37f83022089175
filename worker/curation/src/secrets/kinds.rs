//! What a secret looks like, kind by kind.

use fancy_regex::Regex;
use std::ops::Range;
use std::sync::LazyLock;

/// What sort of thing was found.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Kind {
    /// A key in PEM.
    PrivateKey,
    /// What logs in to Roblox as somebody.
    RobloxCookie,
    /// What posts to somebody's channel.
    Webhook,
    /// A key of Roblox's Open Cloud.
    RobloxKey,
    /// A JSON web token.
    Jwt,
    /// What speaks as a bot of Discord.
    BotToken,
    /// A key of some service.
    ApiKey,
    /// An e-mail address.
    Email,
}

impl Kind {
    /// Its name, as a detail has it.
    pub fn as_str(self) -> &'static str {
        match self {
            Kind::PrivateKey => "private key",
            Kind::RobloxCookie => "Roblox cookie",
            Kind::Webhook => "webhook",
            Kind::RobloxKey => "Roblox key",
            Kind::Jwt => "web token",
            Kind::BotToken => "bot token",
            Kind::ApiKey => "API key",
            Kind::Email => "e-mail address",
        }
    }

    /// What stands where it stood. No pattern matches it, or any of it with what is beside it.
    pub fn word(self) -> &'static str {
        match self {
            Kind::PrivateKey => "<PRIVATE_KEY>",
            Kind::RobloxCookie => "<ROBLOX_COOKIE>",
            Kind::Webhook => "<WEBHOOK>",
            Kind::RobloxKey => "<ROBLOX_KEY>",
            Kind::Jwt => "<WEB_TOKEN>",
            Kind::BotToken => "<BOT_TOKEN>",
            Kind::ApiKey => "<API_KEY>",
            Kind::Email => "<EMAIL>",
        }
    }

    /// Whether it opens something, and is not only about somebody.
    pub fn is_secret(self) -> bool {
        self != Kind::Email
    }
}

/// A pattern of a kind. Where it has a group, that is the secret and all else is what gives it away.
struct Pattern {
    kind: Kind,
    regex: Regex,
    /// Texts without it have no match, and looking for it costs little.
    needle: &'static str,
    is_it: fn(&str) -> bool,
}

fn any(_: &str) -> bool {
    true
}

/// Names in the form of a key have no figures, or no letters.
fn is_mixed(text: &str) -> bool {
    text.bytes().any(|b| b.is_ascii_digit()) && text.bytes().any(|b| b.is_ascii_alphabetic())
}

/// What nobody would write by hand: letters and figures with little that comes again. `YOUR_API_KEY_HERE_1234` is a word for a key.
fn is_random(text: &str) -> bool {
    const BITS_MIN: f64 = 3.6;
    let mut counts = [0u32; 256];
    text.bytes().for_each(|b| counts[usize::from(b)] += 1);
    let all = text.len() as f64;
    let share = |count: &u32| f64::from(*count) / all;
    let bits: f64 = counts.iter().filter(|count| **count > 0).map(|count| -share(count) * share(count).log2()).sum();
    let words = text.split(['_', '-']).filter(|word| word.len() > 1 && word.bytes().all(|b| b.is_ascii_alphabetic()));
    is_mixed(text) && bits >= BITS_MIN && words.count() < 2
}

/// Beginnings of addresses behind which nobody is.
const NOBODY: [&str; 9] =
    ["git", "noreply", "no-reply", "donotreply", "do-not-reply", "example", "user", "username", "you"];
/// Ends of names that look like an address, such as `icon@2x.png`.
const FILES: [&str; 12] = ["png", "jpg", "jpeg", "gif", "svg", "webp", "lua", "luau", "json", "js", "ts", "rbxm"];
/// Domains that are kept for examples.
const EXAMPLES: [&str; 4] = ["example", "test", "invalid", "localhost"];

fn is_somebody(address: &str) -> bool {
    let address = address.to_ascii_lowercase();
    let Some((name, domain)) = address.split_once('@') else { return false };
    let mut labels = domain.rsplit('.');
    let (last, before) = (labels.next().unwrap_or_default(), labels.next().unwrap_or_default());
    let is_example = EXAMPLES.contains(&last) || (before == "example" && ["com", "org", "net"].contains(&last));
    !NOBODY.contains(&name) && !FILES.contains(&last) && !is_example
}

static PATTERNS: LazyLock<Vec<Pattern>> = LazyLock::new(|| {
    let pattern = |kind, needle, regex: &str, is_it| {
        // The patterns are below, and a test compiles them all.
        let regex = Regex::new(regex).expect("a pattern of our own compiles");
        Pattern { kind, regex, needle, is_it }
    };
    // What may stand between a key's lines: breaks are also written out, where it stands in code.
    let between = r"(?:\\[nrt]|[\s\x22',.+])*";
    let headers = r"(?:(?:\\[nrt]|\s)*[A-Za-z-]+: [^\n\\]*)*";
    let end = format!("{between}[A-Za-z0-9+/=]{{0,15}}{between}-----END [A-Z0-9 ]*PRIVATE KEY(?: BLOCK)?-----");
    let lines = format!("(?:{between}[A-Za-z0-9+/=]{{16,}})+");
    let pem = format!("-----BEGIN [A-Z0-9 ]*PRIVATE KEY(?: BLOCK)?-----{headers}{lines}(?:{end})?");
    let name = "(?:api_?-?key|secret_?-?key|client_?-?secret|auth_?-?token|access_?-?token|bot_?-?token|password)";
    let named = format!(r"(?i)\b{name}[\x22'\]\s]*[=:]\s*[\x22']([A-Za-z0-9+/=_\-]{{24,}})[\x22']");
    vec![
        pattern(Kind::PrivateKey, "PRIVATE KEY", &pem, any),
        pattern(
            Kind::RobloxCookie,
            "DO-NOT-SHARE-THIS",
            r"_?\|?WARNING:-DO-NOT-SHARE-THIS[A-Za-z0-9.,!\-]*(?:\|_?[A-Za-z0-9._\-]*)?",
            any,
        ),
        pattern(
            Kind::RobloxCookie,
            "ROBLOSECURITY",
            r"(?i)ROBLOSECURITY[\x22'\]\s]*[=:,]\s*[\x22']?([A-Za-z0-9_\-]{60,})",
            any,
        ),
        pattern(
            Kind::Webhook,
            "/webhooks/",
            r"(?:https?://)?[A-Za-z0-9.\-]+/api(?:/v[0-9]+)?/webhooks/[0-9]{15,21}/[A-Za-z0-9_\-]{50,}",
            any,
        ),
        pattern(
            Kind::Webhook,
            "hooks.slack.com",
            r"(?:https?://)?hooks\.slack\.com/services/T[A-Za-z0-9]+/B[A-Za-z0-9]+/[A-Za-z0-9]{16,}",
            any,
        ),
        // A token in base64 once more, behind a part that is random.
        pattern(Kind::RobloxKey, "ZXlKaGJHY2lP", r"[A-Za-z0-9+/]*ZXlKaGJHY2lP[A-Za-z0-9+/=_\-]{40,}", any),
        pattern(
            Kind::RobloxKey,
            "-api-key",
            r"(?i)x-api-key[\x22'\]\s]*[=:,]\s*[\x22']?([A-Za-z0-9+/=_\-]{24,})",
            is_random,
        ),
        pattern(Kind::Jwt, "eyJ", r"\beyJ[A-Za-z0-9_\-]{10,}\.eyJ[A-Za-z0-9_\-]{10,}\.[A-Za-z0-9_\-]*", any),
        pattern(Kind::BotToken, ".", r"\b[MNO][A-Za-z0-9_\-]{23,27}\.[A-Za-z0-9_\-]{6}\.[A-Za-z0-9_\-]{27,}", is_mixed),
        pattern(Kind::ApiKey, "sk-", r"\bsk-[A-Za-z0-9_\-]{20,}", is_mixed),
        pattern(Kind::ApiKey, "_", r"\b(?:gh[opusr]_[A-Za-z0-9]{30,}|github_pat_[A-Za-z0-9_]{40,})", any),
        pattern(
            Kind::ApiKey,
            "_",
            r"\b(?:[sr]k_live_[A-Za-z0-9]{16,}|hf_[A-Za-z0-9]{30,}|npm_[A-Za-z0-9]{36,})",
            is_mixed,
        ),
        pattern(Kind::ApiKey, "glpat-", r"\bglpat-[A-Za-z0-9_\-]{20,}", any),
        pattern(Kind::ApiKey, "A", r"\b(?:AKIA|ASIA)[A-Z0-9]{16}\b", is_mixed),
        pattern(Kind::ApiKey, "AIza", r"\bAIza[A-Za-z0-9_\-]{35,}", any),
        pattern(Kind::ApiKey, "xox", r"\bxox[abeoprs]-[A-Za-z0-9\-]{10,}", is_mixed),
        pattern(Kind::ApiKey, "", &named, is_random),
        pattern(Kind::Email, "@", r"[A-Za-z0-9._%+\-]+@[A-Za-z0-9\-]+(?:\.[A-Za-z0-9\-]+)*\.[A-Za-z]{2,}", is_somebody),
    ]
});

impl Pattern {
    /// Where the secrets are.
    fn places(&self, text: &str) -> Vec<Range<usize>> {
        if !text.contains(self.needle) && !self.needle.is_empty() {
            return Vec::new();
        }
        // None of the patterns looks around, so that none can run out of steps, which is all that could be an error.
        let matches = self.regex.captures_iter(text).map_while(Result::ok);
        let secrets = matches.filter_map(|captures| captures.get(1).or_else(|| captures.get(0)));
        secrets.filter(|secret| (self.is_it)(secret.as_str())).map(|secret| secret.range()).collect()
    }
}

/// Whether anything in `text` is secret.
pub(super) fn has_any(text: &str) -> bool {
    PATTERNS.iter().any(|pattern| !pattern.places(text).is_empty())
}

/// Writes words in the place of all that is secret, and tells of each.
pub(super) fn redact(text: &mut String, mut tell: impl FnMut(Kind)) {
    for pattern in PATTERNS.iter() {
        let places = pattern.places(text);
        if places.is_empty() {
            continue;
        }
        let (mut redacted, mut end) = (String::with_capacity(text.len()), 0);
        for place in places {
            tell(pattern.kind);
            redacted.push_str(&text[end..place.start]);
            redacted.push_str(pattern.kind.word());
            end = place.end;
        }
        redacted.push_str(&text[end..]);
        *text = redacted;
    }
}
