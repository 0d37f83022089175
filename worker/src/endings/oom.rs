//! What Linux says of processes that it killed for want of memory. Other systems say nothing that can be counted.

use std::fs;
use std::path::{Path, PathBuf};

/// How many processes the kernel has killed for want of memory: those of this process's group where it has one with a count of its own,
/// or else those of the whole machine. It only rises. `None` where nobody counts.
pub fn read() -> Option<u64> {
    let text = |path: &Path| fs::read_to_string(path).ok();
    let group = text(Path::new("/proc/self/cgroup")).and_then(|groups| events_of(&groups));
    let in_group = group.and_then(|path| count(&text(&path)?));
    in_group.or_else(|| count(&text(Path::new("/proc/vmstat"))?))
}

/// Where the unified hierarchy counts the events of a process's group, from what `/proc/self/cgroup` says.
pub fn events_of(groups: &str) -> Option<PathBuf> {
    let group = groups.lines().find_map(|line| line.strip_prefix("0::/"))?;
    // A group outside of the namespace is written with dots, and is not ours to read.
    let is_within = !group.split('/').any(|part| part == "..");
    is_within.then(|| Path::new("/sys/fs/cgroup").join(group).join("memory.events"))
}

/// The count in `memory.events` or `/proc/vmstat`.
pub fn count(text: &str) -> Option<u64> {
    text.lines().find_map(|line| line.strip_prefix("oom_kill ")?.trim().parse().ok())
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn the_kernels_texts_are_read() {
        let events = "low 0\nhigh 12\nmax 40\noom 3\noom_kill 2\noom_group_kill 0\n";
        assert_eq!((count(events), count("nr_free_pages 7\noom_kill 41\nnuma_hit 0\n")), (Some(2), Some(41)));
        assert_eq!(count("oom 3\noom_group_kill 1\n"), None);
        let at = |groups| events_of(groups).map(|path| path.display().to_string());
        let nested = "0::/system.slice/vertigo-worker.service\n";
        let expected = "/sys/fs/cgroup/system.slice/vertigo-worker.service/memory.events";
        assert_eq!(at(nested).as_deref(), Some(expected));
        assert_eq!(at("0::/\n").as_deref(), Some("/sys/fs/cgroup/memory.events"));
        assert_eq!(at("12:memory:/user.slice\n0::/../../other\n"), None);
        assert_eq!(at("12:memory:/user.slice\n"), None, "the older hierarchy has another file");
    }

    proptest! {
        #[test]
        fn no_text_is_too_odd(text in "(?s).{0,200}") {
            let _ = (count(&text), events_of(&text));
        }
    }

    #[cfg(target_os = "linux")]
    #[test]
    fn this_machine_counts() {
        assert!(read().is_some());
    }
}
