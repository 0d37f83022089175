//! What workers may touch, by hand. That it follows the leases is checked after random commands too (`invariants`).

use super::*;
use vertigo::bytes::Bytes;

/// A dataset of several files, registered.
fn import(bench: &mut Bench, files: &[&str], tag: &str) -> Digest {
    let file =
        |name: &&str| FileEntry { path: (*name).to_owned(), digest: Digest::of(name.as_bytes()), bytes: Bytes(1) };
    let manifest = Manifest::new(Kind::Dataset, files.iter().map(file).collect(), Default::default()).unwrap();
    let digest = manifest.digest();
    bench.apply(Command::Register { manifest, tags: vec![tag.to_owned()], by: person() }).unwrap();
    digest
}

/// A variant that reads these artifacts.
fn reading(name: &str, peak: u64, slot: Slot, artifacts: &[Digest]) -> Variant {
    let input = |digest: &Digest| Input {
        role: "data".to_owned(),
        source: Source::Artifact,
        artifact: Some(Found { digest: *digest, bytes: Bytes(1) }),
    };
    Variant { inputs: artifacts.iter().map(input).collect(), need: Some(needs(peak, slot)), ..variant(name, 0) }
}

fn blob(name: &str) -> Digest {
    Digest::of(name.as_bytes())
}

#[test]
fn a_worker_reads_what_its_live_attempts_read_and_writes_while_it_has_one() {
    let mut bench = Bench::new();
    let [a, b] = [WorkerId::new(), WorkerId::new()];
    let on_a = bench.connect(a, "a", 100, &[]).unwrap();
    bench.connect(b, "b", 100, &[]).unwrap();
    let (mine, others) = (import(&mut bench, &["1", "2"], "mine"), import(&mut bench, &["2", "3"], "others"));
    let core = |bench: &Bench, worker, digest| bench.core.may_get_artifact(worker, digest);
    assert_eq!((core(&bench, a, mine), bench.core.may_write_blob(a)), (Ok(false), false));

    let job = JobId::new();
    let task = reading("r", 80, Slot::Gpu, &[mine]);
    bench.apply(Command::Submit(vec![submit(job, None, 0, vec![task])])).unwrap();
    let attempt = bench.live(job);
    assert_eq!(bench.core.attempts[&attempt].worker, a);
    assert_eq!(
        (core(&bench, a, mine), core(&bench, a, others), core(&bench, b, mine)),
        (Ok(true), Ok(false), Ok(false))
    );
    let reads =
        |bench: &Bench, worker| ["1", "2", "3"].map(|name| bench.core.may_read_blob(worker, blob(name)).unwrap());
    assert_eq!((reads(&bench, a), reads(&bench, b)), ([true, true, false], [false; 3]));
    assert_eq!([a, b].map(|worker| bench.core.may_write_blob(worker)), [true, false]);
    assert_eq!(bench.core.may_read_blob(WorkerId::new(), blob("1")), Ok(false), "nobody knows it");

    // The checkpoint that it has saved is what it would go on from.
    let saved = manifest(Kind::Checkpoint, "state");
    bench.report(on_a, attempt, ReportBody::Checkpoint { iter: 1, artifact: saved.clone() }).unwrap();
    assert_eq!((core(&bench, a, saved.digest()), bench.core.may_read_blob(a, blob("state"))), (Ok(true), Ok(true)));

    // Away, the lease lives on, and the right with it; when that is over nothing is left.
    bench.apply(Command::Disconnect { session: on_a }).unwrap();
    assert!(bench.core.may_write_blob(a));
    bench.apply(Command::Cancel { job, by: person() }).unwrap();
    assert_eq!((reads(&bench, a), bench.core.may_write_blob(a)), ([false; 3], false));
    assert_eq!(core(&bench, a, saved.digest()), Ok(false));
}

#[test]
fn a_service_reads_what_its_name_stands_for_now() {
    let mut bench = Bench::new();
    let worker = WorkerId::new();
    bench.connect(worker, "a", 100, &[]).unwrap();
    let first = import(&mut bench, &["1"], "production");
    let job = JobId::new();
    let service = reading("follows production", 60, Slot::Service, &[first]);
    bench.apply(Command::Submit(vec![submit(job, None, 0, vec![service])])).unwrap();
    let second = import(&mut bench, &["2"], "next");
    assert_eq!(bench.core.may_get_artifact(worker, second), Ok(false));
    let (id, tag, by) = (vertigo::id::MoveId::new(), "production".to_owned(), person());
    let (target, expected, grounds) = (Target::To(second), Expected::Whatever, Grounds::default());
    bench.apply(Command::MoveTag(MoveTag { id, tag, target, expected, grounds, by })).unwrap();
    assert_eq!(bench.core.may_get_artifact(worker, second), Ok(true));
    assert_eq!(["1", "2"].map(|name| bench.core.may_read_blob(worker, blob(name))), [Ok(true), Ok(true)]);
}
