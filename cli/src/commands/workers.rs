//! `vertigo workers`.

use crate::cli::WorkersArgs;
use crate::coordinator::Coordinator;
use crate::error::{Result, Subject};
use crate::render::json;
use crate::render::output::{Output, age, short_id, table};
use crate::render::pages::{self, Shown};
use vertigo::bytes::Bytes;
use vertigo::id::Millis;
use vertigo::v1;
use vertigo_client::traced;

pub(crate) async fn run(args: &WorkersArgs, coordinator: &Coordinator, output: Output) -> Result<()> {
    let fetch = async |page_size, page_token| {
        let request = v1::ListWorkersRequest { page_size, page_token };
        let answer = coordinator.answer(coordinator.fleet().list_workers(traced(request)).await, Subject::Nothing)?;
        Ok((answer.workers, answer.next_page_token))
    };
    let table = Box::new(|workers: &[v1::Worker]| render_workers(workers, Millis::now().0));
    pages::show(output, args.limit, fetch, Shown { json: json::worker, table }).await
}

fn render_workers(workers: &[v1::Worker], now: u64) -> String {
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
            worker.job_ids.iter().map(|id| short_id(id)).collect::<Vec<_>>().join(" "),
            machine.chip,
        ]
    };
    table(
        ["NAME", "STATE", "MEMORY", "USABLE", "RESERVED", "JOBS", "CHIP"],
        &[2, 3, 4],
        workers.iter().map(row).collect(),
    )
}

fn state(worker: &v1::Worker, now: u64) -> String {
    if worker.connected && !worker.draining && !worker.away.is_empty() {
        return format!("kept away: {}", worker.away);
    }
    match (worker.connected, worker.draining, worker.job_ids.is_empty()) {
        (false, ..) => format!("away {}", age(now, worker.last_seen_ms)),
        (true, true, _) => "draining".to_owned(),
        (true, false, true) => "idle".to_owned(),
        (true, false, false) => "busy".to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::render::output::plain;

    #[test]
    fn workers_are_a_table() {
        let worker = |name: &str, chip: &str, gib: u64| v1::Worker {
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
        };
        let busy = v1::Worker {
            job_ids: vec!["0190163d-8694-739b-aea5-966c26f8ad91".to_owned()],
            reserved_bytes: 20 << 30,
            ..worker("studio", "Apple M5 Max", 128)
        };
        let away = v1::Worker { connected: false, ..worker("air", "Apple M4", 16) };
        let text = plain(&render_workers(&[busy, worker("book", "Apple M5 Max", 36), away], 260_000));
        assert!(text.lines().all(|line| line.chars().count() <= 80), "{text}");
        insta::assert_snapshot!(text, @r"
        NAME    STATE          MEMORY    USABLE  RESERVED  JOBS           CHIP
        studio  busy          128 GiB  96.0 GiB  20.0 GiB  0190163d-8694  Apple M5 Max
        book    idle         36.0 GiB  27.0 GiB       0 B                 Apple M5 Max
        air     away 3m 20s  16.0 GiB  12.0 GiB       0 B                 Apple M4
        ");
        assert!(render_workers(&[], 0).contains("vertigo-worker --coordinator"));
    }
}
