use super::*;
use vertigo::id::Digest;

#[test]
fn no_refusal_of_an_upload_is_bad_input_or_ends_its_sending() {
    let statuses = (100..=599).filter(|status| !(200..300).contains(status));
    let refusals =
        statuses.map(|status| TransferError::NotTaken { digest: Digest::of(b""), status, message: "no".to_owned() });
    let codes = (1..=16).map(|code| TransferError::from(tonic::Status::new(code.into(), "no")));
    for error in refusals.chain(codes) {
        assert!(!error.is_local(), "{error} is waited out");
        assert!(matches!(not_sent(error), Halt::Failed { cure: Cure::Later, .. }));
    }
    let changed = TransferError::Damaged { path: "x".into(), expected: Digest::of(b"") };
    assert!(changed.is_local() && matches!(not_sent(changed), Halt::Failed { cure: Cure::Later, .. }));
}

#[test]
fn an_input_that_the_store_lacks_may_be_imported_again() {
    let error = TransferError::Missing { path: "model.safetensors".to_owned(), digest: Digest::of(b"") };
    let error = CacheError::Transfer { kinds: Kinds(&[Kind::Base]), digest: Digest::of(b"base"), error };
    let Halt::Failed { cure, message, .. } = error.halt() else { panic!("{error}") };
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
