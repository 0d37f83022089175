//! Every error of a store at every call: none is a panic, each is told, and the next try succeeds and leaves nothing behind.

use super::*;
use futures::FutureExt;
use futures::future::BoxFuture;
use futures::stream::BoxStream;
use object_store::local::LocalFileSystem;
use object_store::{
    CopyOptions, Error, GetResult, ListResult, MultipartUpload, ObjectMeta, PutMultipartOptions, PutOptions,
    PutPayload, PutResult, RenameOptions, Result as StoreResult,
};
use std::convert::Infallible;
use std::fmt;
use std::sync::atomic::{AtomicUsize, Ordering};

/// The kinds of error that a store's client has, by number.
const KINDS: usize = 12;

async fn error(kind: usize) -> Error {
    let (path, source) = (|| "a/b".to_owned(), || Box::new(io::Error::other("injected")));
    match kind {
        0 => Error::Generic { store: "test", source: Box::new(io::Error::from(io::ErrorKind::StorageFull)) },
        1 => Error::Generic { store: "test", source: source() },
        2 => Error::NotFound { path: path(), source: source() },
        3 => Error::AlreadyExists { path: path(), source: source() },
        4 => Error::Precondition { path: path(), source: source() },
        5 => Error::NotModified { path: path(), source: source() },
        6 => Error::PermissionDenied { path: path(), source: source() },
        7 => Error::Unauthenticated { path: path(), source: source() },
        8 => Error::NotSupported { source: source() },
        9 => Error::NotImplemented { operation: "it".to_owned(), implementer: "test".to_owned() },
        10 => Error::UnknownConfigurationKey { store: "test", key: "key".to_owned() },
        _ => {
            let task = tokio::spawn(std::future::pending::<()>());
            task.abort();
            Error::from(task.await.unwrap_err())
        }
    }
}

/// Which call fails, how, and what was seen.
#[derive(Debug)]
struct Plan {
    fail_at: usize,
    kind: usize,
    calls: AtomicUsize,
    /// Uploads in parts that were begun and neither completed nor aborted.
    open: AtomicUsize,
}

impl Plan {
    /// Counts a call; it fails where it is the one.
    async fn call(&self) -> StoreResult<()> {
        if self.calls.fetch_add(1, Ordering::Relaxed) + 1 == self.fail_at {
            Err(error(self.kind).await)
        } else {
            Ok(())
        }
    }

    fn was_reached(&self) -> bool {
        self.calls.load(Ordering::Relaxed) >= self.fail_at
    }
}

/// A folder that fails once.
#[derive(Debug)]
struct Faulty {
    inner: LocalFileSystem,
    plan: Arc<Plan>,
}

impl fmt::Display for Faulty {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a faulty store")
    }
}

#[tonic::async_trait]
impl ObjectStore for Faulty {
    async fn put_opts(&self, key: &Key, payload: PutPayload, options: PutOptions) -> StoreResult<PutResult> {
        self.plan.call().await?;
        self.inner.put_opts(key, payload, options).await
    }

    async fn put_multipart_opts(
        &self,
        key: &Key,
        options: PutMultipartOptions,
    ) -> StoreResult<Box<dyn MultipartUpload>> {
        self.plan.call().await?;
        let inner = self.inner.put_multipart_opts(key, options).await?;
        self.plan.open.fetch_add(1, Ordering::Relaxed);
        Ok(Box::new(FaultyUpload { inner, plan: self.plan.clone() }))
    }

    async fn get_opts(&self, key: &Key, options: GetOptions) -> StoreResult<GetResult> {
        self.plan.call().await?;
        if options.head {
            return self.inner.get_opts(key, options).await;
        }
        let mut got = self.inner.get_opts(key, options).await?;
        let (meta, range, attributes, extensions) =
            (got.meta.clone(), got.range.clone(), got.attributes.clone(), std::mem::take(&mut got.extensions));
        let plan = self.plan.clone();
        // The bytes may break off, too.
        let broken = stream::once(async move { plan.call().await.map(|()| Chunk::new()) });
        let payload = GetResultPayload::Stream(broken.chain(got.into_stream()).boxed());
        Ok(GetResult { payload, meta, range, attributes, extensions })
    }

    fn delete_stream(&self, keys: BoxStream<'static, StoreResult<Key>>) -> BoxStream<'static, StoreResult<Key>> {
        let plan = self.plan.clone();
        let failed = stream::once(async move { plan.call().await }).filter_map(|call| async { call.err().map(Err) });
        let inner = self.inner.delete_stream(keys);
        failed.chain(inner).boxed()
    }

    fn list(&self, prefix: Option<&Key>) -> BoxStream<'static, StoreResult<ObjectMeta>> {
        self.inner.list(prefix)
    }

    async fn list_with_delimiter(&self, prefix: Option<&Key>) -> StoreResult<ListResult> {
        self.inner.list_with_delimiter(prefix).await
    }

    async fn copy_opts(&self, from: &Key, to: &Key, options: CopyOptions) -> StoreResult<()> {
        self.plan.call().await?;
        self.inner.copy_opts(from, to, options).await
    }

    async fn rename_opts(&self, from: &Key, to: &Key, options: RenameOptions) -> StoreResult<()> {
        self.plan.call().await?;
        self.inner.rename_opts(from, to, options).await
    }
}

#[derive(Debug)]
struct FaultyUpload {
    inner: Box<dyn MultipartUpload>,
    plan: Arc<Plan>,
}

#[tonic::async_trait]
impl MultipartUpload for FaultyUpload {
    fn put_part(&mut self, part: PutPayload) -> BoxFuture<'static, StoreResult<()>> {
        let (plan, sent) = (self.plan.clone(), self.inner.put_part(part));
        async move {
            plan.call().await?;
            sent.await
        }
        .boxed()
    }

    async fn complete(&mut self) -> StoreResult<PutResult> {
        self.plan.call().await?;
        self.plan.open.fetch_sub(1, Ordering::Relaxed);
        self.inner.complete().await
    }

    async fn abort(&mut self) -> StoreResult<()> {
        self.plan.open.fetch_sub(1, Ordering::Relaxed);
        self.inner.abort().await
    }
}

/// Blobs in a folder whose store fails at call `fail_at`; everything of more than four bytes goes in parts.
struct Setup {
    folder: tempfile::TempDir,
    plan: Arc<Plan>,
    blobs: Blobs,
}

impl Setup {
    fn new(fail_at: usize, kind: usize) -> Setup {
        let folder = tempfile::tempdir().unwrap();
        let plan = Arc::new(Plan { fail_at, kind, calls: AtomicUsize::new(0), open: AtomicUsize::new(0) });
        std::fs::create_dir(folder.path().join("store")).unwrap();
        let inner = LocalFileSystem::new_with_prefix(folder.path().join("store")).unwrap();
        let store = Arc::new(Faulty { inner, plan: plan.clone() });
        let blobs = Blobs::new(store, Key::default(), &folder.path().join("uploads")).unwrap();
        Setup { folder, plan, blobs: Blobs { part_bytes: 4, ..blobs } }
    }

    async fn upload(&self, bytes: &'static [u8]) -> Result<Uploaded, BlobError> {
        let size = Some(bytes.len() as u64);
        let body = stream::iter([Ok::<_, Infallible>(Chunk::from_static(bytes))]);
        let extent = Extent { start: Start::Anew, end: size, total: size };
        self.blobs.upload(Digest::of(bytes), extent, body).await
    }

    /// Where the file store keeps a blob.
    fn path(&self, bytes: &[u8]) -> std::path::PathBuf {
        self.folder.path().join("store").join(self.blobs.key(Digest::of(bytes)).to_string())
    }

    fn staged(&self) -> usize {
        std::fs::read_dir(self.folder.path().join("uploads")).unwrap().count()
    }
}

/// That an error says something, and that one about room is known as one.
fn is_clear(error: &BlobError, kind: usize) {
    let words = error.to_string();
    assert!(words.contains("the object store"), "{words}");
    assert_eq!(error.is_full(), kind == 0, "{words}");
}

#[tokio::test]
async fn an_upload_that_the_store_fails_is_told_and_succeeds_the_next_time() {
    for bytes in [&b"abc"[..], b"as many parts as are on their way at a time, and more"] {
        for kind in 0..KINDS {
            for fail_at in 1.. {
                let setup = Setup::new(fail_at, kind);
                let uploaded = setup.upload(bytes).await;
                if !setup.plan.was_reached() {
                    assert_eq!(uploaded.unwrap(), Uploaded::Created);
                    assert!(fail_at > 2, "a look and a put at least");
                    break;
                }
                // A look that finds nothing is no failure.
                if let Err(error) = &uploaded {
                    is_clear(error, kind);
                    assert_eq!(
                        setup.blobs.kept(Digest::of(bytes)).await.unwrap() == 0,
                        fail_at == 1,
                        "what came is kept"
                    );
                    let again = setup.upload(bytes).await.unwrap();
                    assert_eq!(again, Uploaded::Created, "kind {kind} at call {fail_at}");
                } else {
                    assert_eq!((fail_at, kind), (1, 2));
                }
                assert_eq!(std::fs::read(setup.path(bytes)).unwrap(), bytes);
                assert_eq!(setup.staged(), 0);
                assert_eq!(setup.plan.open.load(Ordering::Relaxed), 0, "parts are taken back");
            }
        }
    }
}

#[tokio::test]
async fn looking_and_reading_that_the_store_fails_is_told_and_succeeds_the_next_time() {
    let (bytes, digest) = (&b"abc"[..], Digest::of(b"abc"));
    for kind in 0..KINDS {
        for fail_at in 1..=4 {
            // The upload's own calls are the first two.
            let setup = Setup::new(fail_at + 2, kind);
            setup.upload(bytes).await.unwrap();
            let look = async {
                let missing = setup.blobs.missing(vec![digest]).await?;
                let size = setup.blobs.size(digest).await?;
                let read = setup.blobs.read(digest, 0, 3).await?;
                let read: Vec<Chunk> = read.try_collect().await.map_err(BlobError::unreadable)?;
                Ok::<_, BlobError>((missing, size, read.concat()))
            };
            let whole = (vec![], Some(3), bytes.to_vec());
            match look.await {
                Err(error) => is_clear(&error, kind),
                Ok(seen) => assert!(kind == 2 && fail_at <= 2 && seen != whole, "the call was not made"),
            }
            let missing = setup.blobs.missing(vec![digest]).await.unwrap();
            let read = setup.blobs.read(digest, 0, 3).await.unwrap();
            let read: Vec<Chunk> = read.try_collect().await.unwrap();
            assert_eq!((missing, setup.blobs.size(digest).await.unwrap(), read.concat()), whole);
        }
    }
}

#[tokio::test]
async fn a_check_that_the_store_fails_is_told_and_heals_the_next_time() {
    let bytes = &b"what was imported"[..];
    for kind in 0..KINDS {
        for fail_at in 1.. {
            let setup = Setup::new(fail_at, kind);
            std::fs::create_dir_all(setup.path(bytes).parent().unwrap()).unwrap();
            std::fs::write(setup.path(bytes), "what was_imported").unwrap();
            let checked = setup.blobs.check(Digest::of(bytes)).await;
            if !setup.plan.was_reached() {
                assert_eq!(checked.unwrap(), Checked::SetAside);
                assert!(fail_at > 3, "a look, a read and a rename at least");
                break;
            }
            match checked {
                // A look that finds nothing; or the rename failed, and it was copied.
                Ok(checked) => assert!(matches!(checked, Checked::Absent | Checked::SetAside)),
                Err(error) => is_clear(&error, kind),
            }
            let again = setup.blobs.check(Digest::of(bytes)).await.unwrap();
            assert_ne!(again, Checked::Whole, "kind {kind} at call {fail_at}");
            assert_eq!(setup.blobs.size(Digest::of(bytes)).await.unwrap(), None);
            let aside: Vec<_> = std::fs::read_dir(setup.folder.path().join("store/damaged/sha256")).unwrap().collect();
            assert!(!aside.is_empty(), "it is kept for a person");
            assert_eq!(setup.upload(bytes).await.unwrap(), Uploaded::Created);
        }
    }
}
