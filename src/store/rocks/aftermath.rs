//! Keeps RocksDB from treating a full disk as a broken one.
//!
//! RocksDB recovers by itself from a write that met a full disk. Until then it leaves the log of
//! that write alone, and refuses to sync it. Left alone, RocksDB takes that refusal for a new
//! error, of a kind that only a reopen mends. It would stay read-only although there is space. The
//! listener drops the refusal, since its cause is known. It also gives freed memory back after a
//! file was written.

use std::ffi::c_void;
use std::ptr;

use librocksdb_sys as ffi;
use rocksdb::{AsRawPtr, Options};

use super::take_error;
use crate::heap;

/// RocksDB's number for errors of the write path, syncs among them.
const WRITE_PATH: u32 = 2;

/// Adds a listener to `options`, so that the database ignores refusals that follow an error.
pub(super) fn ignore_in(options: &mut Options) {
    // SAFETY: the functions are static and use no state, none is missing, and the options, which
    // are alive, take over the listener.
    unsafe {
        let listener = ffi::rocksdb_eventlistener_create(
            ptr::null_mut(),
            Some(nothing_to_free),
            Some(nothing),
            Some(heap_may_shrink),
            Some(nothing),
            Some(heap_may_shrink),
            Some(nothing_either),
            Some(nothing_either),
            Some(nothing),
            Some(on_error),
            Some(nothing_either),
            Some(nothing_either),
        );
        ffi::rocksdb_options_add_eventlistener(options.as_raw_ptr(), listener);
    }
}

unsafe extern "C" fn on_error(_state: *mut c_void, reason: u32, status: *mut ffi::rocksdb_status_ptr_t) {
    let mut error = ptr::null_mut();
    // SAFETY: RocksDB lends the status for the time of this call; the out-pointer points to a
    // local.
    unsafe { ffi::rocksdb_status_ptr_get_error(status, &mut error) };
    if take_error(error).is_err_and(|fault| fault.is_aftermath()) && reason == WRITE_PATH {
        // SAFETY: as above.
        unsafe { ffi::rocksdb_reset_status(status) };
    }
}

/// Runs on a thread of RocksDB that wrote a file: most of the memory that took is free now.
unsafe extern "C" fn heap_may_shrink<T>(_state: *mut c_void, _db: *mut ffi::rocksdb_t, _event: *const T) {
    heap::answer();
}

unsafe extern "C" fn nothing_to_free(_state: *mut c_void) {}

unsafe extern "C" fn nothing<T>(_state: *mut c_void, _db: *mut ffi::rocksdb_t, _event: *const T) {}

unsafe extern "C" fn nothing_either<T>(_state: *mut c_void, _event: *const T) {}
