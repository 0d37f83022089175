//! The protocol's enumerations in words.

use vertigo::v1;

/// The word for a job's state.
pub fn state(state: v1::JobState) -> &'static str {
    match state {
        v1::JobState::Unspecified => "unknown",
        v1::JobState::Blocked => "blocked",
        v1::JobState::Queued => "queued",
        v1::JobState::Backoff => "backoff",
        v1::JobState::Leased => "running",
        v1::JobState::Succeeded => "succeeded",
        v1::JobState::Failed => "failed",
        v1::JobState::Cancelled => "cancelled",
    }
}

/// The word for how an attempt stands.
pub fn attempt_state(state: v1::AttemptState) -> &'static str {
    match state {
        v1::AttemptState::Unspecified => "unknown",
        v1::AttemptState::Running => "running",
        v1::AttemptState::Succeeded => "succeeded",
        v1::AttemptState::Failed => "failed",
        v1::AttemptState::Lost => "lost",
        v1::AttemptState::Cancelled => "cancelled",
    }
}

/// The word for what cures a failure; `None` where there is none to cure.
pub fn cure(cure: v1::Cure) -> Option<&'static str> {
    match cure {
        v1::Cure::Unspecified => None,
        v1::Cure::Never => Some("never"),
        v1::Cure::MoreMemory => Some("more_memory"),
        v1::Cure::AnotherMachine => Some("another_machine"),
        v1::Cure::Later => Some("later"),
        v1::Cure::FreshProcess => Some("fresh_process"),
    }
}

/// The word for a slot; `None` where it is not known yet.
pub fn slot(slot: v1::Slot) -> Option<&'static str> {
    match slot {
        v1::Slot::Unspecified => None,
        v1::Slot::Gpu => Some("gpu"),
        v1::Slot::Cpu => Some("cpu"),
        v1::Slot::Service => Some("service"),
    }
}

/// The word for a real Roblox that judges.
pub(crate) fn roblox_judge(judge: v1::RobloxJudge) -> &'static str {
    match judge {
        v1::RobloxJudge::Unspecified => "unknown",
        v1::RobloxJudge::Cloud => "cloud",
        v1::RobloxJudge::Studio => "studio",
    }
}

/// The word for who moved a tag.
pub fn tag_mover(mover: v1::TagMover) -> &'static str {
    match mover {
        v1::TagMover::Unspecified => "unknown",
        v1::TagMover::Earlier => "earlier",
        v1::TagMover::Person => "person",
        v1::TagMover::Rollback => "rollback",
        v1::TagMover::Job => "job",
        v1::TagMover::Import => "import",
    }
}

/// The word for what was done with a worker.
pub fn worker_act(act: v1::WorkerAct) -> &'static str {
    match act {
        v1::WorkerAct::Unspecified => "unknown",
        v1::WorkerAct::Held => "held",
        v1::WorkerAct::Resumed => "resumed",
        v1::WorkerAct::Removed => "removed",
        v1::WorkerAct::Set => "set",
        v1::WorkerAct::StartedAnew => "started_anew",
    }
}

/// The states that a job can be in, in the order of its life.
pub const STATES: [v1::JobState; 7] = [
    v1::JobState::Blocked,
    v1::JobState::Queued,
    v1::JobState::Backoff,
    v1::JobState::Leased,
    v1::JobState::Succeeded,
    v1::JobState::Failed,
    v1::JobState::Cancelled,
];

/// The state that a word names.
pub fn state_of(word: &str) -> Option<v1::JobState> {
    STATES.into_iter().find(|known| state(*known) == word)
}
