//! The superblock.

#[path = "../../../../src/store/open/superblock.rs"]
pub(crate) mod superblock;
