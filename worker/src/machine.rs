//! What this machine is, and what plans may use of it.

use nix::sys::statvfs::statvfs;
use std::path::PathBuf;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;
use sysinfo::{CpuRefreshKind, MemoryRefreshKind, Pid, ProcessRefreshKind, ProcessesToUpdate, RefreshKind, System};
use vertigo::bytes::Bytes;
use vertigo::v1;
use vertigo_engine::device;

/// This machine. What does not change was read once; what is free is read when it is asked for.
#[derive(Debug)]
pub struct Machine {
    system: Mutex<System>,
    chip: String,
    os: String,
    memory: Bytes,
    gpu_limit: Bytes,
    usable: Bytes,
    /// A folder on the disk that inputs and outputs lie on.
    disk: Option<PathBuf>,
}

/// What a process uses.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Usage {
    /// What it holds in memory.
    pub resident: Bytes,
    /// Processor time since it began.
    pub processor: Duration,
}

/// Attempts that run on the GPU at a time: two would take each other's memory and time.
pub const GPU_SLOTS: usize = 1;

/// Attempts that run on the processor alone, beside the GPU's: for half of the cores, at least one.
pub fn cpu_slots() -> usize {
    std::thread::available_parallelism().map_or(1, |cores| (cores.get() / 2).max(1))
}

/// Services that run at a time, beside both: their memory is what bounds them.
pub const SERVICE_SLOTS: usize = 8;

/// The machine cannot be asked.
#[derive(Debug, thiserror::Error)]
#[error("cannot read this machine's memory: {0}")]
pub struct MachineError(String);

/// What plans may use: the least of the GPU's limit, the memory and a person's own cap.
pub fn usable(gpu_limit: Bytes, memory: Bytes, cap: Option<Bytes>) -> Bytes {
    gpu_limit.min(memory).min(cap.unwrap_or(memory))
}

/// What a machine offers, as the coordinator is told.
pub trait Offer: Send + Sync {
    /// All of it.
    fn describe(&self) -> v1::Machine;
    /// What plans may use.
    fn usable(&self) -> Bytes;
    /// Memory that could be allocated now.
    fn free(&self) -> Bytes;
    /// What can be written on the disk of inputs and outputs now, where that is known.
    fn disk_free(&self) -> Option<Bytes>;
}

impl Offer for Machine {
    fn describe(&self) -> v1::Machine {
        Machine::describe(self)
    }

    fn usable(&self) -> Bytes {
        Machine::usable(self)
    }

    fn free(&self) -> Bytes {
        Machine::free(self)
    }

    fn disk_free(&self) -> Option<Bytes> {
        Machine::disk_free(self)
    }
}

impl Machine {
    /// Reads the machine. `cap` is what a person wants used at most; more than there is is said, and capped.
    ///
    /// The GPU's limit is Metal's recommended working-set size. Where MLX has no GPU it is what is free now.
    ///
    /// # Errors
    /// Where the system does not say how much memory there is.
    pub fn probe(cap: Option<Bytes>) -> Result<Machine, MachineError> {
        let what =
            RefreshKind::nothing().with_memory(MemoryRefreshKind::everything()).with_cpu(CpuRefreshKind::nothing());
        let system = System::new_with_specifics(what).map_err(|e| MachineError(e.to_string()))?;
        let chip = system.cpus().first().map(|cpu| cpu.brand().trim().to_owned()).filter(|brand| !brand.is_empty());
        let within = system.cgroup_limits().map_or(u64::MAX, |group| group.total_memory);
        let memory = Bytes(system.total_memory().min(within));
        if memory == Bytes::ZERO {
            return Err(MachineError("the system reports none".to_owned()));
        }
        let gpu_limit = device::gpu_working_set().unwrap_or_else(|| free(&system));
        if let Some(cap) = cap.filter(|cap| *cap > gpu_limit.min(memory)) {
            let most = usable(gpu_limit, memory, None);
            tracing::warn!("--memory {cap} is more than this machine offers; {most} is used");
        }
        Ok(Machine {
            chip: chip.unwrap_or_else(System::cpu_arch),
            os: System::long_os_version().unwrap_or_else(|_| std::env::consts::OS.to_owned()),
            usable: usable(gpu_limit, memory, cap),
            system: Mutex::new(system),
            memory,
            gpu_limit,
            disk: None,
        })
    }

    /// The same machine, whose inputs and outputs lie on the volume of `folder`.
    pub fn with_disk(self, folder: PathBuf) -> Machine {
        Machine { disk: Some(folder), ..self }
    }

    /// What can be written on that volume now. `None` where there is none or the system does not say.
    pub fn disk_free(&self) -> Option<Bytes> {
        let volume = statvfs(self.disk.as_deref()?)
            .inspect_err(|error| tracing::debug!(%error, "cannot ask how much room the disk has"))
            .ok()?;
        // Blocks for those who are not root, in fragments. macOS counts them in 32 bits, Linux in 64.
        #[allow(clippy::useless_conversion)]
        let blocks = u64::from(volume.blocks_available());
        Some(Bytes(blocks.saturating_mul(volume.fragment_size())))
    }

    /// All memory.
    pub fn memory(&self) -> Bytes {
        self.memory
    }

    /// What plans may use.
    pub fn usable(&self) -> Bytes {
        self.usable
    }

    /// What could be allocated now.
    pub fn free(&self) -> Bytes {
        let mut system = self.system.lock().unwrap_or_else(PoisonError::into_inner);
        system.refresh_memory();
        free(&system)
    }

    /// What process `pid` uses; nothing where it is gone.
    pub fn usage(&self, pid: u32) -> Usage {
        let mut system = self.system.lock().unwrap_or_else(PoisonError::into_inner);
        let pid = Pid::from_u32(pid);
        let what = ProcessRefreshKind::nothing().with_memory().with_cpu();
        system.refresh_processes_specifics(ProcessesToUpdate::Some(&[pid]), true, what);
        system.process(pid).map_or_else(Usage::default, |process| Usage {
            resident: Bytes(process.memory()),
            processor: Duration::from_millis(process.accumulated_cpu_time()),
        })
    }

    /// As the coordinator is told.
    pub fn describe(&self) -> v1::Machine {
        v1::Machine {
            chip: self.chip.clone(),
            os: self.os.clone(),
            memory_bytes: self.memory.0,
            gpu_limit_bytes: self.gpu_limit.0,
            usable_bytes: self.usable.0,
            free_bytes: self.free().0,
            version: vertigo::VERSION.to_owned(),
            disk_free_bytes: told(self.disk_free()),
            gpu_slots: GPU_SLOTS as u32,
            cpu_slots: cpu_slots() as u32,
            service_slots: SERVICE_SLOTS as u32,
            edition: vertigo::EDITION,
        }
    }
}

/// Free disk as it is told to the coordinator, where 0 means that it is not known: a disk without a byte has one.
pub fn told(disk_free: Option<Bytes>) -> u64 {
    disk_free.map_or(0, |free| free.0.max(1))
}

/// What is available, within the limits of the process's group where there are any.
fn free(system: &System) -> Bytes {
    let within = system.cgroup_limits().map_or(u64::MAX, |group| group.free_memory);
    Bytes(system.available_memory().min(within))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_least_bound_counts() {
        let gib = Bytes::gib;
        assert_eq!(usable(gib(27), gib(36), None), gib(27));
        assert_eq!(usable(gib(27), gib(36), Some(gib(20))), gib(20));
        assert_eq!(usable(gib(27), gib(36), Some(gib(400))), gib(27));
        assert_eq!(usable(gib(40), gib(36), None), gib(36));
    }

    #[test]
    fn a_disk_is_known_by_a_folder_on_it_and_nothing_is_guessed() {
        let machine = |folder: &str| Machine::probe(None).unwrap().with_disk(folder.into());
        let dir = tempfile::tempdir().unwrap();
        let free = machine(dir.path().to_str().unwrap()).disk_free().unwrap();
        assert!(free > Bytes::mib(1) && free < Bytes::gib(1 << 30), "{free}");
        assert_eq!(machine("/no such folder").disk_free(), None);
        assert_eq!(Machine::probe(None).unwrap().describe().disk_free_bytes, 0);
        assert_eq!([None, Some(Bytes::ZERO), Some(Bytes(5))].map(told), [0, 1, 5]);
    }

    #[test]
    fn this_machine_answers() {
        let machine = Machine::probe(Some(Bytes::mib(1))).unwrap();
        let said = machine.describe();
        assert_eq!(said.usable_bytes, Bytes::mib(1).0);
        assert!(!said.chip.is_empty() && !said.os.is_empty());
        assert!(said.free_bytes > 0 && said.free_bytes <= said.memory_bytes);
        let own = machine.usage(std::process::id());
        assert!(own.resident > Bytes::mib(1) && own.resident < machine.memory(), "{own:?}");
        let mut work = 0u64;
        while machine.usage(std::process::id()).processor == own.processor {
            work = std::hint::black_box(work.wrapping_add(1));
        }
        assert_eq!(machine.usage(u32::MAX >> 1), Usage::default());
    }
}
