//! Scripts judged over real HTTP by a played Open Cloud, which has limits, is busy, slow and broken, and tells on who asks.

mod played {
    pub(crate) mod cloud;
}

use played::cloud::{KEY, OpenCloud, Played, completed};
use serde_json::json;
use std::collections::BTreeMap;
use std::time::Duration;
use vertigo::server_key::ServerKey;
use vertigo_evaluation::roblox::{Outcome, Verdict};
use vertigo_roblox::board::Rhythm;
use vertigo_roblox::cloud::Cloud;
use vertigo_roblox::judging::{JudgingError, Manner, News, Work, judge};
use vertigo_roblox::ledger::Ledger;
use vertigo_roblox::pace::Limit;

/// So quick that a test waits for nothing.
const QUICK: Manner<'static> = Manner {
    sends: &[Limit { most: 50, span_ms: 60_000, span: "in a minute" }],
    rhythm: Rhythm {
        look_every_ms: 5,
        give_up_ms: 300,
        under_way_max: 3,
        looks: Limit { most: 1000, span_ms: 1000, span: "in a second" },
    },
    pause: Duration::from_millis(5),
    later: Duration::from_millis(20),
};

fn work(names: &[&str]) -> Vec<Work> {
    let work = |name: &&str| Work {
        of: format!("of-{name}"),
        name: (*name).to_owned(),
        script: format!("return {{}} -- {name}"),
        job: None,
    };
    names.iter().map(work).collect()
}

struct Judged {
    verdicts: BTreeMap<usize, Verdict>,
    jobs: BTreeMap<usize, (String, u64)>,
    waits: usize,
    ended: Result<(), JudgingError<&'static str>>,
}

/// Has work judged; after `deaths` news whoever keeps them fails, as a process that is killed.
async fn judged(played: &Played, ledger: &Ledger, manner: Manner<'_>, work: &[Work], deaths: usize) -> Judged {
    let cloud = Cloud::new(&played.url, ServerKey::new(KEY)).unwrap();
    let (mut verdicts, mut jobs, mut waits, mut left) = (BTreeMap::new(), BTreeMap::new(), 0, deaths);
    let mut hear = |news: News| {
        if let News::Goes(_, _, wait) = &news {
            waits += usize::from(wait.is_some());
            return Ok(());
        }
        if left == 0 {
            return Err("killed");
        }
        left -= 1;
        match news {
            News::Job(n, job, at) => drop(jobs.insert(n, (job, at))),
            News::Verdict(n, verdict) => {
                assert!(verdicts.insert(n, verdict).is_none(), "a verdict is told once");
            }
            News::Goes(..) => {}
        }
        Ok(())
    };
    let ended = judge(&cloud, ledger, manner, work, &mut hear).await;
    Judged { verdicts, jobs, waits, ended }
}

fn outcomes(judged: &Judged) -> Vec<Outcome> {
    judged.verdicts.values().map(|verdict| verdict.outcome).collect()
}

#[tokio::test]
async fn scripts_are_sent_in_reference_mode_and_their_records_are_verdicts() {
    let dir = tempfile::tempdir().unwrap();
    let ledger = Ledger::open(dir.path(), "k").unwrap();
    let played = OpenCloud::default()
        .record(|script, looks| match looks {
            0 => json!({"record": {"jobStatus": "QUEUED"}}),
            1 => json!({"jobStatus": "PENDING"}),
            _ if script.contains("good") => completed(true, 0),
            _ if script.contains("bad") => completed(false, 2),
            _ => json!({"record": {"jobStatus": "FAILED"}}),
        })
        .serve()
        .await;
    let judged = judged(&played, &ledger, QUICK, &work(&["good", "bad", "odd", "good2"]), usize::MAX).await;
    judged.ended.as_ref().unwrap();
    assert_eq!(outcomes(&judged), [Outcome::Passed, Outcome::Failed, Outcome::NoVerdict, Outcome::Passed]);
    assert_eq!(judged.verdicts[&1].why, "2 of its checks failed");
    let sent = played.sent();
    assert_eq!(sent.len(), 4);
    for (name, body) in ["good", "bad", "odd", "good2"].iter().zip(&sent) {
        assert_eq!((&body["name"], &body["use_reference_mode"]), (&json!(name), &json!(true)));
        assert_eq!(body["input_script"], format!("return {{}} -- {name}"));
    }
    assert!(played.under_way_most() <= 3);
}

#[tokio::test]
async fn wherever_a_process_is_killed_no_job_is_paid_for_twice() {
    let names = ["a good", "b good", "c bad", "d good"];
    for deaths in 0..8 {
        let dir = tempfile::tempdir().unwrap();
        let ledger = || Ledger::open(dir.path(), "k").unwrap();
        let played = OpenCloud::default().record(|script, _| completed(script.contains("good"), 1)).serve().await;
        let first = judged(&played, &ledger(), QUICK, &work(&names), deaths).await;
        assert!(matches!(first.ended, Err(JudgingError::Hearer("killed"))), "{:?}", first.ended);
        // What was kept is known; what was lost with the process is in the ledger alone.
        let mut again = work(&names);
        first.jobs.iter().for_each(|(n, job)| again[*n].job = Some(job.clone()));
        let left: Vec<Work> = (0..4).filter(|n| !first.verdicts.contains_key(n)).map(|n| again[n].clone()).collect();
        let second = judged(&played, &ledger(), QUICK, &left, usize::MAX).await;
        second.ended.unwrap();
        assert_eq!(first.verdicts.len() + second.verdicts.len(), 4, "after {deaths}");
        assert_eq!(played.sent().len(), 4, "each was sent once, after {deaths}");
    }
}

#[tokio::test]
async fn the_limits_are_kept_and_said_and_outlive_a_process() {
    let dir = tempfile::tempdir().unwrap();
    let ledger = || Ledger::open(dir.path(), "k").unwrap();
    let limit = Limit { most: 2, span_ms: 400, span: "in a moment" };
    let manner = Manner { sends: &[limit], ..QUICK };
    let served = OpenCloud::default().limit(2, Duration::from_millis(350)).record(|_, _| completed(true, 0));
    let played = served.serve().await;
    let first = judged(&played, &ledger(), manner, &work(&["a", "b"]), usize::MAX).await;
    first.ended.unwrap();
    let second = judged(&played, &ledger(), manner, &work(&["c", "d", "e"]), usize::MAX).await;
    second.ended.as_ref().unwrap();
    assert_eq!(outcomes(&second), [Outcome::Passed; 3]);
    assert!(second.waits > 0, "whoever waits hears why");
    assert_eq!(played.refused(), 0, "the service never had to say that it is too much");
}

#[tokio::test]
async fn a_service_that_has_enough_is_left_alone_for_as_long_as_it_says() {
    let dir = tempfile::tempdir().unwrap();
    let ledger = Ledger::open(dir.path(), "k").unwrap();
    let served = OpenCloud::default().limit(1, Duration::from_millis(1500)).record(|_, looks| match looks {
        0 => json!({"status": 429}),
        _ => completed(true, 0),
    });
    let played = served.serve().await;
    let judged = judged(&played, &ledger, QUICK, &work(&["a", "b"]), usize::MAX).await;
    judged.ended.as_ref().unwrap();
    assert_eq!(outcomes(&judged), [Outcome::Passed; 2]);
    assert!((1..=2).contains(&played.refused()), "{} times in 1.5 s, at a second each", played.refused());
}

#[tokio::test]
async fn what_is_broken_costs_one_script_and_what_is_away_ends_the_work() {
    let dir = tempfile::tempdir().unwrap();
    let ledger = |name: &str| Ledger::open(dir.path(), name).unwrap();
    let huge = "x".repeat(40 << 20);
    let broken = [
        ((200, "<html>".to_owned()), "names no job"),
        ((200, json!({"job_id": "../../secrets"}).to_string()), "names no job"),
        ((200, json!({"job_id": null, "error": "no script"}).to_string()), "no script"),
        (
            (400, json!({"errors": [{"message": "InputScript too long"}]}).to_string()),
            "HTTP 400 Bad Request: InputScript",
        ),
        ((302, String::new()), "HTTP 302"),
        ((200, huge.clone()), "over 33554432 bytes"),
    ];
    for (n, (answer, said)) in broken.into_iter().enumerate() {
        let played = OpenCloud::default().answers([answer]).record(|_, _| completed(true, 0)).serve().await;
        let judged =
            judged(&played, &ledger(&format!("broken{n}")), QUICK, &work(&["broken", "whole"]), usize::MAX).await;
        judged.ended.as_ref().unwrap();
        assert_eq!(outcomes(&judged), [Outcome::NoVerdict, Outcome::Passed], "{said}: {:?}", judged.verdicts);
        assert!(judged.verdicts[&0].why.contains(said), "{}", judged.verdicts[&0].why);
    }
    // It comes back.
    let played = OpenCloud::default().answers([(503, String::new()), (500, String::new())]);
    let played = played.record(|_, _| completed(true, 0)).serve().await;
    let back = judged(&played, &ledger("back"), QUICK, &work(&["a"]), usize::MAX).await;
    assert_eq!(outcomes(&back), [Outcome::Passed]);
    // It does not.
    let played = OpenCloud::default().answers(vec![(503, "later".to_owned()); 9]).serve().await;
    let away = judged(&played, &ledger("away"), QUICK, &work(&["a"]), usize::MAX).await;
    assert!(matches!(&away.ended, Err(JudgingError::Away(problem)) if problem.contains("503")), "{:?}", away.ended);
    let mut nobody = played;
    nobody.url = "http://127.0.0.1:9/v1".to_owned();
    let away = judged(&nobody, &ledger("nobody"), QUICK, &work(&["a"]), usize::MAX).await;
    assert!(matches!(away.ended, Err(JudgingError::Away(_))), "{:?}", away.ended);
}

#[tokio::test]
async fn a_record_that_never_ends_or_is_none_is_given_up_and_says_what_it_was() {
    let dir = tempfile::tempdir().unwrap();
    let ledger = Ledger::open(dir.path(), "k").unwrap();
    let played = OpenCloud::default()
        .record(|script, _| match script {
            it if it.contains("slow") => json!({"jobStatus": "PENDING"}),
            it if it.contains("gone") => json!({"status": 404}),
            _ => json!({"jobStatus": "SLEEPING"}),
        })
        .serve()
        .await;
    let judged = judged(&played, &ledger, QUICK, &work(&["slow", "gone", "odd"]), usize::MAX).await;
    judged.ended.as_ref().unwrap();
    assert_eq!(outcomes(&judged), [Outcome::NoVerdict; 3]);
    for (n, said) in [(0, "still under way"), (1, "404"), (2, "SLEEPING")] {
        assert!(judged.verdicts[&n].why.contains(said), "{}", judged.verdicts[&n].why);
    }
}

#[tokio::test]
async fn the_key_is_in_a_header_and_nowhere_else() {
    let dir = tempfile::tempdir().unwrap();
    let ledger = Ledger::open(dir.path(), "k").unwrap();
    // A service that says the key back, in errors and in what it says of a program.
    let echo = format!("your key {KEY} is fine");
    let said = echo.clone();
    let played = OpenCloud::default().answers([(400, json!({"message": echo}).to_string()), (200, echo.clone())]);
    let played = played.record(move |_, _| {
        let result = json!({"fails": 1, "checks": 1, "warning": said, "error": said});
        json!({"jobStatus": "COMPLETED", "evalSucceeded": "False", "results": [{"mode": said, "result": result}]})
    });
    let played = played.serve().await;
    let told = judged(&played, &ledger, QUICK, &work(&["a", "b", "c"]), usize::MAX).await;
    told.ended.as_ref().unwrap();
    let text = format!("{:?} {:?}", told.verdicts, told.ended);
    assert!(text.contains("[the server's key]") && !text.contains(KEY), "{text}");
    assert!(played.sent().iter().all(|body| !body.to_string().contains(KEY)));
    for entry in std::fs::read_dir(dir.path()).unwrap() {
        assert!(!std::fs::read_to_string(entry.unwrap().path()).unwrap().contains(KEY));
    }
    // One that is not taken ends the work, and is not said either.
    let played = OpenCloud::default().answers([(401, format!("bad key {KEY}"))]).serve().await;
    let refused = judged(&played, &ledger, QUICK, &work(&["d"]), usize::MAX).await;
    let Err(JudgingError::Key(problem)) = &refused.ended else { panic!("{:?}", refused.ended) };
    assert!(problem.contains("401") && !problem.contains(KEY), "{problem}");
    let cloud = Cloud::new(&played.url, ServerKey::new(KEY)).unwrap();
    assert!(!format!("{cloud:?}").contains(KEY));
    for none in ["", "a\nb"] {
        let error = Cloud::new(&played.url, ServerKey::new(none)).unwrap_err();
        assert!(error.contains("no header"), "{error}");
    }
}
