//! A plan as a person and as a script read it.

use crate::render::json;
use crate::render::output::{bold, wrap};
use serde_json::{Value, json};
use vertigo::bytes::Bytes;
use vertigo::placement::{Need, Placement};
use vertigo::v1;
use vertigo_model::estimate::{Engine, Estimate};

/// What `usable` rests on. Metal says it exactly where a worker runs; here it is assumed.
const ASSUMED: &str = "Usable is what Metal recommends for a GPU's working set: taken to be 2/3 of a Mac's memory up to 36 GiB, \
                       and 3/4 of more. A worker reports what Metal says.";

/// A recipe with its predicted peak.
#[derive(Debug, Clone)]
pub(super) struct Planned {
    pub(super) recipe: String,
    pub(super) model: String,
    pub(super) method: String,
    /// Layers trained, and layers there are.
    pub(super) layers: (u64, u64),
    /// Examples in a batch, and tokens of the longest.
    pub(super) batch: (u64, u64),
    pub(super) engine: Engine,
    pub(super) estimate: Estimate,
    /// The other engine, and its peak.
    pub(super) other: (Engine, Bytes),
    pub(super) remarks: Vec<String>,
    /// Whether it can be run, and not only planned for.
    pub(super) runs: bool,
}

impl Planned {
    /// Peaks of ours and of mlx-lm's.
    fn peaks(&self) -> (Bytes, Bytes) {
        match self.engine {
            Engine::Vertigo => (self.estimate.total(), self.other.1),
            Engine::MlxLm => (self.other.1, self.estimate.total()),
        }
    }

    fn comparison(&self) -> String {
        let (ours, theirs) = self.peaks();
        let times = theirs.0 as f64 / ours.0.max(1) as f64;
        match self.engine {
            Engine::Vertigo => format!("mlx-lm's loop over tokens: {theirs}, {times:.1} times as much"),
            Engine::MlxLm => format!("vertigo: {ours}, {times:.1} times less"),
        }
    }
}

/// Which recipe would run, and why.
#[derive(Debug, Clone)]
pub(super) struct Decision {
    pub(super) recipe: Option<String>,
    /// Index of the machine.
    pub(super) machine: Option<usize>,
    pub(super) reason: String,
}

impl Decision {
    pub(super) fn new(placement: Placement, needs: &[Need]) -> Decision {
        match placement {
            Placement::On { variant, worker, reason } => {
                Decision { recipe: Some(needs[variant].name.clone()), machine: Some(worker), reason }
            }
            Placement::Wait { reason } => Decision { recipe: None, machine: None, reason },
        }
    }

    fn render(&self, who: &str) -> String {
        let what = self.recipe.as_deref().map_or_else(|| "nothing fits".to_owned(), bold);
        format!("  {who}: {what}\n{}", wrap(&self.reason, 4))
    }
}

/// A machine, and what it would run alone.
#[derive(Debug, Clone)]
pub(super) struct Machine {
    pub(super) memory: Bytes,
    pub(super) usable: Bytes,
    pub(super) decision: Decision,
}

/// The machines, and what they would run together.
#[derive(Debug, Clone)]
pub(super) struct Fleet {
    pub(super) machines: Vec<Machine>,
    pub(super) together: Option<Decision>,
}

pub(super) fn render(plans: &[Planned], fleet: &Fleet) -> String {
    let mut text: String = plans.iter().map(|plan| render_plan(plan) + "\n").collect();
    text += &format!("{}\n", bold("Where it would go: the first of these that fits"));
    for machine in &fleet.machines {
        text += &machine.decision.render(&format!("{} Mac, {} usable", machine.memory, machine.usable));
    }
    if let Some(together) = &fleet.together {
        text += &together.render("all of these together");
    }
    text + &wrap(ASSUMED, 2)
}

fn render_plan(plan: &Planned) -> String {
    let (trained, layers) = plan.layers;
    let (examples, tokens) = plan.batch;
    let scope = if trained == layers {
        format!("all {layers} layers")
    } else {
        format!("the last {trained} of {layers} layers")
    };
    let about = format!(
        "{} of {}, {scope}, batches of {examples} × {tokens} tokens, with {}",
        plan.method, plan.model, plan.engine
    );
    let parts = plan.estimate.parts.iter().map(|part| (part.name, part.bytes));
    let mut text = format!("{}\n{}", bold(&plan.recipe), wrap(&about, 2));
    text += &render_parts(parts, plan.estimate.total());
    text += &wrap(&plan.comparison(), 4);
    text + &plan.remarks.iter().map(|remark| wrap(&format!("note: {remark}"), 4)).collect::<String>()
}

fn render_parts<'a>(parts: impl Iterator<Item = (&'a str, Bytes)>, total: Bytes) -> String {
    let parts: Vec<_> = parts.chain([("peak", total)]).collect();
    let width = parts.iter().map(|(name, _)| name.chars().count()).max().unwrap_or(0);
    parts.into_iter().map(|(name, bytes)| format!("    {name:width$}  {bytes:>9}\n")).collect()
}

pub(super) fn json(plans: &[Planned], fleet: &Fleet) -> Value {
    let plan = |plan: &Planned| {
        let (vertigo, mlx_lm) = plan.peaks();
        json!({
            "recipe": plan.recipe,
            "model": plan.model,
            "method": plan.method,
            "engine": plan.engine.to_string(),
            "peak_bytes": plan.estimate.total(),
            "parts": plan.estimate.parts,
            "vertigo_peak_bytes": vertigo,
            "mlx_lm_peak_bytes": mlx_lm,
            "runs": plan.runs,
            "notes": plan.remarks,
        })
    };
    let machine = |machine: &Machine| {
        json!({
            "memory_bytes": machine.memory,
            "usable_bytes": machine.usable,
            "recipe": machine.decision.recipe,
            "reason": machine.decision.reason,
        })
    };
    let together = |it: &Decision| json!({"recipe": it.recipe, "machine": it.machine, "reason": it.reason});
    json!({
        "plans": plans.iter().map(plan).collect::<Vec<_>>(),
        "machines": fleet.machines.iter().map(machine).collect::<Vec<_>>(),
        "together": fleet.together.as_ref().map(together),
    })
}

/// The coordinator's answer.
pub(super) fn render_live(answer: &v1::PlanResponse) -> String {
    let mut text: String = answer.variants.iter().map(|plan| render_live_plan(plan) + "\n").collect();
    let placement = answer.placement.clone().unwrap_or_default();
    let decision = if placement.worker.is_empty() {
        "it would wait".to_owned()
    } else {
        let recipe = answer.variants.get(placement.variant as usize).map_or("?", |it| it.name.as_str());
        format!("it would run now: {} on {}", bold(recipe), placement.worker)
    };
    text += &format!("{decision}\n");
    text + &wrap(&placement.reason, 2)
}

fn render_live_plan(plan: &v1::Variant) -> String {
    let parts = plan.parts.iter().map(|part| (part.name.as_str(), Bytes(part.bytes)));
    let mut text = format!("{}\n{}", bold(&plan.name), wrap(&format!("{} of {}", plan.method, plan.model), 2));
    text += &render_parts(parts, Bytes(plan.peak_bytes));
    if plan.factor > 0.0 && (plan.factor - 1.0).abs() > 0.005 {
        text += &wrap(&format!("the parts' sum × {:.2}, as finished attempts have taught", plan.factor), 4);
    }
    text
}

pub(super) fn live_json(answer: &v1::PlanResponse) -> Value {
    json!({
        "variants": answer.variants.iter().map(json::variant).collect::<Vec<_>>(),
        "placement": answer.placement.as_ref().map(json::placement),
    })
}
