use super::*;
use proptest::prelude::*;
use std::fs;
use std::path::{Path, PathBuf};

/// The pipeline's own configs, or `None`, said aloud, where this checkout has no `../shared`.
fn pipeline_recipe(name: &str) -> Option<String> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../../shared/data/vertigo/recipes");
    if !folder.exists() {
        skipped(&format!("no recipes at {}", folder.display()));
        return None;
    }
    let path: PathBuf = folder.join(format!("{name}.yaml"));
    Some(fs::read_to_string(&path).unwrap_or_else(|e| panic!("{}: {e}", path.display())))
}

fn parse(yaml: &str) -> Result<Recipe, RecipeError> {
    Recipe::parse("test", yaml)
}

fn error(yaml: &str) -> String {
    parse(yaml).expect_err(yaml).to_string()
}

fn lora(recipe: &Recipe) -> &LoraParameters {
    match &recipe.method {
        Method::Lora(lora) => lora,
        Method::Full => panic!("{} is full", recipe.name),
    }
}

#[test]
fn the_pipelines_configs_are_read_as_they_are() {
    // Name, model, rank, layers, iters, batch size, accumulation, tokens, early stopping.
    let configs = [
        ("2b", "mlx-community/Qwen3.5-2B-4bit", 16, 16, 400, 2, 4, 2048, Some(10)),
        ("35b", "mlx-community/Qwen3.5-35B-A3B-4bit", 64, 16, 1000, 2, 4, 8192, Some(8)),
        ("4b-128gb", "mlx-community/Qwen3.5-4B-4bit", 32, 16, 800, 2, 4, 4096, Some(5)),
        ("4b-8bit-128gb", "mlx-community/Qwen3.5-4B-MLX-8bit", 32, 16, 800, 2, 4, 4096, Some(5)),
        ("4b", "mlx-community/Qwen3.5-4B-4bit", 8, 8, 600, 1, 1, 2048, None),
        ("9b", "mlx-community/Qwen3.5-9B-4bit", 16, 16, 600, 1, 8, 4096, Some(5)),
    ];
    for (name, model, rank, layers, iters, batch, accumulation, tokens, patience) in configs {
        let Some(text) = pipeline_recipe(name) else { return };
        let recipe = Recipe::parse(name, &text).unwrap();
        assert_eq!((recipe.name.as_str(), recipe.model.as_str()), (name, model));
        assert_eq!((lora(&recipe).rank, recipe.layers), (rank, Layers::Last(layers)), "{name}");
        assert_eq!(
            (recipe.length, recipe.batch_size, recipe.grad_accumulation_steps),
            (RunLength::Iters(iters), batch, accumulation),
            "{name}"
        );
        assert_eq!((recipe.max_seq_length, recipe.early_stopping_patience), (tokens, patience), "{name}");
        assert!(recipe.mask == Mask::Last && recipe.grad_checkpoint, "{name}");
    }
}

#[test]
fn what_mlx_lm_ignored_in_a_config_is_honoured() {
    let Some(text) = pipeline_recipe("9b") else { return };
    let recipe = Recipe::parse("9b", &text).unwrap();
    assert_eq!((recipe.optimizer.weight_decay, recipe.grad_clip), (0.01, Some(1.0)));
    assert_eq!((lora(&recipe).scale, lora(&recipe).dropout), (20.0, 0.05));
    let keys = lora(&recipe).keys.as_ref().unwrap();
    assert_eq!((keys.len(), keys[0].as_str(), keys[6].as_str()), (7, "self_attn.q_proj", "mlp.up_proj"));
    let decay = Decay::Cosine { init: 2e-6, steps: 600, end: 1e-7 };
    assert_eq!(recipe.learning_rate, LearningRate { warmup: 100, warmup_init: 1e-7, decay });
}

#[test]
fn a_file_that_is_no_training_config_says_so() {
    let Some(text) = pipeline_recipe("curation") else { return };
    let error = Recipe::parse("curation", &text).unwrap_err().to_string();
    assert!(error.starts_with("recipe `curation`, line 5: unknown key `tiers`"), "{error}");
}

/// `CONFIG_DEFAULTS` of mlx_lm/lora.py, and the defaults of `mlx.optimizers.Adam`, in mlx-lm 0.32.2 and MLX 0.32.2. The one default
/// of ours that is another is `grad_checkpoint`: the engine never keeps more than one layer.
#[test]
fn defaults_are_mlx_lms() {
    let recipe = parse("model: m").unwrap();
    let expected = Recipe {
        name: "test".to_owned(),
        model: "m".to_owned(),
        method: Method::Lora(LoraParameters { rank: 8, scale: 20.0, dropout: 0.0, keys: None }),
        layers: Layers::Last(16),
        optimizer: Optimizer { betas: (0.9, 0.999), eps: 1e-8, bias_correction: false, weight_decay: 0.0 },
        learning_rate: LearningRate::constant(1e-5),
        length: RunLength::Iters(1000),
        batch_size: 4,
        grad_accumulation_steps: 1,
        loss_average: LossAverage::Token,
        grad_clip: None,
        max_seq_length: 2048,
        overlength: Overlength::Cut,
        mask: Mask::None,
        thinking: Thinking::EmptyOk,
        grad_checkpoint: true,
        seed: 0,
        steps_per_report: 10,
        steps_per_eval: 200,
        val_batches: Some(25),
        save_every: 100,
        early_stopping_patience: None,
    };
    assert_eq!(recipe, expected);
    // mlx.optimizers.AdamW's.
    assert_eq!(parse("{model: m, optimizer: adamw}").unwrap().optimizer.weight_decay, 0.01);
}

#[test]
fn the_file_that_mlx_lm_itself_writes_is_read() {
    // The keys of CONFIG_DEFAULTS with their values, as mlx-lm writes them into adapter_config.json.
    let all = "{model: m, train: false, fine_tune_type: lora, optimizer: adam, optimizer_config: {adam: {}, adamw: {}, muon: {}, \
               sgd: {}, adafactor: {}}, data: mlx-community/WikiSQL, seed: 0, num_layers: 16, batch_size: 4, iters: 1000, \
               val_batches: 25, learning_rate: 1e-5, steps_per_report: 10, steps_per_eval: 200, resume_adapter_file: null, \
               adapter_path: adapters, save_every: 100, test: false, test_batches: 500, max_seq_length: 2048, config: null, \
               grad_checkpoint: false, grad_accumulation_steps: 1, clear_cache_threshold: 0, lr_schedule: null, \
               lora_parameters: {rank: 8, dropout: 0.0, scale: 20.0}, mask_prompt: false, report_to: null, project_name: null, \
               trust_remote_code: false}";
    let recipe = parse(all).unwrap();
    assert_eq!(Recipe { grad_checkpoint: true, ..recipe }, parse("model: m").unwrap());
}

#[test]
fn both_spellings_of_accumulation_are_one_setting() {
    let of = |text: &str| parse(&format!("{{model: m, {text}}}")).unwrap().grad_accumulation_steps;
    assert_eq!(of("gradient_accumulation: 4"), 4);
    assert_eq!(of("grad_accumulation_steps: 4"), 4);
    assert_eq!(of("grad_accumulation_steps: 4, gradient_accumulation: 4"), 4);
    let error = error("{model: m, grad_accumulation_steps: 2, gradient_accumulation: 4}");
    assert!(error.contains("are one setting; keep one"), "{error}");
}

#[test]
fn what_is_learned_has_a_word_each() {
    let of = |text: &str| parse(&format!("{{model: m, {text}}}")).unwrap();
    for (word, mask) in [("last", Mask::Last), ("assistant", Mask::Assistant), ("none", Mask::None)] {
        assert_eq!(of(&format!("mask: {word}")).mask, mask);
    }
    for (word, overlength) in [
        ("error", Overlength::Error),
        ("drop", Overlength::Drop),
        ("cut", Overlength::Cut),
        ("split", Overlength::Split),
    ] {
        assert_eq!(of(&format!("overlength: {word}")).overlength, overlength);
    }
    for (word, thinking) in [("keep", Thinking::Keep), ("strip", Thinking::Strip), ("empty-ok", Thinking::EmptyOk)] {
        assert_eq!(of(&format!("thinking: {word}")).thinking, thinking);
    }
    assert_eq!(of("epochs: 3, gradient_accumulation: 4000").length, RunLength::Epochs { epochs: 3 });
}

#[test]
fn mlx_lms_mask_and_ours_are_one_setting() {
    let of = |text: &str| parse(&format!("{{model: m, {text}}}")).unwrap().mask;
    assert_eq!((of("mask_prompt: true"), of("mask_prompt: false")), (Mask::Last, Mask::None));
    assert_eq!((of("mask_prompt: true, mask: last"), of("mask_prompt: false, mask: none")), (Mask::Last, Mask::None));
    for text in
        ["mask_prompt: true\nmask: assistant", "mask_prompt: true\nmask: none", "mask_prompt: false\nmask: last"]
    {
        let error = error(&format!("model: m\n{text}"));
        assert!(error.contains("line 3: `mask_prompt: ") && error.contains("keep one"), "{error}");
    }
}

/// A run is known again by its recipe's JSON (`Identity` in the engine's checkpoints): what it was before there were these keys, it is now.
#[test]
fn a_recipe_without_the_newer_keys_is_told_apart_as_it_always_was() {
    let json = |text: &str| serde_json::to_string(&parse(text).unwrap()).unwrap();
    let before = r#"{"name":"test","model":"m","method":{"lora":{"rank":8,"scale":20.0,"dropout":0.0,"keys":null}},"layers":{"last":16},"optimizer":{"betas":[0.9,0.999],"eps":1e-8,"bias_correction":false,"weight_decay":0.0},"learning_rate":{"warmup":0,"warmup_init":0.0,"decay":{"constant":{"init":0.00001}}},"iters":600,"batch_size":4,"grad_accumulation_steps":1,"loss_average":"token","grad_clip":null,"max_seq_length":2048,"mask_prompt":true,"grad_checkpoint":true,"seed":0,"steps_per_report":10,"steps_per_eval":200,"val_batches":25,"save_every":100,"early_stopping_patience":null}"#;
    assert_eq!(json("{model: m, iters: 600, mask_prompt: true}"), before);
    assert_eq!(json("{model: m, iters: 600, mask: last, overlength: cut, thinking: empty-ok}"), before);
    for other in ["epochs: 600, mask: last", "iters: 600, mask: assistant", "iters: 600, mask: none"] {
        assert_ne!(json(&format!("{{model: m, {other}}}")), before);
    }
    for other in ["overlength: drop", "thinking: keep", "thinking: strip"] {
        assert_ne!(json(&format!("{{model: m, iters: 600, mask: last, {other}}}")), before);
    }
}

#[test]
fn every_recipe_reads_back_from_its_json() {
    for text in ["mask: assistant, epochs: 2, overlength: split, thinking: strip", "mask_prompt: true", "iters: 3"] {
        let recipe = parse(&format!("{{model: m, {text}}}")).unwrap();
        let json = serde_json::to_string(&recipe).unwrap();
        assert_eq!(serde_json::from_str::<Recipe>(&json).unwrap(), recipe, "{json}");
    }
}

#[test]
fn an_unknown_key_names_its_line_and_the_nearest_key() {
    for (yaml, message) in [
        ("model: m\nbatchsize: 2", "line 2: unknown key `batchsize`; did you mean `batch_size`?"),
        ("model: m\ngrad_acumulation: 2", "unknown key `grad_acumulation`; did you mean `grad"),
        (
            "model: m\nlora_parameters:\n  rnak: 2",
            "line 3: unknown key `rnak` in `lora_parameters`; did you mean `rank`?",
        ),
        ("model: m\nlora_parameters:\n  alpha: 16", "unknown key `alpha` in `lora_parameters`"),
        ("model: m\nlr_schedule: {name: cosine_decay, warm_up: 2, arguments: [1, 2]}", "did you mean `warmup`?"),
        ("model: m\noptimizer_config: {adam: {beta: [0.9, 0.99]}}", "did you mean `betas`?"),
        ("model: m\noverlenght: cut", "line 2: unknown key `overlenght`; did you mean `overlength`?"),
        ("model: m\nepoch: 2", "unknown key `epoch`; did you mean `epochs`?"),
        ("model: m\nzzz: 1", "unknown key `zzz`; known keys: model, "),
    ] {
        let error = error(yaml);
        assert!(error.contains(message), "{yaml}: {error}");
    }
}

#[test]
fn a_value_that_cannot_be_names_its_key_and_what_can() {
    for (yaml, message) in [
        ("", "not a table"),
        ("iters: 5", "`model` is missing"),
        ("model: m\niters: 0", "line 2: `iters` is 0; it must be at least 1"),
        ("model: m\niters: 4294967296", "`iters` is 4294967296; it must be at most 4294967295"),
        (
            "model: m\nlr_schedule: {name: cosine_decay, warmup: 18446744073709551615, arguments: [1, 2]}",
            "`warmup` is 1844",
        ),
        ("model: m\nmax_seq_length: 1", "`max_seq_length` is 1; it must be at least 2"),
        ("model: m\nnum_layers: 0", "at least 1, or -1 for all"),
        ("model: m\nval_batches: 0", "at least 1, or -1 for all"),
        ("model: m\nlearning_rate: .nan", "non-finite"),
        ("model: m\nlearning_rate: fast", "learning_rate"),
        ("model: m\nlora_parameters: {dropout: 1.0}", "`dropout` is 1; it must be from 0 up to, not including, 1"),
        ("model: m\nlora_parameters: {keys: []}", "leave it out to adapt every linear"),
        ("model: m\nfine_tune_type: dora", "`dora` is not offered"),
        ("model: m\noptimizer: muon", "write adam or adamw"),
        ("model: m\niters: 3\ngradient_accumulation: 4", "never reach an optimizer step"),
        ("model: m\nepochs: 0", "line 2: `epochs` is 0; it must be at least 1"),
        (
            "model: m\niters: 3\nepochs: 2",
            "line 3: `epochs` (2) and `iters` (3) both say how long the run is; keep one",
        ),
        ("model: m\noverlength: drp", "line 2: `overlength` is `drp`; did you mean `drop`?"),
        ("model: m\nmask: user", "`mask` is `user`; write one of last, assistant, none"),
        ("model: m\nthinking: empty_ok", "`thinking` is `empty_ok`; did you mean `empty-ok`?"),
        ("model: m\nresume_adapter_file: x", "cannot be honoured"),
        ("model: m\nlr_schedule: {name: cosine, arguments: [1e-5, 10]}", "did you mean `cosine_decay`?"),
        ("model: m\nlr_schedule: {name: cosine_decay, arguments: [1e-5]}", "[init, steps, end]; there are 1"),
        ("model: m\nlr_schedule: {name: cosine_decay, arguments: [1e-5, 0]}", "a whole number of steps, at least 1"),
    ] {
        let error = error(yaml);
        assert!(error.contains(message), "{yaml}: {error}");
    }
}

/// `build_schedule(config)(step)` of mlx_lm/tuner/utils.py on MLX 0.32.2, to seven figures of its f32.
#[test]
fn schedules_are_mlx_lms() {
    let cases: [(&str, &[(u64, f64)]); 5] = [
        (
            "{name: cosine_decay, warmup: 50, warmup_init: 1e-8, arguments: [5e-6, 400, 1e-8]}",
            &[
                (0, 1e-8),
                (1, 1.098e-7),
                (25, 2.505e-6),
                (50, 5e-6),
                (51, 5e-6),
                (52, 4.999923e-6),
                (251, 2.505e-6),
                (451, 1e-8),
                (600, 1e-8),
            ],
        ),
        (
            "{name: cosine_decay, arguments: [1e-3, 100]}",
            &[(0, 1e-3), (1, 9.997532e-4), (50, 5e-4), (99, 2.467334e-7), (100, 0.0), (150, 0.0)],
        ),
        (
            "{name: linear_schedule, warmup: 10, arguments: [1e-3, 1e-5, 90]}",
            &[(0, 0.0), (5, 5e-4), (10, 1e-3), (11, 1e-3), (50, 5.71e-4), (101, 1.000008e-5), (200, 1.000008e-5)],
        ),
        (
            "{name: exponential_decay, warmup: 3, warmup_init: 1e-4, arguments: [1e-2, 0.9]}",
            &[(0, 1e-4), (1, 3.4e-3), (3, 1e-2), (4, 1e-2), (5, 9e-3), (20, 1.853019e-3)],
        ),
        (
            "{name: step_decay, arguments: [1e-2, 0.5, 10]}",
            &[(0, 1e-2), (9, 1e-2), (10, 5e-3), (19, 5e-3), (35, 1.25e-3)],
        ),
    ];
    for (schedule, steps) in cases {
        let recipe = parse(&format!("model: m\nlr_schedule: {schedule}")).unwrap();
        for &(step, expected) in steps {
            let rate = recipe.learning_rate.at(step);
            // MLX computes in f32: seven figures, of the first rate where the difference of two rates is small.
            assert!(
                (rate - expected).abs() <= 2e-5 * expected + 1e-10,
                "{schedule} at {step}: {rate}, mlx-lm {expected}"
            );
        }
    }
}

fn yaml_value() -> impl Strategy<Value = String> {
    let scalar = prop_oneof![
        any::<i64>().prop_map(|n| n.to_string()),
        any::<f64>().prop_map(|x| format!("{x:e}")),
        Just("null".to_owned()),
        Just("true".to_owned()),
        Just(".nan".to_owned()),
        Just("[]".to_owned()),
        Just("{}".to_owned()),
        Just("lora".to_owned()),
        "[ -~]{0,12}",
    ];
    scalar.prop_recursive(3, 16, 4, |inner| {
        prop_oneof![
            prop::collection::vec(inner.clone(), 0..4).prop_map(|list| format!("[{}]", list.join(", "))),
            prop::collection::vec((key(), inner), 0..4).prop_map(|pairs| {
                let pairs: Vec<_> = pairs.into_iter().map(|(k, v)| format!("{k}: {v}")).collect();
                format!("{{{}}}", pairs.join(", "))
            }),
        ]
    })
}

/// Mostly keys that mean something, so that values get past the first check.
fn key() -> impl Strategy<Value = String> {
    let known = [
        "model",
        "fine_tune_type",
        "optimizer",
        "optimizer_config",
        "learning_rate",
        "lr_schedule",
        "lora_parameters",
        "num_layers",
        "iters",
        "batch_size",
        "grad_accumulation_steps",
        "gradient_accumulation",
        "loss_average",
        "weight_decay",
        "grad_clip",
        "max_seq_length",
        "mask_prompt",
        "mask",
        "overlength",
        "thinking",
        "epochs",
        "seed",
        "val_batches",
        "early_stopping_patience",
        "rank",
        "scale",
        "dropout",
        "keys",
        "name",
        "warmup",
        "arguments",
        "adam",
        "betas",
        "eps",
    ];
    prop_oneof![9 => prop::sample::select(known.to_vec()).prop_map(str::to_owned), 1 => "[a-z_]{1,8}"]
}

proptest! {
    #[test]
    fn reading_never_panics_on_any_text(text in "(\\PC|\n){0,200}") {
        let _ = parse(&text);
    }

    #[test]
    fn reading_never_panics_on_keys_and_values(pairs in prop::collection::vec((key(), yaml_value()), 0..8)) {
        let lines: Vec<_> = pairs.iter().map(|(key, value)| format!("{key}: {value}")).collect();
        let text = format!("model: m\n{}", lines.join("\n"));
        if let Ok(recipe) = parse(&text) {
            // What was read can run: no rate is NaN, and there is a step to take.
            let iters = recipe.iters(|passes| passes);
            prop_assert!(iters / recipe.grad_accumulation_steps >= 1);
            for step in [0, 1, iters] {
                prop_assert!(recipe.learning_rate.at(step).is_finite(), "{}", text);
            }
        }
    }

    #[test]
    fn a_rate_never_leaves_the_range_of_its_ends(
        (init, end) in (1e-7f64..1e-2, 1e-9f64..1e-2), warmup in 0u64..50, steps in 1u64..200, step in 0u64..400,
    ) {
        let text = format!("{{model: m, lr_schedule: {{name: cosine_decay, warmup: {warmup}, arguments: [{init}, {steps}, {end}]}}}}");
        let rate = parse(&text).unwrap().learning_rate.at(step);
        let least = if warmup > 0 { 0.0 } else { init.min(end) };
        prop_assert!(rate >= least * 0.999_999 && rate <= init.max(end) * 1.000_001, "{}", rate);
    }
}

/// Says that a test did not run. Straight to stderr: what a passing test says by `eprintln!` is not shown.
fn skipped(why: &str) {
    use std::io::Write;
    let _ = writeln!(std::io::stderr(), "SKIPPED: {why}");
}
