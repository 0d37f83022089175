//! What an answer is worth, and how sure that is: suites, scorers, statistics, comparisons, gates and reports. Pure.

pub mod compare;
pub mod gate;
pub mod statistics;
