//! What MLX, Metal and C++ say when they fail, by what can be done about it.
//!
//! MLX throws plain runtime errors, so their text is all there is to tell them apart. The phrases are those of MLX 0.32
//! (`backend/*/allocator.cpp`, and `check_error` of the Metal backend, which hands on the system's words).

/// A failure that has a cure of its own.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Fault {
    /// There was not enough memory: a smaller plan or a larger machine may do.
    OutOfMemory,
    /// The process has made as many Metal buffers as MLX allows. They are counted, not measured: there may be memory to spare, and only a
    /// new process begins the count again.
    BuffersUsedUp,
    /// The system took the GPU away in the middle of its work: too slow, hung, or the victim of another's fault.
    GpuLost,
}

/// Phrases and what they are a sign of.
const PHRASES: [(&str, Fault); 14] = [
    ("[metal::malloc] Resource limit (", Fault::BuffersUsedUp),
    ("[metal::malloc] Attempting to allocate ", Fault::OutOfMemory),
    ("[malloc] Unable to allocate ", Fault::OutOfMemory),
    ("[malloc_or_wait] Unable to allocate ", Fault::OutOfMemory),
    ("std::bad_alloc", Fault::OutOfMemory),
    ("Insufficient Memory", Fault::OutOfMemory),
    ("kIOGPUCommandBufferCallbackErrorOutOfMemory", Fault::OutOfMemory),
    ("kIOGPUCommandBufferCallbackErrorTimeout", Fault::GpuLost),
    ("kIOGPUCommandBufferCallbackErrorImpactingInteractivity", Fault::GpuLost),
    ("kIOGPUCommandBufferCallbackErrorHang", Fault::GpuLost),
    ("kIOGPUCommandBufferCallbackErrorPageFault", Fault::GpuLost),
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
            (metal("Caused GPU Timeout Error (00000002:kIOGPUCommandBufferCallbackErrorTimeout)"), Fault::GpuLost),
            (
                metal("Impacting Interactivity (0000000e:kIOGPUCommandBufferCallbackErrorImpactingInteractivity)"),
                Fault::GpuLost,
            ),
            (metal("Caused GPU Hang Error (00000003:kIOGPUCommandBufferCallbackErrorHang)"), Fault::GpuLost),
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
