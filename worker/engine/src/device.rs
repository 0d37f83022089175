//! The machine's GPU and MLX's allocator: what there is, and what a run may use of it.
//!
//! The engine's one module with foreign calls: mlx-rs does not wrap MLX's device information and version.

use mlx_rs::{Device, memory};
use std::sync::{Mutex, PoisonError};
use vertigo::bytes::Bytes;

/// What the GPU may hold without being paged out: Metal's recommended working-set size. `None` where MLX has no GPU.
pub fn gpu_working_set() -> Option<Bytes> {
    gpu_size(c"max_recommended_working_set_size")
}

/// A size from MLX's information about the first GPU.
#[allow(unsafe_code)]
fn gpu_size(key: &std::ffi::CStr) -> Option<Bytes> {
    // mlx-rs takes over MLX's error handler in its first call; the original one ends the process.
    memory::memory_limit().ok()?;
    let (mut available, mut size) = (false, 0usize);
    // SAFETY: every object is made here and freed here, once; each call gets pointers to live locals of the type that it
    // writes; `key` ends with a zero. A status other than 0 means that nothing was written, and is checked.
    let found = unsafe {
        let device = mlx_sys::mlx_device_new_type(mlx_sys::mlx_device_type__MLX_GPU, 0);
        let mut info = mlx_sys::mlx_device_info_new();
        let found = mlx_sys::mlx_device_is_available(&mut available, device) == 0
            && available
            && mlx_sys::mlx_device_info_get(&mut info, device) == 0
            && mlx_sys::mlx_device_info_get_size(&mut size, info, key.as_ptr()) == 0;
        mlx_sys::mlx_device_info_free(info);
        mlx_sys::mlx_device_free(device);
        found
    };
    found.then_some(Bytes(size as u64))
}

/// MLX's version, such as `0.32.2`.
///
/// # Errors
/// MLX's, which has none to give here but for want of memory.
#[allow(unsafe_code)]
pub fn mlx_version() -> Result<String, crate::EngineError> {
    // mlx-rs takes over MLX's error handler in its first call; the original one ends the process.
    memory::memory_limit()?;
    // SAFETY: the string is made here and freed here, once, and its text is copied before that. Where MLX wrote none, its data may be
    // null, which is checked.
    unsafe {
        let mut text = mlx_sys::mlx_string_new();
        let written = mlx_sys::mlx_version(&mut text) == 0;
        let data = mlx_sys::mlx_string_data(text);
        let version =
            (written && !data.is_null()).then(|| std::ffi::CStr::from_ptr(data).to_string_lossy().into_owned());
        mlx_sys::mlx_string_free(text);
        version.ok_or_else(|| mlx_rs::error::Exception::custom("MLX does not say its version").into())
    }
}

/// Tells MLX's allocator what this process may use.
///
/// The limit is a guide, not a wall: near it MLX returns cached buffers and waits for running work before it begins more, and only
/// where the system has no memory left does an allocation fail. Whoever must keep a limit watches
/// [`Event::Step`](crate::Event::Step)'s `peak_bytes` too.
///
/// # Errors
/// MLX's.
pub fn limit_memory(limit: Bytes) -> Result<(), crate::EngineError> {
    memory::set_memory_limit(usize::try_from(limit.0).unwrap_or(usize::MAX))?;
    Ok(())
}

/// How much MLX kept of what was not in use any more, from when it is to keep nothing.
static KEPT: Mutex<Option<usize>> = Mutex::new(None);

/// Has MLX give back the buffers that are not in use and keep none from now on, or keep them again as it did before. It changes how long
/// an allocation takes and never what is computed. May be called beside a computation, from any thread: MLX's allocator has a lock.
///
/// # Errors
/// MLX's.
pub fn keep_cache(keeps: bool) -> Result<(), crate::EngineError> {
    let mut kept = KEPT.lock().unwrap_or_else(PoisonError::into_inner);
    match (keeps, *kept) {
        (false, None) => {
            *kept = Some(memory::set_cache_limit(0)?);
            memory::clear_cache()?;
        }
        (true, Some(limit)) => {
            memory::set_cache_limit(limit)?;
            *kept = None;
        }
        (false, Some(_)) | (true, None) => {}
    }
    Ok(())
}

/// Has this process compute on the processor alone, also where there is a GPU: that may be another process's.
///
/// # Errors
/// MLX's.
pub fn use_cpu() -> Result<(), crate::EngineError> {
    // mlx-rs takes over MLX's error handler in its first call.
    memory::memory_limit()?;
    Device::set_default(&Device::cpu());
    Ok(())
}

/// MLX's peak memory since the process began.
///
/// # Errors
/// MLX's.
pub fn peak_memory() -> Result<Bytes, crate::EngineError> {
    Ok(Bytes(memory::peak_memory()? as u64))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_gpu_is_told_of_where_there_is_one() {
        assert_eq!(gpu_working_set().is_some(), cfg!(target_os = "macos"));
        assert_eq!(gpu_size(c"no such key"), None);
    }

    #[test]
    fn mlx_says_its_version() {
        let version = mlx_version().unwrap();
        let numbers: Vec<_> = version.split('.').take(2).map(str::parse::<u32>).collect();
        assert!(numbers.len() == 2 && numbers.iter().all(Result::is_ok), "{version}");
    }

    #[test]
    fn a_cache_is_given_back_and_has_the_limit_that_it_had() {
        let limit = || {
            let limit = memory::set_cache_limit(1 << 20).unwrap();
            memory::set_cache_limit(limit).unwrap();
            limit
        };
        let before = limit();
        for _ in 0..2 {
            keep_cache(false).unwrap();
            assert_eq!((limit(), memory::cache_memory().unwrap()), (0, 0));
        }
        for _ in 0..2 {
            keep_cache(true).unwrap();
            assert_eq!(limit(), before);
        }
    }

    #[test]
    fn the_limit_reaches_mlx() {
        let before = memory::memory_limit().unwrap();
        limit_memory(Bytes::gib(3)).unwrap();
        assert_eq!(memory::set_memory_limit(before).unwrap() as u64, Bytes::gib(3).0);
    }
}
