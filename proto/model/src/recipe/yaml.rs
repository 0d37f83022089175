//! The recipe's file: which keys there are, what they default to, and what may not be.

use super::{
    Decay, Layers, LearningRate, LoraParameters, LossAverage, Mask, Method, Optimizer, Overlength, Recipe, RunLength,
    Thinking,
};
use serde::Deserialize;
use serde_json::{Map, Value};
use vertigo::spelling;

/// What is wrong with a recipe, where, and what to do.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("recipe `{recipe}`{}: {message}", line.map(|n| format!(", line {n}")).unwrap_or_default())]
pub struct RecipeError {
    /// The recipe's name.
    pub recipe: String,
    /// The line of the file, from 1, where it is known.
    pub line: Option<usize>,
    /// What is wrong and what to write instead.
    pub message: String,
}

/// Keys of the file that are read.
const KEYS: &[&str] = &[
    "model",
    "fine_tune_type",
    "optimizer",
    "optimizer_config",
    "learning_rate",
    "lr_schedule",
    "lora_parameters",
    "num_layers",
    "iters",
    "epochs",
    "batch_size",
    "grad_accumulation_steps",
    "gradient_accumulation",
    "loss_average",
    "weight_decay",
    "grad_clip",
    "max_seq_length",
    "overlength",
    "mask_prompt",
    "mask",
    "thinking",
    "grad_checkpoint",
    "seed",
    "steps_per_report",
    "steps_per_eval",
    "val_batches",
    "save_every",
    "early_stopping_patience",
];

/// Keys of mlx-lm that say where things lie on one machine or what its own command does. They are accepted, so that a
/// recipe stays one file for both, and change nothing here: data comes with `--data`, outputs are artifacts.
const PLACE_KEYS: &[&str] = &[
    "train",
    "test",
    "test_batches",
    "data",
    "adapter_path",
    "config",
    "report_to",
    "project_name",
    "wandb",
    "clear_cache_threshold",
    "trust_remote_code",
];

/// Keys of mlx-lm that would change the run and that we do not honour: an error, never silence.
const REFUSED_KEYS: &[(&str, &str)] = &[
    ("resume_adapter_file", "a run resumes from its own checkpoints; starting from another adapter is not offered"),
    ("hf_dataset", "import the data with `vertigo data import NAME DIR` and pass `--data NAME`"),
];

const LORA_KEYS: &[&str] = &["rank", "scale", "dropout", "keys"];
const SCHEDULE_KEYS: &[&str] = &["name", "warmup", "warmup_init", "arguments"];
const OPTIMIZER_KEYS: &[&str] = &["betas", "eps", "bias_correction", "weight_decay"];
const OVERLENGTHS: &[(&str, Overlength)] =
    &[("error", Overlength::Error), ("drop", Overlength::Drop), ("cut", Overlength::Cut), ("split", Overlength::Split)];
const MASKS: &[(&str, Mask)] = &[("last", Mask::Last), ("assistant", Mask::Assistant), ("none", Mask::None)];
const THOUGHTS: &[(&str, Thinking)] =
    &[("keep", Thinking::Keep), ("strip", Thinking::Strip), ("empty-ok", Thinking::EmptyOk)];
const SCHEDULES: &[&str] = &["cosine_decay", "linear_schedule", "exponential_decay", "step_decay"];

/// mlx-lm's default.
const ITERS: u64 = 1000;

#[derive(Deserialize)]
struct File {
    model: String,
    fine_tune_type: Option<String>,
    optimizer: Option<String>,
    optimizer_config: Option<Map<String, Value>>,
    learning_rate: Option<f64>,
    lr_schedule: Option<ScheduleFile>,
    lora_parameters: Option<LoraFile>,
    num_layers: Option<i64>,
    iters: Option<u64>,
    epochs: Option<u64>,
    batch_size: Option<u64>,
    grad_accumulation_steps: Option<u64>,
    gradient_accumulation: Option<u64>,
    loss_average: Option<LossAverage>,
    weight_decay: Option<f64>,
    grad_clip: Option<f64>,
    max_seq_length: Option<u64>,
    overlength: Option<String>,
    mask_prompt: Option<bool>,
    mask: Option<String>,
    thinking: Option<String>,
    grad_checkpoint: Option<bool>,
    seed: Option<u64>,
    steps_per_report: Option<u64>,
    steps_per_eval: Option<u64>,
    val_batches: Option<i64>,
    save_every: Option<u64>,
    early_stopping_patience: Option<u64>,
}

#[derive(Deserialize)]
struct LoraFile {
    rank: Option<u64>,
    scale: Option<f64>,
    dropout: Option<f64>,
    keys: Option<Vec<String>>,
}

#[derive(Deserialize)]
struct ScheduleFile {
    name: String,
    warmup: Option<u64>,
    warmup_init: Option<f64>,
    arguments: Vec<f64>,
}

#[derive(Deserialize, Default)]
struct OptimizerFile {
    betas: Option<(f64, f64)>,
    eps: Option<f64>,
    bias_correction: Option<bool>,
    weight_decay: Option<f64>,
}

/// Reports errors of one file.
struct Reader<'a> {
    name: &'a str,
    text: &'a str,
}

impl Reader<'_> {
    fn error(&self, message: impl Into<String>) -> RecipeError {
        RecipeError { recipe: self.name.to_owned(), line: None, message: message.into() }
    }

    /// An error about `key`, at the first line that starts with it.
    fn error_at(&self, key: &str, message: impl Into<String>) -> RecipeError {
        let starts =
            |line: &str| line.trim_start().strip_prefix(key).is_some_and(|rest| rest.trim_start().starts_with(':'));
        let line = self.text.lines().position(starts).map(|n| n + 1);
        RecipeError { line, ..self.error(message) }
    }

    fn check_keys(&self, table: &str, map: &Map<String, Value>, known: &[&str]) -> Result<(), RecipeError> {
        for key in map.keys().filter(|key| !known.contains(&key.as_str())) {
            if let Some((_, why)) = REFUSED_KEYS.iter().find(|(refused, _)| refused == key && table.is_empty()) {
                if map[key].is_null() {
                    continue;
                }
                return Err(self.error_at(key, format!("`{key}` cannot be honoured: {why}")));
            }
            let place = if table.is_empty() { String::new() } else { format!(" in `{table}`") };
            let hint = match spelling::nearest(key, known.iter().copied()) {
                Some(near) => format!("did you mean `{near}`?"),
                None => format!("known keys: {}", known.join(", ")),
            };
            return Err(self.error_at(key, format!("unknown key `{key}`{place}; {hint}")));
        }
        Ok(())
    }

    /// A count: `least` or more, and few enough that no product of counts overflows.
    fn at_least(&self, key: &str, value: u64, least: u64) -> Result<u64, RecipeError> {
        if value < least {
            return Err(self.error_at(key, format!("`{key}` is {value}; it must be at least {least}")));
        }
        if value > u64::from(u32::MAX) {
            return Err(self.error_at(key, format!("`{key}` is {value}; it must be at most {}", u32::MAX)));
        }
        Ok(value)
    }

    /// The word that `key` has, where it has one; an error that says which there are.
    fn one_of<T: Copy>(&self, key: &str, word: Option<&str>, known: &[(&str, T)]) -> Result<Option<T>, RecipeError> {
        let Some(word) = word else { return Ok(None) };
        if let Some((_, meant)) = known.iter().find(|(name, _)| *name == word) {
            return Ok(Some(*meant));
        }
        let names: Vec<&str> = known.iter().map(|(name, _)| *name).collect();
        let hint = match spelling::nearest(word, names.iter().copied()) {
            Some(near) => format!("did you mean `{near}`?"),
            None => format!("write one of {}", names.join(", ")),
        };
        Err(self.error_at(key, format!("`{key}` is `{word}`; {hint}")))
    }

    fn within(&self, key: &str, value: f64, what: &str, ok: impl Fn(f64) -> bool) -> Result<f64, RecipeError> {
        if value.is_finite() && ok(value) {
            return Ok(value);
        }
        Err(self.error_at(key, format!("`{key}` is {value}; it must be {what}")))
    }
}

pub(super) fn parse(name: &str, text: &str) -> Result<Recipe, RecipeError> {
    let reader = Reader { name, text };
    let value: Value = serde_saphyr::from_str(text).map_err(|e| reader.error(format!("not YAML: {e}")))?;
    let Value::Object(map) = value else {
        return Err(reader.error("the file is not a table of keys and values"));
    };
    let known: Vec<&str> = KEYS.iter().chain(PLACE_KEYS).copied().collect();
    reader.check_keys("", &map, &known)?;
    for (table, keys) in [("lora_parameters", LORA_KEYS), ("lr_schedule", SCHEDULE_KEYS)] {
        if let Some(Value::Object(inner)) = map.get(table) {
            reader.check_keys(table, inner, keys)?;
        }
    }
    if !map.contains_key("model") {
        return Err(reader.error("`model` is missing: name the base model, such as mlx-community/Qwen3.5-4B-4bit"));
    }
    let file: File = serde_saphyr::from_str(text).map_err(|e| reader.error(e.to_string()))?;
    build(&reader, file)
}

fn build(reader: &Reader<'_>, file: File) -> Result<Recipe, RecipeError> {
    let accumulation = match (file.grad_accumulation_steps, file.gradient_accumulation) {
        (Some(a), Some(b)) if a != b => {
            return Err(reader.error_at(
                "gradient_accumulation",
                format!("`gradient_accumulation` ({b}) and `grad_accumulation_steps` ({a}) are one setting; keep one"),
            ));
        }
        (a, b) => a.or(b).unwrap_or(1),
    };
    let grad_clip = file.grad_clip.map(|clip| reader.within("grad_clip", clip, "above 0", |c| c > 0.0)).transpose()?;
    let patience =
        file.early_stopping_patience.map(|n| reader.at_least("early_stopping_patience", n, 1)).transpose()?;
    let accumulation = reader.at_least("gradient_accumulation", accumulation, 1)?;
    let overlength = reader.one_of("overlength", file.overlength.as_deref(), OVERLENGTHS)?;
    let thinking = reader.one_of("thinking", file.thinking.as_deref(), THOUGHTS)?;
    Ok(Recipe {
        name: reader.name.to_owned(),
        method: method(reader, file.fine_tune_type.as_deref(), file.lora_parameters)?,
        layers: layers(reader, file.num_layers.unwrap_or(16))?,
        optimizer: optimizer(reader, file.optimizer, file.optimizer_config, file.weight_decay)?,
        learning_rate: learning_rate(reader, file.learning_rate.unwrap_or(1e-5), file.lr_schedule)?,
        length: run_length(reader, file.iters, file.epochs, accumulation)?,
        batch_size: reader.at_least("batch_size", file.batch_size.unwrap_or(4), 1)?,
        grad_accumulation_steps: accumulation,
        loss_average: file.loss_average.unwrap_or(LossAverage::Token),
        grad_clip,
        max_seq_length: reader.at_least("max_seq_length", file.max_seq_length.unwrap_or(2048), 2)?,
        overlength: overlength.unwrap_or_default(),
        mask: mask(reader, file.mask_prompt, file.mask.as_deref())?,
        thinking: thinking.unwrap_or_default(),
        grad_checkpoint: file.grad_checkpoint.unwrap_or(true),
        seed: file.seed.unwrap_or(0),
        steps_per_report: reader.at_least("steps_per_report", file.steps_per_report.unwrap_or(10), 1)?,
        steps_per_eval: reader.at_least("steps_per_eval", file.steps_per_eval.unwrap_or(200), 1)?,
        val_batches: val_batches(reader, file.val_batches.unwrap_or(25))?,
        save_every: reader.at_least("save_every", file.save_every.unwrap_or(100), 1)?,
        early_stopping_patience: patience,
        model: file.model,
    })
}

fn run_length(
    reader: &Reader<'_>,
    iters: Option<u64>,
    epochs: Option<u64>,
    accumulation: u64,
) -> Result<RunLength, RecipeError> {
    match (iters, epochs) {
        (Some(iters), Some(epochs)) => Err(reader.error_at(
            "epochs",
            format!("`epochs` ({epochs}) and `iters` ({iters}) both say how long the run is; keep one"),
        )),
        (None, Some(epochs)) => Ok(RunLength::Epochs { epochs: reader.at_least("epochs", epochs, 1)? }),
        (iters, None) => {
            let iters = reader.at_least("iters", iters.unwrap_or(ITERS), 1)?;
            if accumulation > iters {
                return Err(reader.error_at(
                    "iters",
                    format!(
                        "{iters} iters with gradients accumulated over {accumulation} never reach an optimizer step"
                    ),
                ));
            }
            Ok(RunLength::Iters(iters))
        }
    }
}

/// mlx-lm's key and ours are one setting.
fn mask(reader: &Reader<'_>, mask_prompt: Option<bool>, mask: Option<&str>) -> Result<Mask, RecipeError> {
    let of_prompt = mask_prompt.map(|masked| if masked { Mask::Last } else { Mask::None });
    match (of_prompt, reader.one_of("mask", mask, MASKS)?) {
        (Some(one), Some(another)) if one != another => {
            let (masked, same) = if one == Mask::Last { (true, "last") } else { (false, "none") };
            let message = format!("`mask_prompt: {masked}` is `mask: {same}`, and `mask` says otherwise; keep one");
            Err(reader.error_at("mask", message))
        }
        (one, another) => Ok(another.or(one).unwrap_or_default()),
    }
}

fn method(reader: &Reader<'_>, kind: Option<&str>, lora: Option<LoraFile>) -> Result<Method, RecipeError> {
    match kind.unwrap_or("lora") {
        "full" => return Ok(Method::Full),
        "lora" => {}
        "dora" => return Err(reader.error_at("fine_tune_type", "`dora` is not offered; write lora or full")),
        other => {
            let message = format!("`fine_tune_type` is `{other}`; write lora or full");
            return Err(reader.error_at("fine_tune_type", message));
        }
    }
    let lora = lora.unwrap_or(LoraFile { rank: None, scale: None, dropout: None, keys: None });
    if lora.keys.as_ref().is_some_and(Vec::is_empty) {
        return Err(reader.error_at("keys", "`keys` is empty; leave it out to adapt every linear"));
    }
    Ok(Method::Lora(LoraParameters {
        rank: reader.at_least("rank", lora.rank.unwrap_or(8), 1)?,
        scale: reader.within("scale", lora.scale.unwrap_or(20.0), "a number", |_| true)?,
        dropout: reader.within("dropout", lora.dropout.unwrap_or(0.0), "from 0 up to, not including, 1", |d| {
            (0.0..1.0).contains(&d)
        })?,
        keys: lora.keys,
    }))
}

fn layers(reader: &Reader<'_>, n: i64) -> Result<Layers, RecipeError> {
    match n {
        -1 => Ok(Layers::All),
        1.. => Ok(Layers::Last(n.unsigned_abs())),
        _ => Err(reader.error_at("num_layers", format!("`num_layers` is {n}; it must be at least 1, or -1 for all"))),
    }
}

fn val_batches(reader: &Reader<'_>, n: i64) -> Result<Option<u64>, RecipeError> {
    match n {
        -1 => Ok(None),
        1.. => Ok(Some(n.unsigned_abs())),
        _ => Err(reader.error_at("val_batches", format!("`val_batches` is {n}; it must be at least 1, or -1 for all"))),
    }
}

fn optimizer(
    reader: &Reader<'_>,
    name: Option<String>,
    configs: Option<Map<String, Value>>,
    weight_decay: Option<f64>,
) -> Result<Optimizer, RecipeError> {
    let name = name.unwrap_or_else(|| "adam".to_owned());
    if !["adam", "adamw"].contains(&name.as_str()) {
        return Err(reader.error_at("optimizer", format!("`optimizer` is `{name}`; write adam or adamw")));
    }
    let config = match configs.and_then(|mut configs| configs.remove(&name)) {
        None | Some(Value::Null) => OptimizerFile::default(),
        Some(Value::Object(config)) => {
            reader.check_keys(&format!("optimizer_config.{name}"), &config, OPTIMIZER_KEYS)?;
            serde_json::from_value(Value::Object(config))
                .map_err(|e| reader.error_at("optimizer_config", format!("`optimizer_config.{name}`: {e}")))?
        }
        Some(_) => return Err(reader.error_at("optimizer_config", "`optimizer_config` must hold a table")),
    };
    // MLX's AdamW decays by 0.01 unless told otherwise; its Adam does not decay.
    let by_default = if name == "adamw" { 0.01 } else { 0.0 };
    let decay = weight_decay.or(config.weight_decay).unwrap_or(by_default);
    let betas = config.betas.unwrap_or((0.9, 0.999));
    for beta in [betas.0, betas.1] {
        reader.within("betas", beta, "from 0 up to, not including, 1", |b| (0.0..1.0).contains(&b))?;
    }
    Ok(Optimizer {
        betas,
        eps: reader.within("eps", config.eps.unwrap_or(1e-8), "above 0", |e| e > 0.0)?,
        bias_correction: config.bias_correction.unwrap_or(false),
        weight_decay: reader.within("weight_decay", decay, "0 or above", |d| d >= 0.0)?,
    })
}

fn learning_rate(reader: &Reader<'_>, rate: f64, schedule: Option<ScheduleFile>) -> Result<LearningRate, RecipeError> {
    reader.within("learning_rate", rate, "above 0", |r| r > 0.0)?;
    let Some(schedule) = schedule else {
        return Ok(LearningRate::constant(rate));
    };
    let warmup_init = reader.within("warmup_init", schedule.warmup_init.unwrap_or(0.0), "0 or above", |r| r >= 0.0)?;
    let warmup = reader.at_least("warmup", schedule.warmup.unwrap_or(0), 0)?;
    Ok(LearningRate { warmup, warmup_init, decay: decay(reader, &schedule)? })
}

/// The schedule's arguments by position, as `mlx.optimizers.schedulers` takes them.
fn decay(reader: &Reader<'_>, schedule: &ScheduleFile) -> Result<Decay, RecipeError> {
    let arguments = &schedule.arguments;
    for &argument in arguments {
        reader.within("arguments", argument, "0 or above", |a| a >= 0.0)?;
    }
    let wrong = |form: &str| {
        reader.error_at(
            "arguments",
            format!("`arguments` of {} are {form}; there are {}", schedule.name, arguments.len()),
        )
    };
    let steps = |n: f64| {
        reader
            .within("arguments", n, "a whole number of steps, at least 1", |n| n >= 1.0 && n.fract() == 0.0)
            .and_then(|n| reader.at_least("arguments", n as u64, 1))
    };
    match (schedule.name.as_str(), arguments.as_slice()) {
        ("cosine_decay", &[init, n]) => Ok(Decay::Cosine { init, steps: steps(n)?, end: 0.0 }),
        ("cosine_decay", &[init, n, end]) => Ok(Decay::Cosine { init, steps: steps(n)?, end }),
        ("cosine_decay", _) => Err(wrong("[init, steps, end]")),
        ("linear_schedule", &[init, end, n]) => Ok(Decay::Linear { init, end, steps: steps(n)? }),
        ("linear_schedule", _) => Err(wrong("[init, end, steps]")),
        ("exponential_decay", &[init, rate]) => Ok(Decay::Exponential { init, rate }),
        ("exponential_decay", _) => Err(wrong("[init, rate]")),
        ("step_decay", &[init, rate, every]) => Ok(Decay::Step { init, rate, every: steps(every)? }),
        ("step_decay", _) => Err(wrong("[init, rate, steps]")),
        (other, _) => {
            let near = spelling::nearest(other, SCHEDULES.iter().copied()).unwrap_or(SCHEDULES[0]);
            Err(reader.error_at("name", format!("unknown schedule `{other}`; did you mean `{near}`?")))
        }
    }
}
