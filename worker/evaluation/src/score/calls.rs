//! Which tools an answer calls, beside which it should.

use crate::answer::Call;
use crate::python::{Case, Pattern, PatternError};
use crate::suite::{ArgumentWanted, CallsWanted};
use serde_json::Value;

/// What the calls lack, one sentence each; nothing where they are as wanted. A wanted call is met by a call of its own: two that
/// are alike need two.
pub(super) fn lacks(wanted: &CallsWanted, calls: &[Call]) -> Result<Vec<String>, PatternError> {
    let mut fits = Vec::with_capacity(wanted.calls.len());
    for want in &wanted.calls {
        let mut row = Vec::with_capacity(calls.len());
        for call in calls {
            row.push(call.name == want.name && has_arguments(&want.arguments, &call.arguments)?);
        }
        fits.push(row);
    }
    let met = matched(&fits, calls.len());
    let mut lacks = Vec::new();
    for (want, _) in wanted.calls.iter().zip(&met).filter(|(_, met)| met.is_none()) {
        let named = calls.iter().filter(|call| call.name == want.name).count();
        let arguments = want.arguments.keys().map(String::as_str).collect::<Vec<_>>().join(", ");
        lacks.push(match named {
            0 => format!("`{}` is not called", want.name),
            _ => format!("no call of `{}` that is left has the wanted {arguments}", want.name),
        });
    }
    for call in calls.iter().filter(|call| wanted.forbidden.contains(&call.name)) {
        lacks.push(format!("`{}` must not be called", call.name));
    }
    if wanted.is_exact {
        for (at, call) in calls.iter().enumerate().filter(|(at, _)| !met.contains(&Some(*at))) {
            lacks.push(format!("call {} of `{}` is more than is wanted", at + 1, call.name));
        }
    }
    Ok(lacks)
}

/// The call that each want takes: as many wants as can be are met, each by one call (Kuhn's augmenting paths).
fn matched(fits: &[Vec<bool>], calls: usize) -> Vec<Option<usize>> {
    fn meet(want: usize, fits: &[Vec<bool>], taken: &mut [Option<usize>], seen: &mut [bool]) -> bool {
        for call in 0..taken.len() {
            if fits[want][call] && !seen[call] {
                seen[call] = true;
                if taken[call].is_none_or(|other| meet(other, fits, taken, seen)) {
                    taken[call] = Some(want);
                    return true;
                }
            }
        }
        false
    }
    let mut taken = vec![None; calls];
    for want in 0..fits.len() {
        meet(want, fits, &mut taken, &mut vec![false; calls]);
    }
    (0..fits.len()).map(|want| taken.iter().position(|by| *by == Some(want))).collect()
}

fn has_arguments(
    wanted: &std::collections::BTreeMap<String, ArgumentWanted>,
    arguments: &Value,
) -> Result<bool, PatternError> {
    for (name, want) in wanted {
        let given = arguments.get(name);
        let fits = match (want, given) {
            (_, None) => false,
            (ArgumentWanted::Is(value), Some(given)) => is_same(value, given),
            (ArgumentWanted::Matches(pattern), Some(given)) => {
                let text = given.as_str().map_or_else(|| given.to_string(), str::to_owned);
                Pattern::new(pattern, Case::Told)?.is_in(&text)?
            }
        };
        if !fits {
            return Ok(false);
        }
    }
    Ok(true)
}

/// Equal values, where 1 is 1.0: JSON has one kind of number.
fn is_same(a: &Value, b: &Value) -> bool {
    match (a, b) {
        (Value::Number(a), Value::Number(b)) => a == b || a.as_f64() == b.as_f64(),
        (Value::Array(a), Value::Array(b)) => a.len() == b.len() && a.iter().zip(b).all(|(a, b)| is_same(a, b)),
        (Value::Object(a), Value::Object(b)) => {
            a.len() == b.len() && a.iter().all(|(key, a)| b.get(key).is_some_and(|b| is_same(a, b)))
        }
        _ => a == b,
    }
}
