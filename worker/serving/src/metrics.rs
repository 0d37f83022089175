//! What is counted of requests and models, as OpenMetrics text.
//!
//! Labels are names of models that there are and words of ours, never what somebody sent: their number is bounded.

use crate::served::Served;
use prometheus_client::encoding::EncodeLabelSet;
use prometheus_client::encoding::text::encode;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::metrics::histogram::{Histogram, exponential_buckets};
use prometheus_client::registry::{Registry, Unit};
use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError, Weak};

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct OfModel {
    model: String,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct OfOutcome {
    model: String,
    outcome: &'static str,
}

type Histograms = Family<OfModel, Histogram, fn() -> Histogram>;

/// All that is counted.
#[derive(Debug)]
pub(crate) struct Metrics {
    registry: Registry,
    requests: Family<OfOutcome, Counter>,
    prompt_tokens: Family<OfModel, Counter>,
    cached_tokens: Family<OfModel, Counter>,
    answer_tokens: Family<OfModel, Counter>,
    broken_calls: Family<OfModel, Counter>,
    first_token: Histograms,
    token: Histograms,
    waiting: Family<OfModel, Gauge>,
    running: Family<OfModel, Gauge>,
    running_bytes: Family<OfModel, Gauge>,
    kept_bytes: Family<OfModel, Gauge>,
    /// Those that have been asked, by name.
    served: Mutex<BTreeMap<String, Weak<Served>>>,
}

/// The counters of one model, so that a token need not look for them.
#[derive(Debug, Clone)]
pub(crate) struct OneModel {
    pub(crate) prompt_tokens: Counter,
    pub(crate) cached_tokens: Counter,
    pub(crate) answer_tokens: Counter,
    pub(crate) broken_calls: Counter,
    /// Seconds from a request's arrival to the first token of its answer.
    pub(crate) first_token: Histogram,
    /// Seconds from a token to the next.
    pub(crate) token: Histogram,
}

/// The name under which a model's load is told: its own, with a number where another one at work has that already.
fn unique(all: &BTreeMap<String, Weak<Served>>, served: &Arc<Served>) -> String {
    if let Some((label, _)) = all.iter().find(|(_, known)| known.as_ptr() == Arc::as_ptr(served)) {
        return label.clone();
    }
    let (mut label, mut number) = (served.name().to_owned(), 1);
    while all.get(&label).is_some_and(|other| other.strong_count() > 0) {
        number += 1;
        label = format!("{}#{number}", served.name());
    }
    label
}

/// From a millisecond to more than two minutes.
fn seconds_to_first_token() -> Histogram {
    Histogram::new(exponential_buckets(0.001, 2.0, 18))
}

/// From a quarter of a millisecond to eight seconds.
fn seconds_per_token() -> Histogram {
    Histogram::new(exponential_buckets(0.000_25, 2.0, 16))
}

impl Metrics {
    pub(crate) fn new() -> Metrics {
        let mut registry = Registry::with_prefix("vertigo");
        let metrics = Metrics {
            registry: Registry::default(),
            requests: Family::default(),
            prompt_tokens: Family::default(),
            cached_tokens: Family::default(),
            answer_tokens: Family::default(),
            broken_calls: Family::default(),
            first_token: Family::new_with_constructor(seconds_to_first_token),
            token: Family::new_with_constructor(seconds_per_token),
            waiting: Family::default(),
            running: Family::default(),
            running_bytes: Family::default(),
            kept_bytes: Family::default(),
            served: Mutex::default(),
        };
        registry.register("requests", "Requests by how they ended", metrics.requests.clone());
        registry.register("prompt_tokens", "Tokens of prompts", metrics.prompt_tokens.clone());
        let cached = "Tokens of prompts that were known from earlier requests";
        registry.register("cached_tokens", cached, metrics.cached_tokens.clone());
        registry.register("answer_tokens", "Tokens of answers", metrics.answer_tokens.clone());
        let broken = "Calls of tools that could not be read and were sent as text";
        registry.register("broken_calls", broken, metrics.broken_calls.clone());
        let first = "From a request to the first token of its answer";
        registry.register_with_unit("first_token", first, Unit::Seconds, metrics.first_token.clone());
        let token = "From a token of an answer to the next";
        registry.register_with_unit("token", token, Unit::Seconds, metrics.token.clone());
        registry.register("requests_waiting", "Requests that wait for room", metrics.waiting.clone());
        registry.register("requests_running", "Requests that are read or answered", metrics.running.clone());
        let running = "What the caches of running requests take";
        registry.register_with_unit("cache_running", running, Unit::Bytes, metrics.running_bytes.clone());
        let kept = "What is kept of earlier requests";
        registry.register_with_unit("cache_kept", kept, Unit::Bytes, metrics.kept_bytes.clone());
        Metrics { registry, ..metrics }
    }

    /// The counters of a model, whose load is told from now on.
    pub(crate) fn of(&self, model: &str, served: &Arc<Served>) -> OneModel {
        let mut all = self.served.lock().unwrap_or_else(PoisonError::into_inner);
        let label = unique(&all, served);
        all.insert(label, Arc::downgrade(served));
        let label = OfModel { model: model.to_owned() };
        OneModel {
            prompt_tokens: self.prompt_tokens.get_or_create_owned(&label),
            cached_tokens: self.cached_tokens.get_or_create_owned(&label),
            answer_tokens: self.answer_tokens.get_or_create_owned(&label),
            broken_calls: self.broken_calls.get_or_create_owned(&label),
            first_token: self.first_token.get_or_create_owned(&label),
            token: self.token.get_or_create_owned(&label),
        }
    }

    /// A request has ended. `model` is empty where none was found for it.
    pub(crate) fn ended(&self, model: &str, outcome: &'static str) {
        self.requests.get_or_create(&OfOutcome { model: model.to_owned(), outcome }).inc();
    }

    /// All of it as text.
    pub(crate) fn text(&self) -> String {
        {
            let mut all = self.served.lock().unwrap_or_else(PoisonError::into_inner);
            all.retain(|name, served| {
                let label = OfModel { model: name.clone() };
                let Some(served) = served.upgrade() else {
                    for gauges in [&self.waiting, &self.running, &self.running_bytes, &self.kept_bytes] {
                        gauges.remove(&label);
                    }
                    return false;
                };
                let load = served.load();
                self.waiting.get_or_create(&label).set(load.waiting as i64);
                self.running.get_or_create(&label).set(load.running as i64);
                self.running_bytes.get_or_create(&label).set(load.running_bytes as i64);
                self.kept_bytes.get_or_create(&label).set(load.kept_bytes as i64);
                true
            });
        }
        let mut text = String::new();
        // Writing to a string does not fail.
        let _ = encode(&mut text, &self.registry);
        text
    }
}
