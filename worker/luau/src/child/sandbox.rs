//! macOS's sandbox: the profile under which a process may compute and nothing else.
//!
//! The one place of this crate that calls C. It has been read, and not run: no compiler of the project's build machines sees it.
#![expect(unsafe_code, reason = "the system has the sandbox as a function of C alone")]

use std::ffi::{c_char, c_int};
use std::ptr;

/// `SANDBOX_NAMED` of sandbox.h: the profile is one of the system's, by its name.
const NAMED: u64 = 1;

unsafe extern "C" {
    fn sandbox_init(profile: *const c_char, flags: u64, error: *mut *mut c_char) -> c_int;
}

/// Enters `kSBXProfilePureComputation`: no file, no network, no other process. What is open stays open. Says whether it did.
pub(super) fn enter() -> bool {
    let mut error = ptr::null_mut();
    // SAFETY: the profile is a C string that lives as long as the program; `error` is a place for one pointer, which the system fills
    // with text that it allocated and that is left to the process, once.
    unsafe { sandbox_init(c"pure-computation".as_ptr(), NAMED, &raw mut error) == 0 }
}
