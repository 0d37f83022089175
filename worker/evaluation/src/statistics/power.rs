//! What a suite can show, before it is run: the difference that so many tasks and samples find, and how many it takes to find
//! one.
//!
//! Two ways. For tasks that pass or fail and are asked once, McNemar's exact test has an exact power ([`mcnemar_power`]). For
//! any scores and several samples, the normal approximation of a paired difference of means (Miller 2024, "Adding Error Bars
//! to Evals"): `(z of the test + z of the power) * sqrt((between + within / samples) / tasks)`.
//!
//! Both need what is not known before: how much two models differ from task to task. [`Spread::PLANNED`] is an assumption of
//! ours. Power is said of a design and an assumption, never of a result: computed from the result it only repeats the p-value
//! (Hoenig and Heisey 2001).

use super::chance::{binomial_at_most, binomial_exactly, normal_quantile};
use super::{Pairs, SAMPLES_MAX, Share, TASKS_MAX};
use serde::{Deserialize, Serialize};

/// Tasks that have to differ, all of them in one direction, before a two-sided exact test at 5 % finds a difference: twice the
/// chance of six heads in a row is 0.031, of five 0.063.
pub const TASKS_DIFFERING_MIN: u64 = 6;

/// How many tasks are asked, and how often each.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Design {
    /// Tasks, at least one.
    pub tasks: u64,
    /// Samples of each by each model, at least one.
    pub samples: u64,
}

/// How a task's difference between two models varies: squares of shares.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct Spread {
    /// The variance over tasks of what many samples would come to.
    pub between: f64,
    /// The variance of one sample around that, both models' together.
    pub within: f64,
}

impl Spread {
    /// What is assumed before anything was run: pass rates of tasks lie evenly from 0 to 1, which makes a sixth of variance
    /// within tasks for each model, and a task's true difference is typically a sixth. Two models that are alike then disagree
    /// on 36 of 100 tasks.
    pub const PLANNED: Spread = Spread { between: 1.0 / 36.0, within: 1.0 / 3.0 };

    /// The variance of a task's difference at so many samples.
    pub fn at(self, samples: u64) -> f64 {
        self.between + self.within / samples.max(1) as f64
    }

    /// The spread that outcomes show. Half a task that each model wins is added, so that outcomes all alike do not promise that
    /// every suite's are (Agresti and Min 2005 add as much). One sample does not tell noise within tasks from differences
    /// between them: it is then parted as it is planned.
    pub fn of(pairs: &Pairs) -> Spread {
        let differences = pairs.differences();
        let (tasks, mean) = (differences.len() as f64, pairs.difference());
        let squares: f64 = differences.iter().map(|difference| (difference - mean).powi(2)).sum();
        let total = (squares + 1.0) / (tasks + 1.0);
        let repeated: Vec<_> = pairs.iter().filter(|pair| pair.a.len() > 1 && pair.b.len() > 1).collect();
        if repeated.is_empty() {
            let within = total * Spread::PLANNED.within / Spread::PLANNED.at(1);
            return Spread { between: total - within, within };
        }
        let each = repeated.len() as f64;
        let within = repeated.iter().map(|pair| variance(&pair.a) + variance(&pair.b)).sum::<f64>() / each;
        let of_means =
            |pair: &&super::Pair| variance(&pair.a) / pair.a.len() as f64 + variance(&pair.b) / pair.b.len() as f64;
        let noise = repeated.iter().map(of_means).sum::<f64>() / each;
        Spread { between: (total - noise).max(0.0), within }
    }
}

/// The unbiased variance of two scores or more.
fn variance(scores: &[f64]) -> f64 {
    let mean = scores.iter().sum::<f64>() / scores.len() as f64;
    scores.iter().map(|score| (score - mean).powi(2)).sum::<f64>() / (scores.len() - 1) as f64
}

/// How sure a difference has to be, and how often one that is there has to be found.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Demand {
    z: f64,
}

impl Demand {
    /// A two-sided test at level `alpha`, which finds a difference with probability `power`.
    pub fn two_sided(alpha: Share, power: Share) -> Demand {
        Demand { z: normal_quantile(1.0 - alpha.get() / 2.0) + normal_quantile(power.get()) }
    }

    /// A rule that asks for `probability` that a difference is above a margin, and is to hold with probability `power`.
    pub fn one_sided(probability: Share, power: Share) -> Demand {
        Demand { z: normal_quantile(probability.get()) + normal_quantile(power.get()) }
    }

    /// The difference that a design finds.
    pub fn detectable(self, design: Design, spread: Spread) -> f64 {
        self.z.max(0.0) * (spread.at(design.samples) / design.tasks.max(1) as f64).sqrt()
    }

    /// How many tasks find a difference; none where it takes more than a suite has.
    pub fn tasks(self, difference: f64, samples: u64, spread: Spread) -> Option<u64> {
        let tasks = (self.z.max(0.0) / difference).powi(2) * spread.at(samples);
        counted(tasks, TASKS_MAX)
    }

    /// How many samples of each of `tasks` tasks find a difference; none where no number does that anybody would ask for,
    /// because the tasks themselves differ too much.
    pub fn samples(self, difference: f64, tasks: u64, spread: Spread) -> Option<u64> {
        let left = tasks as f64 * (difference / self.z.max(0.0)).powi(2) - spread.between;
        if left <= 0.0 { None } else { counted(spread.within / left, SAMPLES_MAX) }
    }
}

fn counted(count: f64, max: usize) -> Option<u64> {
    // A count that is whole but for rounding is that count.
    let whole = (count - 1e-9).ceil().max(1.0);
    (whole <= max as f64).then_some(whole as u64)
}

/// How often McNemar's exact test, two-sided at level `alpha`, finds a difference over `tasks` tasks of which one model alone
/// passes the share `first` and the other alone the share `second`: the sum over how many tasks that may be (Duffy 1984).
pub fn mcnemar_power(tasks: u64, first: f64, second: f64, alpha: Share) -> f64 {
    let discordant = (first + second).clamp(0.0, 1.0);
    if discordant <= 0.0 {
        return 0.0;
    }
    let (mean, deviation) = (tasks as f64 * discordant, (tasks as f64 * discordant * (1.0 - discordant)).sqrt());
    // Beyond ten deviations, and some for small counts, there is less than rounding.
    let least = (mean - 10.0 * deviation - 10.0).max(0.0) as u64;
    let most = ((mean + 10.0 * deviation + 20.0) as u64).min(tasks);
    let (mut rejected, mut power) = (None, 0.0);
    for count in least..=most {
        rejected = most_rejected(count, rejected, alpha);
        let Some(rejected) = rejected else { continue };
        let (wins, losses) = (first / discordant, second / discordant);
        let found = binomial_at_most(rejected, count, wins) + binomial_at_most(rejected, count, losses);
        power += binomial_exactly(count, tasks, discordant) * found;
    }
    power.clamp(0.0, 1.0)
}

/// The most losses among `count` discordant tasks at which the exact test still finds a difference, looked for from that of
/// fewer tasks.
fn most_rejected(count: u64, fewer: Option<u64>, alpha: Share) -> Option<u64> {
    let rejects = |losses: u64| 2.0 * binomial_at_most(losses, count, 0.5) <= alpha.get();
    // Five deviations of a fair coin below its mean is where to begin without any, if that is rejected.
    let far = count as f64 / 2.0 - 5.0 * (count as f64).sqrt();
    let mut most = fewer.or_else(|| Some(far as u64).filter(|far| *far > 0 && rejects(*far)));
    loop {
        let next = most.map_or(0, |losses| losses + 1);
        if 2 * next >= count || !rejects(next) {
            return most;
        }
        most = Some(next);
    }
}

/// Two models of which one is better by `difference`, and that disagree on the share `discordant` of tasks, or as many as that
/// takes.
fn parted(difference: f64, discordant: f64) -> (f64, f64) {
    let discordant = discordant.max(difference).min(1.0);
    ((discordant + difference) / 2.0, (discordant - difference) / 2.0)
}

/// The smallest difference that McNemar's exact test finds with probability `power` over so many tasks, where two models
/// disagree on the share `discordant` of them; none where it finds none of any size.
pub fn mcnemar_detectable(tasks: u64, discordant: f64, alpha: Share, power: Share) -> Option<f64> {
    let finds = |difference: f64| {
        let (first, second) = parted(difference, discordant);
        mcnemar_power(tasks, first, second, alpha) >= power.get()
    };
    if !finds(1.0) {
        return None;
    }
    let (mut below, mut found) = (0.0, 1.0);
    while found - below > 1e-11 {
        let middle = (below + found) / 2.0;
        if finds(middle) { found = middle } else { below = middle }
    }
    Some(found)
}

/// The fewest tasks over which McNemar's exact test finds a difference with probability `power`, where two models disagree on
/// the share `discordant` of them; none where it takes more than a suite has. A few tasks more may find it a little less often:
/// the exact test's power goes up in steps.
pub fn mcnemar_tasks(difference: f64, discordant: f64, alpha: Share, power: Share) -> Option<u64> {
    let (first, second) = parted(difference, discordant);
    let spread = first + second;
    // By Connor's approximation (1987), which is a little low for the exact test. The search begins well below it.
    let z = normal_quantile(1.0 - alpha.get() / 2.0) * spread.sqrt();
    let about = (z + normal_quantile(power.get()) * (spread - difference.powi(2)).max(0.0).sqrt()) / difference;
    if !(about.is_finite() && about.powi(2) < 2.0 * TASKS_MAX as f64) {
        return None;
    }
    let least = (about.powi(2) - 3.0 * about - 10.0) as u64;
    (least.max(1)..=TASKS_MAX as u64).find(|tasks| mcnemar_power(*tasks, first, second, alpha) >= power.get())
}

/// What a design can show at all, and what it likely shows.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct Reach {
    /// Of what.
    pub design: Design,
    /// The smallest difference in answers that pass or fail that a two-sided exact test at 5 % can call one, however the tasks
    /// fall: one sample more in each of six tasks. None where there are fewer than six tasks.
    pub ever: Option<f64>,
    /// The difference that is found four times of five; none where there is none.
    pub likely: Option<f64>,
}

impl Reach {
    /// What a design reaches at 5 % and four of five.
    pub fn of(design: Design, spread: Spread) -> Reach {
        let (tasks, samples) = (design.tasks as f64, design.samples.max(1) as f64);
        let is_enough = design.tasks >= TASKS_DIFFERING_MIN;
        let ever = is_enough.then(|| TASKS_DIFFERING_MIN as f64 / (tasks * samples));
        let likely = match design.samples {
            0 | 1 => mcnemar_detectable(design.tasks, spread.at(1), Share::ALPHA, Share::POWER),
            _ => Some(Demand::two_sided(Share::ALPHA, Share::POWER).detectable(design, spread)),
        };
        Reach { design, ever, likely: likely.filter(|likely| *likely <= 1.0 && ever.is_some()) }
    }
}

impl std::fmt::Display for Reach {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}", self.design)?;
        match self.ever {
            Some(ever) => write!(f, " cannot show less than {:.1} points", 100.0 * ever)?,
            None => return f.write_str(" cannot show that one model is better than another"),
        }
        match self.likely {
            Some(likely) => write!(f, ", and find a difference of {:.0} points four times of five", 100.0 * likely),
            None => f.write_str(", and find no difference four times of five"),
        }
    }
}

impl std::fmt::Display for Design {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let some = |count: u64, what: &str| format!("{count} {what}{}", if count == 1 { "" } else { "s" });
        write!(f, "{} at {}", some(self.tasks, "task"), some(self.samples, "sample"))
    }
}
