//! How often an example is drawn while a run trains.
//!
//! Promise: a [`Weight`] is a number above 0 and at most [`WEIGHT_MAX`].

use serde_json::{Map, Value};

/// The largest weight: beyond it a dataset says the same example over and over.
pub const WEIGHT_MAX: f64 = 100.0;

/// The key of a row's weight.
pub(super) const KEY: &str = "weight";

/// How often a row is drawn in a pass over the data, on average: 1 where its line says nothing.
#[derive(Debug, Clone, Copy, PartialEq, PartialOrd)]
pub struct Weight(f64);

impl Weight {
    /// Once a pass.
    pub const ONE: Weight = Weight(1.0);

    /// A weight.
    ///
    /// # Errors
    /// Says the bounds where it is not within them.
    pub fn new(weight: f64) -> Result<Weight, String> {
        if weight > 0.0 && weight <= WEIGHT_MAX {
            Ok(Weight(weight))
        } else {
            Err(format!("`{KEY}` is {weight}; it must be more than 0 and at most {WEIGHT_MAX}"))
        }
    }

    /// Of a line's object; `null` says as little as no key.
    pub(super) fn of(line: &Map<String, Value>) -> Result<Weight, String> {
        match line.get(KEY) {
            None | Some(Value::Null) => Ok(Weight::ONE),
            // Every JSON number is one of these.
            Some(Value::Number(number)) => Weight::new(number.as_f64().unwrap_or(f64::NAN)),
            Some(_) => Err(format!("`{KEY}` must be a number, more than 0 and at most {WEIGHT_MAX}")),
        }
    }

    /// As a number.
    pub fn get(self) -> f64 {
        self.0
    }
}

impl Default for Weight {
    fn default() -> Weight {
        Weight::ONE
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn of(json: &str) -> Result<Weight, String> {
        Weight::of(serde_json::from_str::<Value>(json).unwrap().as_object().unwrap())
    }

    #[test]
    fn a_weight_is_a_number_within_its_bounds_and_1_where_there_is_none() {
        for (line, weight) in [
            ("{}", 1.0),
            (r#"{"weight":null}"#, 1.0),
            (r#"{"weight":1}"#, 1.0),
            (r#"{"weight":0.25}"#, 0.25),
            (r#"{"weight":100}"#, WEIGHT_MAX),
            (r#"{"weight":1e-300}"#, 1e-300),
        ] {
            assert_eq!(of(line).map(Weight::get), Ok(weight), "{line}");
        }
        for (line, problem) in [
            (r#"{"weight":0}"#, "`weight` is 0; it must be more than 0 and at most 100"),
            (r#"{"weight":-0.5}"#, "`weight` is -0.5; it must be"),
            (r#"{"weight":100.5}"#, "`weight` is 100.5; it must be"),
            (r#"{"weight":18446744073709551615}"#, "it must be"),
            (r#"{"weight":"2"}"#, "`weight` must be a number"),
            (r#"{"weight":[2]}"#, "`weight` must be a number"),
            (r#"{"weight":true}"#, "`weight` must be a number"),
        ] {
            let error = of(line).unwrap_err();
            assert!(error.contains(problem), "{line}: {error}");
        }
        assert!(Weight::new(f64::NAN).is_err() && Weight::new(f64::INFINITY).is_err());
    }

    proptest! {
        #[test]
        fn what_is_written_is_what_is_read(weight in 1e-12f64..=WEIGHT_MAX) {
            prop_assert_eq!(of(&serde_json::json!({"weight": weight}).to_string()), Weight::new(weight));
        }
    }
}
