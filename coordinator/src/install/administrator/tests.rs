use super::*;
use proptest::prelude::*;
use rustls::pki_types::CertificateDer;
use serde_json::json;
use std::cell::RefCell;
use std::fs;
use std::sync::LazyLock;
use vertigo::id::Millis;
use vertigo::secret::Secret;
use vertigo_access::anchor::Fingerprint;
use vertigo_testkit::waiting::DEADLINE;

fn token(role: Role, secret: u8) -> Token {
    Token {
        addresses: vec!["https://10.0.0.5:7420".parse().unwrap()],
        anchor: Fingerprint::of(&CertificateDer::from(vec![7])),
        secret: Secret::from([secret; 32]),
        role,
        ends: Millis(1_700_000_000_000),
    }
}

static OFFERED: LazyLock<Token> = LazyLock::new(|| token(Role::Admin, 1));

/// A context as `vertigo context list --json` shows it.
fn context(name: &str, role: &str, is_of_this: bool) -> Value {
    let anchor = if is_of_this { OFFERED.anchor } else { Fingerprint::of(&CertificateDer::from(vec![8])) };
    json!({"name": name, "principal": format!("{name}-me"), "role": role, "fingerprint": anchor.to_string()})
}

/// `vertigo`, played: a person's contexts and a coordinator's principals.
#[derive(Default)]
struct Played {
    contexts: RefCell<Vec<Value>>,
    /// Contexts that the coordinator lets in.
    working: RefCell<Vec<String>>,
    /// Names that are taken.
    principals: RefCell<Vec<String>>,
    asked: RefCell<Vec<String>>,
}

fn refused(said: &str) -> CallError {
    CallError::Said { command: "login".to_owned(), said: said.to_owned() }
}

impl Vertigo for Played {
    async fn ask(&self, words: &[&str], stdin: &str) -> Result<Value, CallError> {
        self.asked.borrow_mut().push(words.join(" "));
        let after = |option: &str| words.iter().skip_while(|word| **word != option).nth(1).copied();
        match words {
            ["context", "list"] => Ok(Value::Array(self.contexts.borrow().clone())),
            ["login", ..] => {
                assert_eq!(stdin.trim_end(), OFFERED.line());
                let name = after("--name").unwrap_or("admin").to_owned();
                if self.principals.borrow().contains(&name) {
                    return Err(refused("`admin` has joined already"));
                }
                let context_name = after("--as").unwrap_or("10.0.0.5").to_owned();
                let mut made = context(&context_name, "admin", true);
                made["principal"] = name.clone().into();
                self.principals.borrow_mut().push(name);
                self.contexts.borrow_mut().retain(|it| it["name"] != context_name);
                self.contexts.borrow_mut().push(made.clone());
                self.working.borrow_mut().push(context_name);
                Ok(made)
            }
            ["--context", name, "token", "list"] if self.working.borrow().iter().any(|it| it == name) => Ok(json!([])),
            ["--context", _, "token", "create", ..] => Ok(json!({"line": token(Role::Worker, 2).line()})),
            _ => Err(refused("it was revoked")),
        }
    }
}

fn another() -> PrincipalName {
    PrincipalName::of_certificate("ada-mini").unwrap()
}

async fn becomes(played: &Played) -> Administrator {
    administrator(played, &OFFERED, Some(&another())).await.unwrap()
}

#[tokio::test]
async fn whoever_installs_becomes_the_administrator_once() {
    let played = Played::default();
    let first = becomes(&played).await;
    let expected = ("10.0.0.5", "admin", false, false);
    assert_eq!((&first.context[..], &first.principal[..], first.was_before, first.is_another), expected);
    let again = becomes(&played).await;
    assert_eq!(again, Administrator { was_before: true, ..first });
    assert_eq!(*played.principals.borrow(), ["admin"]);
    // Secrets stand in no argument.
    let secret = OFFERED.line();
    assert!(played.asked.borrow().iter().all(|words| !words.contains(&secret[..]) && words.len() < 60));
}

#[tokio::test]
async fn contexts_of_others_and_of_other_roles_are_not_looked_at() {
    let played = Played::default();
    *played.contexts.borrow_mut() =
        vec![context("work", "admin", false), context("mine", "read", true), context("old", "worker", true)];
    *played.working.borrow_mut() = ["work", "mine", "old"].map(str::to_owned).to_vec();
    assert!(!becomes(&played).await.was_before);
    assert_eq!(*played.asked.borrow(), ["context list", "login"]);
}

#[tokio::test]
async fn a_context_that_opens_nothing_any_more_is_replaced_under_its_name_by_another_principal() {
    let played = Played::default();
    *played.contexts.borrow_mut() = vec![context("home", "admin", true)];
    *played.principals.borrow_mut() = vec!["admin".to_owned()];
    let it = becomes(&played).await;
    assert_eq!((&it.context[..], &it.principal[..], it.was_before, it.is_another), ("home", "ada-mini", false, true));
    assert_eq!(played.contexts.borrow().len(), 1);
    let text = said(&it, None);
    assert!(text.contains("vertigo revoke admin") && text.contains("ada-mini, in the context home"), "{text}");
    // Nobody is left to be: what was refused is said.
    let lost =
        Played { principals: RefCell::new(vec!["admin".to_owned(), "ada-mini".to_owned()]), ..Played::default() };
    let error = administrator(&lost, &OFFERED, Some(&another())).await.unwrap_err();
    assert!(error.to_string().contains("has joined already"), "{error}");
    assert!(administrator(&lost, &OFFERED, None).await.is_err());
}

#[tokio::test]
async fn the_line_for_the_next_mac_is_a_token_on_a_line_alone() {
    let played = Played::default();
    let it = becomes(&played).await;
    let line = worker_token(&played, &it).await.unwrap();
    assert_eq!(played.asked.borrow().last().unwrap(), "--context 10.0.0.5 token create --role worker");
    let text = said(&it, Some(&line));
    let tokens: Vec<&str> = text.lines().filter(|line| line.parse::<Token>().is_ok()).collect();
    assert_eq!(tokens, [&line[..]]);
    let join = text.lines().find(|line| line.contains("vertigo-worker join")).unwrap();
    assert!(join.ends_with(": sudo vertigo-worker join"), "{join}");
    let without = said(&it, None);
    assert!(without.contains("vertigo token create --role worker") && !without.contains("vertigo1."), "{without}");
    assert!(!format!("{it:?}").contains("vertigo1."));
}

#[test]
fn by_hand_it_is_two_commands_here_and_one_there() {
    let path = Path::new("/Library/Application Support/Vertigo/coordinator/access/admin-token");
    let expected = "next, here: sudo cat '/Library/Application Support/Vertigo/coordinator/access/admin-token' | vertigo login\n\
                    then, for each Mac that is to work: vertigo token create --role worker\nand there: sudo vertigo-worker join";
    assert_eq!(by_hand(path, true), expected);
    assert!(by_hand(Path::new("/s"), false).starts_with("next, here: cat /s |"));
}

#[tokio::test]
async fn the_token_of_before_the_start_is_waited_out() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("admin-token");
    let line = |token: Option<Token>| token.map(|token| token.line());
    assert!(offered(&path, None, Instant::now()).await.is_none());
    fs::write(&path, "vertigo1.cut").unwrap();
    assert!(offered(&path, None, Instant::now()).await.is_none());
    fs::write(&path, OFFERED.line()).unwrap();
    assert!(offered(&path, Some(&OFFERED), Instant::now()).await.is_none());
    assert_eq!(line(offered(&path, None, Instant::now()).await), Some(OFFERED.line()));
    let next = token(Role::Admin, 9);
    // Polled after the other, which has found the old one by then.
    let made = async { fs::write(&path, format!("{}\n", next.line())).unwrap() };
    let (found, ()) = tokio::join!(biased; offered(&path, Some(&OFFERED), Instant::now() + DEADLINE), made);
    assert_eq!(line(found), Some(next.line()));
}

proptest! {
    #[test]
    fn no_answer_of_another_program_breaks_it(text in any::<String>(), number in any::<i64>()) {
        let answers = [json!(text), json!(number), json!([{"name": text, "fingerprint": number}]), json!({"line": text})];
        for answer in answers {
            prop_assert_eq!(contexts_of(&answer, &OFFERED), []);
        }
    }
}
