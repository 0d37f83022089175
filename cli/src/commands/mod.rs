//! The verbs, one a file: each reads what it needs, calls the coordinator and prints. What two of them share is a room of its own beside
//! this one, so that no verb imports another.

pub(crate) mod artifacts;
pub(crate) mod base;
pub(crate) mod cancel;
pub(crate) mod chat;
pub(crate) mod compare;
pub(crate) mod curate;
pub(crate) mod data;
pub(crate) mod doctor;
pub(crate) mod eval;
pub(crate) mod fuse;
pub(crate) mod gc;
pub(crate) mod get;
pub(crate) mod history;
pub(crate) mod job;
pub(crate) mod jobs;
pub(crate) mod logs;
pub(crate) mod luau;
pub(crate) mod plan;
pub(crate) mod promote;
pub(crate) mod report;
pub(crate) mod rerun;
pub(crate) mod rollback;
pub(crate) mod run;
pub(crate) mod serve;
pub(crate) mod storage;
pub(crate) mod suite;
pub(crate) mod sweep;
pub(crate) mod tag;
pub(crate) mod train;
pub(crate) mod watch;
pub(crate) mod workers;
