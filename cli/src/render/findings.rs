//! How good an artifact is, as far as its facts say.

use serde_json::Value;
use vertigo::manifest::Manifest;

/// What is known of how good an artifact is: an adapter's validation, what a fused model kept of its adapter, and of how many lines a
/// dataset was made.
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
    let tries = manifest.fact("tries").and_then(Value::as_array).filter(|tries| tries.len() > 1);
    let tries = tries.into_iter().flatten().map(|one| ("tried", tried(one)));
    let rows = number("read").zip(number("train")).zip(number("valid").zip(number("test")));
    let rows = rows.map(|((read, train), (valid, test))| {
        ("rows", format!("{train} to train on, {valid} to validate with, {test} held back, of {read} lines"))
    });
    [validation, losses, divergence, rows].into_iter().flatten().chain(tries).collect()
}

/// What one of several tries to fuse kept, and whether it is the model.
fn tried(one: &Value) -> String {
    let word = |key: &str| one[key].as_str().unwrap_or("?");
    let gain = one["gain_kept"].as_f64().map(|part| format!("{:.1} % of the gain kept, ", 100.0 * part));
    let away = one["kl_adapter_fused"].as_f64().map(|nats| format!("{nats:.4} from the adapter's"));
    let taken = if one["taken"] == true { "taken" } else { "not enough" };
    let kept = [gain, away].into_iter().flatten().collect::<String>();
    format!("bits {}, {} rounding: {kept}: {taken}", word("bits"), word("rounding"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn a_try_says_in_a_line_what_it_kept_and_what_came_of_it() {
        let mut one =
            json!({"bits": "same", "rounding": "calibrated", "gain_kept": 0.8125, "kl_adapter_fused": 0.03125});
        assert_eq!(
            tried(&one),
            "bits same, calibrated rounding: 81.2 % of the gain kept, 0.0312 from the adapter's: not enough"
        );
        one["taken"] = true.into();
        one["gain_kept"] = Value::Null;
        assert_eq!(tried(&one), "bits same, calibrated rounding: 0.0312 from the adapter's: taken");
    }
}
