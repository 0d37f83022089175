use super::*;
use std::time::Duration;
use tempfile::TempDir;
use vertigo::id::PrincipalId;
use vertigo::principal::Role;
use vertigo_access::authority::Authority;
use vertigo_access::identity::{Granted, Request};
use vertigo_access::life::Life;

fn name(text: &str) -> ContextName {
    text.parse().unwrap()
}

fn url(text: &str) -> Endpoint {
    text.parse().unwrap()
}

/// Contexts `home` and `work`, of which `work` is in use.
fn contexts(dir: &TempDir) -> Contexts {
    let authority = Authority::open(&dir.path().join("authority.pem"), Millis::now()).unwrap();
    let contexts = Contexts::at(dir.path().join("contexts"));
    for (context, at) in [("home", "https://10.0.0.5:7420"), ("work", "https://10.0.0.6:7420")] {
        let request = Request::new().unwrap();
        let life = Life::from(Millis::now(), Duration::from_secs(60));
        let principal = "ada".parse().unwrap();
        let chain = authority.for_principal(&request.der, PrincipalId::new(), &principal, life).unwrap();
        let chain = chain.iter().map(|der| der.to_vec()).collect();
        let granted = Granted { chain, principal, role: Role::Submit, life };
        contexts.keep(&name(context), &Identity::new(&request, granted, url(at), authority.anchor()).unwrap()).unwrap();
    }
    contexts.choose(&name("work")).unwrap();
    contexts
}

#[test]
fn an_address_or_a_name_or_what_is_in_use_says_which() {
    let dir = tempfile::tempdir().unwrap();
    let contexts = contexts(&dir);
    let meant = |endpoint: Option<&str>, context: Option<&str>| {
        let chosen = choose(endpoint.map(url).as_ref(), context.map(name).as_ref(), &contexts).unwrap();
        (chosen.access.endpoint().to_string(), chosen.who.map(|(name, _)| name.to_string()))
    };
    let with = |at: &str, who: &str| (at.to_owned(), Some(who.to_owned()));
    assert_eq!(meant(None, None), with("https://10.0.0.6:7420", "work"));
    assert_eq!(meant(None, Some("home")), with("https://10.0.0.5:7420", "home"));
    assert_eq!(meant(Some("https://10.0.0.5:7420"), None), with("https://10.0.0.5:7420", "home"));
    // The same coordinator by another of its names.
    assert_eq!(meant(Some("https://mini.local:7420"), Some("home")), with("https://mini.local:7420", "home"));
    let plain = "http://127.0.0.1:7421";
    assert_eq!(meant(Some(plain), None), (plain.to_owned(), None));
    assert_eq!(meant(Some(plain), Some("home")), (plain.to_owned(), None));
}

#[test]
fn without_any_it_is_this_machines_and_what_is_not_there_is_said() {
    let dir = tempfile::tempdir().unwrap();
    let none = Contexts::at(dir.path().join("none"));
    assert_eq!(*choose(None, None, &none).unwrap().access.endpoint(), Endpoint::default());
    let unknown = choose(None, Some(&name("x")), &none).unwrap_err().to_string();
    assert!(unknown.contains("`x`") && unknown.contains("vertigo login"), "{unknown}");
    let stranger = choose(Some(&url("https://10.0.0.9:1")), None, &none).unwrap_err().to_string();
    assert!(stranger.contains("vertigo login"), "{stranger}");
}
