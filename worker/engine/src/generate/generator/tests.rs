use super::*;
use crate::generate::Sampling;

const AMPLE: Limits = Limits { bytes: 1 << 30, answers_max: 64 };

fn generator(limits: Limits) -> Generator {
    let folder = tempfile::tempdir().unwrap();
    vertigo_testkit::base::write(folder.path());
    Generator::new(Model::load(folder.path()).unwrap(), limits).unwrap()
}

fn request(prompt: Vec<u32>) -> Request {
    let sampling = Sampling::default();
    Request {
        prompt,
        borders: vec![],
        adapter: None,
        sampling,
        tokens_max: 8,
        ends: vec![],
        logprobs: None,
        thought: None,
    }
}

#[test]
fn a_failure_is_told_though_another_request_is_cancelled_after_it() {
    let mut generator = generator(AMPLE);
    (0..2).for_each(|n| generator.admit(RequestId(n), request(vec![1, 2])).unwrap());
    while generator.rows.len() < 2 {
        generator.step().unwrap();
    }
    // As a cancellation leaves it that could not take its row out.
    generator.failed = Some(EngineError::input("no memory"));
    generator.cancel(RequestId(1));
    assert!(generator.step().unwrap_err().to_string().contains("no memory"));
    assert!(generator.is_idle() && generator.load().kept_bytes == 0);
    generator.admit(RequestId(3), request(vec![1])).unwrap();
    assert_eq!(generator.step().unwrap()[0], (RequestId(3), Produced::Read { reused: 0 }));
}
