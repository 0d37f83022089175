//! Blobs in a real folder.

use super::*;
use std::convert::Infallible;
use url::Url;

fn blobs(folder: &Path) -> Blobs {
    let url = Url::from_file_path(folder.join("blobs")).unwrap();
    let (store, prefix) = open_backend(&url, []).unwrap();
    Blobs::new(store, prefix, &folder.join("uploads")).unwrap().in_folder(folder_of(&url))
}

fn extent(start: Start, end: Option<u64>, total: Option<u64>) -> Extent {
    Extent { start, end, total }
}

fn body(chunks: &[&'static [u8]]) -> impl Stream<Item = Result<Chunk, Infallible>> + use<> {
    stream::iter(chunks.iter().map(|chunk| Ok(Chunk::from_static(chunk))).collect::<Vec<_>>())
}

async fn content(blobs: &Blobs, digest: Digest, start: u64, end: u64) -> Vec<u8> {
    let chunks: Vec<_> = blobs.read(digest, start, end).await.unwrap().try_collect().await.unwrap();
    chunks.concat()
}

#[tokio::test]
async fn a_blob_goes_in_by_parts_across_a_restart_and_is_seen_whole_or_not_at_all() {
    let folder = tempfile::tempdir().unwrap();
    let digest = Digest::of(b"hello world");
    let first = blobs(folder.path());
    let part = first.upload(digest, extent(Start::At(0), Some(6), Some(11)), body(&[b"hel", b"lo "])).await.unwrap();
    assert_eq!(part, Uploaded::Partly { kept: 6 });
    assert_eq!(first.size(digest).await.unwrap(), None);
    assert_eq!(first.missing(vec![digest]).await.unwrap(), [digest]);

    let second = blobs(folder.path());
    assert_eq!(second.kept(digest).await.unwrap(), 6);
    let wrong = second.upload(digest, extent(Start::At(3), Some(11), Some(11)), body(&[b"lo world"])).await;
    assert!(matches!(wrong, Err(BlobError::Offset { start: 3, kept: 6 })));
    let rest = second.upload(digest, extent(Start::At(6), Some(11), Some(11)), body(&[b"world"])).await.unwrap();
    assert_eq!(rest, Uploaded::Created);
    assert_eq!(second.size(digest).await.unwrap(), Some(11));
    assert_eq!(second.kept(digest).await.unwrap(), 0);
    assert_eq!(content(&second, digest, 0, 11).await, b"hello world");
    assert_eq!(content(&second, digest, 4, 8).await, b"o wo");
    let again = second.upload(digest, extent(Start::Anew, None, None), body(&[b"whatever"])).await.unwrap();
    assert_eq!(again, Uploaded::Existed);
}

#[tokio::test]
async fn bytes_of_another_digest_are_dropped() {
    let folder = tempfile::tempdir().unwrap();
    let blobs = blobs(folder.path());
    let digest = Digest::of(b"right");
    let wrong = blobs.upload(digest, extent(Start::Anew, Some(5), Some(5)), body(&[b"wrong"])).await;
    assert!(matches!(wrong, Err(BlobError::Mismatch { found }) if found == Digest::of(b"wrong")));
    assert_eq!((blobs.size(digest).await.unwrap(), blobs.kept(digest).await.unwrap()), (None, 0));
}

#[tokio::test]
async fn a_body_that_is_cut_off_is_kept_and_one_that_is_too_long_is_not() {
    let folder = tempfile::tempdir().unwrap();
    let blobs = blobs(folder.path());
    let digest = Digest::of(b"hello world");
    let cut = stream::iter([Ok(Chunk::from_static(b"hello")), Err("the line went dead")]);
    let error = blobs.upload(digest, extent(Start::Anew, Some(11), Some(11)), cut).await.unwrap_err();
    assert!(matches!(error, BlobError::CutOff { kept: 5, .. }));
    let short = blobs.upload(digest, extent(Start::At(5), Some(11), Some(11)), body(&[b" w"])).await;
    assert!(matches!(short, Err(BlobError::CutOff { kept: 7, .. })));
    let long = blobs.upload(digest, extent(Start::At(7), Some(11), Some(11)), body(&[b"orldly"])).await;
    assert!(matches!(long, Err(BlobError::TooLong { expected: 4 })));
    assert_eq!(blobs.kept(digest).await.unwrap(), 7);
    // All bytes are there, but the last answer was lost: nothing is left to send.
    let part = blobs.upload(digest, extent(Start::At(7), Some(11), Some(12)), body(&[b"orld"])).await.unwrap();
    assert_eq!(part, Uploaded::Partly { kept: 11 });
    let done = blobs.upload(digest, extent(Start::Nothing, Some(0), None), body(&[])).await.unwrap();
    assert_eq!(done, Uploaded::Created);
}

#[tokio::test]
async fn one_upload_of_a_digest_at_a_time() {
    let folder = tempfile::tempdir().unwrap();
    let blobs = blobs(folder.path());
    let digest = Digest::of(b"ab");
    let (send, receive) = tokio::sync::mpsc::channel::<Result<Chunk, Infallible>>(1);
    let slow = tokio::spawn({
        let blobs = blobs.clone();
        let body = tokio_stream::wrappers::ReceiverStream::new(receive);
        async move { blobs.upload(digest, extent(Start::Anew, Some(2), Some(2)), body).await }
    });
    send.send(Ok(Chunk::from_static(b"a"))).await.unwrap();
    // The second slot is free only when the first byte has been taken, so the slow upload has its turn.
    send.reserve().await.unwrap();
    let second = blobs.upload(digest, extent(Start::Anew, Some(2), Some(2)), body(&[b"ab"])).await;
    assert!(matches!(second, Err(BlobError::Busy { .. })));
    send.send(Ok(Chunk::from_static(b"b"))).await.unwrap();
    drop(send);
    assert_eq!(slow.await.unwrap().unwrap(), Uploaded::Created);
}

#[tokio::test]
async fn a_sender_that_falls_silent_loses_its_turn_and_nothing_that_came() {
    let folder = tempfile::tempdir().unwrap();
    let blobs = Blobs { patience: Duration::from_millis(20), ..blobs(folder.path()) };
    let digest = Digest::of(b"ab");
    let silent = body(&[b"a"]).chain(stream::pending());
    let error = blobs.upload(digest, extent(Start::Anew, Some(2), Some(2)), silent).await.unwrap_err();
    assert!(matches!(error, BlobError::CutOff { kept: 1, .. }), "{error}");
    let rest = blobs.upload(digest, extent(Start::At(1), Some(2), Some(2)), body(&[b"b"])).await;
    assert_eq!(rest.unwrap(), Uploaded::Created);
}

/// A client whose answer was late asks again: what is left to send is nothing, while the first upload makes the blob visible.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_upload_that_comes_again_while_the_first_ends_is_never_said_to_be_damaged() {
    let folder = tempfile::tempdir().unwrap();
    let blobs = blobs(folder.path());
    for n in 0..200u32 {
        let bytes = Chunk::copy_from_slice(&n.to_le_bytes());
        let digest = Digest::of(&bytes);
        let first = tokio::spawn({
            let (blobs, body) = (blobs.clone(), stream::iter([Ok::<_, Infallible>(bytes)]));
            async move { blobs.upload(digest, extent(Start::Anew, Some(4), Some(4)), body).await }
        });
        // From the moment that all bytes are kept, as a client reads it.
        while blobs.kept(digest).await.unwrap() < 4 && !first.is_finished() {
            tokio::task::yield_now().await;
        }
        loop {
            match blobs.upload(digest, extent(Start::Nothing, Some(0), None), body(&[])).await {
                Err(BlobError::Busy { .. }) => tokio::task::yield_now().await,
                again => break assert_eq!(again.unwrap(), Uploaded::Existed),
            }
        }
        assert_eq!(first.await.unwrap().unwrap(), Uploaded::Created);
        assert_eq!(blobs.kept(digest).await.unwrap(), 0);
    }
}

#[tokio::test]
async fn what_a_crash_left_of_an_upload_goes_with_the_next() {
    let folder = tempfile::tempdir().unwrap();
    let blobs = blobs(folder.path());
    let digest = Digest::of(b"ab");
    let whole = extent(Start::Anew, Some(2), Some(2));
    assert_eq!(blobs.upload(digest, whole, body(&[b"ab"])).await.unwrap(), Uploaded::Created);
    std::fs::write(folder.path().join("uploads").join(digest.hex()), "ab").unwrap();
    assert_eq!(blobs.upload(digest, whole, body(&[b"ab"])).await.unwrap(), Uploaded::Existed);
    assert_eq!(blobs.kept(digest).await.unwrap(), 0);
}

#[tokio::test]
async fn the_empty_blob_is_a_blob() {
    let folder = tempfile::tempdir().unwrap();
    let blobs = blobs(folder.path());
    let digest = Digest::of(b"");
    assert_eq!(
        blobs.upload(digest, extent(Start::Nothing, Some(0), None), body(&[])).await.unwrap(),
        Uploaded::Created
    );
    assert_eq!(blobs.size(digest).await.unwrap(), Some(0));
    assert_eq!(content(&blobs, digest, 0, 0).await, b"");
}

#[tokio::test]
async fn a_blob_larger_than_a_part_comes_back_as_it_went() {
    let folder = tempfile::tempdir().unwrap();
    let blobs = blobs(folder.path());
    let bytes: Vec<u8> = (0..12_000_000u32).map(|n| (n.wrapping_mul(2_654_435_761) >> 24) as u8).collect();
    let digest = Digest::of(&bytes);
    let chunks: Vec<_> =
        bytes.chunks(1 << 20).map(|chunk| Ok::<_, Infallible>(Chunk::copy_from_slice(chunk))).collect();
    blobs.upload(digest, extent(Start::Anew, None, None), stream::iter(chunks)).await.unwrap();
    let half = bytes.len() as u64 / 2;
    assert_eq!(Digest::of(&content(&blobs, digest, 0, bytes.len() as u64).await), digest);
    assert_eq!(content(&blobs, digest, half, half + 10).await, bytes[half as usize..half as usize + 10]);
}

#[tokio::test]
async fn any_blob_is_one_under_the_stores_own_prefix() {
    let folder = tempfile::tempdir().unwrap();
    let store: Arc<dyn ObjectStore> = Arc::new(object_store::memory::InMemory::new());
    let under = |prefix: &str| Blobs::new(Arc::clone(&store), Key::from(prefix), folder.path()).unwrap();
    let (ours, others) = (under("team/ours"), under("team"));
    store.put(&Key::from("team/ours/notes.txt"), "no blob".into()).await.unwrap();
    others.upload(Digest::of(b"x"), extent(Start::Anew, None, None), body(&[b"x"])).await.unwrap();
    assert_eq!(ours.any().await.unwrap(), None);
    ours.upload(Digest::of(b"y"), extent(Start::Anew, None, None), body(&[b"y"])).await.unwrap();
    assert!(ours.any().await.unwrap().unwrap().contains(&Digest::of(b"y").hex()));
}

#[tokio::test]
async fn a_blob_without_a_name_goes_only_when_it_and_the_process_are_older_than_the_grace_and_nobody_was_promised_it() {
    const HOUR: Duration = Duration::from_secs(3600);
    let folder = tempfile::tempdir().unwrap();
    let mut blobs = blobs(folder.path());
    let digests: Vec<Digest> = [&b"old"[..], b"young", b"named", b"promised"].map(Digest::of).to_vec();
    for bytes in [&b"old"[..], b"young", b"named", b"promised"] {
        blobs.upload(Digest::of(bytes), extent(Start::Anew, None, None), body(&[bytes])).await.unwrap();
        let key = blobs.key(Digest::of(bytes)).to_string();
        let file = std::fs::File::options().write(true).open(folder.path().join("blobs").join(key)).unwrap();
        let age = if bytes == b"young" { HOUR / 2 } else { HOUR * 2 };
        file.set_modified(std::time::SystemTime::now() - age).unwrap();
    }
    let named = [digests[2]].into();
    let sweep = |grace| Sweep { named: &named, since: Instant::now(), grace, is_dry: false };
    assert_eq!(blobs.sweep(&sweep(HOUR)).await.unwrap(), Amount::default(), "the process has just begun");
    blobs.begun -= HOUR;
    assert_eq!(blobs.sweep(&sweep(HOUR)).await.unwrap(), Amount::default(), "all were just uploaded");
    // As after another start, which remembers no promise.
    blobs.holds = Arc::default();
    assert_eq!(blobs.missing(vec![digests[3]]).await.unwrap(), []);
    assert_eq!(blobs.sweep(&sweep(HOUR)).await.unwrap(), Amount { count: 1, bytes: 3 });
    assert_eq!(blobs.missing(digests.clone()).await.unwrap(), digests[..1]);
}
