//! Shares one descriptor for each folder among all column families that sync it. `directories.cc`
//! does the work; it stands beside this file because RocksDB's C interface has no such option.

use rocksdb::{AsRawPtr, Options};

unsafe extern "C" {
    fn vectrove_share_directories(options: *mut librocksdb_sys::rocksdb_options_t);
}

/// Adds to `options` that column families share descriptors of folders.
pub(super) fn share_in(options: &mut Options) {
    // SAFETY: the options are alive, and what they are given is never freed.
    unsafe { vectrove_share_directories(options.as_raw_ptr()) };
}
