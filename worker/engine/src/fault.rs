//! What MLX, Metal and C++ say when they fail, by what can be done about it.
//!
//! MLX throws plain runtime errors, so their text is all there is to tell them apart. The phrases are those of MLX 0.32
//! (`backend/*/allocator.cpp`, and `check_error` of the Metal backend, which hands on the system's words).

/// A failure that has a cure of its own.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Fault {
    /// There was not enough memory: a smaller plan or a larger machine may do.
    OutOfMemory,
    /// The process holds as many Metal buffers as MLX allows. They are counted, not measured: there may be memory to spare, and only a
    /// new process begins the count again. MLX tells the limit and not the count, so nobody can see it coming: a run that meets it
    /// saves what it has, and loses nothing by the new process.
    BuffersUsedUp,
    /// The GPU was at one piece of work for so long that whoever looks at the screen would have noticed. Shorter pieces may pass.
    GpuTooLong,
    /// The GPU hung, or ran into an address that is not there: a fault of this machine's GPU, driver or system.
    GpuBroke,
    /// The system took the GPU away for what was no fault of this work: it is the victim of another's.
    GpuLost,
}

/// Phrases and what they are a sign of.
const PHRASES: [(&str, Fault); 18] = [
    ("[metal::malloc] Resource limit (", Fault::BuffersUsedUp),
    ("[metal::malloc] Attempting to allocate ", Fault::OutOfMemory),
    ("[malloc] Unable to allocate ", Fault::OutOfMemory),
    ("[malloc_or_wait] Unable to allocate ", Fault::OutOfMemory),
    ("std::bad_alloc", Fault::OutOfMemory),
    ("Insufficient Memory", Fault::OutOfMemory),
    ("kIOGPUCommandBufferCallbackErrorOutOfMemory", Fault::OutOfMemory),
    ("kIOGPUCommandBufferCallbackErrorTimeout", Fault::GpuTooLong),
    ("Caused GPU Timeout Error", Fault::GpuTooLong),
    ("kIOGPUCommandBufferCallbackErrorImpactingInteractivity", Fault::GpuTooLong),
    ("Impacting Interactivity", Fault::GpuTooLong),
    ("kIOGPUCommandBufferCallbackErrorHang", Fault::GpuBroke),
    ("Caused GPU Hang Error", Fault::GpuBroke),
    ("kIOGPUCommandBufferCallbackErrorPageFault", Fault::GpuBroke),
    ("Caused GPU Address Fault Error", Fault::GpuBroke),
    ("kIOGPUCommandBufferCallbackErrorInvalidResource", Fault::GpuLost),
    ("kIOGPUCommandBufferCallbackErrorInnocentVictim", Fault::GpuLost),
    ("kIOGPUCommandBufferCallbackErrorSubmissionsIgnored", Fault::GpuLost),
];

impl Fault {
    /// What `text`, a message or a line of a log, is a sign of.
    pub fn of(text: &str) -> Option<Fault> {
        PHRASES.iter().find(|(phrase, _)| text.contains(phrase)).map(|(_, fault)| *fault)
    }

    /// What follows from it, as a clause for a person.
    pub fn advice(self) -> &'static str {
        match self {
            Fault::OutOfMemory => "there was not enough memory",
            Fault::BuffersUsedUp => {
                "this is a count of buffers and not of memory, so a new process goes on from the newest checkpoint; where it comes \
                 back before there is a checkpoint, lower save_every"
            }
            Fault::GpuTooLong => "the GPU was at one piece of work for so long that the screen stood still",
            Fault::GpuBroke => {
                "this machine's GPU failed, so the run goes on elsewhere, or here where there is no other machine"
            }
            Fault::GpuLost => "the system took the GPU away; a new process goes on from the newest checkpoint",
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_message_is_known_for_what_it_is() {
        let metal = |words: &str| format!("[METAL] Command buffer execution failed: {words}.");
        for (text, fault) in [
            ("[metal::malloc] Resource limit (499000) exceeded.".to_owned(), Fault::BuffersUsedUp),
            (
                "[metal::malloc] Attempting to allocate 48736917632 bytes which is greater than the maximum allowed buffer size of \
                 30150672384 bytes."
                    .to_owned(),
                Fault::OutOfMemory,
            ),
            ("[malloc] Unable to allocate 1073741824 bytes.".to_owned(), Fault::OutOfMemory),
            ("[malloc_or_wait] Unable to allocate 1073741824 bytes.".to_owned(), Fault::OutOfMemory),
            ("terminate called after throwing an instance of 'std::bad_alloc'".to_owned(), Fault::OutOfMemory),
            (
                metal("Insufficient Memory (00000008:kIOGPUCommandBufferCallbackErrorOutOfMemory)"),
                Fault::OutOfMemory,
            ),
            (metal("Caused GPU Timeout Error (00000002:kIOGPUCommandBufferCallbackErrorTimeout)"), Fault::GpuTooLong),
            (
                metal("Impacting Interactivity (0000000e:kIOGPUCommandBufferCallbackErrorImpactingInteractivity)"),
                Fault::GpuTooLong,
            ),
            (metal("Impacting Interactivity (0000000e)"), Fault::GpuTooLong),
            (metal("Caused GPU Hang Error (00000003:kIOGPUCommandBufferCallbackErrorHang)"), Fault::GpuBroke),
            (
                metal("Caused GPU Address Fault Error (0000000b:kIOGPUCommandBufferCallbackErrorPageFault)"),
                Fault::GpuBroke,
            ),
            (
                metal("Discarded (victim of GPU error/recovery) (00000005:kIOGPUCommandBufferCallbackErrorInnocentVictim)"),
                Fault::GpuLost,
            ),
        ] {
            assert_eq!(Fault::of(&text), Some(fault), "{text}");
        }
    }

    #[test]
    fn words_that_only_sound_like_it_are_no_sign() {
        for text in ["[reshape] Cannot reshape array", "mallocator", "failed to allocate a seat", "out of memory of it"]
        {
            assert_eq!(Fault::of(text), None, "{text}");
        }
    }
}
