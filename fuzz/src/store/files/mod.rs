//! Folders, for the superblock.

#[path = "../../../../src/store/files/atomic_dir.rs"]
pub(crate) mod atomic_dir;
