//! Searches RocksDB's logs and manifest for records at which RocksDB's reader would loop endlessly.
//!
//! The reader (11.8.1, `log_reader.cc`) expects records of a *recycled* log only in a file that
//! began as one. In any other file it reports such a record as bad, does not step over it, and
//! meets it again. Vectrove never recycles logs, so such a record is damage. This search finds it
//! before RocksDB opens the file.
//!
//! A file consists of blocks of 32 KiB, and a block of records: masked CRC32C u32, length u16, type
//! u8, data. The search walks the records as the reader does. Other damage ends its block here, for
//! RocksDB to judge.

use std::fs::File;
use std::io::{self, Read};
use std::path::Path;

use crate::error::{Error, Result};

pub(super) const BLOCK_BYTES: u64 = 32 << 10;
pub(super) const HEADER_BYTES: usize = 7;
const RECYCLED: [u8; 6] = [5, 6, 7, 8, 11, 131];
const PREALLOCATED: u8 = 0;

/// Checks every log and manifest in a folder.
pub(super) fn check_folder(data: &Path) -> Result<()> {
    let entries = std::fs::read_dir(data).map_err(|error| Error::io("reading", data, error))?;
    for entry in entries.flatten() {
        let name = entry.file_name().to_string_lossy().into_owned();
        if name.ends_with(".log") || name.starts_with("MANIFEST-") {
            let found = find_recycled(&entry.path()).map_err(|error| Error::io("reading", entry.path(), error))?;
            if let Some(offset) = found {
                let detail =
                    format!("expected a record at byte {offset}, got one of a recycled file, which we do not make");
                return Err(Error::corruption(name, detail));
            }
        }
    }
    Ok(())
}

/// The offset in bytes of the first record of a recycled log in a file.
fn find_recycled(path: &Path) -> io::Result<Option<u64>> {
    let mut file = File::open(path)?;
    let mut block = Vec::with_capacity(BLOCK_BYTES as usize);
    for n_blocks in 0.. {
        block.clear();
        if (&mut file).take(BLOCK_BYTES).read_to_end(&mut block)? == 0 {
            break;
        }
        if let Some(offset) = find_in_block(&block) {
            return Ok(Some(n_blocks * BLOCK_BYTES + offset as u64));
        }
    }
    Ok(None)
}

fn find_in_block(block: &[u8]) -> Option<usize> {
    let mut offset = 0;
    while let Some(&[a, b, c, d, low, high, kind]) = block[offset..].first_chunk::<HEADER_BYTES>() {
        if RECYCLED.contains(&kind) {
            return Some(offset);
        }
        let length = usize::from(u16::from_le_bytes([low, high]));
        let record = block[offset + HEADER_BYTES - 1..].get(..=length)?;
        if (kind == PREALLOCATED && length == 0) || unmask(u32::from_le_bytes([a, b, c, d])) != crc32c::crc32c(record) {
            return None;
        }
        offset += HEADER_BYTES + length;
    }
    None
}

/// Undoes the mask on a checksum. RocksDB masks checksums in its logs, so that data that holds
/// checksums does not look like a record.
pub(super) fn unmask(masked: u32) -> u32 {
    masked.wrapping_sub(0xa282_ead8).rotate_left(15)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn record(kind: u8, data: &[u8]) -> Vec<u8> {
        let masked = crc32c::crc32c_append(crc32c::crc32c(&[kind]), data).rotate_right(15).wrapping_add(0xa282_ead8);
        let mut bytes = masked.to_le_bytes().to_vec();
        bytes.extend((data.len() as u16).to_le_bytes());
        bytes.push(kind);
        bytes.extend(data);
        bytes
    }

    #[test]
    fn a_recycled_record_is_found_wherever_the_reader_would_meet_it() {
        let good = record(1, b"some data");
        for kind in RECYCLED {
            let mut file = [good.clone(), good.clone()].concat();
            file[good.len() + 6] = kind;
            assert_eq!(find_in_block(&file), Some(good.len()), "{kind}");
            assert_eq!(find_in_block(&file[good.len()..]), Some(0), "{kind}");
        }
        for kind in [0, 1, 4, 9, 10, 130, 255] {
            let mut file = [good.clone(), good.clone()].concat();
            file[good.len() + 6] = kind;
            assert_eq!(find_in_block(&file), None, "{kind}");
        }
    }

    #[test]
    fn records_of_a_real_log_are_walked() {
        let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures/format-1/killed/data/000012.log");
        let mut log = std::fs::read(path).unwrap();
        assert_eq!(find_in_block(&log), None);
        let second = HEADER_BYTES + usize::from(u16::from_le_bytes([log[4], log[5]]));
        log[second + 6] = 5;
        assert_eq!(find_in_block(&log), Some(second));
    }

    #[test]
    fn what_rocksdb_steps_over_is_stepped_over() {
        let (good, recycled) = (record(2, b"some data"), record(5, b"old"));
        let mut flipped = good.clone();
        flipped[9] ^= 1;
        assert_eq!(find_in_block(&[flipped, recycled.clone()].concat()), None, "a bad checksum ends the block");
        assert_eq!(find_in_block(&[vec![0; 7], recycled.clone()].concat()), None, "so does an empty record");
        assert_eq!(find_in_block(&good[..good.len() - 1]), None, "and one that is cut");

        let folder = tempfile::tempdir().unwrap();
        let mut file = vec![0; BLOCK_BYTES as usize];
        file.extend(&recycled);
        std::fs::write(folder.path().join("000004.log"), &file).unwrap();
        let error = check_folder(folder.path()).unwrap_err().to_string();
        assert!(error.contains("000004.log") && error.contains("byte 32768"), "{error}");
    }
}
