//! A bucket: an S3 server in the test's process, over a folder, that refuses and dawdles when told to.

use hyper_util::rt::{TokioExecutor, TokioIo};
use hyper_util::server::conn::auto::Builder;
use s3s::access::{S3Access, S3AccessContext};
use s3s::auth::SimpleAuth;
use s3s::service::S3ServiceBuilder;
use s3s::{S3Result, s3_error};
use s3s_fs::FileSystem;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU16, AtomicU64, AtomicUsize, Ordering};
use std::time::Duration;
use vertigo::endpoint::Endpoint;
use vertigo_testkit::coordinator::listen;
use vertigo_testkit::waiting::until;

/// The only key pair that the server lets in.
pub const KEY: &str = "vertigo";
/// And its secret.
pub const SECRET: &str = "a-secret";

/// The bucket's name, which is a folder of the server's.
pub const BUCKET: &str = "weights";

/// Whether the bucket answers, and how.
#[derive(Debug, Clone, Default)]
pub struct Gate(Arc<Refusals>);

#[derive(Debug, Default)]
struct Refusals {
    /// The HTTP status that requests are answered with; 0 lets them in.
    status: AtomicU16,
    /// Whether reads are refused as writes are.
    reads_too: AtomicBool,
    /// Before each answer.
    delay_ms: AtomicU64,
    count: AtomicUsize,
}

impl Gate {
    /// Answers writes with `status`, 403 or 503, until [`opens`](Gate::opens).
    pub fn refuses(&self, status: u16) {
        self.0.count.store(0, Ordering::Relaxed);
        self.0.reads_too.store(false, Ordering::Relaxed);
        self.0.status.store(status, Ordering::Relaxed);
    }

    /// Answers reads as well as writes with `status`.
    pub fn refuses_all(&self, status: u16) {
        self.refuses(status);
        self.0.reads_too.store(true, Ordering::Relaxed);
    }

    /// Waits for so long before each answer.
    pub fn dawdles(&self, delay: Duration) {
        self.0.delay_ms.store(delay.as_millis() as u64, Ordering::Relaxed);
    }

    /// Lets everything in, at once.
    pub fn opens(&self) {
        self.0.status.store(0, Ordering::Relaxed);
        self.0.delay_ms.store(0, Ordering::Relaxed);
    }

    /// Waits until `count` requests were refused.
    pub async fn has_refused(&self, count: usize) {
        until("writes to be refused", || async { (self.0.count.load(Ordering::Relaxed) >= count).then_some(()) }).await;
    }
}

#[tonic::async_trait]
impl S3Access for Gate {
    async fn check(&self, request: &mut S3AccessContext<'_>) -> S3Result<()> {
        if request.credentials().is_none() {
            return Err(s3_error!(AccessDenied));
        }
        let delay = self.0.delay_ms.load(Ordering::Relaxed);
        if delay > 0 {
            tokio::time::sleep(Duration::from_millis(delay)).await;
        }
        let writes = ["PutObject", "CreateMultipartUpload", "UploadPart", "CompleteMultipartUpload", "CopyObject"];
        let is_meant = self.0.reads_too.load(Ordering::Relaxed) || writes.contains(&request.s3_op().name());
        let status = self.0.status.load(Ordering::Relaxed);
        if status == 0 || !is_meant {
            return Ok(());
        }
        self.0.count.fetch_add(1, Ordering::Relaxed);
        Err(if status == 403 { s3_error!(AccessDenied) } else { s3_error!(ServiceUnavailable) })
    }
}

/// Serves the bucket [`BUCKET`] in `folder` to whoever signs with the key pair, as `gate` says, for as long as the test runs.
///
/// # Panics
/// Where the folder cannot be written or loopback has no port.
pub async fn serve(folder: &Path, gate: Gate) -> Endpoint {
    std::fs::create_dir_all(folder.join(BUCKET)).expect("the test's folder can be written");
    let mut service = S3ServiceBuilder::new(FileSystem::new(folder).expect("the folder is there"));
    service.set_auth(SimpleAuth::from_single(KEY, SECRET));
    service.set_access(gate);
    let service = service.build();
    let (listener, endpoint) = listen().await;
    tokio::spawn(async move {
        while let Ok((socket, _)) = listener.accept().await {
            let service = service.clone();
            tokio::spawn(async move {
                let _ = Builder::new(TokioExecutor::new()).serve_connection(TokioIo::new(socket), service).await;
            });
        }
    });
    endpoint
}

/// What a coordinator's environment says, so that it finds the bucket at `endpoint`.
pub fn environment(endpoint: &Endpoint) -> [(&'static str, String); 5] {
    [
        ("AWS_ACCESS_KEY_ID", KEY.to_owned()),
        ("AWS_SECRET_ACCESS_KEY", SECRET.to_owned()),
        ("AWS_REGION", "us-east-1".to_owned()),
        ("AWS_ENDPOINT", endpoint.url().to_owned()),
        ("AWS_ALLOW_HTTP", "true".to_owned()),
    ]
}
