//! What an attempt came to, judged from how its child ended.
//!
//! Promise: [`classify`] is a pure function of what was seen. A result that the child announced counts whatever happened
//! after it; out of memory is told apart from a crash, because it has another cure.

use crate::task::{Done, codes, of_fault};
use std::time::Duration;
use vertigo::bytes::Bytes;
use vertigo::task::{Cure, Failure, GIVEN_BACK};
use vertigo_engine::Fault;

/// How the child's process ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Exit {
    /// By itself, with this code.
    Code(i32),
    /// By a signal.
    Signal(i32),
}

/// The child's last word.
#[derive(Debug, Clone, PartialEq)]
pub enum LastWord {
    /// What it was to make is complete.
    Finished(Done),
    /// It said why not.
    Failed(Failure),
}

/// All that was seen of a child when it had ended.
#[derive(Debug, Clone, PartialEq)]
pub struct Ending {
    /// How.
    pub exit: Exit,
    /// What it said last, if it said anything final.
    pub last_word: Option<LastWord>,
    /// Whether it was ended because it hung: it had said nothing and used no processor for this long.
    pub hung: Option<Duration>,
    /// Whether this worker has told it to end, by whatever signal.
    pub is_told: bool,
    /// Whether this worker was told to go itself: whoever ends a system tells all of its processes.
    pub worker_goes: bool,
    /// Whether the kernel has killed a process of this worker's group, or of the machine where that is all that is counted, for want of
    /// memory meanwhile.
    pub is_oom_killed: bool,
    /// Why it was told to leave, if it was: the machine is its owner's.
    pub left: Option<String>,
    /// The end of what it wrote to stderr.
    pub tail: String,
    /// MLX's peak, by the last step that it reported.
    pub step_peak: Bytes,
    /// The most memory that the process was seen to hold.
    pub resident_peak: Bytes,
    /// The most that it may hold.
    pub resident_limit: Bytes,
    /// What was free on the machine when that was last looked at.
    pub free: Bytes,
    /// All memory of the machine.
    pub memory: Bytes,
    /// What plans may use of this machine.
    pub usable: Bytes,
}

/// What an attempt came to.
#[derive(Debug, Clone, PartialEq)]
pub enum Verdict {
    /// All outputs.
    Succeeded(Done),
    /// Nothing.
    Failed {
        /// Why.
        failure: Failure,
        /// Peak memory: MLX's where it is known, the process's where the system or MLX ran out.
        peak: Bytes,
    },
}

/// The system is short of memory below this part of it.
const SHORT: f64 = 0.03;

const SIGKILL: i32 = 9;

/// What people and systems end processes by: SIGHUP, SIGINT, SIGKILL, SIGTERM. No program sends itself one of them by mistake.
const BY_SOMEBODY: [i32; 4] = [1, 2, SIGKILL, 15];

/// What the attempt came to.
///
/// In this order: a finished result; that it was told to leave; a peak past what the machine offers; the child's own words; a process past
/// its bound; that it hung; a SIGKILL that came while the system was short of memory, or from the kernel for that reason; words of MLX,
/// Metal or C++ that [`Fault`] knows; a signal by which somebody else ended it; a crash.
pub fn classify(ending: Ending) -> Verdict {
    let widest = ending.step_peak.max(ending.resident_peak);
    let known = if ending.step_peak > Bytes::ZERO { ending.step_peak } else { ending.resident_peak };
    let failed = |(cure, code): (Cure, &str), message: String, peak| Verdict::Failed {
        failure: Failure::new(cure, code, message),
        peak,
    };
    let (out_of_memory, crashed) = (of_fault(Fault::OutOfMemory), (Cure::FreshProcess, codes::CRASHED));
    let is_finished = matches!(ending.last_word, Some(LastWord::Finished(_)));
    if let Some(reason) = ending.left.filter(|_| !is_finished) {
        return failed((Cure::Later, GIVEN_BACK), reason, known);
    }
    match ending.last_word {
        Some(LastWord::Finished(done)) => return Verdict::Succeeded(done),
        _ if ending.step_peak > ending.usable => {
            let message = format!(
                "MLX's peak of {} is more than the {} that this worker offers",
                ending.step_peak, ending.usable
            );
            return failed(out_of_memory, message, ending.step_peak);
        }
        Some(LastWord::Failed(failure)) => {
            let peak = if failure.cure == Cure::MoreMemory { widest } else { known };
            return Verdict::Failed { failure, peak };
        }
        None => {}
    }
    if ending.resident_peak > ending.resident_limit {
        // Whether MLX's arrays were it or something else cannot be told from outside. So it is what has a cure without harm: the plan
        // is tried where there is more memory, and never failed for good. What later jobs learn from is MLX's own peak, or nothing.
        let message = format!(
            "its process held {}, more than the {} that it may: what this worker offers and room for the rest; MLX's peak was {}",
            ending.resident_peak, ending.resident_limit, ending.step_peak
        );
        return failed(out_of_memory, message, ending.step_peak);
    }
    if let Some(still) = ending.hung {
        let message = format!("it hung: for {still:.0?} it said nothing and used no processor, and was ended");
        return failed(crashed, message, known);
    }
    if ending.exit == Exit::Signal(SIGKILL) && ending.free < ending.memory.scale(SHORT) {
        let message = format!("the system killed it while {} of {} memory was free", ending.free, ending.memory);
        return failed(out_of_memory, message, widest);
    }
    if ending.exit == Exit::Signal(SIGKILL) && ending.is_oom_killed && !ending.is_told {
        let message = format!("the system killed it for want of memory; {} of {} was free", ending.free, ending.memory);
        return failed(out_of_memory, message, widest);
    }
    // What the process wrote before MLX or Metal aborted it.
    let said = ending.tail.lines().find_map(|line| Some((line.trim(), Fault::of(line)?)));
    match said {
        Some((words, Fault::OutOfMemory)) => return failed(out_of_memory, words.to_owned(), widest),
        Some((words, fault)) => return failed(of_fault(fault), format!("{words}: {}", fault.advice()), known),
        None => {}
    }
    match ending.exit {
        Exit::Signal(signal) if BY_SOMEBODY.contains(&signal) && !ending.is_told => {
            let by = named(signal);
            return if ending.worker_goes {
                let message = format!("its process was ended by {by}, as this worker was told to go");
                failed((Cure::Later, codes::TRANSIENT), message, known)
            } else {
                let message = format!("somebody ended its process by {by}, which this worker did not send");
                failed((Cure::Later, codes::KILLED), message, known)
            };
        }
        Exit::Code(_) | Exit::Signal(_) => {}
    }
    let how = match ending.exit {
        Exit::Code(code) => format!("ended with code {code}"),
        Exit::Signal(signal) => format!("was ended by {}", named(signal)),
    };
    // What it logged while all was well says nothing about its end.
    let telling = |line: &&str| !line.trim().is_empty() && !line.contains(" INFO ");
    let last = ending.tail.lines().rev().find(telling).map(|line| format!("; its last words: {}", line.trim()));
    failed(crashed, format!("the attempt's process {how}{}", last.unwrap_or_default()), known)
}

/// A signal's name for people.
fn named(signal: i32) -> String {
    match nix::sys::signal::Signal::try_from(signal) {
        Ok(name) => name.to_string(),
        Err(_) => format!("signal {signal}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn ending(exit: Exit) -> Ending {
        Ending {
            exit,
            last_word: None,
            hung: None,
            is_told: false,
            worker_goes: false,
            is_oom_killed: false,
            left: None,
            tail: String::new(),
            step_peak: Bytes::ZERO,
            resident_peak: Bytes::gib(5),
            resident_limit: Bytes::gib(24),
            free: Bytes::gib(10),
            memory: Bytes::gib(36),
            usable: Bytes::gib(20),
        }
    }

    fn done() -> Done {
        Done { products: Vec::new(), remark: String::new(), peak_bytes: 7 }
    }

    fn failure(ending: Ending) -> (Cure, String, Bytes) {
        match classify(ending) {
            Verdict::Failed { failure: Failure { cure, message, .. }, peak } => (cure, message, peak),
            Verdict::Succeeded(done) => panic!("succeeded with {done:?}"),
        }
    }

    #[test]
    fn a_signal_or_a_panic_is_a_crash_with_its_last_words() {
        let (cure, message, peak) =
            failure(Ending { tail: "a\nthread 'main' panicked\n\n".to_owned(), ..ending(Exit::Code(101)) });
        assert_eq!((cure, peak), (Cure::FreshProcess, Bytes::gib(5)));
        assert!(message.contains("code 101") && message.contains("thread 'main' panicked"), "{message}");
        // What it logged while all was well is no word on its end.
        let calm = Ending { tail: "2026-11-24T22:22:36Z  INFO load: loaded\n".to_owned(), ..ending(Exit::Signal(11)) };
        let (cure, message, _) = failure(calm);
        assert_eq!((cure, message.as_str()), (Cure::FreshProcess, "the attempt's process was ended by SIGSEGV"));
        // One that this worker had to kill has crashed, whatever the signal.
        for signal in BY_SOMEBODY {
            assert_eq!(failure(Ending { is_told: true, ..ending(Exit::Signal(signal)) }).0, Cure::FreshProcess);
        }
        // An exit without a last word is no success, whatever its code.
        assert_eq!(failure(ending(Exit::Code(0))).0, Cure::FreshProcess);
    }

    #[test]
    fn want_of_memory_is_known_by_its_signs() {
        let short = Ending { free: Bytes::mib(300), step_peak: Bytes::gib(4), ..ending(Exit::Signal(9)) };
        let (cure, _, peak) = failure(short.clone());
        assert_eq!((cure, peak), (Cure::MoreMemory, Bytes::gib(5)));
        assert_eq!(failure(Ending { exit: Exit::Signal(11), ..short }).0, Cure::FreshProcess);
        let metal = "[METAL] Command buffer execution failed: Insufficient Memory (00000008:kIOGPUCommandBufferCallbackErrorOutOfMemory)";
        let (cure, message, _) = failure(Ending { tail: format!("x\n{metal}\nabort\n"), ..ending(Exit::Signal(6)) });
        assert_eq!((cure, message.as_str()), (Cure::MoreMemory, metal));
        let said = Failure::new(Cure::MoreMemory, "", "MLX: [malloc]");
        let (cure, message, _) = failure(Ending { last_word: Some(LastWord::Failed(said)), ..ending(Exit::Code(1)) });
        assert_eq!((cure, message.as_str()), (Cure::MoreMemory, "MLX: [malloc]"));
    }

    #[test]
    fn too_many_buffers_are_no_want_of_memory() {
        let limit = "[metal::malloc] Resource limit (499000) exceeded.";
        let aborted = Ending { tail: format!("x\n{limit}\n"), step_peak: Bytes::gib(4), ..ending(Exit::Signal(6)) };
        let (cure, message, peak) = failure(aborted);
        assert_eq!((cure, peak), (Cure::FreshProcess, Bytes::gib(4)), "the plan's need is not raised");
        assert!(message.starts_with(limit) && message.contains("new process"), "{message}");
    }

    fn coded(ending: Ending) -> (Cure, String, String) {
        match classify(ending) {
            Verdict::Failed { failure: Failure { cure, code, message, .. }, .. } => (cure, code, message),
            Verdict::Succeeded(done) => panic!("succeeded with {done:?}"),
        }
    }

    #[test]
    fn what_metal_says_before_it_aborts_the_process_has_a_cure_of_its_own() {
        let said = |words: &str| {
            let tail = format!(
                "x\nlibc++abi: terminating due to uncaught exception of type std::runtime_error: [METAL] Command buffer execution \
                 failed: {words}\n"
            );
            let (cure, code, message) = coded(Ending { tail, ..ending(Exit::Signal(6)) });
            assert!(message.contains(words), "{message}");
            (cure, code)
        };
        let broke = (Cure::AnotherMachine, codes::GPU_BROKE.to_owned());
        assert_eq!(said("Caused GPU Hang Error (00000003:kIOGPUCommandBufferCallbackErrorHang)."), broke);
        assert_eq!(said("Caused GPU Address Fault Error (0000000b:kIOGPUCommandBufferCallbackErrorPageFault)."), broke);
        let too_long = (Cure::Later, codes::GPU_TOO_LONG.to_owned());
        assert_eq!(
            said("Impacting Interactivity (0000000e:kIOGPUCommandBufferCallbackErrorImpactingInteractivity)."),
            too_long
        );
        assert_eq!(said("Caused GPU Timeout Error (00000002:kIOGPUCommandBufferCallbackErrorTimeout)."), too_long);
        let victim =
            "Discarded (victim of GPU error/recovery) (00000005:kIOGPUCommandBufferCallbackErrorInnocentVictim).";
        assert_eq!(said(victim), (Cure::FreshProcess, codes::CRASHED.to_owned()));
    }

    #[test]
    fn a_process_that_somebody_else_ended_has_not_crashed_and_want_of_memory_goes_before() {
        let killed = ending(Exit::Signal(SIGKILL));
        let (cure, code, message) = coded(killed.clone());
        assert_eq!((cure, code.as_str()), (Cure::Later, codes::KILLED));
        assert!(message.contains("SIGKILL") && message.contains("somebody"), "{message}");
        assert_eq!(coded(ending(Exit::Signal(15))).1, codes::KILLED, "Activity Monitor's Quit");
        let oom = Ending { is_oom_killed: true, ..killed.clone() };
        assert_eq!(coded(oom.clone()).1, codes::OUT_OF_MEMORY);
        assert_eq!(coded(Ending { free: Bytes::mib(300), ..killed.clone() }).1, codes::OUT_OF_MEMORY);
        // Another process's want of memory says nothing of one that ended otherwise, or that this worker ended.
        assert_eq!(coded(Ending { exit: Exit::Signal(11), ..oom.clone() }).1, codes::CRASHED);
        assert_eq!(coded(Ending { is_told: true, ..oom }).1, codes::CRASHED);
        // A system that goes down ends everything.
        let (cure, code, _) = coded(Ending { worker_goes: true, ..killed });
        assert_eq!((cure, code.as_str()), (Cure::Later, codes::TRANSIENT));
    }

    #[test]
    fn the_childs_own_words_count_before_guesses() {
        for cure in [Cure::Never, Cure::Later, Cure::AnotherMachine] {
            let said = LastWord::Failed(Failure::new(cure, "", "so"));
            let tail = "std::bad_alloc was handled".to_owned();
            assert_eq!(failure(Ending { last_word: Some(said), tail, ..ending(Exit::Code(1)) }).0, cure);
        }
    }

    #[test]
    fn a_process_past_its_bound_is_out_of_memory_and_teaches_mlxs_peak_alone() {
        let grown = Ending { resident_peak: Bytes::gib(25), is_told: true, ..ending(Exit::Signal(15)) };
        let (cure, message, peak) = failure(grown.clone());
        assert_eq!((cure, peak), (Cure::MoreMemory, Bytes::ZERO), "MLX's peak is not known: nothing is learned");
        assert!(message.contains("25.0 GiB") && message.contains("24.0 GiB"), "{message}");
        assert_eq!(failure(Ending { step_peak: Bytes::gib(9), ..grown.clone() }).2, Bytes::gib(9));
        let at_its_bound = Ending { resident_peak: Bytes::gib(24), ..grown.clone() };
        assert_eq!(failure(at_its_bound).0, Cure::FreshProcess);
        // What it had to say itself goes before what was seen.
        let said = LastWord::Failed(Failure::new(Cure::Never, "", "so"));
        assert_eq!(failure(Ending { last_word: Some(said), ..grown }).0, Cure::Never);
    }

    proptest! {
        #[test]
        fn whoever_was_told_to_leave_has_been_given_back_however_it_ended(signal in 0i32..32, peak in any::<u64>(), free in any::<u64>()) {
            let left = Some("it runs on battery".to_owned());
            let ending = Ending { left, step_peak: Bytes(peak), free: Bytes(free), ..ending(Exit::Signal(signal)) };
            let Verdict::Failed { failure, .. } = classify(ending.clone()) else { panic!("it succeeded") };
            prop_assert_eq!((failure.cure, &*failure.code, &*failure.message), (Cure::Later, GIVEN_BACK, "it runs on battery"));
            let finished = Ending { last_word: Some(LastWord::Finished(done())), ..ending };
            prop_assert_eq!(classify(finished), Verdict::Succeeded(done()));
        }

        #[test]
        fn a_result_counts_whatever_came_after_it(signal in 0i32..32, peak in any::<u64>(), free in any::<u64>()) {
            let ending = Ending {
                last_word: Some(LastWord::Finished(done())), step_peak: Bytes(peak), free: Bytes(free), ..ending(Exit::Signal(signal))
            };
            prop_assert_eq!(classify(ending), Verdict::Succeeded(done()));
        }

        #[test]
        fn past_what_the_machine_offers_is_out_of_memory_and_within_it_is_not(peak in 1u64..1000, usable in 0u64..1000) {
            let seen = Ending { step_peak: Bytes(peak), usable: Bytes(usable), ..ending(Exit::Signal(15)) };
            let over = peak > usable;
            let (cure, _, measured) = failure(seen);
            prop_assert_eq!(cure == Cure::MoreMemory, over);
            prop_assert_eq!(measured, Bytes(peak));
        }
    }
}
