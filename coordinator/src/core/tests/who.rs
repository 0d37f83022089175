//! Who did it, by hand.

use super::*;

#[test]
fn who_asked_is_kept_with_what_was_done_and_in_the_journal() {
    let mut bench = Bench::new();
    let session = bench.connect(WorkerId::new(), "mac", 100, &[]).unwrap();
    let job = bench.submit(Some("mine"), &[("r", 80)]);
    let attempt = bench.live(job);
    let name = |text: &str| text.parse::<PrincipalName>().unwrap();
    let reader = bench.submit_reader(job).unwrap();
    bench.report(session, attempt, success("out")).unwrap();
    bench.apply(Command::Cancel { job: reader, by: name("phone") }).unwrap();
    let tags = vec!["data".to_owned()];
    let data = manifest(Kind::Dataset, "data");
    bench.apply(Command::Register { manifest: data.clone(), tags, by: name("studio") }).unwrap();
    assert_eq!(bench.core.jobs[&job].by, person());
    assert_eq!(bench.core.jobs[&reader].reason, "cancelled by phone");
    assert_eq!(bench.core.index.get(&data.digest()).unwrap().origin, Origin::Person(name("studio")));
    let asked = bench.journal.iter().filter_map(|event| match &event.body {
        EventBody::State { state, by: Some(by), .. } => Some((event.job.unwrap(), state.name(), by.clone())),
        _ => None,
    });
    let [first, second] = [(job, "queued", person()), (reader, "blocked", person())];
    assert_eq!(asked.collect::<Vec<_>>(), [first, second, (reader, "cancelled", name("phone"))]);
    let moves = bench.disk.moves();
    let moved: Vec<_> = moves.iter().map(|moved| (moved.by, moved.person.clone())).collect();
    assert_eq!(moved, [(Mover::Job(job), None), (Mover::Import, Some(name("studio")))]);
}
