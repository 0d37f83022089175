//! `vertigo storage`: what takes what on the coordinator's disks.

use crate::coordinator::Coordinator;
use crate::error::{Result, Subject};
use crate::render::json;
use crate::render::output::{Output, count, pairs, short_id, table, wrap};
use vertigo::bytes::Bytes;
use vertigo::v1;
use vertigo_client::traced;

pub(crate) async fn run(coordinator: &Coordinator, output: Output) -> Result<()> {
    let request = traced(v1::DescribeStorageRequest {});
    let report = coordinator.answer(coordinator.storage().describe(request).await, Subject::Nothing)?;
    output.show(|| json::storage(&report), || render(&report));
    Ok(())
}

fn bytes(amount: Option<v1::Amount>) -> String {
    Bytes(amount.unwrap_or_default().bytes).to_string()
}

fn render(report: &v1::StorageReport) -> String {
    let mut rows =
        vec![["database".to_owned(), count(report.jobs) + " jobs", Bytes(report.database_bytes).to_string()]];
    rows.push(["  its journal".to_owned(), count(report.events) + " events", Bytes(report.journal_bytes).to_string()]);
    for kind in &report.kinds {
        let artifacts =
            format!("{} {}", count(kind.artifacts), if kind.artifacts == 1 { "artifact" } else { "artifacts" });
        rows.push([format!("{}s", kind.kind), artifacts, bytes(kind.blobs)]);
    }
    let files = |amount: Option<v1::Amount>| count(amount.unwrap_or_default().count) + " files";
    rows.push(["blobs without a name".to_owned(), files(report.unnamed), bytes(report.unnamed)]);
    if report.damaged.unwrap_or_default().count > 0 {
        rows.push(["damaged, set aside".to_owned(), files(report.damaged), bytes(report.damaged)]);
    }
    rows.push(["partial uploads".to_owned(), files(report.uploads), bytes(report.uploads)]);
    let mut text = table(["WHAT", "", "SIZE"], &[2], rows);
    if !report.jobs_by_checkpoints.is_empty() {
        let row = |job: &v1::JobStorage| {
            let made = job.checkpoints.unwrap_or_default();
            let name = if job.name.is_empty() { short_id(&job.job_id).to_owned() } else { job.name.clone() };
            [name, count(made.count), Bytes(made.bytes).to_string()]
        };
        text += "\n";
        text += &table(["JOB", "CHECKPOINTS", "SIZE"], &[1, 2], report.jobs_by_checkpoints.iter().map(row).collect());
    }
    text += "\n";
    for disk in &report.disks {
        let (free, total, reserve) = (Bytes(disk.free_bytes), Bytes(disk.total_bytes), Bytes(disk.reserve_bytes));
        text += &wrap(&format!("disk of {}: {free} of {total} free, {reserve} kept for the database", disk.folder), 2);
    }
    text + &pairs([
        ("kept", report.keep.replace(',', " ")),
        ("more", "`vertigo gc --dry-run` says what goes".to_owned()),
    ])
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::render::output::plain;

    #[test]
    fn what_takes_what_is_a_table_that_adds_up() {
        let amount = |count, bytes| Some(v1::Amount { count, bytes });
        let kind = |kind: &str, artifacts, bytes| v1::KindStorage {
            kind: kind.to_owned(),
            artifacts,
            blobs: amount(artifacts, bytes),
        };
        let report = v1::StorageReport {
            database_bytes: 5 << 20,
            journal_bytes: 3 << 20,
            jobs: 12,
            events: 34_567,
            kinds: vec![kind("base", 1, 5 << 30), kind("checkpoint", 2, 3 << 30)],
            jobs_by_checkpoints: vec![v1::JobStorage {
                job_id: "0190163d-8694-739b-aea5-966c26f8ad91".to_owned(),
                name: "luau-tutor".to_owned(),
                checkpoints: amount(2, 3 << 30),
            }],
            unnamed: amount(3, 7 << 20),
            keep: "checkpoints=7d,uploads=1d,blobs=1d,steps=30d,journal=180d,workers=180d".to_owned(),
            disks: vec![v1::DiskStorage {
                folder: "/srv/vertigo".to_owned(),
                total_bytes: 100 << 30,
                free_bytes: 60 << 30,
                reserve_bytes: 1 << 30,
            }],
            ..Default::default()
        };
        let text = plain(&render(&report));
        assert!(text.lines().all(|line| line.chars().count() <= 80), "{text}");
        for line in ["checkpoints", "34.6 k events", "5.0 GiB", "luau-tutor", "60.0 GiB of 100 GiB free", "blobs=1d"] {
            assert!(text.contains(line), "{line} in {text}");
        }
        assert!(!text.contains("damaged"));
    }
}
