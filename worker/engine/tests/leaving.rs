//! A run that is told to leave ends between two iterations with a checkpoint, and comes to the same bits from there; one that is paused
//! comes to the same bits.

mod support;

use std::cell::Cell;
use std::path::Path;
use std::rc::Rc;
use support::{data, recipe, write_base};
use vertigo_engine::{Event, Model, RunFolder, Trainer, Wish};

/// Steps of an optimizer over four iterations each, dropout, validations: all that a checkpoint in between has to carry.
const TEXT: &str = "iters: 10, batch_size: 4, grad_accumulation_steps: 4, save_every: 4, steps_per_report: 3, steps_per_eval: 5, \
                    num_layers: 2, lora_parameters: {rank: 4, scale: 20, dropout: 0.2}, optimizer: adamw, learning_rate: 0.001";

fn trainer(base: &Path, run_folder: RunFolder) -> Trainer {
    let recipe = recipe(TEXT);
    Trainer::new(Model::load(base).unwrap(), data(&recipe), recipe, run_folder).unwrap()
}

fn adapter(events: &[Event]) -> Vec<u8> {
    let Some(Event::Finished(outcome)) = events.last() else { panic!("{events:?}") };
    std::fs::read(outcome.adapter.folder.join("adapters.safetensors")).unwrap()
}

#[test]
fn a_run_that_leaves_goes_on_to_the_same_bits_from_where_it_was() {
    let dir = tempfile::tempdir().unwrap();
    let base = dir.path().join("base");
    write_base(&base);
    let fresh = |name: &str| RunFolder::fresh(dir.path().join(name));
    let straight: Vec<Event> = trainer(&base, fresh("straight")).map(Result::unwrap).collect();

    // It is asked before each iteration and each batch of a validation.
    let asked = Rc::new(Cell::new(0u64));
    let counted = asked.clone();
    let pausing = trainer(&base, fresh("paused")).heeding(move || {
        counted.set(counted.get() + 1);
        Wish::GoOn
    });
    let paused: Vec<Event> = pausing.map(Result::unwrap).collect();
    assert!(asked.get() > 10, "asked {} times", asked.get());
    assert!(adapter(&paused) == adapter(&straight), "a pause changes what is trained");

    let mut checkpoints = 0;
    for stop in 1..=asked.get() {
        let mut left = stop;
        let leaving = trainer(&base, fresh(&format!("left-{stop}"))).heeding(move || {
            left = left.saturating_sub(1);
            if left == 0 { Wish::Leave } else { Wish::GoOn }
        });
        let events: Vec<Event> = leaving.map(Result::unwrap).collect();
        if let Some(Event::Finished(_)) = events.last() {
            // All was trained when it was told: there is nothing to go on with.
            assert!(stop + 2 > asked.get() && adapter(&events) == adapter(&straight), "asked for the {stop}. time");
            continue;
        }
        let saved: Vec<_> = events.iter().filter_map(checkpoint).collect();
        let Some((iter, folder)) = saved.last() else { continue };
        assert!(saved.iter().filter(|(other, _)| other == iter).count() == 1, "{iter} is written twice");
        checkpoints += 1;
        let run_folder = RunFolder::resumed(dir.path().join(format!("resumed-{stop}")), folder);
        let resumed: Vec<Event> = trainer(&base, run_folder).map(Result::unwrap).collect();
        assert!(matches!(resumed.first(), Some(Event::Started { resumed_at, .. }) if resumed_at == iter));
        assert!(adapter(&resumed) == adapter(&straight), "left at {iter}: another adapter");
    }
    assert!(checkpoints >= 9, "{checkpoints} of ten iterations");
}

fn checkpoint(event: &Event) -> Option<(u64, &Path)> {
    match event {
        Event::Checkpoint { iter, folder } => Some((*iter, folder)),
        _ => None,
    }
}
