//! What is shown, and how: words and tables for people, JSON for scripts, and the one way out of the program.
//!
//! Promise: text from outside drives no terminal ([`safe`]), and nothing is printed past [`output`]. Absent: calls of the coordinator.

pub(crate) mod access;
pub(crate) mod curation;
pub(crate) mod decision;
pub(crate) mod findings;
pub(crate) mod jobs;
pub(crate) mod json;
pub(crate) mod moves;
pub(crate) mod narrator;
pub(crate) mod output;
pub(crate) mod pages;
pub(crate) mod progress;
pub(crate) mod report;
pub(crate) mod safe;
pub(crate) mod screen;
pub(crate) mod suite;
pub(crate) mod who;
pub(crate) mod workers;
