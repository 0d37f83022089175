//! Which children may run beside one another.

use tokio::sync::Semaphore;
use vertigo::task::Slot;

/// Turns of children, by slot.
#[derive(Debug)]
pub struct Slots {
    gpu: Semaphore,
    cpu: Semaphore,
    service: Semaphore,
}

impl Slots {
    /// So many children at a time in slots of each kind.
    pub fn new(gpu: usize, cpu: usize, service: usize) -> Slots {
        Slots { gpu: Semaphore::new(gpu), cpu: Semaphore::new(cpu), service: Semaphore::new(service) }
    }

    /// The turns of one kind of slot.
    pub fn of(&self, slot: Slot) -> &Semaphore {
        match slot {
            Slot::Gpu => &self.gpu,
            Slot::Cpu => &self.cpu,
            Slot::Service => &self.service,
        }
    }
}
