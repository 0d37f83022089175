//! Where blobs lie: a folder, or a bucket.

use object_store::ObjectStore;
use object_store::local::LocalFileSystem;
use object_store::path::Path as Key;
use std::io;
use std::sync::Arc;
use url::Url;

/// What is wrong with `--store`.
#[derive(Debug, thiserror::Error)]
pub enum BackendError {
    /// Neither a folder nor a bucket.
    #[error("--store {0}: write file:///FOLDER or s3://BUCKET/PREFIX")]
    Scheme(Url),
    /// The folder.
    #[error("--store {url}: {error}")]
    Folder {
        /// As it was given.
        url: Url,
        /// Why.
        error: io::Error,
    },
    /// The bucket's configuration.
    #[error(
        "--store {url}: {error}; s3 is configured by AWS_ACCESS_KEY_ID, AWS_SECRET_ACCESS_KEY, AWS_REGION, AWS_ENDPOINT"
    )]
    Bucket {
        /// As it was given.
        url: Url,
        /// Why.
        error: Box<object_store::Error>,
    },
}

/// Opens a store by its URL: `file:///FOLDER`, which is made if need be, for its owner alone, and written
/// through to the disk, or
/// `s3://BUCKET/PREFIX`, configured by the `AWS_*` among `environment`. Does not talk to the bucket yet.
///
/// # Errors
/// Another kind of URL, a folder that cannot be made, a configuration that cannot be.
pub fn open_backend(
    url: &Url,
    environment: impl IntoIterator<Item = (String, String)>,
) -> Result<(Arc<dyn ObjectStore>, Key), BackendError> {
    match url.scheme() {
        "file" => {
            let folder = url.to_file_path().map_err(|()| BackendError::Scheme(url.clone()))?;
            let failed = |error| BackendError::Folder { url: url.clone(), error };
            crate::private::new_folder(&folder).map_err(failed)?;
            let store = LocalFileSystem::new_with_prefix(&folder).map_err(|error| failed(error.into()))?;
            Ok((Arc::new(store.with_fsync(true)), Key::default()))
        }
        "s3" => {
            let options = environment.into_iter().filter(|(key, _)| key.starts_with("AWS_"));
            let parsed = object_store::parse_url_opts(url, options);
            let (store, prefix) =
                parsed.map_err(|error| BackendError::Bucket { url: url.clone(), error: Box::new(error) })?;
            Ok((Arc::from(store), prefix))
        }
        _ => Err(BackendError::Scheme(url.clone())),
    }
}

/// The folder that a store is, where it is one.
pub fn folder_of(url: &Url) -> Option<std::path::PathBuf> {
    if url.scheme() == "file" { url.to_file_path().ok() } else { None }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_bucket_is_configured_by_the_environment() {
        let url: Url = "s3://weights/team/vertigo".parse().unwrap();
        let environment = [
            ("AWS_REGION", "eu-central-1"),
            ("AWS_ENDPOINT", "http://127.0.0.1:9000"),
            ("AWS_ALLOW_HTTP", "true"),
            ("HOME", "/x"),
        ]
        .map(|(key, value)| (key.to_owned(), value.to_owned()));
        let (store, prefix) = open_backend(&url, environment).unwrap();
        assert_eq!(prefix.to_string(), "team/vertigo");
        let shown = format!("{store:?}");
        assert!(shown.contains("eu-central-1") && shown.contains("127.0.0.1:9000"), "{shown}");
    }

    #[test]
    fn a_folder_is_made() {
        let folder = tempfile::tempdir().unwrap();
        let url = Url::from_file_path(folder.path().join("a/b")).unwrap();
        open_backend(&url, []).unwrap();
        assert!(folder.path().join("a/b").is_dir());
    }

    #[test]
    fn another_kind_of_store_is_refused() {
        let error = open_backend(&"ftp://host/x".parse().unwrap(), []).unwrap_err().to_string();
        assert!(error.contains("s3://BUCKET"), "{error}");
    }
}
