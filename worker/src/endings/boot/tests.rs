use super::*;
use proptest::prelude::*;

fn boot(id: &str) -> Boot {
    Boot { id: id.to_owned(), at_seconds: 5 }
}

fn panic(at: u64) -> Panic {
    Panic { at: Millis(at), words: format!("panic at {at}") }
}

#[test]
fn a_report_of_a_panic_is_read_as_macos_writes_it() {
    let report = "{\"bug_type\":\"210\",\"timestamp\":\"2025-11-28 02:15:00.00 +0000\",\"os_version\":\"macOS 26.1 (25B78)\"}\n{\n  \
                  \"build\" : \"macOS 26.1\",\n  \"panicString\" : \"panic(cpu 4 caller 0xfffffe0024c8d1b8): \\\"completeMemory() prepare \
                  count underflow\\\" @IOGPUMemory.cpp:550\\nDebugger message: panic\\n\",\n  \"panicFlags\" : \"0x902\"\n}\n";
    let words =
        "panic(cpu 4 caller 0xfffffe0024c8d1b8): \"completeMemory() prepare count underflow\" @IOGPUMemory.cpp:550";
    assert_eq!(panic_words(report), words);
    let plain = "*** Panic Report ***\npanic(cpu 0 caller 0x1): watchdog timeout: no checkins from watchdogd in 90 seconds\nBSD: x\n";
    assert_eq!(
        panic_words(plain),
        "panic(cpu 0 caller 0x1): watchdog timeout: no checkins from watchdogd in 90 seconds"
    );
    assert_eq!(panic_words("nothing of the kind"), "");
    let dir = tempfile::tempdir().unwrap();
    fs::write(dir.path().join("panic-full-2025-11-28-021500.0002.panic"), report).unwrap();
    fs::write(dir.path().join("JetsamEvent-2025-11-28-021500.ips"), report).unwrap();
    let found = panics(dir.path());
    assert_eq!(found.len(), 1);
    assert!(found[0].at > Millis(1_700_000_000_000) && found[0].words.starts_with("panic(cpu 4"), "{found:?}");
    assert_eq!(panics(&dir.path().join("absent")), []);
}

#[test]
fn a_machine_that_went_down_is_told_until_somebody_was_told_and_never_again() {
    let dir = tempfile::tempdir().unwrap();
    let file = || dir.path().join("boot.json");
    let attempt = AttemptId::new();
    let first = Boots::open_after(file(), &boot("one"), &[panic(1)], vec![attempt]);
    assert_eq!(first.untold(), [], "nobody knows what was before");
    // The worker alone was started again.
    assert_eq!(Boots::open_after(file(), &boot("one"), &[], vec![attempt]).untold(), []);
    let second = || Boots::open_after(file(), &boot("two"), &[panic(1), panic(u64::MAX)], vec![attempt]);
    let told = vec![v1::Reboot {
        boot: "one".to_owned(),
        at_ms: 5_000,
        panicked: true,
        panic: format!("panic at {}", u64::MAX),
        attempt_ids: vec![attempt.to_string()],
    }];
    assert_eq!(second().untold(), told);
    // It crashed before it was connected.
    let again = Boots::open_after(file(), &boot("two"), &[], Vec::new());
    assert_eq!(again.untold(), told);
    again.told();
    assert_eq!((again.untold(), second().untold()), (vec![], vec![]));
    let third = Boots::open_after(file(), &boot("three"), &[panic(1)], Vec::new());
    assert!(!third.untold()[0].panicked, "an old report is of an old panic");
}

#[test]
fn a_report_is_of_the_panic_before_the_start_under_which_it_was_written() {
    let boot = |id: &str, at_seconds| Boot { id: id.to_owned(), at_seconds };
    let first = Diary::default().turned(&boot("one", 100), Millis(101_000), &[], Vec::new());
    // The report of what ended the first came when the worker ran already, and was missed.
    let second = first.turned(&boot("two", 200), Millis(201_000), &[], Vec::new());
    let third = second.turned(&boot("three", 300), Millis(301_000), &[panic(202_000)], Vec::new());
    assert_eq!(third.untold.iter().map(|it| it.panic.is_some()).collect::<Vec<_>>(), [false, false]);
    let fourth = third.turned(&boot("four", 400), Millis(401_000), &[panic(202_000), panic(400_000)], Vec::new());
    assert_eq!(fourth.untold.last().unwrap().panic.as_deref(), Some("panic at 400000"));
}

#[test]
fn a_report_is_waited_for_where_something_was_cut_off_and_not_for_long() {
    let (boot, cut_off) = (boot("two"), [AttemptId::new()]);
    assert!(may_come_still(&boot, Millis(6_000), &[panic(1)], &cut_off));
    assert!(!may_come_still(&boot, Millis(6_000), &[], &[]), "it was restarted in order");
    assert!(!may_come_still(&boot, Millis(6_000), &[panic(5_500)], &cut_off), "it is there");
    assert!(!may_come_still(&boot, Millis(50_000), &[], &cut_off));
}

#[tokio::test]
async fn a_report_that_comes_late_is_found_and_one_that_never_comes_is_not_waited_for_without_end() {
    let dir = tempfile::tempdir().unwrap();
    let boot = Boot { id: "two".to_owned(), at_seconds: Millis::now().0 / 1000 };
    let (folders, cut_off) = ([dir.path()], [AttemptId::new()]);
    assert_eq!(reported(&boot, &folders, &cut_off, LOOK).await, []);
    let write = async {
        sleep(LOOK).await;
        let report = dir.path().join("panic-full-2025-11-28-021500.0002.panic");
        fs::write(report, "panic(cpu 0 caller 0x1): x\n").unwrap();
    };
    let (panics, ()) = tokio::join!(reported(&boot, &folders, &cut_off, REPORT_COMES), write);
    assert_eq!(panics.len(), 1);
    // Not a Mac: nothing writes there.
    assert_eq!(reported(&boot, &[&dir.path().join("absent")], &cut_off, REPORT_COMES).await, []);
}

proptest! {
    #[test]
    fn no_text_is_too_odd(text in "(?s).{0,300}") {
        prop_assert!(panic_words(&text).len() <= PANIC_BYTES_MAX);
        let nested = format!("\"panicString\" : \"{text}");
        prop_assert!(panic_words(&nested).len() <= PANIC_BYTES_MAX);
    }

    /// Each change of the start is told once, the newest of them if there are too many, and each names what it ended.
    #[test]
    fn every_start_after_another_is_told_once(starts in prop::collection::vec((0u8..4, any::<bool>()), 1..40)) {
        let (mut diary, mut expected, mut before) = (Diary::default(), Vec::<String>::new(), None::<u8>);
        for (id, is_told) in starts {
            diary = diary.turned(&boot(&id.to_string()), Millis(9_000), &[], Vec::new());
            expected.extend(before.filter(|before| *before != id).map(|before| before.to_string()));
            before = Some(id);
            if is_told {
                diary.untold.clear();
                expected.clear();
            }
            let newest = &expected[expected.len().saturating_sub(UNTOLD_MAX)..];
            prop_assert_eq!(diary.untold.iter().map(|it| it.ended.clone()).collect::<Vec<_>>(), newest);
        }
    }
}
