use super::checkpoints::remove_older;
use super::*;
use crate::spool::Spool;
use vertigo::bounds::{MANIFEST_BYTES_MAX, REPORT_BYTES_MAX};
use vertigo::id::Digest;
use vertigo::id::Millis;

#[test]
fn no_refusal_of_an_upload_is_bad_input_or_ends_its_sending() {
    let statuses = (100..=599).filter(|status| !(200..300).contains(status));
    let refusals =
        statuses.map(|status| TransferError::NotTaken { digest: Digest::of(b""), status, message: "no".to_owned() });
    let codes = (1..=16).map(|code| TransferError::from(tonic::Status::new(code.into(), "no")));
    for error in refusals.chain(codes) {
        assert!(!error.is_local(), "{error} is waited out");
        assert!(matches!(not_sent(error), Halt::Failed { failure: Failure { cure: Cure::Later, .. }, .. }));
    }
    let changed = TransferError::Damaged { path: "x".into(), expected: Digest::of(b"") };
    assert!(
        changed.is_local()
            && matches!(not_sent(changed), Halt::Failed { failure: Failure { cure: Cure::Later, .. }, .. })
    );
}

/// More files make no shorter manifests the next time: the job is not run again for nothing.
#[test]
fn what_is_too_long_to_be_told_fails_for_good_before_anything_is_sent() {
    let error = TransferError::TooLarge { files: 300_000, bytes: MANIFEST_BYTES_MAX + 1 };
    assert!(matches!(not_sent(error), Halt::Failed { failure: Failure { cure: Cure::Never, .. }, .. }));
    let made = |bytes: usize| Made { role: "adapter".to_owned(), manifest_json: "x".repeat(bytes) };
    let ends = |made: Vec<Made>| {
        let outputs = Outputs { made, remark: String::new() };
        check_length(&Finished { peak_bytes: u64::MAX, outcome: Some(finished::Outcome::Outputs(outputs)) })
    };
    assert!(ends(vec![made(MANIFEST_BYTES_MAX)]).is_ok(), "one as long as there may be");
    let half = MANIFEST_BYTES_MAX / 2 + (64 << 10);
    let Err(Halt::Failed { failure: Failure { cure, message, .. }, .. }) = ends(vec![made(half), made(half)]) else {
        panic!("two that are too long")
    };
    assert!(cure == Cure::Never && message.contains("31.1 MiB"), "{message}");
}

/// Whatever ends pass the check can be written down, and so be sent.
#[test]
fn an_end_that_is_not_too_long_is_a_report_that_is_not_too_long() {
    let (dir, report) = (tempfile::tempdir().unwrap(), |bytes: usize| {
        let outputs = Outputs { made: Vec::new(), remark: "x".repeat(bytes) };
        Finished { peak_bytes: u64::MAX, outcome: Some(finished::Outcome::Outputs(outputs)) }
    });
    let longest = (0..200).map(|less| report(REPORT_BYTES_MAX - less)).find(|it| check_length(it).is_ok()).unwrap();
    let mut spool = Spool::open(&dir.path().join("reports")).unwrap();
    spool.append(Millis(u64::MAX), Body::Finished(longest)).unwrap();
}

#[test]
fn an_input_that_the_store_lacks_may_be_imported_again() {
    let error = TransferError::Missing { path: "model.safetensors".to_owned(), digest: Digest::of(b"") };
    let error = CacheError::Transfer { kinds: Kinds(&[Kind::Base]), digest: Digest::of(b"base"), error };
    let Halt::Failed { failure: Failure { cure, message, .. }, .. } = error.halt() else { panic!("{error}") };
    assert_eq!(cure, Cure::Later);
    for word in ["base", &Digest::of(b"base").short(), "model.safetensors", &Digest::of(b"").to_string(), "import"] {
        assert!(message.contains(word), "`{word}` is missing in: {message}");
    }
}

#[test]
fn older_checkpoints_go_and_unfinished_ones_stay() {
    let dir = tempfile::tempdir().unwrap();
    for name in ["00000010", "00000020", "00000030", ".00000040.partial"] {
        fs::create_dir(dir.path().join(name)).unwrap();
    }
    let path = |name: &str| dir.path().join(name);
    remove_older(&path("00000020"), &path("00000020")).unwrap();
    let mut left: Vec<_> = fs::read_dir(dir.path()).unwrap().map(|entry| entry.unwrap().file_name()).collect();
    left.sort();
    assert_eq!(left, [".00000040.partial", "00000020", "00000030"]);
    fs::create_dir(path("00000040")).unwrap();
    remove_older(&path("00000040"), &path("00000020")).unwrap();
    assert!(path("00000020").exists() && !path("00000030").exists(), "the one on its way stays");
}
