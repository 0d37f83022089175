//! Workers, for people: all of them, and what was just done with one.

use crate::render::output::{age, bold, pairs, short_id, table, wrap};
use crate::render::who;
use vertigo::bytes::Bytes;
use vertigo::v1;

/// All workers.
pub(crate) fn render_workers(workers: &[v1::Worker], now: u64) -> String {
    if workers.is_empty() {
        return "no workers; start one with `vertigo-worker --coordinator URL`\n".to_owned();
    }
    let row = |worker: &v1::Worker| {
        let machine = worker.machine.clone().unwrap_or_default();
        [
            worker.name.clone(),
            state(worker, now),
            Bytes(machine.memory_bytes).to_string(),
            Bytes(machine.usable_bytes).to_string(),
            Bytes(worker.reserved_bytes).to_string(),
            jobs(worker).join(" "),
            machine.chip,
        ]
    };
    let table = table(
        ["NAME", "STATE", "MEMORY", "USABLE", "RESERVED", "JOBS", "CHIP"],
        &[2, 3, 4],
        workers.iter().map(row).collect(),
    );
    // Below the table and not in it: a reason needs more room than a column has.
    let line = |worker: &v1::Worker| {
        let held = held(worker.hold.as_ref()?, now);
        Some(wrap(&format!("{} is {held}; `vertigo resume {}` ends it", worker.name, worker.name), 0))
    };
    let holds: String = workers.iter().filter_map(line).collect();
    let is_away = |worker: &&v1::Worker| worker.connected && !worker.away.is_empty();
    let line = |worker: &v1::Worker| wrap(&format!("{} is kept away by its policy: {}", worker.name, worker.away), 0);
    let kept_away: String = workers.iter().filter(is_away).map(line).collect();
    let short: String = workers.iter().filter_map(short).collect();
    let below = [holds, kept_away, short].concat();
    if below.is_empty() { table } else { format!("{table}\n{below}") }
}

/// That a machine is short of memory, and what follows.
fn short(worker: &v1::Worker) -> Option<String> {
    let withheld = worker.conditions.filter(|_| worker.connected)?.withheld_bytes;
    let line = || format!("{} is short of memory: new jobs get {} less there for now", worker.name, Bytes(withheld));
    (withheld > 0).then(|| wrap(&line(), 0))
}

fn state(worker: &v1::Worker, now: u64) -> String {
    match (worker.connected, worker.job_ids.is_empty()) {
        (false, _) => format!("away {}", age(now, worker.last_seen_ms)),
        (true, _) if worker.draining => "draining".to_owned(),
        (true, true) if worker.hold.is_some() => "held".to_owned(),
        (true, false) if worker.hold.is_some() => "held, busy".to_owned(),
        (true, true) if !worker.away.is_empty() => "kept away".to_owned(),
        (true, false) if !worker.away.is_empty() => "paused".to_owned(),
        (true, true) => "idle".to_owned(),
        (true, false) => "busy".to_owned(),
    }
}

fn jobs(worker: &v1::Worker) -> Vec<&str> {
    worker.job_ids.iter().map(|id| short_id(id)).collect()
}

/// By whom, for how long and why a worker is held.
fn held(hold: &v1::Hold, now: u64) -> String {
    let by = if hold.by.is_empty() { " by the coordinator itself".to_owned() } else { who::told_by(&hold.by) };
    let why = if hold.reason.is_empty() { String::new() } else { format!(": {}", hold.reason) };
    format!("held{by} for {}{why}", age(now, hold.since_ms))
}

/// A worker that was just held.
pub(crate) fn render_held(worker: &v1::Worker) -> String {
    let hold = worker.hold.clone().unwrap_or_default();
    let rows = [
        ("why", hold.reason),
        ("runs still", jobs(worker).join(" ")),
        ("let it work again", format!("vertigo resume {}", worker.name)),
    ];
    format!("{} takes nothing new\n{}", bold(&worker.name), pairs(rows))
}

/// A worker that was just told its policy.
pub(crate) fn render_set(worker: &v1::Worker, when: &str) -> String {
    wrap(&format!("{} takes part from now on where this holds: {}", worker.name, when.trim()), 0)
}

/// A worker that was just resumed.
pub(crate) fn render_resumed(worker: &v1::Worker) -> String {
    let when = match (worker.connected, worker.draining) {
        (false, _) => " when it is back",
        (true, true) => " when it is started again: it drains by itself",
        (true, false) => "",
    };
    format!("{} takes work again{when}\n", bold(&worker.name))
}

/// A worker as it was, that was just removed.
pub(crate) fn render_removed(worker: &v1::Worker) -> String {
    let lost = match &jobs(worker)[..] {
        [] => String::new(),
        jobs => wrap(&format!("what it ran is tried again elsewhere: {}", jobs.join(" ")), 2),
    };
    format!("{} is forgotten; if it comes back, it joins as a new worker\n{lost}", bold(&worker.name))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::render::output::plain;

    fn worker(name: &str, chip: &str, gib: u64) -> v1::Worker {
        v1::Worker {
            name: name.to_owned(),
            connected: true,
            last_seen_ms: 60_000,
            machine: Some(v1::Machine {
                chip: chip.to_owned(),
                memory_bytes: gib << 30,
                usable_bytes: (gib << 30) / 4 * 3,
                ..Default::default()
            }),
            ..Default::default()
        }
    }

    fn busy() -> v1::Worker {
        v1::Worker {
            job_ids: vec!["0190163d-8694-739b-aea5-966c26f8ad91".to_owned()],
            reserved_bytes: 20 << 30,
            ..worker("studio", "Apple M5 Max", 128)
        }
    }

    fn held_by(by: &str, reason: &str, worker: v1::Worker) -> v1::Worker {
        let hold = v1::Hold { by: by.to_owned(), since_ms: 200_000, reason: reason.to_owned() };
        v1::Worker { hold: Some(hold), ..worker }
    }

    #[test]
    fn workers_are_a_table() {
        let away = v1::Worker { connected: false, ..worker("air", "Apple M4", 16) };
        let text = plain(&render_workers(&[busy(), worker("book", "Apple M5 Max", 36), away], 260_000));
        assert!(text.lines().all(|line| line.chars().count() <= 80), "{text}");
        insta::assert_snapshot!(text, @r"
        NAME    STATE          MEMORY    USABLE  RESERVED  JOBS           CHIP
        studio  busy          128 GiB  96.0 GiB  20.0 GiB  0190163d-8694  Apple M5 Max
        book    idle         36.0 GiB  27.0 GiB       0 B                 Apple M5 Max
        air     away 3m 20s  16.0 GiB  12.0 GiB       0 B                 Apple M4
        ");
        assert!(render_workers(&[], 0).contains("vertigo-worker --coordinator"));
    }

    #[test]
    fn a_held_worker_says_by_whom_since_when_and_why_and_how_it_ends() {
        let away = v1::Worker { connected: false, ..worker("air", "Apple M4", 16) };
        let workers = [
            held_by("mac-laptop", "a new disk", busy()),
            held_by("local", "", worker("book", "Apple M5 Max", 36)),
            held_by("", "it panicked twice within a day", away),
        ];
        let text = plain(&render_workers(&workers, 260_000));
        assert!(text.lines().all(|line| line.chars().count() <= 80), "{text}");
        insta::assert_snapshot!(text, @r"
        NAME    STATE          MEMORY    USABLE  RESERVED  JOBS           CHIP
        studio  held, busy    128 GiB  96.0 GiB  20.0 GiB  0190163d-8694  Apple M5 Max
        book    held         36.0 GiB  27.0 GiB       0 B                 Apple M5 Max
        air     away 3m 20s  16.0 GiB  12.0 GiB       0 B                 Apple M4

        studio is held by mac-laptop for 1m 0s: a new disk; `vertigo resume studio` ends
        it
        book is held for 1m 0s; `vertigo resume book` ends it
        air is held by the coordinator itself for 1m 0s: it panicked twice within a day;
        `vertigo resume air` ends it
        ");
    }

    #[test]
    fn a_worker_that_its_policy_keeps_away_says_why() {
        let reason = "the time is not within 22:00-08:00, and somebody used it within 15m";
        let away = v1::Worker { away: reason.to_owned(), ..worker("book", "Apple M5 Max", 36) };
        let pausing = v1::Worker { away: "it runs on battery".to_owned(), ..busy() };
        let text = plain(&render_workers(&[pausing, away], 260_000));
        assert!(text.lines().all(|line| line.chars().count() <= 80), "{text}");
        insta::assert_snapshot!(text, @r"
        NAME    STATE        MEMORY    USABLE  RESERVED  JOBS           CHIP
        studio  paused      128 GiB  96.0 GiB  20.0 GiB  0190163d-8694  Apple M5 Max
        book    kept away  36.0 GiB  27.0 GiB       0 B                 Apple M5 Max

        studio is kept away by its policy: it runs on battery
        book is kept away by its policy: the time is not within 22:00-08:00, and
        somebody used it within 15m
        ");
    }

    #[test]
    fn a_worker_that_is_short_of_memory_says_what_follows() {
        let short = |worker| v1::Worker {
            conditions: Some(v1::Conditions { withheld_bytes: 9 << 30, ..Default::default() }),
            ..worker
        };
        let away = v1::Worker { connected: false, ..short(worker("air", "Apple M4", 16)) };
        let text = plain(&render_workers(&[short(worker("book", "Apple M5 Max", 36)), away], 260_000));
        assert!(text.lines().all(|line| line.chars().count() <= 80), "{text}");
        assert!(text.ends_with("\n\nbook is short of memory: new jobs get 9.0 GiB less there for now\n"), "{text}");
    }

    #[test]
    fn what_was_done_with_a_worker_says_what_follows() {
        insta::assert_snapshot!(plain(&render_held(&held_by("local", "a new disk", busy()))), @r"
        studio takes nothing new
          why                a new disk
          runs still         0190163d-8694
          let it work again  vertigo resume studio
        ");
        let resumed = |worker: &v1::Worker| plain(&render_resumed(worker));
        assert_eq!(resumed(&busy()), "studio takes work again\n");
        let away = v1::Worker { connected: false, ..busy() };
        assert_eq!(resumed(&away), "studio takes work again when it is back\n");
        insta::assert_snapshot!(plain(&render_removed(&away)), @r"
        studio is forgotten; if it comes back, it joins as a new worker
          what it ran is tried again elsewhere: 0190163d-8694
        ");
    }
}
