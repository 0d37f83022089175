//! Floats in JSON, which has no form for those that are no number: they are written as the words `NaN`, `inf` and `-inf`.

use serde::de::Error;
use serde::{Deserialize, Deserializer, Serialize, Serializer};

#[derive(Serialize, Deserialize)]
#[serde(untagged)]
enum Form {
    Number(f64),
    Word(String),
}

pub(super) fn serialize<S: Serializer>(value: &f64, serializer: S) -> Result<S::Ok, S::Error> {
    let form = if value.is_finite() { Form::Number(*value) } else { Form::Word(value.to_string()) };
    form.serialize(serializer)
}

pub(super) fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<f64, D::Error> {
    match Form::deserialize(deserializer)? {
        Form::Number(value) => Ok(value),
        Form::Word(word) => word.parse().map_err(D::Error::custom),
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    #[derive(serde::Serialize, serde::Deserialize)]
    struct Held(#[serde(with = "super")] f64);

    fn again(value: f64) -> f64 {
        let text = serde_json::to_string(&Held(value)).unwrap();
        serde_json::from_str::<Held>(&text).unwrap().0
    }

    #[test]
    fn what_is_no_number_reads_back_as_what_it_was() {
        assert!(again(f64::NAN).is_nan());
        assert_eq!([f64::INFINITY, f64::NEG_INFINITY].map(again), [f64::INFINITY, f64::NEG_INFINITY]);
        assert!(serde_json::from_str::<Held>("\"much\"").is_err());
        assert!(serde_json::from_str::<Held>("null").is_err());
    }

    proptest! {
        #[test]
        fn every_number_reads_back_to_the_bit(value in prop::num::f64::NORMAL | prop::num::f64::SUBNORMAL | prop::num::f64::ZERO) {
            prop_assert_eq!(again(value).to_bits(), value.to_bits());
        }
    }
}
