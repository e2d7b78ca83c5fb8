//! One descriptor for each folder, however many column families sync it: what `directories.cc` does, which stands
//! beside this file because RocksDB's C interface does not offer it.

use rocksdb::{AsRawPtr, Options};

unsafe extern "C" {
    fn vectrove_share_directories(options: *mut librocksdb_sys::rocksdb_options_t);
}

/// Has a database that is opened with these options share descriptors of folders.
pub(super) fn share_in(options: &mut Options) {
    // SAFETY: the options are alive, and what they are given lives for ever.
    unsafe { vectrove_share_directories(options.as_raw_ptr()) };
}
