//! How many rows have how many tokens.

use serde::{Deserialize, Serialize};

/// What a recipe's `max_seq_length` usually is.
const MAX_SEQ_LENGTHS: [u32; 5] = [512, 1024, 2048, 4096, 8192];

/// The last length of each bucket but the last one's.
const BUCKETS: [u32; 10] = [64, 128, 256, 512, 1024, 2048, 4096, 8192, 16384, 32768];

/// Rows of about one length.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Bucket {
    /// Tokens that they have at most, and more than those of the bucket before; `None` of the longest.
    pub tokens_max: Option<u32>,
    /// How many.
    pub rows: u64,
}

/// What a run with this length would cut.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Cut {
    /// The recipe's `max_seq_length`.
    pub max_seq_length: u32,
    /// Rows that are longer.
    pub rows: u64,
    /// Their tokens beyond it.
    pub tokens: u64,
}

/// Lengths of rows.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Histogram {
    /// All of them.
    pub rows: u64,
    /// All their tokens.
    pub tokens: u64,
    /// Half of the rows have as many or fewer.
    pub p50: u64,
    /// Nine of ten have.
    pub p90: u64,
    /// Ninety-nine of a hundred have.
    pub p99: u64,
    /// The longest has.
    pub max: u64,
    /// By length, short ones first.
    pub buckets: Vec<Bucket>,
    /// What runs would cut.
    pub cuts: Vec<Cut>,
}

impl Histogram {
    /// Counts.
    pub fn of(lengths: Vec<usize>) -> Histogram {
        let mut lengths: Vec<u64> = lengths.into_iter().map(|length| length as u64).collect();
        lengths.sort_unstable();
        let at_most = |most: u32| lengths.partition_point(|length| *length <= u64::from(most)) as u64;
        let mut before = 0;
        let mut bucket = |tokens_max, up_to: u64| {
            let rows = up_to - before;
            before = up_to;
            Bucket { tokens_max, rows }
        };
        let mut buckets: Vec<Bucket> = BUCKETS.iter().map(|most| bucket(Some(*most), at_most(*most))).collect();
        buckets.push(bucket(None, lengths.len() as u64));
        let cut = |max_seq_length: u32| {
            let longer = &lengths[at_most(max_seq_length) as usize..];
            let tokens = longer.iter().map(|length| length - u64::from(max_seq_length)).sum();
            Cut { max_seq_length, rows: longer.len() as u64, tokens }
        };
        // The nearest rank: a length that some row has.
        let percentile = |percent: usize| {
            let rank = (lengths.len() * percent).div_ceil(100);
            lengths.get(rank.saturating_sub(1)).copied().unwrap_or(0)
        };
        Histogram {
            rows: lengths.len() as u64,
            tokens: lengths.iter().sum(),
            p50: percentile(50),
            p90: percentile(90),
            p99: percentile(99),
            max: lengths.last().copied().unwrap_or(0),
            cuts: MAX_SEQ_LENGTHS.into_iter().map(cut).collect(),
            buckets,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn a_hundred_rows_have_their_percentiles() {
        let histogram = Histogram::of((1..=100).map(|n| n * 10).rev().collect());
        let Histogram { rows, tokens, p50, p90, p99, max, buckets, cuts } = histogram;
        assert_eq!((rows, tokens, p50, p90, p99, max), (100, 50_500, 500, 900, 990, 1000));
        let counts: Vec<u64> = buckets.iter().map(|bucket| bucket.rows).collect();
        assert_eq!(counts, [6, 6, 13, 26, 49, 0, 0, 0, 0, 0, 0]);
        assert_eq!(cuts[0], Cut { max_seq_length: 512, rows: 49, tokens: (52..=100).map(|n| n * 10 - 512).sum() });
        assert_eq!(cuts[1], Cut { max_seq_length: 1024, rows: 0, tokens: 0 });
        assert_eq!(Histogram::of(Vec::new()).max, 0);
    }

    proptest! {
        #[test]
        fn every_row_is_in_one_bucket_and_none_is_counted_otherwise(lengths in proptest::collection::vec(0usize..70_000, 0..60)) {
            let histogram = Histogram::of(lengths.clone());
            prop_assert_eq!(histogram.buckets.iter().map(|bucket| bucket.rows).sum::<u64>(), lengths.len() as u64);
            let mut from = 0;
            for bucket in &histogram.buckets {
                let to = bucket.tokens_max.map_or(usize::MAX, |most| most as usize);
                let within = lengths.iter().filter(|length| (**length > from || from == 0) && **length <= to).count();
                prop_assert_eq!(bucket.rows, within as u64);
                from = to;
            }
            for cut in &histogram.cuts {
                let longer: Vec<usize> = lengths.iter().filter_map(|length| length.checked_sub(cut.max_seq_length as usize)).filter(|beyond| *beyond > 0).collect();
                prop_assert_eq!((cut.rows, cut.tokens), (longer.len() as u64, longer.iter().sum::<usize>() as u64));
            }
            for (percent, value) in [(50, histogram.p50), (90, histogram.p90), (99, histogram.p99)] {
                let as_long = lengths.iter().filter(|length| **length as u64 <= value).count();
                prop_assert!(as_long * 100 >= lengths.len() * percent);
            }
        }
    }
}
