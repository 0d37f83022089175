//! `vertigo gc`: has the coordinator collect now, or say what it would.

use crate::cli::GcArgs;
use crate::coordinator::Coordinator;
use crate::error::{Result, Subject};
use crate::render::json;
use crate::render::output::{Output, count, table};
use vertigo::bytes::Bytes;
use vertigo::v1;
use vertigo_client::traced;

pub(crate) async fn run(args: &GcArgs, coordinator: &Coordinator, output: Output) -> Result<()> {
    let request = traced(v1::CollectRequest { dry_run: args.dry_run });
    let gone = coordinator.answer(coordinator.storage().collect(request).await, Subject::Nothing)?;
    output.show(|| json::collection(&gone), || render(&gone));
    Ok(())
}

fn render(gone: &v1::Collection) -> String {
    let amounts = [("checkpoints", gone.checkpoints), ("partial uploads", gone.uploads), ("blobs", gone.blobs)];
    let mut rows: Vec<[String; 3]> = Vec::new();
    for (what, v1::Amount { count: n, bytes }) in amounts.map(|(what, amount)| (what, amount.unwrap_or_default())) {
        // Their files are blobs, which have a line of their own.
        let bytes = if what == "checkpoints" { String::new() } else { Bytes(bytes).to_string() };
        rows.extend((n > 0).then(|| [what.to_owned(), count(n), bytes]));
    }
    for (what, n) in [("events of old jobs", gone.events), ("workers", gone.workers)] {
        rows.extend((n > 0).then(|| [what.to_owned(), count(n), String::new()]));
    }
    if rows.is_empty() {
        return "nothing to collect; `vertigo storage` says what is kept for how long\n".to_owned();
    }
    let freed = Bytes([gone.uploads, gone.blobs].into_iter().flatten().map(|amount| amount.bytes).sum());
    let end = match gone.dry_run {
        true => format!("\n{freed} would be free; `vertigo gc` does it\n"),
        false => format!("\n{freed} are free now\n"),
    };
    table([if gone.dry_run { "WOULD GO" } else { "GONE" }, "COUNT", "SIZE"], &[1, 2], rows) + &end
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::render::output::plain;

    #[test]
    fn what_went_is_counted_and_bytes_are_counted_once() {
        let amount = |count, bytes| Some(v1::Amount { count, bytes });
        let mut gone = v1::Collection {
            dry_run: true,
            checkpoints: amount(4, 3 << 30),
            blobs: amount(12, 2 << 30),
            events: 1200,
            ..Default::default()
        };
        let text = plain(&render(&gone));
        let line = |begin: &str| text.lines().find(|line| line.starts_with(begin)).map(str::to_owned);
        assert!(line("WOULD GO").is_some() && line("partial uploads").is_none() && line("workers").is_none(), "{text}");
        assert!(line("checkpoints").unwrap().ends_with('4'), "their bytes are those of blobs: {text}");
        assert!(line("blobs").unwrap().ends_with("2.0 GiB") && text.contains("\n2.0 GiB would be free"), "{text}");
        gone.dry_run = false;
        assert!(render(&gone).contains("2.0 GiB are free now"));
        assert!(render(&v1::Collection::default()).contains("nothing to collect"));
    }
}
