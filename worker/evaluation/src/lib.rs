//! What an answer is worth, and how sure that is: suites, scorers, statistics, comparisons, gates and reports. Pure.

pub mod answer;
pub mod compare;
pub mod contamination;
pub mod fence;
pub mod gate;
pub mod nonsense;
pub mod page;
pub mod prompt;
pub mod python;
pub mod report;
pub mod roblox;
pub mod room;
pub mod score;
pub mod soundness;
pub mod statistics;
pub mod suite;
