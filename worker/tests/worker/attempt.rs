//! The child alone: a spec in, lines out, and its death with the daemon's.

use crate::support::{DEADLINE, recipe, write_base, write_data};
use std::fs;
use std::io::{BufRead, BufReader};
use std::path::Path;
use std::process::{Child, ChildStdout, Command, Stdio};
use std::time::Instant;
use tempfile::TempDir;
use vertigo::bytes::Bytes;
use vertigo::caveats::Caveats;
use vertigo::id::{AttemptId, Digest, Epoch, JobId};
use vertigo::task::{Bits, Cure, Failure, Slot};
use vertigo_worker::child::main::{End, Said};
use vertigo_worker::task::{Event, Input, Spec, Task};

fn spec(dir: &Path, iters: u64) -> Spec {
    write_base(&dir.join("base"));
    write_data(&dir.join("data"));
    let input =
        |name: &str| Input { digest: Digest::of(name.as_bytes()), folder: dir.join(name), facts: Default::default() };
    Spec {
        job: JobId::new(),
        attempt: AttemptId::new(),
        epoch: Epoch(1),
        reserved: Bytes::gib(1),
        slot: Slot::Gpu,
        task: training(&recipe(iters)),
        inputs: [("base", input("base")), ("data", input("data"))].map(|(role, it)| (role.to_owned(), it)).into(),
        checkpoint: None,
        out: dir.join("out"),
        ledgers: dir.join("ledgers"),
    }
}

fn training(yaml: &str) -> Task {
    Task::Train { recipe: "tiny".to_owned(), yaml: yaml.to_owned() }
}

fn start(dir: &Path, spec: &Spec) -> (Child, BufReader<ChildStdout>) {
    let path = dir.join("spec.json");
    spec.save(&path).unwrap();
    start_on(&path)
}

fn start_on(spec: &Path) -> (Child, BufReader<ChildStdout>) {
    let mut child = Command::new(env!("CARGO_BIN_EXE_vertigo-worker"))
        .args(["attempt", "--spec"])
        .arg(spec)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let stdout = BufReader::new(child.stdout.take().unwrap());
    (child, stdout)
}

/// Runs to the end: what was said, and the exit code.
fn run(dir: &Path, spec: &Spec) -> (Vec<Said>, Option<i32>) {
    let (mut child, stdout) = start(dir, spec);
    let said = stdout.lines().map(|line| serde_json::from_str(&line.unwrap()).unwrap()).collect();
    (said, child.wait().unwrap().code())
}

fn failure(dir: &TempDir, spec: &Spec) -> Failure {
    let (said, code) = run(dir.path(), spec);
    assert_eq!(code, Some(1));
    match said.last() {
        Some(Said::End(End::Failed(failed))) => failed.clone(),
        other => panic!("the last word was {other:?}"),
    }
}

#[test]
fn a_spec_becomes_events_and_an_adapter_and_goes_on_from_a_checkpoint() {
    let dir = tempfile::tempdir().unwrap();
    let whole = spec(dir.path(), 6);
    let (said, code) = run(dir.path(), &whole);
    assert_eq!(code, Some(0));
    let events: Vec<_> =
        said.iter().map(|said| if let Said::Event(event) = said { event } else { panic!("{said:?}") }).collect();
    assert!(matches!(events[0], Event::Started { train_examples: 8, valid_examples: 2, resumed_at: 0, iters: 6, .. }));
    let steps: Vec<_> = events
        .iter()
        .filter_map(|e| if let Event::Step { iter, peak_bytes, .. } = e { Some((*iter, *peak_bytes)) } else { None })
        .collect();
    assert_eq!(steps.iter().map(|(iter, _)| *iter).collect::<Vec<_>>(), [2, 4, 6]);
    assert!(steps.iter().all(|(_, peak)| *peak > 0));
    let Some(Event::Finished(done)) = events.last() else { panic!("{events:?}") };
    let [adapter, best] = &done.products[..] else { panic!("{done:?}") };
    let loss = |fact: &str| adapter.facts[fact].as_f64().unwrap();
    assert!(loss("validation_after") < loss("validation_before"), "{adapter:?}");
    assert_eq!(
        (adapter.role.as_str(), &adapter.facts["base"]),
        ("adapter", &whole.inputs["base"].digest.to_string().into())
    );
    for file in ["adapters.safetensors", "adapter_config.json"] {
        assert!(adapter.folder.join(file).exists() && best.folder.join(file).exists(), "{file}");
    }
    // Validated at 4 and 6, of which the last is the best: then both are one artifact.
    assert_eq!((best.role.as_str(), &best.facts["iter"], &best.facts), ("best", &6.into(), &adapter.facts));
    assert_eq!((&best.facts["rank"], &best.facts["recipe"]), (&"low".into(), &"tiny".into()));
    let text = recipe(6);
    assert_eq!(best.facts["recipe_digest"], Digest::of(text.as_bytes()).to_string());
    assert_eq!(best.facts["mlx"], vertigo_engine::device::mlx_version().unwrap());
    assert!(!best.facts.contains_key("weights_sum"), "all weigh 1");
    let checkpoint = events.iter().find_map(|e| match e {
        Event::Checkpoint { iter: 4, folder, .. } => Some(folder.clone()),
        _ => None,
    });

    let resumed = Spec { checkpoint, out: dir.path().join("again"), ..whole };
    let (said, code) = run(dir.path(), &resumed);
    assert_eq!(code, Some(0));
    assert!(matches!(said[0], Said::Event(Event::Started { resumed_at: 4, .. })), "{:?}", said[0]);
    let weights = |folder: &Path| fs::read(folder.join("adapter/adapters.safetensors")).unwrap();
    assert!(weights(&dir.path().join("again")) == weights(&dir.path().join("out")), "a resumed run is the same run");
}

#[test]
fn adapters_of_weighted_examples_say_what_a_pass_draws_and_so_does_a_run_that_goes_on() {
    let dir = tempfile::tempdir().unwrap();
    let whole = spec(dir.path(), 4);
    let line = |n: u32| format!("{{\"text\":\"local x{n} = {n} * {n}\",\"weight\":{}}}\n", [0.1, 2.5][n as usize % 2]);
    fs::write(dir.path().join("data/train.jsonl"), (0..8).map(line).collect::<String>()).unwrap();
    let finished = |spec: &Spec| {
        let (said, code) = run(dir.path(), spec);
        assert_eq!(code, Some(0), "{said:?}");
        assert!(matches!(said[0], Said::Event(Event::Started { train_examples: 8, .. })), "{:?}", said[0]);
        let Some(Said::Event(Event::Finished(done))) = said.last() else { panic!("{said:?}") };
        let mut facts = done.products[0].facts.clone();
        facts.remove("peak_bytes");
        (facts, fs::read(done.products[0].folder.join("adapters.safetensors")).unwrap())
    };
    let straight = finished(&whole);
    assert_eq!(straight.0["weights_sum"], 10.4);
    let checkpoint = Some(dir.path().join("out/checkpoints/00000002"));
    let resumed = Spec { checkpoint, out: dir.path().join("again"), ..whole };
    assert!(finished(&resumed) == straight, "a resumed run is the same run");
}

/// What happens when MLX is updated on one machine of a fleet: a real checkpoint, whose metadata say another version.
#[test]
fn a_run_whose_checkpoint_another_mlx_has_made_says_so_and_begins_anew() {
    let dir = tempfile::tempdir().unwrap();
    let whole = spec(dir.path(), 4);
    assert_eq!(run(dir.path(), &whole).1, Some(0));
    let checkpoint = dir.path().join("out/checkpoints/00000002");
    let path = checkpoint.join("progress.json");
    let mut progress: serde_json::Value = serde_json::from_slice(&fs::read(&path).unwrap()).unwrap();
    progress["identity"]["mlx"] = "0.0.7".into();
    fs::write(&path, progress.to_string()).unwrap();
    let resumed = Spec { checkpoint: Some(checkpoint), out: dir.path().join("again"), ..whole };
    let (said, code) = run(dir.path(), &resumed);
    assert_eq!(code, Some(0), "{said:?}");
    let Said::Event(Event::Warning { text }) = &said[0] else { panic!("{:?}", said[0]) };
    let ours = vertigo_engine::device::mlx_version().unwrap();
    for words in ["begins anew", "version of MLX", "0.0.7", &ours] {
        assert!(text.contains(words), "{words}: {text}");
    }
    assert!(matches!(said[1], Said::Event(Event::Started { resumed_at: 0, .. })), "{:?}", said[1]);
    for role in ["adapter", "best"] {
        let weights = |out: &str| fs::read(dir.path().join(out).join(role).join("adapters.safetensors")).unwrap();
        assert!(weights("again") == weights("out"), "{role}: the same run gives the same bits");
    }
}

#[test]
fn what_is_not_learned_as_it_was_written_is_counted_and_named_in_the_log() {
    let dir = tempfile::tempdir().unwrap();
    let mut spec = spec(dir.path(), 7);
    spec.task = training(&(recipe(7) + "mask_prompt: true\ngrad_accumulation_steps: 4\n"));
    // A thought is opened for the answer that the conversation does not have, as in Qwen3.5's template where thinking is on.
    let template = "{% for m in messages %}<|im_start|>{{ m.role }}\n{{ m.content }}<|im_end|>\n{% endfor %}\
        {% if add_generation_prompt %}<|im_start|>assistant\n{% if messages[0].content == 'think' %}<think>{% endif %}{% endif %}";
    fs::write(spec.inputs["base"].folder.join("chat_template.jinja"), template).unwrap();
    let chat = |question: &str, role: &str, answer: &str| {
        serde_json::json!({"messages": [{"role": "user", "content": question}, {"role": role, "content": answer}]})
            .to_string()
    };
    let lines = [
        chat("q", "assistant", "a"),
        chat("q", "assistant", &"long ".repeat(40)),
        chat("q", "user", "and r"),
        chat("q", "assistant", ""),
        chat("think", "assistant", "a"),
        chat(&"long ".repeat(40), "assistant", "a"),
    ];
    fs::write(spec.inputs["data"].folder.join("train.jsonl"), lines.join("\n")).unwrap();
    fs::write(spec.inputs["data"].folder.join("valid.jsonl"), chat("q", "user", "held out")).unwrap();
    let path = dir.path().join("spec.json");
    spec.save(&path).unwrap();
    let mut command = Command::new(env!("CARGO_BIN_EXE_vertigo-worker"));
    command.args(["attempt", "--spec"]).arg(&path);
    let mut child = command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    // Held open until it has ended.
    let stdin = child.stdin.take();
    let output = child.wait_with_output().unwrap();
    drop(stdin);
    let first = output.stdout.split(|byte| *byte == b'\n').next().unwrap();
    let Said::Event(Event::Started { caveats, skipped_examples: 2, train_examples: 4, valid_examples: 1, .. }) =
        serde_json::from_slice(first).unwrap()
    else {
        panic!("{}", String::from_utf8_lossy(first))
    };
    let expected = Caveats {
        // A long question, and an answer that would lose its end.
        skipped_examples: 2,
        overlong_examples: 2,
        unanswered_examples: 2,
        empty_answers: 1,
        unshared_prompts: 1,
        leftover_micro_batches: 3,
        ..Caveats::default()
    };
    assert_eq!(caveats, Some(expected));
    let log = String::from_utf8(output.stderr).unwrap();
    for (words, place) in [
        ("left out: longer than max_seq_length", "; see train.jsonl:2, train.jsonl:6"),
        ("without the assistant's turn", "; see train.jsonl:3, valid.jsonl:1"),
        ("empty answer", "; see train.jsonl:4"),
        ("not the beginning", "; see train.jsonl:5"),
        ("last 3 micro-batches", ""),
    ] {
        assert!(log.lines().any(|line| line.contains(words) && line.ends_with(place)), "{words}{place}: {log}");
    }
}

#[test]
fn a_template_that_does_not_end_is_bad_input_that_names_the_example() {
    let dir = tempfile::tempdir().unwrap();
    let spec = spec(dir.path(), 2);
    let template = "{% set ns = namespace(s='xyz') %}{% for i in range(64) %}{% set ns.s = ns.s ~ ns.s %}{% endfor %}";
    fs::write(spec.inputs["base"].folder.join("chat_template.jinja"), template).unwrap();
    fs::write(spec.inputs["data"].folder.join("train.jsonl"), "\n{\"prompt\":\"q\",\"completion\":\"a\"}\n").unwrap();
    let failed = failure(&dir, &spec);
    assert_eq!((failed.cure, failed.code.as_str()), (Cure::Never, "bad_input"));
    assert!(failed.message.starts_with("train.jsonl:2: chat_template: "), "{}", failed.message);
    assert!(failed.message.contains("mend the base's template"), "{}", failed.message);
}

#[test]
fn bad_input_is_said_to_be_that() {
    let dir = tempfile::tempdir().unwrap();
    let good = spec(dir.path(), 2);
    let unknown = failure(&dir, &Spec { task: training(&(recipe(2) + "itters: 3\n")), ..good.clone() });
    assert_eq!(unknown.cure, Cure::Never);
    assert!(unknown.message.contains("itters") && unknown.message.contains("iters"), "{}", unknown.message);

    fs::write(dir.path().join("data/more.jsonl"), "{\"text\":\"fine\"}\n{\"text\":\n").unwrap();
    let broken = failure(&dir, &good);
    assert!(broken.cure == Cure::Never && broken.message.contains("more.jsonl:2"), "{broken:?}");

    fs::remove_file(dir.path().join("data/more.jsonl")).unwrap();
    fs::remove_file(dir.path().join("base/model.safetensors")).unwrap();
    let missing = failure(&dir, &good);
    assert!(missing.cure == Cure::Never && missing.message.contains("model.safetensors"), "{missing:?}");

    fs::write(dir.path().join("spec.json"), "{}").unwrap();
    let (mut child, stdout) = start_on(&dir.path().join("spec.json"));
    let line = stdout.lines().next().unwrap().unwrap();
    assert!(!child.wait().unwrap().success());
    assert!(line.contains("bad_input") && line.contains("spec.json"), "{line}");
}

#[test]
fn it_ends_when_its_stdin_closes() {
    let dir = tempfile::tempdir().unwrap();
    let (mut child, stdout) = start(dir.path(), &spec(dir.path(), 1_000_000));
    let step = stdout.lines().map(|line| line.unwrap()).find(|line| line.contains(r#""event":"step""#));
    assert!(step.is_some(), "it trains");
    assert_eq!(child.try_wait().unwrap(), None);
    drop(child.stdin.take());
    let started = Instant::now();
    let status = loop {
        if let Some(status) = child.try_wait().unwrap() {
            break status;
        }
        assert!(started.elapsed() < DEADLINE, "it goes on without a daemon");
        std::thread::yield_now();
    };
    assert!(!status.success());
}

#[test]
fn an_adapter_and_its_base_become_one_model_on_the_processor_alone() {
    let dir = tempfile::tempdir().unwrap();
    let trained = spec(dir.path(), 4);
    assert_eq!(run(dir.path(), &trained).1, Some(0));
    let adapter = Input {
        digest: Digest::of(b"adapter"),
        folder: dir.path().join("out/adapter"),
        facts: [("recipe".to_owned(), "tiny".into()), ("recipe_digest".to_owned(), "sha256:1".into())].into(),
    };
    let inputs = [("adapter".to_owned(), adapter), ("base".to_owned(), trained.inputs["base"].clone())].into();
    let task = Task::Fuse { bits: Bits::Same, measured: false };
    let fuse = Spec { slot: Slot::Cpu, task, inputs, out: dir.path().join("fused"), ..trained };
    let (said, code) = run(dir.path(), &fuse);
    assert_eq!(code, Some(0), "{said:?}");
    let events: Vec<_> =
        said.iter().map(|said| if let Said::Event(event) = said { event } else { panic!("{said:?}") }).collect();
    assert!(matches!(events[0], Event::Started { caveats: None, iters: 0, .. }));
    let last = events.iter().rev().find_map(|event| match event {
        Event::Progress { done, total, peak_bytes, .. } => Some((done, total, *peak_bytes)),
        _ => None,
    });
    assert!(last.is_some_and(|(done, total, peak)| done == total && peak > 0), "{last:?}");
    let Some(Event::Finished(done)) = events.last() else { panic!("{events:?}") };
    let [model] = &done.products[..] else { panic!("{done:?}") };
    assert_eq!((model.role.as_str(), &model.facts["measured"]), ("model", &false.into()));
    assert_eq!(model.facts["adapter"], Digest::of(b"adapter").to_string());
    // The lineage: what it was made of by digest, by what by version.
    assert_eq!(model.facts["base"], Digest::of(b"base").to_string());
    assert_eq!((&model.facts["recipe"], &model.facts["recipe_digest"]), (&"tiny".into(), &"sha256:1".into()));
    assert_eq!(model.facts["engine"], vertigo::VERSION);
    assert!(model.facts.contains_key("mlx"));
    assert_eq!(model.facts["config"]["hidden_size"], 64);
    for file in ["config.json", "tokenizer.json", "model.safetensors.index.json"] {
        assert!(model.folder.join(file).exists(), "{file}");
    }
}
