use super::*;
use serde_json::json;

#[tokio::test]
async fn a_folder_is_described_by_all_its_files() {
    let dir = tempfile::tempdir().unwrap();
    fs::create_dir(dir.path().join("sub")).unwrap();
    fs::write(dir.path().join("a.json"), "{}").unwrap();
    fs::write(dir.path().join("sub/b"), "").unwrap();
    let facts: BTreeMap<_, _> = [("examples".to_owned(), json!(3))].into();
    let manifest = describe(Kind::Dataset, dir.path(), facts.clone()).await.unwrap();
    let listed: Vec<_> = manifest.files().iter().map(|f| (f.path.as_str(), f.digest, f.bytes.0)).collect();
    assert_eq!(listed, [("a.json", Digest::of(b"{}"), 2), ("sub/b", Digest::of(b""), 0)]);

    let some = describe_files(Kind::Dataset, dir.path(), vec!["a.json".to_owned()], facts, &|_| {}).await.unwrap();
    assert_eq!(some.files().len(), 1);
    assert_ne!(some.digest(), manifest.digest());
}

#[tokio::test]
async fn links_are_followed_as_hugging_faces_cache_has_them_and_nowhere_else() {
    let dir = tempfile::tempdir().unwrap();
    let model = dir.path().join("models--org--name");
    let snapshot = model.join("snapshots/abcd");
    fs::create_dir_all(model.join("blobs")).unwrap();
    fs::create_dir_all(&snapshot).unwrap();
    fs::write(model.join("blobs/0123"), "weights").unwrap();
    std::os::unix::fs::symlink("../../blobs/0123", snapshot.join("model.safetensors")).unwrap();
    let manifest = describe(Kind::Base, &snapshot, BTreeMap::new()).await.unwrap();
    assert_eq!(manifest.file("model.safetensors").unwrap().digest, Digest::of(b"weights"));

    let refused = async |name: &str, target: &Path| {
        let folder = dir.path().join(format!("folder-{name}"));
        fs::create_dir(&folder).unwrap();
        std::os::unix::fs::symlink(target, folder.join(name)).unwrap();
        describe(Kind::Base, &folder, BTreeMap::new()).await.unwrap_err().to_string()
    };
    let error = refused("tokenizer.json", &model.join("blobs/0123")).await;
    assert!(error.contains("tokenizer.json: it is a link to ") && error.contains("outside"), "{error}");
    let error = refused("circle", Path::new(".")).await;
    assert!(error.contains("circle: it is a link to a folder"), "{error}");
}

#[tokio::test]
async fn a_file_that_is_not_there_is_named() {
    let dir = tempfile::tempdir().unwrap();
    let error = describe_files(Kind::Base, dir.path(), vec!["none".to_owned()], BTreeMap::new(), &|_| {}).await;
    let error = error.unwrap_err();
    assert!(error.to_string().contains("none: "), "{error}");
    assert!(!error.is_transient());
}

#[test]
fn what_may_pass_is_told_from_what_stays() {
    let refused = |status| TransferError::Refused { digest: Digest::of(b""), status, message: String::new() };
    assert!(refused(503).is_transient() && refused(409).is_transient());
    assert!(!refused(404).is_transient());
    assert!(TransferError::from(tonic::Status::unavailable("")).is_transient());
    assert!(!TransferError::from(tonic::Status::not_found("")).is_transient());
    let reset = io::Error::from(io::ErrorKind::ConnectionReset);
    let broken = tonic::Status::from_error(Box::new(reset));
    assert!(TransferError::from(broken).is_transient(), "a coordinator that was killed in the middle of a call");
    assert!(!TransferError::from(tonic::Status::internal("a bug")).is_transient());
}

#[test]
fn what_is_left_of_one_artifact_is_not_taken_for_another() {
    let of = |folder: &str, bytes: &[u8]| partial(Path::new(folder), &Digest::of(bytes));
    assert_ne!(of("a/adapter", b"1"), of("a/adapter", b"2"));
    assert_eq!(of("a/adapter", b"1"), of("a/adapter/", b"1"));
    let name = of("a/adapter", b"1").file_name().unwrap().to_string_lossy().into_owned();
    assert!(name.starts_with(".adapter.") && name.ends_with(".partial"), "{name}");
}
