//! Where variants would go that are no queued job's: every worker is looked at, once.
//!
//! Promise: what a plan says is what a placement would do now. In the tests it is also what placements are held to (`tests/oracle.rs`).

use super::fleet::SLOTS;
use super::queue::reads;
use super::{Core, Variant, Worker};
use std::collections::{BTreeMap, BTreeSet};
use vertigo::bytes::Bytes;
use vertigo::id::{Digest, WorkerId};
use vertigo::placement::{Candidate, Need, Placement, place, why};

impl Core {
    /// Where a job of these variants would go now. Workers of `avoid` are passed over where another one is large enough and takes such
    /// jobs. The first of the pair names the workers that the placement counts.
    pub fn placement(&self, variants: &[Variant], avoid: &BTreeSet<WorkerId>) -> (Vec<WorkerId>, Placement) {
        self.placement_beside(variants, avoid, &BTreeSet::new())
    }

    /// The same, where workers of `kept` are for jobs of higher rank.
    pub(super) fn placement_beside<'a>(
        &'a self,
        variants: &[Variant],
        avoid: &BTreeSet<WorkerId>,
        kept: &BTreeSet<WorkerId>,
    ) -> (Vec<WorkerId>, Placement) {
        let connected: Vec<&'a Worker> = self.workers.values().filter(|worker| worker.session.is_some()).collect();
        let inputs: Vec<_> = variants.iter().map(|variant| reads(variant, &self.index).collect()).collect();
        let needs: Vec<Need> = variants.iter().map(Variant::wants).collect();
        let has_other = connected.iter().any(|worker| !avoid.contains(&worker.id) && worker.takes_one_of(&needs));
        let candidate = |worker: &&'a Worker| {
            let (is_shunned, is_kept) = (has_other && avoid.contains(&worker.id), kept.contains(&worker.id));
            let shut = |slot| Some((slot, worker.shut_to(slot, is_shunned, is_kept)?));
            Candidate { shut: SLOTS.into_iter().filter_map(shut).collect(), ..self.candidate(worker, &inputs) }
        };
        let candidates: Vec<_> = connected.iter().map(candidate).collect();
        let placement = match place(&needs, &candidates) {
            Placement::Wait { reason } => {
                Placement::Wait { reason: self.absent(&needs, &candidates).unwrap_or(reason) }
            }
            on => on,
        };
        (connected.iter().map(|worker| worker.id).collect(), placement)
    }

    /// A worker as a placement sees it, but for its slots; `inputs` are those of each variant.
    fn candidate(&self, worker: &Worker, inputs: &[BTreeMap<Digest, Bytes>]) -> Candidate<'static> {
        let is_held = |(digest, _): &(&Digest, &Bytes)| worker.cached.contains(*digest);
        // Each once, however many variants read it.
        let all: BTreeMap<&Digest, &Bytes> = inputs.iter().flatten().collect();
        let to_fetch = |inputs: &BTreeMap<Digest, Bytes>| -> Bytes {
            inputs.iter().filter(|input| !is_held(input)).map(|(_, bytes)| *bytes).sum()
        };
        Candidate {
            name: worker.name.clone(),
            usable: worker.machine.usable,
            reserved: worker.reserved(),
            withheld: worker.conditions.withheld,
            shut: Vec::new(),
            held: all.into_iter().filter(is_held).map(|(_, bytes)| *bytes).sum(),
            disk_free: worker.machine.disk_free,
            to_fetch: inputs.iter().map(to_fetch).collect(),
        }
    }

    /// The reason to wait where no connected worker is large enough and one that is away would be.
    fn absent(&self, needs: &[Need], connected: &[Candidate<'_>]) -> Option<String> {
        let smallest = needs.iter().min_by_key(|need| need.peak)?;
        if connected.iter().any(|worker| smallest.peak <= worker.usable) {
            return None;
        }
        let fits = |worker: &&Worker| worker.session.is_none() && smallest.peak <= worker.machine.usable;
        let away = self.workers.values().filter(fits).min_by_key(|worker| (worker.machine.usable, &worker.name))?;
        Some(why::is_away(smallest, &away.name))
    }
}
