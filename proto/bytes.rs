//! Amounts of memory and storage, as people write and read them.

use serde::{Deserialize, Serialize};
use std::fmt;
use std::iter::Sum;
use std::ops::{Add, AddAssign, Mul, Sub};
use std::str::FromStr;

/// An amount of memory or storage, in bytes.
///
/// Shown in binary units with three significant figures (`27.3 GiB`); read with any of `B`, `KB`…`TB` (powers of
/// 1000) and `KiB`…`TiB` (powers of 1024). A bare number is bytes.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Bytes(pub u64);

const UNITS: [(&str, u64); 9] = [
    ("TIB", 1 << 40),
    ("GIB", 1 << 30),
    ("MIB", 1 << 20),
    ("KIB", 1 << 10),
    ("TB", 1_000_000_000_000),
    ("GB", 1_000_000_000),
    ("MB", 1_000_000),
    ("KB", 1_000),
    ("B", 1),
];

impl Bytes {
    /// Nothing.
    pub const ZERO: Bytes = Bytes(0);

    /// `n` GiB.
    pub const fn gib(n: u64) -> Bytes {
        Bytes(n << 30)
    }

    /// `n` MiB.
    pub const fn mib(n: u64) -> Bytes {
        Bytes(n << 20)
    }

    /// This amount times a non-negative factor, rounded up: a reservation is never less than what was asked.
    pub fn scale(self, factor: f64) -> Bytes {
        Bytes((self.0 as f64 * factor.max(0.0)).ceil() as u64)
    }

    /// `self - other`, or nothing where `other` is more.
    pub fn saturating_sub(self, other: Bytes) -> Bytes {
        Bytes(self.0.saturating_sub(other.0))
    }
}

impl fmt::Display for Bytes {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (mut value, mut unit) = (self.0 as f64, "B");
        for larger in ["KiB", "MiB", "GiB", "TiB"] {
            if value < 1023.95 {
                break;
            }
            (value, unit) = (value / 1024.0, larger);
        }
        let digits = if unit == "B" || value >= 99.95 { 0 } else { 1 };
        f.pad(&format!("{value:.digits$} {unit}"))
    }
}

impl fmt::Debug for Bytes {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{self}")
    }
}

/// What was wrong with an amount of memory.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("`{0}` is not an amount of memory: write a number and a unit, such as 36GiB, 900MiB or 64GB")]
pub struct ParseBytesError(String);

impl FromStr for Bytes {
    type Err = ParseBytesError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let error = || ParseBytesError(text.to_owned());
        let upper = text.trim().to_ascii_uppercase();
        let (number, unit) = UNITS
            .iter()
            .find_map(|(name, unit)| upper.strip_suffix(name).map(|number| (number, *unit)))
            .unwrap_or((&upper, 1));
        let value: f64 = number.trim().parse().map_err(|_| error())?;
        let bytes = value * unit as f64;
        if !bytes.is_finite() || bytes < 0.0 || bytes > u64::MAX as f64 {
            return Err(error());
        }
        Ok(Bytes(bytes.round() as u64))
    }
}

impl Add for Bytes {
    type Output = Bytes;
    fn add(self, other: Bytes) -> Bytes {
        Bytes(self.0.saturating_add(other.0))
    }
}

impl AddAssign for Bytes {
    fn add_assign(&mut self, other: Bytes) {
        *self = *self + other;
    }
}

impl Sub for Bytes {
    type Output = Bytes;
    fn sub(self, other: Bytes) -> Bytes {
        self.saturating_sub(other)
    }
}

impl Mul<u64> for Bytes {
    type Output = Bytes;
    fn mul(self, n: u64) -> Bytes {
        Bytes(self.0.saturating_mul(n))
    }
}

impl Sum for Bytes {
    fn sum<I: Iterator<Item = Bytes>>(iter: I) -> Bytes {
        iter.fold(Bytes::ZERO, Add::add)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn reads_what_people_write() {
        for (text, bytes) in [
            ("36GiB", 36 << 30),
            ("36 gib", 36 << 30),
            ("27.3GB", 27_300_000_000),
            ("900MiB", 900 << 20),
            ("512", 512),
            ("0B", 0),
        ] {
            assert_eq!(text.parse::<Bytes>().unwrap(), Bytes(bytes), "{text}");
        }
        for text in ["", "GiB", "many", "-1GiB", "1XB", "infGB", "NaN"] {
            assert!(text.parse::<Bytes>().is_err(), "{text}");
        }
    }

    #[test]
    fn shows_three_figures() {
        assert_eq!(Bytes::gib(36).to_string(), "36.0 GiB");
        assert_eq!(Bytes(27_300_000_000).to_string(), "25.4 GiB");
        assert_eq!(Bytes::mib(1023).to_string(), "1023 MiB");
        assert_eq!(Bytes(12).to_string(), "12 B");
    }

    proptest! {
        #[test]
        fn what_is_shown_reads_back_close(n in 0u64..1 << 50) {
            let back: Bytes = Bytes(n).to_string().parse().unwrap();
            prop_assert!((back.0 as f64 - n as f64).abs() <= 0.051 * n as f64 + 1.0);
        }
    }
}
