use super::*;

#[test]
fn without_workers_it_waits_for_one() {
    let need = Need { recipe: "4b".to_owned(), peak: Bytes::gib(7) };
    assert_eq!(place(&[need], &[]), Placement::Wait { reason: "no worker is connected".to_owned() });
}
