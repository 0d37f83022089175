//! A worker and its machine.

use crate::text;
use serde::Serialize;
use vertigo::v1;

/// A worker.
#[derive(Debug, Serialize)]
#[expect(missing_docs, reason = "the fields are the protocol's, and told there")]
pub struct Worker {
    pub id: String,
    pub name: String,
    pub connected: bool,
    pub draining: bool,
    pub last_seen_ms: u64,
    pub reserved_bytes: u64,
    pub job_ids: Vec<String>,
    /// Why it takes no attempts, by the policy of the machine's owner; empty where it does.
    pub away: String,
    /// Whether somebody may be looking at its screen; `null` where that is not known.
    pub watched: Option<bool>,
    pub withheld_bytes: u64,
    pub chip: String,
    pub os: String,
    pub memory_bytes: u64,
    pub gpu_limit_bytes: u64,
    pub usable_bytes: u64,
    pub free_bytes: u64,
    pub disk_free_bytes: u64,
    pub gpu_slots: u32,
    pub cpu_slots: u32,
    pub service_slots: u32,
    pub version: String,
    /// `null` where nobody holds it.
    pub hold: Option<Hold>,
}

/// Why a worker takes nothing new.
#[derive(Debug, Serialize)]
#[expect(missing_docs, reason = "the fields are the protocol's, and told there")]
pub struct Hold {
    /// `null` where the coordinator itself does.
    pub by: Option<String>,
    pub since_ms: u64,
    pub reason: Option<String>,
}

impl From<&v1::Worker> for Worker {
    fn from(worker: &v1::Worker) -> Worker {
        let machine = worker.machine.clone().unwrap_or_default();
        let conditions = worker.conditions.unwrap_or_default();
        Worker {
            id: worker.id.clone(),
            name: worker.name.clone(),
            connected: worker.connected,
            draining: worker.draining,
            last_seen_ms: worker.last_seen_ms,
            reserved_bytes: worker.reserved_bytes,
            job_ids: worker.job_ids.clone(),
            away: worker.away.clone(),
            watched: match conditions.screen() {
                v1::Screen::Unspecified => None,
                v1::Screen::Watched => Some(true),
                v1::Screen::Unwatched => Some(false),
            },
            withheld_bytes: conditions.withheld_bytes,
            chip: machine.chip,
            os: machine.os,
            memory_bytes: machine.memory_bytes,
            gpu_limit_bytes: machine.gpu_limit_bytes,
            usable_bytes: machine.usable_bytes,
            free_bytes: machine.free_bytes,
            disk_free_bytes: machine.disk_free_bytes,
            gpu_slots: machine.gpu_slots,
            cpu_slots: machine.cpu_slots,
            service_slots: machine.service_slots,
            version: machine.version,
            hold: worker.hold.as_ref().map(Hold::from),
        }
    }
}

impl From<&v1::Hold> for Hold {
    fn from(hold: &v1::Hold) -> Hold {
        Hold { by: text(&hold.by), since_ms: hold.since_ms, reason: text(&hold.reason) }
    }
}
