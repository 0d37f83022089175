//! Random histories of tokens and joins, and what must hold after each step.

use super::*;
use proptest::prelude::*;
use std::collections::BTreeSet;
use vertigo::secret::Secret;

fn hash(n: u8) -> SecretHash {
    Secret::from([n; 32]).hash()
}

fn name(n: u8) -> PrincipalName {
    format!("p{n}").parse().unwrap()
}

fn new_token(role: Role, uses: u32) -> NewToken {
    let made_by = PrincipalName::local();
    NewToken { role, ttl: Duration::from_secs(60), uses, name: None, namespace: "default".to_owned(), made_by }
}

fn joiner(secret: u8, key: u8, called: u8, worker: Option<WorkerId>) -> Joiner {
    let worker = worker.map(|id| Installed { id, secret: hash(77) });
    let (name, otherwise) = (Some(name(called)), None);
    Joiner { secret: hash(secret), key: hash(key), name, otherwise, worker, certificate_ends: Millis(9) }
}

#[derive(Debug, Clone)]
enum Step {
    Create { role: Role, uses: u32 },
    Join { secret: u8, key: u8, called: u8, worker: bool },
    Revoke { called: u8 },
    RevokeToken { nth: usize },
    Pass { ms: u64 },
}

fn step() -> impl Strategy<Value = Step> {
    let role = prop::sample::select(Role::ALL.to_vec());
    prop_oneof![
        2 => (role, 1..4u32).prop_map(|(role, uses)| Step::Create { role, uses }),
        6 => (0..8u8, 0..12u8, 0..6u8, any::<bool>())
            .prop_map(|(secret, key, called, worker)| Step::Join { secret, key, called, worker }),
        1 => (0..6u8).prop_map(|called| Step::Revoke { called }),
        1 => (0..4usize).prop_map(|nth| Step::RevokeToken { nth }),
        1 => (0..40_000u64).prop_map(|ms| Step::Pass { ms }),
    ]
}

proptest! {
    #[test]
    fn what_it_promises_holds(steps in prop::collection::vec(step(), 1..80)) {
        let mut it = Registry::default();
        let mut now = Millis(1_000);
        let mut secrets = 0u8;
        let mut given: Vec<(u8, KeptToken)> = Vec::new();
        let mut joined: Vec<(u8, u8, PrincipalId)> = Vec::new();
        let mut revoked: BTreeSet<PrincipalId> = BTreeSet::new();
        let worker = WorkerId::new();
        for step in steps {
            match step {
                Step::Pass { ms } => now.0 += ms,
                Step::Create { role, uses } => {
                    // Secrets are random, so no two tokens have the same.
                    secrets += 1;
                    given.push((secrets, it.create_token(now, hash(secrets), new_token(role, uses)).unwrap()));
                }
                Step::RevokeToken { nth } => {
                    if let Some(token) = it.tokens(now).get(nth).cloned() {
                        it.revoke_token(now, token.id).unwrap();
                        given.retain(|(_, other)| other.id != token.id);
                        let before = it.clone();
                        prop_assert_eq!(it.revoke_token(now, token.id), Err(Denied::NoToken(token.id)));
                        prop_assert_eq!(&it, &before);
                    }
                }
                Step::Revoke { called } => {
                    if let Ok(gone) = it.revoke(now, &name(called)) {
                        revoked.insert(gone.id);
                        let came_with = joined.iter().find(|(_, _, id)| *id == gone.id).map(|(secret, ..)| *secret);
                        given.retain(|(secret, _)| Some(*secret) != came_with);
                    }
                }
                Step::Join { secret, key, called, worker: is_worker } => {
                    let before = it.clone();
                    let asks = joiner(secret, key, called, is_worker.then_some(worker));
                    let known = joined.iter().find(|(s, k, _)| (*s, *k) == (secret, key)).map(|(_, _, id)| *id);
                    match it.join(now, &asks) {
                        Err(_) => prop_assert_eq!(&it, &before),
                        Ok(Joined { principal, replaces }) => {
                            let (_, token) = given.iter().find(|(s, _)| *s == secret).expect("only what was given opens");
                            prop_assert!(now < token.ends);
                            prop_assert_eq!(principal.role, token.role);
                            match known {
                                Some(id) => prop_assert_eq!(principal.id, id),
                                None => {
                                    joined.push((secret, key, principal.id));
                                    let uses = joined.iter().filter(|(s, _, _)| *s == secret).count() as u32;
                                    let allowed = token.uses_left;
                                    prop_assert!(uses <= allowed, "{} uses of {}", uses, allowed);
                                }
                            }
                            prop_assert!(!revoked.contains(&principal.id));
                            revoked.extend(replaces);
                        }
                    }
                }
            }
            let live: Vec<Principal> = it.principals().into_iter().filter(|p| p.revoked.is_none()).collect();
            let names: BTreeSet<&PrincipalName> = live.iter().map(|p| &p.name).collect();
            prop_assert_eq!(names.len(), live.len());
            prop_assert!(live.iter().filter(|p| p.worker.is_some()).count() <= 1);
            prop_assert!(live.iter().all(|p| (p.role == Role::Worker) == p.worker.is_some()));
            for id in &revoked {
                prop_assert!(it.live(*id).is_err());
            }
            let text = serde_json::to_string(&it).unwrap();
            prop_assert_eq!(serde_json::from_str::<Registry>(&text).unwrap(), it.clone());
        }
    }
}

#[test]
fn every_token_that_cannot_be_used_is_refused_alike() {
    let now = Millis(1_000);
    let mut it = Registry::default();
    it.create_token(now, hash(1), new_token(Role::Submit, 1)).unwrap();
    let gone = it.create_token(now, hash(2), new_token(Role::Submit, 1)).unwrap();
    it.revoke_token(now, gone.id).unwrap();
    it.join(now, &joiner(1, 1, 1, None)).unwrap();
    for (secret, at) in [(1, now), (2, now), (3, now), (1, Millis(90_000))] {
        assert_eq!(it.join(at, &joiner(secret, 9, 9, None)), Err(Denied::Token));
    }
    assert!(it.tokens(now).is_empty());
}

#[test]
fn a_worker_that_lost_its_certificate_joins_again_and_nobody_else_takes_its_name() {
    let (now, worker) = (Millis(1_000), WorkerId::new());
    let mut it = Registry::default();
    it.create_token(now, hash(1), new_token(Role::Worker, 4)).unwrap();
    let first = it.join(now, &joiner(1, 1, 1, Some(worker))).unwrap().principal;
    let other = it.join(now, &joiner(1, 2, 1, Some(WorkerId::new())));
    assert_eq!(other, Err(Denied::NameTaken(name(1))));
    let again = it.join(now, &joiner(1, 3, 1, Some(worker))).unwrap();
    assert_eq!(again.replaces, Some(first.id));
    assert_eq!(it.live(first.id), Err(Denied::Revoked(name(1))));
    let renamed = it.join(now, &joiner(1, 4, 2, Some(worker))).unwrap();
    assert_eq!(renamed.replaces, Some(again.principal.id));
}

#[test]
fn nobody_joins_by_the_id_of_another_installation() {
    let (now, worker) = (Millis(1_000), WorkerId::new());
    let mut it = Registry::default();
    it.create_token(now, hash(1), new_token(Role::Worker, 4)).unwrap();
    let first = it.join(now, &joiner(1, 1, 1, Some(worker))).unwrap().principal;
    let posing = Installed { id: worker, secret: hash(78) };
    for called in [1, 2] {
        let asks = Joiner { worker: Some(posing), ..joiner(1, 2, called, None) };
        assert_eq!(it.join(now, &asks), Err(Denied::OtherInstallation));
    }
    assert!(it.live(first.id).is_ok());
    // Nor when it is revoked: its leases live on for a while, and it may come back.
    it.revoke(now, &first.name).unwrap();
    it.create_token(now, hash(2), new_token(Role::Worker, 4)).unwrap();
    for called in [1, 2] {
        let asks = Joiner { worker: Some(posing), ..joiner(2, 2, called, None) };
        assert_eq!(it.join(now, &asks), Err(Denied::OtherInstallation));
    }
    assert!(it.join(now, &joiner(2, 3, 1, Some(worker))).is_ok());
}

#[test]
fn a_person_does_not_take_anothers_name_until_that_is_revoked() {
    let now = Millis(1_000);
    let mut it = Registry::default();
    it.create_token(now, hash(1), new_token(Role::Submit, 3)).unwrap();
    it.create_token(now, hash(2), new_token(Role::Submit, 1)).unwrap();
    it.join(now, &joiner(1, 1, 1, None)).unwrap();
    assert_eq!(it.join(now, &joiner(1, 2, 1, None)), Err(Denied::NameTaken(name(1))));
    it.revoke(now, &name(1)).unwrap();
    // The token that it came with ended with it.
    assert_eq!(it.join(now, &joiner(1, 2, 1, None)), Err(Denied::Token));
    assert_eq!(it.tokens(now).len(), 1);
    assert!(it.join(now, &joiner(2, 2, 1, None)).is_ok());
    assert_eq!(it.revoke(now, &name(7)), Err(Denied::NoPrincipal(name(7))));
}

#[test]
fn what_is_typed_goes_before_what_the_token_says_and_that_before_the_machines_name() {
    let now = Millis(1_000);
    let mut it = Registry::default();
    let for_ada = NewToken { name: Some(name(7)), ..new_token(Role::Submit, 3) };
    it.create_token(now, hash(1), for_ada).unwrap();
    it.create_token(now, hash(2), new_token(Role::Submit, 2)).unwrap();
    let called = |it: &mut Registry, secret, key, typed: Option<u8>, otherwise: Option<u8>| {
        let asks = Joiner { name: typed.map(name), otherwise: otherwise.map(name), ..joiner(secret, key, 0, None) };
        it.join(now, &asks).map(|joined| joined.principal.name)
    };
    assert_eq!(called(&mut it, 1, 1, Some(5), Some(6)), Ok(name(5)));
    assert_eq!(called(&mut it, 1, 2, None, Some(6)), Ok(name(7)));
    assert_eq!(called(&mut it, 2, 3, None, Some(6)), Ok(name(6)));
    assert_eq!(called(&mut it, 2, 4, None, None), Err(Denied::NoName));
}

#[test]
fn tokens_have_bounds() {
    let now = Millis(1_000);
    let mut it = Registry::default();
    let with = |ttl, uses| NewToken { ttl: Duration::from_secs(ttl), ..new_token(Role::Read, uses) };
    assert_eq!(it.create_token(now, hash(1), with(1, 1)), Err(Denied::Ttl));
    assert_eq!(it.create_token(now, hash(1), with(31 * 86_400, 1)), Err(Denied::Ttl));
    assert_eq!(it.create_token(now, hash(1), with(60, 0)), Err(Denied::Uses));
    for _ in 0..TOKENS_MAX {
        it.create_token(now, hash(1), with(60, 1)).unwrap();
    }
    assert_eq!(it.create_token(now, hash(1), with(60, 1)), Err(Denied::Full(TOKENS_MAX, "tokens")));
    // Once they have ended there is room again.
    assert!(it.create_token(Millis(90_000), hash(1), with(60, 1)).is_ok());
}
