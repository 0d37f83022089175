//! What takes what on the disks, and what of it goes.

use super::{Api, Caller};
use crate::blobs::Amount;
use crate::keep::{CollectError, Mode};
use std::collections::{BTreeMap, HashMap};
use vertigo::api_error::ApiError;
use vertigo::id::{Digest, JobId};
use vertigo::manifest::{Kind, Manifest};
use vertigo::v1;

/// Jobs that are named by the size of their checkpoints.
const JOBS_NAMED_MAX: usize = 10;

/// Kinds in the order in which a blob that several name is counted: what goes first comes last.
const BY_WORTH: [Kind; 7] =
    [Kind::Base, Kind::Dataset, Kind::Suite, Kind::Model, Kind::Adapter, Kind::Report, Kind::Checkpoint];

impl From<CollectError> for ApiError {
    fn from(error: CollectError) -> ApiError {
        match error {
            CollectError::Store(error) => error.into(),
            CollectError::File(error) => ApiError::internal(error),
            CollectError::Stopped(stopped) => stopped.into(),
            CollectError::Blobs(error) => error.into(),
        }
    }
}

impl Api {
    /// What takes what.
    ///
    /// # Errors
    /// The database or the store of blobs does not answer.
    pub(crate) async fn storage(&self, request: v1::DescribeStorageRequest) -> Result<v1::StorageReport, ApiError> {
        let v1::DescribeStorageRequest {} = request;
        let size = self.store.size().await?;
        let used = self.store.artifacts(Used::default(), Used::see).await?;
        let stock = self.blobs.stock(&used.blobs.keys().copied().collect()).await?;
        let uploads = self.blobs.uploads().await.map_err(ApiError::internal)?;
        let mut largest: Vec<(JobId, Amount)> = used.checkpoints.iter().map(|(job, amount)| (*job, *amount)).collect();
        largest.sort_by_key(|(job, amount)| (std::cmp::Reverse(amount.bytes), *job));
        largest.truncate(JOBS_NAMED_MAX);
        let jobs = self.store.jobs(largest.iter().map(|(job, _)| *job).collect()).await?;
        let names: BTreeMap<JobId, String> =
            jobs.into_iter().filter_map(|(job, _)| Some((job.id, job.name?))).collect();
        let by_checkpoints = largest.into_iter().map(|(id, checkpoints)| v1::JobStorage {
            job_id: id.to_string(),
            name: names.get(&id).cloned().unwrap_or_default(),
            checkpoints: Some(amount(checkpoints)),
        });
        let room = self.blobs.room();
        let disks = room.disks().into_iter().map(|(folder, disk)| v1::DiskStorage {
            folder: folder.display().to_string(),
            total_bytes: disk.total.0,
            free_bytes: disk.free.0,
            reserve_bytes: room.reserve_of(disk).0,
        });
        Ok(v1::StorageReport {
            database_bytes: size.bytes,
            database_free_bytes: size.free_bytes,
            journal_bytes: size.journal_bytes,
            jobs: size.jobs,
            events: size.events,
            kinds: used.kinds(),
            jobs_by_checkpoints: by_checkpoints.collect(),
            blobs: Some(amount(stock.blobs)),
            unnamed: Some(amount(stock.unnamed)),
            damaged: Some(amount(stock.damaged)),
            uploads: Some(amount(uploads)),
            keep: self.collector.keep().to_string(),
            disks: disks.collect(),
        })
    }

    /// Collects now, or counts what would go.
    ///
    /// # Errors
    /// The database or the store of blobs does not answer. What went before is gone.
    pub(crate) async fn collect(
        &self,
        caller: &Caller,
        request: v1::CollectRequest,
    ) -> Result<v1::Collection, ApiError> {
        let v1::CollectRequest { dry_run } = request;
        if !dry_run {
            tracing::info!(by = %caller.name, "collects because somebody asked");
        }
        let gone = self.collector.collect(if dry_run { Mode::Count } else { Mode::Remove }).await?;
        Ok(v1::Collection {
            dry_run,
            checkpoints: Some(amount(gone.checkpoints)),
            uploads: Some(amount(gone.uploads)),
            blobs: Some(amount(gone.blobs)),
            events: gone.events,
            workers: gone.workers,
        })
    }
}

fn amount(Amount { count, bytes }: Amount) -> v1::Amount {
    v1::Amount { count, bytes }
}

/// What artifacts name.
#[derive(Debug, Default)]
struct Used {
    /// Blobs, by how much they are worth and how large they are.
    blobs: HashMap<Digest, (usize, u64)>,
    artifacts: [u64; BY_WORTH.len()],
    checkpoints: BTreeMap<JobId, Amount>,
}

impl Used {
    fn see(&mut self, _: Digest, manifest: Manifest, job: Option<JobId>) {
        let worth = BY_WORTH.iter().position(|kind| *kind == manifest.kind()).unwrap_or(BY_WORTH.len() - 1);
        self.artifacts[worth] += 1;
        for file in manifest.files() {
            let known = self.blobs.entry(file.digest).or_insert((worth, file.bytes.0));
            known.0 = known.0.min(worth);
        }
        if let (Kind::Checkpoint, Some(job)) = (manifest.kind(), job) {
            self.checkpoints.entry(job).or_default().add(manifest.bytes().0);
        }
    }

    fn kinds(&self) -> Vec<v1::KindStorage> {
        let mut blobs = [Amount::default(); BY_WORTH.len()];
        self.blobs.values().for_each(|(worth, bytes)| blobs[*worth].add(*bytes));
        let kinds = BY_WORTH.iter().zip(self.artifacts).zip(blobs).filter(|((_, artifacts), _)| *artifacts > 0);
        let view = |((kind, artifacts), blobs): ((&Kind, u64), Amount)| v1::KindStorage {
            kind: kind.to_string(),
            artifacts,
            blobs: Some(amount(blobs)),
        };
        kinds.map(view).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_blob_that_several_artifacts_name_is_counted_once_and_with_what_is_worth_most() {
        use vertigo::bytes::Bytes;
        use vertigo::manifest::FileEntry;
        let file = |n: u8| FileEntry { path: n.to_string(), digest: Digest::of(&[n]), bytes: Bytes(u64::from(n)) };
        let manifest = |kind, files: &[u8]| {
            Manifest::new(kind, files.iter().map(|n| file(*n)).collect(), Default::default()).unwrap()
        };
        let (mut used, job) = (Used::default(), JobId::new());
        for (kind, files) in [(Kind::Checkpoint, &[1, 2][..]), (Kind::Adapter, &[2]), (Kind::Checkpoint, &[1, 4])] {
            let manifest = manifest(kind, files);
            used.see(manifest.digest(), manifest, Some(job));
        }
        let shown: Vec<_> =
            used.kinds().into_iter().map(|it| (it.kind, it.artifacts, it.blobs.unwrap().bytes)).collect();
        assert_eq!(shown, [("adapter".to_owned(), 1, 2), ("checkpoint".to_owned(), 2, 5)]);
        assert_eq!(used.checkpoints[&job], Amount { count: 2, bytes: 8 });
    }
}
