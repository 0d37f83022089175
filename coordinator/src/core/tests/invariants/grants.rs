//! What workers may touch, after random commands.

use super::*;

impl World {
    /// A worker may touch exactly what its live attempts need.
    pub(super) fn check_grants(&self) {
        let core = &self.bench.core;
        for worker in self.ids {
            let live = core.attempts.values().filter(|it| it.worker == worker && it.outcome == Outcome::Running);
            let variants: Vec<&Variant> = live.map(|it| &core.jobs[&it.job].variants[it.variant]).collect();
            assert_eq!(core.may_write_blob(worker), !variants.is_empty());
            for (digest, artifact) in core.index.list(None, None) {
                let reads = |variant: &&Variant| {
                    let resumes = variant.resume.is_some_and(|resume| resume.checkpoint == digest);
                    resumes || variant.artifacts().any(|(read, _)| read == digest)
                };
                let is_read = variants.iter().any(reads);
                assert_eq!(core.may_get_artifact(worker, digest), Ok(is_read), "{artifact:?}");
                let blob = artifact.manifest.files()[0].digest;
                assert!(!is_read || core.may_read_blob(worker, blob) == Ok(true), "{artifact:?}");
            }
        }
    }
}
