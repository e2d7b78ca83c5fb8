//! The superblock: which store a database is and how far it had got, kept outside RocksDB.
//!
//! Two slots of 4 KiB are written in turn, and the newer valid one counts. So a torn write loses
//! one step, never the file. The superblock names the last commit known to be on disk, and how long
//! RocksDB's manifest was then. An open that finds less knows that data is gone, which RocksDB
//! would not report.
//!
//! ```text
//! OFFSET SIZE FIELD                              OFFSET SIZE FIELD
//!      0    8 magic "VECTROVE"                       48    8 durable commit
//!      8    4 format = 1                             56    8 number of the manifest
//!     12    4 flags: 1 clean, 2 creating             64    8 length of the manifest, in bytes
//!     16    8 sequence                               72    … zero
//!     24    8 features that a reader must know     4092    4 CRC32C of all before
//!     32   16 UUID of the store
//! ```

use std::fs::{File, OpenOptions};
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};

use uuid::Uuid;

use crate::error::{Error, Result};
use crate::id::Commit;
use crate::store::files::atomic_dir::sync_folder;

/// The newest format that this library reads, and the one that it writes.
pub(crate) const FORMAT: u32 = 1;

const SLOT_BYTES: usize = 4096;
const CRC_OFFSET: usize = SLOT_BYTES - 4;
/// Features that a reader must know, one bit each. Bit 0: the store keeps postings of metadata, so
/// that a writer of documents has to write them too. A store without the bit has no postings yet.
const FEATURES: u64 = 1;
const MAGIC: &[u8; 8] = b"VECTROVE";
const CLEAN: u32 = 1;
const CREATING: u32 = 2;
const FILE_NAME: &str = "superblock";

/// The content of the superblock.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Superblock {
    pub(crate) store: Uuid,
    /// Every commit up to this one is on the disk.
    pub(crate) durable: Commit,
    /// RocksDB's manifest when this was written. A later one has a larger number or is longer.
    pub(crate) manifest: Manifest,
    /// The database was closed in order: the log holds nothing that other files lack.
    pub(crate) clean: bool,
    /// Creating the database was begun and not finished.
    pub(crate) creating: bool,
}

/// How far RocksDB's manifest had got: its number, and its length in bytes.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Manifest {
    pub(crate) number: u64,
    pub(crate) length: u64,
}

/// The open file of the superblock, and its newest content.
pub(crate) struct SuperblockFile {
    file: File,
    path: PathBuf,
    sequence: u64,
    content: Superblock,
}

impl SuperblockFile {
    /// Makes the file, with this content in both slots. The file appears whole or not at all.
    pub(crate) fn create(folder: &Path, content: Superblock) -> Result<Self> {
        let (path, draft) = (folder.join(FILE_NAME), folder.join("superblock.new"));
        let wrap = |doing| {
            let draft = draft.clone();
            move |source| Error::io(doing, draft, source)
        };
        let file = OpenOptions::new()
            .read(true)
            .write(true)
            .create(true)
            .truncate(true)
            .open(&draft)
            .map_err(wrap("creating"))?;
        let bytes = [content.encode(1), content.encode(2)].concat();
        file.write_all_at(&bytes, 0).and_then(|()| file.sync_all()).map_err(wrap("writing"))?;
        std::fs::rename(&draft, &path).map_err(wrap("renaming"))?;
        sync_folder(folder)?;
        Ok(SuperblockFile { file, path, sequence: 2, content })
    }

    /// Opens the file for writing, but writes nothing yet; `None` if there is no file.
    pub(crate) fn open(folder: &Path) -> Result<Option<Self>> {
        Self::open_as(folder, OpenOptions::new().read(true).write(true))
    }

    /// Opens the file for reading; `None` if there is no file. Another process may write to it.
    pub(crate) fn open_to_read(folder: &Path) -> Result<Option<Self>> {
        Self::open_as(folder, OpenOptions::new().read(true))
    }

    fn open_as(folder: &Path, options: &OpenOptions) -> Result<Option<Self>> {
        let path = folder.join(FILE_NAME);
        let file = match options.open(&path) {
            Ok(file) => file,
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(None),
            Err(error) => return Err(Error::io("opening", path, error)),
        };
        let bytes = std::fs::read(&path).map_err(|error| Error::io("reading", &path, error))?;
        let (sequence, content) = newest(&bytes)?;
        Ok(Some(SuperblockFile { file, path, sequence, content }))
    }

    pub(crate) fn content(&self) -> Superblock {
        self.content
    }

    /// Writes new content into the older slot and waits for the disk.
    pub(crate) fn write(&mut self, content: Superblock) -> Result<()> {
        let sequence = self.sequence + 1;
        let offset = (1 - sequence % 2) * SLOT_BYTES as u64;
        self.file
            .write_all_at(&content.encode(sequence), offset)
            .and_then(|()| self.file.sync_data())
            .map_err(|error| Error::io("writing", &self.path, error))?;
        (self.sequence, self.content) = (sequence, content);
        Ok(())
    }
}

/// The newer of the two slots, or the one that can be read.
pub(crate) fn newest(bytes: &[u8]) -> Result<(u64, Superblock)> {
    let (slots, _) = bytes.as_chunks::<SLOT_BYTES>();
    let mut newest: Option<(u64, Superblock)> = None;
    for slot in slots.iter().take(2) {
        match Superblock::decode(slot) {
            Ok(read) if newest.is_none_or(|newest| read.0 > newest.0) => newest = Some(read),
            Err(error @ Error::UnsupportedFormat { .. }) => return Err(error),
            Ok(_) | Err(_) => {}
        }
    }
    newest.ok_or_else(|| {
        Error::corruption(FILE_NAME, format!("expected two slots of {SLOT_BYTES} bytes, found none that is whole"))
    })
}

impl Superblock {
    /// The bytes of one slot with this content.
    pub(crate) fn encode(&self, sequence: u64) -> [u8; SLOT_BYTES] {
        let flags = u32::from(self.clean) * CLEAN + u32::from(self.creating) * CREATING;
        let mut slot = [0; SLOT_BYTES];
        slot[0..8].copy_from_slice(MAGIC);
        slot[8..12].copy_from_slice(&FORMAT.to_le_bytes());
        slot[12..16].copy_from_slice(&flags.to_le_bytes());
        slot[16..24].copy_from_slice(&sequence.to_le_bytes());
        slot[24..32].copy_from_slice(&FEATURES.to_le_bytes());
        slot[32..48].copy_from_slice(self.store.as_bytes());
        slot[48..56].copy_from_slice(&self.durable.0.to_le_bytes());
        slot[56..64].copy_from_slice(&self.manifest.number.to_le_bytes());
        slot[64..72].copy_from_slice(&self.manifest.length.to_le_bytes());
        let crc = crc32c::crc32c(&slot[..CRC_OFFSET]);
        slot[CRC_OFFSET..].copy_from_slice(&crc.to_le_bytes());
        slot
    }

    /// The sequence number and content of one slot.
    pub(crate) fn decode(slot: &[u8; SLOT_BYTES]) -> Result<(u64, Self)> {
        let u32_at = |at: usize| u32::from_le_bytes([slot[at], slot[at + 1], slot[at + 2], slot[at + 3]]);
        let u64_at = |at: usize| u64::from(u32_at(at)) | u64::from(u32_at(at + 4)) << 32;
        if &slot[..8] != MAGIC || u32_at(CRC_OFFSET) != crc32c::crc32c(&slot[..CRC_OFFSET]) {
            return Err(Error::corruption(FILE_NAME, "a slot's magic or checksum is wrong"));
        }
        let (format, features) = (u32_at(8), u64_at(24));
        if format > FORMAT {
            return Err(Error::UnsupportedFormat { what: "the database", found: format, supported: FORMAT });
        }
        let unknown = features & !FEATURES;
        if unknown != 0 {
            let (found, supported) = (unknown.trailing_zeros() + 1, FEATURES.trailing_ones());
            return Err(Error::UnsupportedFormat { what: "the database's features", found, supported });
        }
        let mut store = [0; 16];
        store.copy_from_slice(&slot[32..48]);
        let content = Superblock {
            store: Uuid::from_bytes(store),
            durable: Commit(u64_at(48)),
            manifest: Manifest { number: u64_at(56), length: u64_at(64) },
            clean: u32_at(12) & CLEAN != 0,
            creating: u32_at(12) & CREATING != 0,
        };
        Ok((u64_at(16), content))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn content(durable: u64) -> Superblock {
        Superblock {
            store: Uuid::from_bytes([0xab; 16]),
            durable: Commit(durable),
            manifest: Manifest { number: 5, length: 1_000 },
            clean: true,
            creating: false,
        }
    }

    #[test]
    fn golden_slot() {
        let slot = content(300).encode(9);
        let mut expected = b"VECTROVE\x01\0\0\0\x01\0\0\0\x09\0\0\0\0\0\0\0\x01\0\0\0\0\0\0\0".to_vec();
        expected.extend([0xab; 16]);
        expected.extend(b"\x2c\x01\0\0\0\0\0\0\x05\0\0\0\0\0\0\0\xe8\x03\0\0\0\0\0\0");
        assert_eq!(slot[..72], expected);
        assert!(slot[72..CRC_OFFSET].iter().all(|&byte| byte == 0));
        assert_eq!(Superblock::decode(&slot).unwrap(), (9, content(300)));
    }

    #[test]
    fn every_flipped_bit_is_noticed() {
        let slot = content(300).encode(9);
        for bit in 0..SLOT_BYTES * 8 {
            let mut damaged = slot;
            damaged[bit / 8] ^= 1 << (bit % 8);
            assert!(Superblock::decode(&damaged).is_err(), "bit {bit}");
        }
    }

    #[test]
    fn a_torn_write_falls_back_one_step() {
        let folder = tempfile::tempdir().unwrap();
        let mut file = SuperblockFile::create(folder.path(), content(1)).unwrap();
        for durable in 2..6 {
            file.write(content(durable)).unwrap();
            let path = folder.path().join(FILE_NAME);
            let whole = std::fs::read(&path).unwrap();
            assert_eq!(newest(&whole).unwrap().1.durable, Commit(durable));
            let newer_slot =
                whole.chunks(SLOT_BYTES).position(|slot| slot == &content(durable).encode(file.sequence)[..]);
            let mut torn = whole.clone();
            torn[newer_slot.unwrap() * SLOT_BYTES + 2_000..][..100].fill(0xff);
            assert_eq!(newest(&torn).unwrap().1.durable, Commit(durable - 1));
        }
        for length in 0..SLOT_BYTES {
            assert!(newest(&vec![0; length]).is_err());
        }
    }

    #[test]
    fn a_newer_format_or_an_unknown_feature_is_refused() {
        for (at, what) in [(8, "the database"), (24, "the database's features")] {
            let mut slot = content(1).encode(1);
            slot[at] = 9;
            let crc = crc32c::crc32c(&slot[..CRC_OFFSET]);
            slot[CRC_OFFSET..].copy_from_slice(&crc.to_le_bytes());
            let both = [slot.as_slice(), &content(1).encode(2)].concat();
            assert!(matches!(newest(&both), Err(Error::UnsupportedFormat { what: w, .. }) if w == what));
        }
    }
}
