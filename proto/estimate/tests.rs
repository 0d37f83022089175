use super::*;

#[test]
fn engines_are_read_as_they_are_written() {
    for engine in [Engine::Vertigo, Engine::MlxLm] {
        assert_eq!(engine.to_string().parse(), Ok(engine));
    }
    assert!("mlx".parse::<Engine>().unwrap_err().to_string().contains("mlx-lm"));
}
