//! What an answer is worth, and how sure that is: suites, scorers, statistics, comparisons, gates and reports. Pure.

pub mod answer;
pub mod python;
pub mod room;
pub mod score;
pub mod suite;
