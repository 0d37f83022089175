//! What takes what on the coordinator's disks, and what went of it.

use serde::Serialize;
use vertigo::v1;

/// Things of one sort, and their bytes.
#[derive(Debug, Serialize)]
#[expect(missing_docs, reason = "the fields are the protocol's, and told there")]
pub struct Amount {
    pub count: u64,
    pub bytes: u64,
}

/// What takes what.
#[derive(Debug, Serialize)]
#[expect(missing_docs, reason = "the fields are the protocol's, and told there")]
pub struct Storage {
    pub database_bytes: u64,
    pub database_free_bytes: u64,
    pub journal_bytes: u64,
    pub jobs: u64,
    pub events: u64,
    pub kinds: Vec<KindStorage>,
    pub jobs_by_checkpoints: Vec<JobStorage>,
    pub blobs: Amount,
    pub unnamed: Amount,
    pub damaged: Amount,
    pub uploads: Amount,
    pub keep: String,
    pub disks: Vec<DiskStorage>,
}

/// What artifacts of a kind take.
#[derive(Debug, Serialize)]
#[expect(missing_docs, reason = "the fields are the protocol's, and told there")]
pub struct KindStorage {
    pub kind: String,
    pub artifacts: u64,
    pub blobs: Amount,
}

/// What a job's checkpoints take.
#[derive(Debug, Serialize)]
#[expect(missing_docs, reason = "the fields are the protocol's, and told there")]
pub struct JobStorage {
    pub job_id: String,
    pub name: Option<String>,
    pub checkpoints: Amount,
}

/// A disk.
#[derive(Debug, Serialize)]
#[expect(missing_docs, reason = "the fields are the protocol's, and told there")]
pub struct DiskStorage {
    pub folder: String,
    pub total_bytes: u64,
    pub free_bytes: u64,
    pub reserve_bytes: u64,
}

/// What went, or would.
#[derive(Debug, Serialize)]
#[expect(missing_docs, reason = "the fields are the protocol's, and told there")]
pub struct Collection {
    pub dry_run: bool,
    pub checkpoints: Amount,
    pub uploads: Amount,
    pub blobs: Amount,
    pub events: u64,
    pub workers: u64,
}

impl From<&Option<v1::Amount>> for Amount {
    fn from(amount: &Option<v1::Amount>) -> Amount {
        let v1::Amount { count, bytes } = (*amount).unwrap_or_default();
        Amount { count, bytes }
    }
}

impl From<&v1::StorageReport> for Storage {
    fn from(it: &v1::StorageReport) -> Storage {
        let kind = |it: &v1::KindStorage| KindStorage {
            kind: it.kind.clone(),
            artifacts: it.artifacts,
            blobs: Amount::from(&it.blobs),
        };
        let job = |it: &v1::JobStorage| JobStorage {
            job_id: it.job_id.clone(),
            name: crate::text(&it.name),
            checkpoints: Amount::from(&it.checkpoints),
        };
        let disk = |it: &v1::DiskStorage| DiskStorage {
            folder: it.folder.clone(),
            total_bytes: it.total_bytes,
            free_bytes: it.free_bytes,
            reserve_bytes: it.reserve_bytes,
        };
        Storage {
            database_bytes: it.database_bytes,
            database_free_bytes: it.database_free_bytes,
            journal_bytes: it.journal_bytes,
            jobs: it.jobs,
            events: it.events,
            kinds: it.kinds.iter().map(kind).collect(),
            jobs_by_checkpoints: it.jobs_by_checkpoints.iter().map(job).collect(),
            blobs: Amount::from(&it.blobs),
            unnamed: Amount::from(&it.unnamed),
            damaged: Amount::from(&it.damaged),
            uploads: Amount::from(&it.uploads),
            keep: it.keep.clone(),
            disks: it.disks.iter().map(disk).collect(),
        }
    }
}

impl From<&v1::Collection> for Collection {
    fn from(it: &v1::Collection) -> Collection {
        Collection {
            dry_run: it.dry_run,
            checkpoints: Amount::from(&it.checkpoints),
            uploads: Amount::from(&it.uploads),
            blobs: Amount::from(&it.blobs),
            events: it.events,
            workers: it.workers,
        }
    }
}
