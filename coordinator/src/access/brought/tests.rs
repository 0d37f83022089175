use super::*;
use proptest::prelude::*;
use vertigo_testkit::authority::{Authority, Leaf};

const MINUTE_MS: u64 = 60_000;

/// What a look may find: one of a few contents, each of which always is what it is.
fn found(content: u8, begun: u64) -> (Print, Result<Life, String>) {
    let life = Life { made: Millis(begun), ends: Millis(begun + u64::from(content) * 10 * DAY_MS) };
    ([content; 32], if content.is_multiple_of(2) { Ok(life) } else { Err(format!("problem {content}")) })
}

proptest! {
    #[test]
    fn the_last_good_one_is_in_use_and_what_is_wrong_is_said_once_where_it_stays(
        looks in prop::collection::vec((1u8..7, 1u64..3 * DAY_MS), 1..60)
    ) {
        let (mut now, mut in_use) = (1 << 40, 2u8);
        let mut watch = Watch::new([in_use; 32], found(in_use, now).1.unwrap());
        let (mut before, mut refused) = (None, None);
        for (content, ms) in looks {
            now += ms;
            let (print, life) = found(content, now);
            let Decision { takes, says } = watch.look(Millis(now), print, life.clone());
            prop_assert_eq!(takes, content.is_multiple_of(2) && content != in_use);
            if takes {
                in_use = content;
                prop_assert_eq!(says.first(), Some(&Said::Taken(life.clone().unwrap().ends)));
            }
            prop_assert_eq!(watch.in_use, [in_use; 32]);
            let is_said = says.iter().any(|said| matches!(said, Said::Refused(problem, _) if *problem == format!("problem {content}")));
            let is_wrong = !content.is_multiple_of(2);
            prop_assert_eq!(is_said, is_wrong && before == Some(content) && refused != Some(content));
            refused = if is_said { Some(content) } else if before == Some(content) { refused } else { None };
            before = Some(content);
        }
    }

    #[test]
    fn who_reads_the_log_hears_of_an_end_in_time_and_once_a_day(days in 1u64..400, every in 1u64..600) {
        let life = Life { made: Millis(0), ends: Millis(days * DAY_MS) };
        let mut watch = Watch::new([0; 32], life);
        let (mut now, mut told) = (0, Vec::new());
        while now < life.ends.0 + 3 * DAY_MS {
            for said in watch.look(Millis(now), [0; 32], Ok(life)).says {
                prop_assert_eq!(&said, &if now < life.ends.0 { Said::EndsSoon(life.ends) } else { Said::Ended(life.ends) });
                told.push(now);
            }
            now += every * MINUTE_MS;
        }
        let first = life.ends.0 - (life.ends.0 / 5).min(30 * DAY_MS);
        prop_assert!((first..first + every * MINUTE_MS).contains(&told[0]), "{} {first}", told[0]);
        let close = told.windows(2).filter(|pair| pair[1] - pair[0] < DAY_MS).count();
        prop_assert!(close <= 1, "once more when it has ended: {told:?}");
        prop_assert!(told.iter().any(|at| (life.ends.0..life.ends.0 + every * MINUTE_MS).contains(at)));
    }
}

#[test]
fn files_that_are_no_pair_say_which_and_why() {
    let folder = tempfile::tempdir().unwrap();
    let at = |name: &str| folder.path().join(name);
    let files = Files { certificate: at("fullchain.pem"), key: at("privkey.pem") };
    let wrong = || Brought::read(files.clone()).unwrap_err().to_string();
    assert!(wrong().contains("fullchain.pem: No such file"), "{}", wrong());
    fs::write(&files.certificate, "hello").unwrap();
    fs::write(&files.key, "hello").unwrap();
    assert!(wrong().contains("fullchain.pem: there is nothing of that kind in it"), "{}", wrong());
    fs::write(&files.certificate, Authority::new().issue("coordinator").chain_pem).unwrap();
    assert!(wrong().contains("privkey.pem: there is nothing of that kind in it"), "{}", wrong());
    fs::write(&files.key, vec![b'x'; FILE_BYTES_MAX as usize + 1]).unwrap();
    assert!(wrong().contains("privkey.pem: it is too long"), "{}", wrong());
    fs::remove_file(&files.key).unwrap();
    fs::create_dir(&files.key).unwrap();
    assert!(wrong().contains("privkey.pem: it is no file"), "{}", wrong());
}

/// What is in use after a pair was written over a first one and looked at twice, and what the log was told.
fn after(first: &Leaf, second: (&str, &str)) -> (Option<Held>, Vec<Said>) {
    let folder = tempfile::tempdir().unwrap();
    let files = Files { certificate: folder.path().join("a"), key: folder.path().join("b") };
    fs::write(&files.certificate, &first.chain_pem).unwrap();
    fs::write(&files.key, &first.key_pem).unwrap();
    let brought = Brought::read(files.clone()).unwrap();
    // The machine calls itself by a name that the certificate has not.
    let mut follower = Follower::new(&brought, &["localhost".to_owned(), "mac.local".to_owned()]);
    assert!(matches!(follower.decide(Millis::now(), files.look()), (None, says) if says.is_empty()));
    fs::write(&files.certificate, second.0).unwrap();
    fs::write(&files.key, second.1).unwrap();
    let (taken, mut says) = follower.decide(Millis::now(), files.look());
    let (none, more) = follower.decide(Millis::now(), files.look());
    assert!(none.is_none());
    says.extend(more);
    (taken, says)
}

#[test]
fn a_pair_that_machines_would_not_take_is_refused_with_the_reason_and_the_one_before_stays() {
    let (authority, other) = (Authority::new(), Authority::new());
    let first = authority.issue("first");
    let good = authority.issue("second");
    let (taken, says) = after(&first, (&good.chain_pem, &good.key_pem));
    assert!(taken.is_some() && matches!(says[..], [Said::Taken(_)]), "{says:?}");
    let foreign = other.issue("foreign");
    let old = authority.issue_for_years("old", 1990, 2000);
    let early = authority.issue_for_years("early", 3000, 3001);
    let elsewhere = authority.issue_on("elsewhere", "other.example.com");
    let alone = good.chain_pem.split_inclusive("-----END CERTIFICATE-----").next().unwrap();
    let cases = [
        (&good.chain_pem[..], &first.key_pem[..], "keys"),
        (&foreign.chain_pem, &foreign.key_pem, "the issuer that the machines trust"),
        (&old.chain_pem, &old.key_pem, "expired"),
        (&early.chain_pem, &early.key_pem, "not valid yet"),
        (&elsewhere.chain_pem, &elsewhere.key_pem, "not valid for name"),
        (alone, &good.key_pem, "its issuer's certificate behind it"),
        (&good.chain_pem[..good.chain_pem.len() / 3], &good.key_pem, "not all of it"),
        ("", &good.key_pem, "nothing of that kind"),
    ];
    for (certificate, key, words) in cases {
        let (taken, says) = after(&first, (certificate, key));
        assert!(taken.is_none());
        let [Said::Refused(problem, until)] = &says[..] else { panic!("{words}: {says:?}") };
        assert!(problem.contains(words), "{words}: {problem}");
        assert_eq!(*until, first.held.life().unwrap().ends);
    }
}
