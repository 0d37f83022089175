//! Files by digest over HTTP, and artifacts made of them.

use super::harness::{Coordinator, access, assert_status, manifest, told};
use reqwest::{Client, StatusCode};
use serde_json::json;
use tonic::Code;
use vertigo::bytes::Bytes;
use vertigo::id::Digest;
use vertigo::manifest::{FileEntry, Kind, Manifest};
use vertigo::v1;
use vertigo_client::Transfer;

fn offset(response: &reqwest::Response) -> &str {
    response.headers().get("upload-offset").unwrap().to_str().unwrap()
}

#[tokio::test]
async fn an_upload_goes_on_where_it_was_even_after_a_restart_and_is_never_half_visible() {
    let mut coordinator = Coordinator::start().await;
    let (client, digest) = (Client::new(), Digest::of(b"hello world"));
    let part = |from: &Coordinator, range: &str, body: &'static str| {
        client.put(from.blob(digest)).header("content-range", range).body(body).send()
    };
    let first = part(&coordinator, "bytes 0-5/11", "hello ").await.unwrap();
    assert_status(&first, StatusCode::ACCEPTED);
    assert_eq!(offset(&first), "6");
    for method in [reqwest::Method::HEAD, reqwest::Method::GET] {
        let hidden = client.request(method, coordinator.blob(digest)).send().await.unwrap();
        assert_status(&hidden, StatusCode::NOT_FOUND);
        assert_eq!(offset(&hidden), "6");
    }
    let request = v1::RegisterArtifactRequest {
        manifest_json: manifest(Kind::Dataset, "hello world", json!({})).to_json(),
        tags: vec!["half".to_owned()],
    };
    let refused = coordinator.artifacts().register(request.clone()).await.unwrap_err();
    assert_eq!(refused.code(), Code::FailedPrecondition);
    assert!(refused.message().contains(&digest.to_string()), "{}", refused.message());

    coordinator.restart().await;
    let wrong = part(&coordinator, "bytes 3-10/11", "lo world").await.unwrap();
    assert_status(&wrong, StatusCode::CONFLICT);
    assert_eq!(offset(&wrong), "6");
    assert_status(&part(&coordinator, "bytes 6-10/11", "world").await.unwrap(), StatusCode::CREATED);
    assert_status(&coordinator.put(b"hello world").await, StatusCode::OK);
    assert!(coordinator.artifacts().register(request).await.is_ok());

    let head = client.head(coordinator.blob(digest)).send().await.unwrap();
    assert_status(&head, StatusCode::OK);
    assert_eq!(head.headers()["content-length"], "11");
    let rest = client.get(coordinator.blob(digest)).header("range", "bytes=4-").send().await.unwrap();
    assert_status(&rest, StatusCode::PARTIAL_CONTENT);
    assert_eq!(rest.headers()["content-range"], "bytes 4-10/11");
    assert_eq!(rest.text().await.unwrap(), "o world");
    let past = client.get(coordinator.blob(digest)).header("range", "bytes=11-").send().await.unwrap();
    assert_status(&past, StatusCode::RANGE_NOT_SATISFIABLE);
    assert_eq!(past.headers()["content-range"], "bytes */11");
}

#[tokio::test]
async fn bytes_of_another_digest_are_refused_and_dropped() {
    let coordinator = Coordinator::start().await;
    let (client, digest) = (Client::new(), Digest::of(b"right"));
    let wrong = client.put(coordinator.blob(digest)).body("wrong").send().await.unwrap();
    assert_status(&wrong, StatusCode::UNPROCESSABLE_ENTITY);
    let head = client.head(coordinator.blob(digest)).send().await.unwrap();
    assert_status(&head, StatusCode::NOT_FOUND);
    assert_eq!(offset(&head), "0");
    assert_status(&coordinator.put(b"right").await, StatusCode::CREATED);
    assert_status(&coordinator.put(b"").await, StatusCode::CREATED);
}

#[tokio::test]
async fn only_a_digest_reaches_a_path() {
    let coordinator = Coordinator::start().await;
    let client = Client::new();
    let upper = Digest::of(b"x").hex().to_uppercase();
    let names = ["..%2F..%2Fvertigo.db", "sha256:..%2F..%2Flock", "lock", "sha256:ab", "sha256:sha256:ab", "%2e%2e"];
    for name in names {
        for method in [reqwest::Method::GET, reqwest::Method::PUT, reqwest::Method::HEAD] {
            let url = format!("{}/v1/blobs/{name}", coordinator.url);
            let answer = client.request(method, url).body("x").send().await.unwrap();
            assert!(answer.status().is_client_error(), "{name}: {}", answer.status());
        }
    }
    // Letters of either case are the same digest, and one file.
    let url = format!("{}/v1/blobs/sha256:{upper}", coordinator.url);
    assert_status(&client.put(url).body("x").send().await.unwrap(), StatusCode::CREATED);
    assert_status(&coordinator.put(b"x").await, StatusCode::OK);
    let mut files: Vec<_> =
        std::fs::read_dir(coordinator.state()).unwrap().map(|entry| entry.unwrap().file_name()).collect();
    files.retain(|name| !name.to_str().unwrap().starts_with("vertigo.db"));
    files.sort();
    assert_eq!(files, ["blobs", "lock", "uploads"]);
    assert_eq!(std::fs::read_dir(coordinator.state().join("uploads")).unwrap().count(), 0);
}

#[tokio::test]
async fn artifacts_are_found_by_tag_and_digest_and_listed_by_kind() {
    let coordinator = Coordinator::start().await;
    coordinator.import().await;
    let get = |reference: &str| {
        let request = v1::GetArtifactRequest { reference: reference.to_owned() };
        let mut client = coordinator.artifacts();
        async move { client.get(request).await.map(tonic::Response::into_inner) }
    };
    let base = get("mini").await.unwrap();
    assert_eq!((base.kind.as_str(), &base.tags[..]), ("base", &["mini".to_owned()][..]));
    assert_eq!(get(&base.digest).await.unwrap(), base);
    assert_eq!(get(&base.digest["sha256:".len()..][..8]).await.unwrap(), base);
    let missing = get("minni").await.unwrap_err();
    assert_eq!(missing.code(), Code::NotFound);
    assert!(told(&missing).contains("did you mean `mini`"), "{}", told(&missing));
    let list = |kind: &str| v1::ListArtifactsRequest { kind: kind.to_owned(), ..Default::default() };
    let all = coordinator.artifacts().list(list("")).await.unwrap().into_inner().artifacts;
    assert_eq!(all.len(), 2);
    let bases = coordinator.artifacts().list(list("base")).await.unwrap().into_inner().artifacts;
    assert_eq!(bases, [v1::Artifact { manifest_json: String::new(), ..base.clone() }]);
    assert_eq!(coordinator.artifacts().list(list("cat")).await.unwrap_err().code(), Code::InvalidArgument);

    let (there, not) = (Digest::of(b"weights"), Digest::of(b"nothing"));
    let ask = v1::MissingBlobsRequest { digests: vec![there.to_string(), not.to_string()] };
    assert_eq!(coordinator.artifacts().missing_blobs(ask).await.unwrap().into_inner().digests, [not.to_string()]);

    // A tag moves, and only to what may carry it.
    let other = coordinator.upload(Kind::Base, "other", json!({})).await;
    coordinator.register(&other, "mini").await;
    assert_eq!(get("mini").await.unwrap().digest, other.digest().to_string());
    assert!(get(&base.digest).await.unwrap().tags.is_empty());
    let bad = v1::RegisterArtifactRequest { manifest_json: other.to_json(), tags: vec!["a b".to_owned()] };
    assert_eq!(coordinator.artifacts().register(bad).await.unwrap_err().code(), Code::InvalidArgument);
}

#[tokio::test]
async fn a_dataset_of_many_thousand_files_is_registered_and_found() {
    let coordinator = Coordinator::start().await;
    assert_status(&coordinator.put(b"{}").await, StatusCode::CREATED);
    let file = |n| FileEntry { path: format!("{n:050}"), digest: Digest::of(b"{}"), bytes: Bytes(2) };
    let many = Manifest::new(Kind::Dataset, (0..40_000).map(file).collect(), Default::default()).unwrap();
    // Larger than gRPC's messages are unless it is told otherwise.
    assert!(many.to_json().len() > 4 << 20);
    let transfer = Transfer::new(&access(&coordinator.url));
    transfer.register(&many, &["many".to_owned()]).await.unwrap();
    assert_eq!(transfer.manifest("many").await.unwrap(), (many.digest(), many));
}

#[tokio::test]
async fn a_manifest_that_lies_about_a_size_is_refused_with_both_sizes() {
    let coordinator = Coordinator::start().await;
    let honest = coordinator.upload(Kind::Dataset, "hello", json!({})).await;
    for said in [0, 4, 6, u64::MAX] {
        let file = FileEntry { path: "file".to_owned(), digest: Digest::of(b"hello"), bytes: Bytes(said) };
        let lie = Manifest::new(Kind::Dataset, vec![file], Default::default()).unwrap();
        let request = v1::RegisterArtifactRequest { manifest_json: lie.to_json(), tags: vec!["lie".to_owned()] };
        let refused = coordinator.artifacts().register(request).await.unwrap_err();
        assert_eq!(refused.code(), Code::InvalidArgument);
        let told = refused.message();
        assert!(told.contains(&format!("{said} bytes")) && told.contains("has 5"), "{told}");
    }
    coordinator.register(&honest, "honest").await;
    let all = coordinator.artifacts().list(v1::ListArtifactsRequest::default()).await.unwrap().into_inner();
    assert_eq!(all.artifacts.len(), 1);
}

#[tokio::test]
async fn files_that_cannot_lie_in_one_folder_are_refused_by_name() {
    let coordinator = Coordinator::start().await;
    assert_status(&coordinator.put(b"x").await, StatusCode::CREATED);
    let long = "x".repeat(300);
    for (paths, named) in [
        (vec!["a", "a/b"], "`a` and `a/b`"),
        (vec!["README", "readme"], "`README` and `readme`"),
        (vec![long.as_str()], "too long"),
        (vec!["a\u{1b}[2J"], "control characters"),
        (vec!["../x"], "`../x`"),
    ] {
        let entry = |path: &&str| json!({"path": path, "digest": Digest::of(b"x"), "bytes": 1});
        let files: Vec<_> = paths.iter().map(entry).collect();
        let manifest_json = json!({"kind": "dataset", "files": files, "facts": {}}).to_string();
        let request = v1::RegisterArtifactRequest { manifest_json, tags: Vec::new() };
        let refused = coordinator.artifacts().register(request).await.unwrap_err();
        assert_eq!(refused.code(), Code::InvalidArgument, "{paths:?}");
        assert!(refused.message().contains(named), "{}", refused.message());
        assert!(!refused.message().contains(char::is_control), "{}", refused.message());
    }
}

#[tokio::test]
async fn what_an_earlier_fetch_left_in_the_way_is_set_aside() {
    let coordinator = Coordinator::start().await;
    let digest = Digest::of(b"x");
    assert_status(&coordinator.put(b"x").await, StatusCode::CREATED);
    let files = vec![FileEntry { path: "a/b".to_owned(), digest, bytes: Bytes(1) }];
    let manifest = Manifest::new(Kind::Dataset, files, Default::default()).unwrap();
    let transfer = Transfer::new(&access(&coordinator.url));
    let in_the_way: [fn(&std::path::Path); 3] = [
        |partial| std::fs::write(partial, "a file for the folder").unwrap(),
        |partial| {
            std::fs::create_dir(partial).unwrap();
            std::fs::write(partial.join("a"), "a file for a folder").unwrap();
        },
        |partial| std::fs::create_dir_all(partial.join("a/b")).unwrap(),
    ];
    for lay in in_the_way {
        let dir = tempfile::tempdir().unwrap();
        lay(&dir.path().join(format!(".to.{}.partial", manifest.digest().short())));
        let folder = dir.path().join("to");
        transfer.pull(&manifest, &folder, &|_| {}).await.unwrap();
        assert_eq!(std::fs::read(folder.join("a/b")).unwrap(), b"x");
        assert_eq!(std::fs::read_dir(dir.path()).unwrap().count(), 1);
    }
}
