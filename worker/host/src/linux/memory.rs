//! How short of memory a machine is: by the time that programs lose waiting for it, and by what is left.

use crate::facts::Pressure;

/// Percent of the last ten seconds in which some programs waited for memory: that is felt.
const SOME_WAITED: f64 = 20.0;

/// Percent of them in which all did: the machine stands still.
const ALL_WAITED: f64 = 40.0;

/// Parts of all memory that are left when a machine is short of it, and when it is out of it.
const LITTLE_LEFT: f64 = 0.06;
const NONE_LEFT: f64 = 0.02;

/// By `/proc/pressure/memory` and `/proc/meminfo`, of which either is enough.
pub(super) fn of(stalls: Option<&str>, left: Option<&str>) -> Option<Pressure> {
    [stalls.and_then(by_stalls), left.and_then(by_what_is_left)].into_iter().flatten().max()
}

fn by_stalls(text: &str) -> Option<Pressure> {
    let waited = |who: &str| -> Option<f64> {
        let line = text.lines().find_map(|line| line.strip_prefix(who))?;
        line.split_whitespace().find_map(|word| word.strip_prefix("avg10="))?.parse().ok()
    };
    let (some, all) = (waited("some ")?, waited("full ")?);
    Some(if all >= ALL_WAITED {
        Pressure::Critical
    } else if some >= SOME_WAITED {
        Pressure::Warning
    } else {
        Pressure::Normal
    })
}

fn by_what_is_left(text: &str) -> Option<Pressure> {
    let kib = |name: &str| -> Option<f64> {
        text.lines().find_map(|line| line.strip_prefix(name))?.split_whitespace().next()?.parse().ok()
    };
    let part = kib("MemAvailable:")? / kib("MemTotal:").filter(|total| *total > 0.0)?;
    Some(if part < NONE_LEFT {
        Pressure::Critical
    } else if part < LITTLE_LEFT {
        Pressure::Warning
    } else {
        Pressure::Normal
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn stalls(some: f64, all: f64) -> String {
        format!(
            "some avg10={some:.2} avg60=0.00 avg300=0.05 total=16861273\nfull avg10={all:.2} avg60=0.00 avg300=0.04 total=5028480\n"
        )
    }

    fn left(kib: u64) -> String {
        format!("MemTotal:       1000000 kB\nMemFree:          12345 kB\nMemAvailable:   {kib} kB\n")
    }

    #[test]
    fn the_worse_of_both_counts_and_either_is_enough() {
        assert_eq!(of(Some(&stalls(0.0, 0.0)), Some(&left(500_000))), Some(Pressure::Normal));
        assert_eq!(of(Some(&stalls(25.0, 3.0)), Some(&left(500_000))), Some(Pressure::Warning));
        assert_eq!(of(Some(&stalls(90.0, 60.0)), None), Some(Pressure::Critical));
        assert_eq!(of(None, Some(&left(50_000))), Some(Pressure::Warning));
        assert_eq!(of(Some(&stalls(0.0, 0.0)), Some(&left(10_000))), Some(Pressure::Critical));
        assert_eq!(of(None, None), None);
        assert_eq!(of(Some(""), Some("MemTotal: 0 kB\nMemAvailable: 0 kB")), None);
    }

    proptest! {
        #[test]
        fn no_text_panics(a in ".{0,80}", b in "(Mem(Total|Available): *[0-9a-z.-]{0,9}\n?){0,3}") {
            let _ = of(Some(&a), Some(&b));
            let _ = of(Some(&format!("some avg10={a}\nfull avg10={b}")), None);
        }
    }
}
