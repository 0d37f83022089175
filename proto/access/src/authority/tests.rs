//! Real handshakes in memory, between what is made here.

use super::*;
use crate::anchor::Fingerprint;
use crate::identity::{Granted, Identity, Request};
use crate::leaf::Leaf;
use crate::life::LEAF_LIFE;
use crate::tls::{Joining, Shown, client, server};
use rustls::pki_types::ServerName;
use rustls::{ClientConfig, ClientConnection, ServerConnection};
use std::sync::Arc;
use std::time::Duration;
use vertigo::principal::Role;

fn authority() -> Authority {
    Authority::make(Millis::now()).unwrap().0
}

fn life() -> Life {
    Life::from(Millis::now(), LEAF_LIFE)
}

fn served(authority: &Authority) -> Shown {
    Shown::new(authority.for_server(&["mac.local".to_owned(), "10.0.0.1".to_owned()], life()).unwrap())
}

/// Somebody's identity at a coordinator, for tests of what keeps them.
pub(crate) fn identity(coordinator: &str) -> Identity {
    let mut identity = identity_for(&authority(), PrincipalId::new(), life());
    identity.coordinator = coordinator.parse().unwrap();
    identity
}

fn name() -> PrincipalName {
    "mac-36gb".parse().unwrap()
}

fn identity_for(authority: &Authority, id: PrincipalId, life: Life) -> Identity {
    let request = Request::new().unwrap();
    let chain = authority.for_principal(&request.der, id, &name(), life).unwrap();
    let chain = chain.iter().map(|der| der.to_vec()).collect();
    let granted = Granted { chain, principal: name(), role: Role::Worker, life };
    Identity::new(&request, granted, "http://127.0.0.1:7420".parse().unwrap(), authority.anchor()).unwrap()
}

/// Shakes hands in memory: what the server saw of the client's certificate, or who refused and why.
fn shake(config: ClientConfig, to: &str, shown: &Shown, clients: &Anchor) -> Result<Option<Leaf>, String> {
    let name = ServerName::try_from(to.to_owned()).unwrap();
    let mut client = ClientConnection::new(Arc::new(config), name).unwrap();
    let mut server = ServerConnection::new(Arc::new(server(shown, clients).unwrap())).unwrap();
    let mut wire = Vec::new();
    for _ in 0..8 {
        while client.wants_write() {
            client.write_tls(&mut wire).unwrap();
        }
        server.read_tls(&mut &std::mem::take(&mut wire)[..]).unwrap();
        server.process_new_packets().map_err(|error| format!("the server: {error:?}"))?;
        while server.wants_write() {
            server.write_tls(&mut wire).unwrap();
        }
        client.read_tls(&mut &std::mem::take(&mut wire)[..]).unwrap();
        client.process_new_packets().map_err(|error| format!("the client: {error:?}"))?;
    }
    assert!(!client.is_handshaking() && !server.is_handshaking());
    assert_eq!(server.alpn_protocol(), Some(&b"h2"[..]));
    Ok(server.peer_certificates().and_then(|chain| Leaf::of(&chain[0])))
}

#[test]
fn a_machine_joins_by_the_fingerprint_and_is_known_by_its_certificate() {
    let (authority, id) = (authority(), PrincipalId::new());
    let (shown, anchor) = (served(&authority), authority.anchor());
    let joining = Joining::new(anchor.fingerprint());
    assert_eq!(shake(joining.config().unwrap(), "mac.local", &shown, &anchor), Ok(None));
    assert_eq!(joining.met(), Some(anchor.clone()));
    let identity = identity_for(&authority, id, life());
    let (config, _) = identity.tls().unwrap();
    for to in ["mac.local", "10.0.0.1"] {
        let leaf = shake((*config).clone(), to, &shown, &anchor).unwrap();
        assert_eq!(leaf, Some(Leaf { id, name: name() }));
    }
}

#[test]
fn another_coordinator_and_another_name_are_refused_by_the_client() {
    let (ours, theirs) = (authority(), authority());
    let anchor = ours.anchor();
    let refused = |config: ClientConfig, to: &str, shown: &Shown| shake(config, to, shown, &anchor).unwrap_err();
    let joining = Joining::new(anchor.fingerprint());
    assert!(refused(joining.config().unwrap(), "mac.local", &served(&theirs)).contains("UnknownIssuer"));
    assert!(refused(joining.config().unwrap(), "other.local", &served(&ours)).contains("NotValidForName"));
    assert_eq!(joining.met(), None);
    let (config, _) = identity_for(&ours, PrincipalId::new(), life()).tls().unwrap();
    assert!(refused((*config).clone(), "mac.local", &served(&theirs)).contains("client: InvalidCertificate"));
    assert!(refused((*config).clone(), "10.0.0.2", &served(&ours)).contains("NotValidForName"));
}

#[test]
fn a_client_of_another_authority_one_that_has_ended_and_a_servers_certificate_are_refused_by_the_server() {
    let (ours, theirs) = (authority(), authority());
    let shown = served(&ours);
    let refused = |held: Held| {
        let config = client(&Shown::new(held), &ours.anchor()).unwrap();
        shake(config, "mac.local", &shown, &ours.anchor()).unwrap_err()
    };
    let stranger = identity_for(&theirs, PrincipalId::new(), life());
    assert!(refused(stranger.held().unwrap()).contains("the server: InvalidCertificate"));
    let ended = Life { made: Millis(0), ends: Millis(Millis::now().0 - 1_000) };
    let late = identity_for(&ours, PrincipalId::new(), ended);
    assert!(refused(late.held().unwrap()).contains("Expired"));
    let as_server = ours.for_server(&["mac.local".to_owned()], life()).unwrap();
    assert!(refused(as_server).contains("InvalidPurpose"));
    // And a principal's certificate is no server's.
    let posing = Shown::new(identity_for(&ours, PrincipalId::new(), life()).held().unwrap());
    let (config, _) = identity_for(&ours, PrincipalId::new(), life()).tls().unwrap();
    assert!(shake((*config).clone(), "mac.local", &posing, &ours.anchor()).unwrap_err().contains("client: Inv"));
}

#[test]
fn clocks_may_be_a_day_apart() {
    let authority = authority();
    let ahead = Life::from(Millis(Millis::now().0 + 23 * 3_600_000), LEAF_LIFE);
    let identity = identity_for(&authority, PrincipalId::new(), ahead);
    let (config, _) = identity.tls().unwrap();
    assert!(shake((*config).clone(), "mac.local", &served(&authority), &authority.anchor()).is_ok());
}

#[test]
fn a_replaced_certificate_is_shown_from_the_next_handshake_on() {
    let authority = authority();
    let (shown, anchor) = (served(&authority), authority.anchor());
    let (first, second) = (PrincipalId::new(), PrincipalId::new());
    let (config, certificate) = identity_for(&authority, first, life()).tls().unwrap();
    let seen = || shake((*config).clone(), "mac.local", &shown, &anchor).unwrap().unwrap().id;
    assert_eq!(seen(), first);
    certificate.replace(identity_for(&authority, second, life()).held().unwrap());
    assert_eq!(seen(), second);
}

#[test]
fn an_authority_is_made_once_and_kept_to_itself() {
    use std::os::unix::fs::PermissionsExt;
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("authority.pem");
    let first = Authority::open(&path, Millis::now()).unwrap();
    let again = Authority::open(&path, Millis::now()).unwrap();
    assert_eq!(first.anchor(), again.anchor());
    assert_eq!(std::fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600);
    // What the one that was read signs leads to the first.
    let (config, _) = identity_for(&again, PrincipalId::new(), life()).tls().unwrap();
    assert!(shake((*config).clone(), "mac.local", &served(&first), &first.anchor()).is_ok());
    let text = std::fs::read_to_string(&path).unwrap();
    let key: String = text.lines().skip(1).take_while(|line| !line.starts_with('-')).collect();
    assert!(key.len() > 100 && !format!("{again:?}").contains(&key[..40]));
    for damaged in ["", "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n", &text[..text.len() / 2]] {
        std::fs::write(&path, damaged).unwrap();
        let error = Authority::open(&path, Millis::now()).unwrap_err().to_string();
        assert!(error.contains("authority.pem") && error.contains("backup"), "{error}");
        assert_eq!(std::fs::read_to_string(&path).unwrap(), damaged);
    }
}

#[test]
fn of_a_request_only_the_key_is_taken() {
    let (authority, id) = (authority(), PrincipalId::new());
    let key = KeyPair::generate().unwrap();
    let mut asks = CertificateParams::new(vec!["mac.local".to_owned()]).unwrap();
    asks.distinguished_name.push(DnType::CommonName, "admin");
    asks.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    asks.extended_key_usages = vec![ExtendedKeyUsagePurpose::ServerAuth];
    let request = asks.serialize_request(&key).unwrap();
    let chain = authority.for_principal(request.der(), id, &name(), life()).unwrap();
    assert_eq!(Leaf::of(&chain[0]), Some(Leaf { id, name: name() }));
    let held = Held::new(chain, PrivateKeyDer::from(PrivatePkcs8KeyDer::from(key.serialize_der()))).unwrap();
    let (config, _) = identity_for(&authority, id, life()).tls().unwrap();
    let posing = shake((*config).clone(), "mac.local", &Shown::new(held), &authority.anchor()).unwrap_err();
    assert!(posing.contains("client: InvalidCertificate"), "{posing}");
    let mut forged = request.der().to_vec();
    *forged.last_mut().unwrap() ^= 1;
    for bad in [&forged[..], &[], &[0x30; 9_000]] {
        let refused = authority.for_principal(bad, id, &name(), life()).unwrap_err();
        assert!(matches!(refused, AuthorityError::Request));
    }
}

#[test]
fn an_identity_reads_back_and_damage_is_said_without_its_key() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("identity.json");
    assert!(Identity::read(&path).unwrap().is_none());
    let authority = authority();
    let identity = identity_for(&authority, PrincipalId::new(), life());
    identity.write(&path).unwrap();
    let back = Identity::read(&path).unwrap().unwrap();
    assert_eq!((&back.principal, back.role, back.life), (&identity.principal, identity.role, identity.life));
    assert_eq!(back.anchor, authority.anchor());
    let text = std::fs::read_to_string(&path).unwrap();
    let key = serde_json::from_str::<serde_json::Value>(&text).unwrap()["key"].as_str().unwrap().to_owned();
    // Another identity's key beside this certificate.
    let other = identity_for(&authority, PrincipalId::new(), life());
    other.write(&path).unwrap();
    let mixed: serde_json::Value = serde_json::from_slice(&std::fs::read(&path).unwrap()).unwrap();
    let mixed = mixed.to_string().replace(mixed["key"].as_str().unwrap(), &key);
    for damaged in [mixed, text[..200].to_owned(), text.replace("\"format\": 1", "\"format\": 2")] {
        std::fs::write(&path, &damaged).unwrap();
        let error = Identity::read(&path).unwrap_err().to_string();
        assert!(error.contains("identity.json") && !error.contains(&key[..20]), "{error}");
    }
}

#[test]
fn a_chain_without_its_issuer_leads_nowhere() {
    let authority = authority();
    let held = authority.for_server(&["mac.local".to_owned()], life()).unwrap();
    assert_eq!(held.anchor().fingerprint(), Fingerprint::of(&authority.certificate));
    let request = Request::new().unwrap();
    let mut chain = authority.for_principal(&request.der, PrincipalId::new(), &name(), life()).unwrap();
    chain.truncate(1);
    let granted = Granted {
        chain: chain.iter().map(|der| der.to_vec()).collect(),
        principal: name(),
        role: Role::Read,
        life: Life::from(Millis::now(), Duration::from_secs(60)),
    };
    let to = "http://127.0.0.1:7420".parse().unwrap();
    assert!(Identity::new(&request, granted, to, authority.anchor()).unwrap_err().to_string().contains("fingerprint"));
}
