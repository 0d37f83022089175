use super::*;
use crate::task::of_fault;
use proptest::prelude::*;
use std::os::unix::fs::PermissionsExt;
use vertigo_engine::Fault;

fn open(dir: &Path) -> Remembered {
    Remembered::open(dir.join("endings.json"))
}

fn too_long() -> Failure {
    let (cure, code) = of_fault(Fault::GpuTooLong);
    Failure::new(cure, code, "Impacting Interactivity")
}

fn killed() -> Failure {
    Failure::new(Cure::Later, codes::KILLED, "somebody ended it")
}

#[test]
fn a_run_that_keeps_the_gpu_too_long_gets_ever_shorter_work_and_then_waits_for_an_empty_chair() {
    let dir = tempfile::tempdir().unwrap();
    let job = JobId::new();
    for expected in [Length::Short, Length::Shorter, Length::Shortest] {
        // Each time after a restart.
        let had = open(dir.path()).buffers(job);
        let judged = open(dir.path()).judge(job, had, too_long());
        assert_eq!((judged.cure, judged.pause_ms), (Cure::Later, 0));
        assert_eq!(open(dir.path()).buffers(job), expected);
        let limits = expected.limits().unwrap().to_string();
        assert!(judged.message.contains(&limits), "{}", judged.message);
    }
    let minutes = |failure: &Failure| failure.pause_ms / 60_000;
    let pauses: Vec<u64> = (0..5)
        .map(|_| {
            let judged = open(dir.path()).judge(job, Length::Shortest, too_long());
            assert_eq!(judged.cure, Cure::AnotherMachine);
            assert!(judged.message.contains("less at a time cannot be handed"), "{}", judged.message);
            minutes(&judged)
        })
        .collect();
    assert_eq!(pauses, [30, 60, 120, 240, 240]);
    assert_eq!(open(dir.path()).buffers(job), Length::Shortest);
}

#[test]
fn an_attempt_that_had_short_buffers_beside_a_person_is_followed_by_one_with_shorter_ones() {
    let dir = tempfile::tempdir().unwrap();
    let job = JobId::new();
    open(dir.path()).judge(job, Length::Short, too_long());
    assert_eq!(open(dir.path()).buffers(job), Length::Shorter);
}

#[test]
fn a_run_that_a_person_ended_stays_away_ever_longer_and_is_forgotten_with_its_success() {
    let dir = tempfile::tempdir().unwrap();
    let (job, other) = (JobId::new(), JobId::new());
    let remembered = open(dir.path());
    let minutes = |failure: Failure| failure.pause_ms / 60_000;
    assert_eq!([job, job, other].map(|job| minutes(remembered.judge(job, Length::Usual, killed()))), [30, 60, 30]);
    remembered.forget(job);
    assert_eq!(open(dir.path()).times(job), Times::default());
    assert_eq!(open(dir.path()).times(other), Times { killed: 1, too_long: 0 });
}

#[test]
fn a_file_that_is_none_is_begun_anew_and_is_its_owner_s_alone() {
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("endings.json");
    fs::write(&file, "no JSON").unwrap();
    let job = JobId::new();
    open(dir.path()).judge(job, Length::Usual, killed());
    assert_eq!(open(dir.path()).times(job).killed, 1);
    assert_eq!(fs::metadata(&file).unwrap().permissions().mode() & 0o777, 0o600);
}

#[test]
fn the_oldest_jobs_are_forgotten() {
    let dir = tempfile::tempdir().unwrap();
    let remembered = open(dir.path());
    let jobs: Vec<JobId> = (0..JOBS_MAX + 2).map(|_| JobId::new()).collect();
    jobs.iter().for_each(|job| drop(remembered.judge(*job, Length::Usual, killed())));
    let known: Vec<u32> = [jobs[1], jobs[2]].map(|job| remembered.times(job).killed).into();
    assert_eq!(known, [0, 1]);
}

proptest! {
    /// What has a cure of its own keeps it.
    #[test]
    fn every_other_failure_stays_as_it_was(
        cure in prop::sample::select(vec![Cure::Never, Cure::MoreMemory, Cure::AnotherMachine, Cure::Later, Cure::FreshProcess]),
        code in prop::sample::select(vec![codes::CRASHED, codes::OUT_OF_MEMORY, codes::GPU_BROKE, codes::DIVERGED, "of_a_later_version", ""]),
        pause_ms: u64,
    ) {
        let dir = tempfile::tempdir().unwrap();
        let remembered = open(dir.path());
        let (job, failure) = (JobId::new(), Failure { pause_ms, ..Failure::new(cure, code, "so") });
        prop_assert_eq!(remembered.judge(job, Length::Short, failure.clone()), failure);
        prop_assert_eq!(remembered.times(job), Times::default());
    }
}
