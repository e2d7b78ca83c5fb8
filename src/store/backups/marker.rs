//! The mark of a folder of backups: the UUID of the store they belong to.
//!
//! The mark lies beside the files of RocksDB's backup engine, and is written before the first
//! backup. A folder with other files gets no mark, so that backups never mix with these.
//!
//! ```text
//! FILE `vectrove`
//! OFFSET SIZE FIELD
//!      0    8 magic "VECTBACK"
//!      8    4 format = 1
//!     12   16 UUID of the store
//!     28    4 CRC32C of all before
//! ```

use std::fs::{self, File};
use std::io::{self, Write as _};
use std::path::Path;

use uuid::Uuid;

use crate::error::{Error, Result};
use crate::store::files::atomic_dir::{check_links, sync_folder, sync_parent};
use crate::store::format::codec::{append_checksum, verify_checksum};
use crate::store::open::lock_file::Owner;

const WHAT: &str = "the mark of a folder of backups";
const FORMAT: u32 = 1;
const MAGIC: &[u8; 8] = b"VECTBACK";
const FILE_NAME: &str = "vectrove";
const DRAFT_NAME: &str = "vectrove.new";

/// The UUID of the store whose backups a folder holds.
///
/// # Errors
/// `BackupNotFound` if it is no folder of backups.
pub(in crate::store) fn find(folder: &Path) -> Result<Uuid> {
    check_links(folder)?;
    read(folder)?.ok_or_else(|| Error::BackupNotFound { path: folder.to_owned(), id: None })
}

/// As [`find`], but `None` if it is no folder of backups.
fn read(folder: &Path) -> Result<Option<Uuid>> {
    let path = folder.join(FILE_NAME);
    match fs::read(&path) {
        Ok(bytes) => decode(&bytes).map(Some),
        Err(error) if [io::ErrorKind::NotFound, io::ErrorKind::NotADirectory].contains(&error.kind()) => {
            if folder.join("meta").exists() {
                let detail = format!("expected {} beside the backups, found none", path.display());
                return Err(Error::corruption(WHAT, detail));
            }
            Ok(None)
        }
        Err(error) => Err(Error::io("reading", path, error)),
    }
}

/// Locks a folder of this store's backups. Makes a missing folder, and marks an empty one.
pub(in crate::store) fn claim(folder: &Path, store: Uuid) -> Result<Owner> {
    check_links(folder)?;
    let refused = |reason| Err(Error::InvalidConfig { field: "folder of backups", reason });
    if !folder.exists() {
        fs::create_dir_all(folder).map_err(|error| Error::io("creating", folder, error))?;
        sync_parent(folder)?;
    }
    if let Some(name) = foreign_file(folder)? {
        return refused(format!("expected backups or nothing in {}, found {name:?}", folder.display()));
    }
    let owner = Owner::take(folder)?;
    match read(folder)? {
        None => write(folder, store)?,
        Some(found) if found == store => {}
        Some(found) => {
            let shown = folder.display();
            return refused(format!("expected backups of store {store} in {shown}, got those of {found}"));
        }
    }
    Ok(owner)
}

/// The name of a file in a folder without a mark that no unfinished claim left there.
fn foreign_file(folder: &Path) -> Result<Option<String>> {
    if folder.join(FILE_NAME).exists() {
        return Ok(None);
    }
    let entries = fs::read_dir(folder).map_err(|error| Error::io("reading", folder, error))?;
    let names = entries.flatten().map(|entry| entry.file_name().to_string_lossy().into_owned());
    Ok(names.into_iter().find(|name| !["owner", DRAFT_NAME].contains(&name.as_str())))
}

/// Writes the mark: it appears whole or not at all.
fn write(folder: &Path, store: Uuid) -> Result<()> {
    let draft = folder.join(DRAFT_NAME);
    File::create(&draft)
        .and_then(|mut file| file.write_all(&encode(store)).and_then(|()| file.sync_all()))
        .map_err(|error| Error::io("writing", &draft, error))?;
    fs::rename(&draft, folder.join(FILE_NAME)).map_err(|error| Error::io("renaming", draft, error))?;
    sync_folder(folder)
}

fn encode(store: Uuid) -> Vec<u8> {
    append_checksum([MAGIC, FORMAT.to_le_bytes().as_slice(), store.as_bytes()].concat())
}

fn decode(bytes: &[u8]) -> Result<Uuid> {
    let content = verify_checksum(WHAT, bytes)?;
    let Some((&format, rest)) = content.strip_prefix(MAGIC).and_then(|rest| rest.split_first_chunk()) else {
        return Err(Error::corruption(WHAT, "expected its magic and format, got something else"));
    };
    let found = u32::from_le_bytes(format);
    if found > FORMAT {
        return Err(Error::UnsupportedFormat { what: "the folder of backups", found, supported: FORMAT });
    }
    let store = rest
        .try_into()
        .map_err(|_| Error::corruption(WHAT, format!("expected 16 bytes of a UUID, got {} bytes", rest.len())))?;
    Ok(Uuid::from_bytes(store))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn golden_bytes() {
        let bytes = encode(Uuid::from_bytes([0xab; 16]));
        let expected = [b"VECTBACK\x01\0\0\0".as_slice(), &[0xab; 16], b"\x76\x77\xab\x92"].concat();
        assert_eq!(bytes, expected);
        assert_eq!(decode(&bytes).unwrap(), Uuid::from_bytes([0xab; 16]));
    }

    #[test]
    fn every_flipped_bit_is_noticed() {
        let whole = encode(Uuid::from_bytes([0xab; 16]));
        for bit in 0..whole.len() * 8 {
            let mut damaged = whole.clone();
            damaged[bit / 8] ^= 1 << (bit % 8);
            assert!(matches!(decode(&damaged), Err(Error::Corruption { .. })), "bit {bit}");
        }
        for length in 0..whole.len() {
            assert!(decode(&whole[..length]).is_err(), "{length} bytes");
        }
    }

    #[test]
    fn a_newer_format_is_refused() {
        let newer = append_checksum([MAGIC, [2, 0, 0, 0].as_slice(), b"something else"].concat());
        assert!(matches!(decode(&newer), Err(Error::UnsupportedFormat { found: 2, supported: FORMAT, .. })));
        let other = append_checksum([b"VECTROVE".as_slice(), &[1, 0, 0, 0], &[0xab; 16]].concat());
        assert!(matches!(decode(&other), Err(Error::Corruption { .. })));
    }

    #[test]
    fn only_an_empty_folder_is_marked() {
        let folder = tempfile::tempdir().unwrap();
        let (store, other) = (Uuid::from_bytes([1; 16]), Uuid::from_bytes([2; 16]));
        let backups = folder.path().join("deep/backups");
        assert_eq!(read(&backups).unwrap(), None);
        // A claim that was killed leaves a draft, which is no hindrance.
        fs::create_dir_all(&backups).unwrap();
        fs::write(backups.join(DRAFT_NAME), "torn").unwrap();
        let owner = claim(&backups, store).unwrap();
        assert!(matches!(claim(&backups, store), Err(Error::Busy { .. })));
        drop(owner);
        assert_eq!(read(&backups).unwrap(), Some(store));
        assert!(claim(&backups, store).is_ok());
        for folder in [&backups, folder.path()] {
            assert!(matches!(claim(folder, other), Err(Error::InvalidConfig { .. })), "{}", folder.display());
        }
        assert!(!folder.path().join("owner").exists(), "a foreign folder is not touched");
        fs::create_dir(backups.join("meta")).unwrap();
        fs::remove_file(backups.join(FILE_NAME)).unwrap();
        assert!(matches!(read(&backups), Err(Error::Corruption { .. })));
    }
}
