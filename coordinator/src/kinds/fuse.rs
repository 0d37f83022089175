//! The kind `fuse`: one model of an adapter and its base.
//!
//! An adapter knows by the facts of its manifest what it was trained from and on, so nobody has to name either.

use super::{Appraised, Findings, KindError, added, given, inputs, parts};
use crate::core::{Core, Found, Input};
use serde_json::Value;
use vertigo::bytes::Bytes;
use vertigo::id::Digest;
use vertigo::manifest::Manifest;
use vertigo::task::{Bits, Slot, TaskKind, role};
use vertigo::v1;
use vertigo_model::estimate::{self, Estimate, Rank};
use vertigo_model::fusing::{Width, tries};
use vertigo_model::shape::Shape;

/// How to fuse.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Fuse {
    bits: Bits,
    is_measured: bool,
}

/// What the need of fusing depends on.
#[derive(Debug)]
pub(crate) struct Appraisal {
    fuse: Fuse,
    base: Digest,
    config: Value,
    adapter_bytes: Bytes,
    /// `None` where the adapter does not say.
    rank: Option<Rank>,
}

impl Fuse {
    pub(super) fn read(task: &v1::Fuse) -> Result<Fuse, KindError> {
        let wrong = || KindError::Invalid(format!("bits: {} is none of 0 (the base's), 1 (auto), 4, 8, 16", task.bits));
        Ok(Fuse { bits: Bits::from_number(task.bits).ok_or_else(wrong)?, is_measured: !task.unmeasured })
    }

    pub(super) fn find(self, core: &Core, inputs: &[Input]) -> Result<Findings, KindError> {
        let named = |role: &str| inputs.iter().find(|input| input.role == role);
        let lacks = |role: &str| named(role).is_some_and(|input| input.artifact.is_none());
        let Some(adapter) = given(inputs, role::ADAPTER).filter(|_| !lacks(role::BASE)) else {
            return Ok(Findings::default());
        };
        let of_adapter = core.manifest(&adapter.digest).ok_or_else(|| gone(role::ADAPTER, &adapter.digest))?;
        let mut new = Vec::new();
        let base = match given(inputs, role::BASE) {
            Some(base) => base,
            None => {
                let base = trained_with(core, of_adapter, &adapter.digest, role::BASE)?;
                new.push(added(role::BASE, base));
                base
            }
        };
        if self.is_measured && named(role::DATA).is_none() {
            let data = trained_with(core, of_adapter, &adapter.digest, role::DATA);
            new.push(added(role::DATA, data.map_err(or_unmeasured)?));
        }
        let config = core.manifest(&base.digest).and_then(|manifest| manifest.fact("config"));
        let appraisal = Appraisal {
            fuse: self,
            base: base.digest,
            config: config.cloned().unwrap_or(Value::Null),
            adapter_bytes: adapter.bytes,
            rank: of_adapter.fact("rank").and_then(Value::as_str).and_then(Rank::parse),
        };
        Ok(Findings { added: new, appraisal: Some(super::Appraisal::Fuse(appraisal)) })
    }
}

/// What an adapter was trained with, by its manifest.
fn trained_with(core: &Core, adapter: &Manifest, digest: &Digest, role: &str) -> Result<Found, KindError> {
    let takes = TaskKind::Fuse.input(role).map_or(&[][..], |input| input.takes);
    inputs::trained_with(core, (digest, adapter), role, takes, &format!("`--{role}`"))
}

/// The error of data that only measuring needs, with the other way out.
fn or_unmeasured(error: KindError) -> KindError {
    let another = "leave the measuring out with `--measure none`";
    match error {
        KindError::Missing { message, hint: Some(hint) } => {
            KindError::missing(message, format!("{hint}; or {another}"))
        }
        KindError::Missing { message, hint: None } => KindError::missing(message, another),
        KindError::Invalid(_) => error,
    }
}

fn gone(role: &str, digest: &Digest) -> KindError {
    KindError::Missing { message: format!("the {role} {} is not there", digest.short()), hint: None }
}

impl Appraisal {
    pub(super) fn appraise(self) -> Result<Appraised, KindError> {
        let Appraisal { fuse, base, config, adapter_bytes, rank } = self;
        let told = |problem| KindError::Invalid(format!("the config.json of base {}: {problem}", base.short()));
        let shape = Shape::from_config(&config).map_err(|error| told(error.to_string()))?;
        if shape.experts.is_some() {
            return Err(told("mixtures of experts are planned for only; the engine fuses dense models".to_owned()));
        }
        let widths = tries(fuse.bits, &shape, fuse.is_measured);
        let bits = match fuse.bits {
            Bits::Same => String::new(),
            // Of a base that is not packed there is one thing to make, whether or not it was named.
            Bits::Auto if widths == [Width::Same] => String::new(),
            Bits::Auto => " to auto bits".to_owned(),
            bits => format!(" to {bits} bits"),
        };
        let (measured, slot) = if fuse.is_measured { (", measured", Slot::Gpu) } else { ("", Slot::Cpu) };
        let estimate = |rank| estimate::fuse(&shape, (rank, adapter_bytes), fuse.bits, fuse.is_measured);
        let larger =
            || Rank::ALL.into_iter().map(estimate).max_by_key(Estimate::total).unwrap_or_else(|| estimate(Rank::Low));
        Ok(Appraised {
            method: format!("fuse{bits}{measured}"),
            parts: parts(&rank.map_or_else(larger, estimate)),
            // One try is on the disk at a time.
            disk: widths.into_iter().map(|width| estimate::fused_bytes(&shape, width)).max().unwrap_or(Bytes::ZERO),
            slot,
            guessed: None,
        })
    }
}
