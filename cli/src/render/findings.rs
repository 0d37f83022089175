//! How good an artifact is, as far as its facts say.

use serde_json::Value;
use vertigo::manifest::Manifest;

/// What is known of how good an artifact is: an adapter's validation, and what a fused model kept of its adapter.
pub(crate) fn findings(manifest: &Manifest) -> Vec<(&'static str, String)> {
    let number = |key: &str| manifest.fact(key).and_then(Value::as_f64);
    let validation = number("validation_before").zip(number("validation_after"));
    let validation = validation.map(|(before, after)| ("validation", format!("loss {before:.3} → {after:.3}")));
    let losses = number("loss_base").zip(number("loss_adapter")).zip(number("loss_fused"));
    let losses = losses.map(|((base, adapter), fused)| {
        ("loss", format!("{base:.3} base, {adapter:.3} with the adapter, {fused:.3} fused"))
    });
    let divergence = number("kl_adapter_base").zip(number("kl_adapter_fused"));
    let divergence = divergence.map(|(base, fused)| {
        ("divergence", format!("{fused:.4} of the fused model from the adapter's, {base:.4} of the base"))
    });
    [validation, losses, divergence].into_iter().flatten().collect()
}
