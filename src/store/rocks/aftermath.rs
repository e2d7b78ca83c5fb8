//! Keeps a full disk from being taken for a broken one.
//!
//! RocksDB comes back by itself from a write that met a full disk. Until then it does not touch the log that the write
//! went to, and a sync that comes meanwhile is refused. That refusal it would take for a new error, of the kind that
//! only opening anew mends, and so stay read-only although there is space. It is dropped here: what it followed from is
//! known. The same listener has threads that wrote a file give back the memory that took.

use std::ffi::c_void;
use std::ptr;

use librocksdb_sys as ffi;
use rocksdb::{AsRawPtr, Options};

use super::take_error;
use crate::heap;

/// RocksDB's number for errors of the write path, syncs among them.
const WRITE_PATH: u32 = 2;

/// Has a database that is opened with these options not take the refusals that follow an error for errors.
pub(super) fn ignore_in(options: &mut Options) {
    // SAFETY: the functions live for ever and use no state, none is missing, and the options, which are alive, take over
    // the listener.
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
    // SAFETY: RocksDB lends the status for the time of this call; the out-pointer points to a local.
    unsafe { ffi::rocksdb_status_ptr_get_error(status, &mut error) };
    if take_error(error).is_err_and(|fault| fault.is_aftermath()) && reason == WRITE_PATH {
        // SAFETY: as above.
        unsafe { ffi::rocksdb_reset_status(status) };
    }
}

/// A file was written, by a thread of RocksDB's own: of the memory that took, most lies free now.
unsafe extern "C" fn heap_may_shrink<T>(_state: *mut c_void, _db: *mut ffi::rocksdb_t, _event: *const T) {
    heap::answer();
}

unsafe extern "C" fn nothing_to_free(_state: *mut c_void) {}

unsafe extern "C" fn nothing<T>(_state: *mut c_void, _db: *mut ffi::rocksdb_t, _event: *const T) {}

unsafe extern "C" fn nothing_either<T>(_state: *mut c_void, _event: *const T) {}
