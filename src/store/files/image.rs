//! Images: a collection's arrays as they are in memory, in one file, which an open maps.
//!
//! An image is derived data. It names the commit and the delta of the graph that it holds. An open
//! discards an image that does not fit the database, or of which a single byte has changed. A new
//! image is written beside the old one, and takes its place once it is whole and on the disk. This
//! module does not know what the arrays mean. The file records the machine's byte order.
//!
//! ```text
//! OFFSET SIZE FIELD                                  OFFSET SIZE FIELD
//!      0    8 magic "VTIMAGE\0"                          56    8 what the arrays depend on, as a number
//!      8    4 format = 1                                 64   64 numbers of the collection's own, u64
//!     12    4 0x01020304, as the machine writes it      128  16n sections: offset u64, length u64
//!     16   16 UUID of the store                        4088    4 CRC32C of the table at the end
//!     32    4 collection                               4092    4 CRC32C of all before
//!     36    4 n: sections                              4096    … sections, each from the next 4 KiB on
//!     40    8 commit                                      …      table: CRC32C of each MiB from 4096 on
//!     48    8 delta
//! ```

use std::collections::HashMap;
use std::fs::File;
use std::io::{self, Write};
use std::path::{Path, PathBuf};

use crossbeam::channel::{Receiver, bounded};
use memmap2::Mmap;
use rayon::prelude::*;
use uuid::Uuid;

use super::atomic_dir::sync_folder;
use crate::error::{Error, Result};
use crate::id::{CollectionId, Commit};
use crate::{arena, failpoint};

const MAGIC: &[u8; 8] = b"VTIMAGE\0";
const FORMAT: u32 = 1;
const BYTE_ORDER: u32 = 0x0102_0304;
const PAGE: usize = 4096;
const BLOCK: usize = 1 << 20;
const SECTIONS_AT: usize = 128;
const MOST_SECTIONS: usize = 16;
const N_NUMBERS: usize = 8;

/// Name of the folder that holds all images.
pub(crate) const FOLDER: &str = "images";
const FILE_NAME: &str = "image";

/// Which state of which collection an image holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Tag {
    pub(crate) store: Uuid,
    pub(crate) collection: CollectionId,
    /// Slots are as of this commit.
    pub(crate) commit: Commit,
    /// Links are as of this delta.
    pub(crate) delta: u64,
    /// A number that stands for everything that the layout of the arrays depends on.
    pub(crate) shape: u64,
    pub(crate) numbers: [u64; N_NUMBERS],
}

/// The folder of a collection's image.
pub(crate) fn folder(database: &Path, collection: CollectionId) -> PathBuf {
    database.join(FOLDER).join(format!("c{}", collection.0))
}

/// Removes the images of collections that are not listed, and unfinished images.
pub(crate) fn remove_strays(database: &Path, collections: &[CollectionId]) -> io::Result<()> {
    let entries = match std::fs::read_dir(database.join(FOLDER)) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
        entries => entries?,
    };
    let known: Vec<PathBuf> = collections.iter().map(|&id| folder(database, id)).collect();
    for path in entries.flatten().map(|entry| entry.path()) {
        match known.contains(&path) {
            true => _ = std::fs::remove_file(draft_of(&path)),
            false if path.is_dir() => std::fs::remove_dir_all(path)?,
            false => std::fs::remove_file(path)?,
        }
    }
    Ok(())
}

/// Removes a collection's image.
pub(crate) fn remove(database: &Path, collection: CollectionId) -> io::Result<()> {
    match std::fs::remove_dir_all(folder(database, collection)) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
        outcome => outcome,
    }
}

fn draft_of(folder: &Path) -> PathBuf {
    folder.join("image.new")
}

/// An image in the making.
pub(crate) struct ImageWriter {
    folder: PathBuf,
    file: File,
    buffer: Vec<u8>,
    /// Bytes written after the header's page.
    n_bytes: usize,
    sections: Vec<(u64, u64)>,
    table: Vec<u32>,
}

impl ImageWriter {
    pub(crate) fn create(folder: PathBuf) -> Result<Self> {
        std::fs::create_dir_all(&folder).map_err(|error| Error::io("creating", &folder, error))?;
        let draft = draft_of(&folder);
        let file = File::create(&draft).and_then(|mut file| file.write_all(&[0; PAGE]).map(|()| file));
        let file = file.map_err(|error| Error::io("creating", &draft, error))?;
        Ok(ImageWriter {
            folder,
            file,
            buffer: Vec::with_capacity(BLOCK),
            n_bytes: 0,
            sections: Vec::new(),
            table: Vec::new(),
        })
    }

    /// Adds the next section. `fill` appends its bytes, piece by piece, by [`put`](Self::put).
    pub(crate) fn section(&mut self, fill: impl FnOnce(&mut Self) -> io::Result<()>) -> Result<()> {
        let begin = self.n_bytes;
        let filled = fill(self);
        self.sections.push(((PAGE + begin) as u64, (self.n_bytes - begin) as u64));
        let padded = filled.and_then(|()| self.put(&vec![0; self.n_bytes.next_multiple_of(PAGE) - self.n_bytes]));
        padded.map_err(|error| Error::io("writing", draft_of(&self.folder), error))
    }

    /// Appends bytes to the section that is being filled.
    pub(crate) fn put(&mut self, mut bytes: &[u8]) -> io::Result<()> {
        self.n_bytes += bytes.len();
        while !bytes.is_empty() {
            let (now, later) = bytes.split_at(bytes.len().min(BLOCK - self.buffer.len()));
            self.buffer.extend_from_slice(now);
            bytes = later;
            if self.buffer.len() == BLOCK {
                self.flush()?;
            }
        }
        Ok(())
    }

    fn flush(&mut self) -> io::Result<()> {
        self.table.push(crc32c::crc32c(&self.buffer));
        self.file.write_all(&self.buffer)?;
        self.buffer.clear();
        failpoint::hit("image.block");
        Ok(())
    }

    /// Puts the image on the disk and in the place of the one before. Returns its size in bytes.
    pub(crate) fn finish(mut self, tag: &Tag) -> Result<u64> {
        let draft = draft_of(&self.folder);
        let n_bytes = self.write_ends(tag).map_err(|error| Error::io("writing", &draft, error))?;
        failpoint::hit("image.filled");
        std::fs::rename(&draft, self.folder.join(FILE_NAME)).map_err(|error| Error::io("renaming", &draft, error))?;
        failpoint::hit("image.renamed");
        sync_folder(&self.folder)?;
        Ok(n_bytes)
    }

    fn write_ends(&mut self, tag: &Tag) -> io::Result<u64> {
        use std::os::unix::fs::FileExt;
        if !self.buffer.is_empty() {
            self.flush()?;
        }
        let table: Vec<u8> = self.table.iter().flat_map(|crc| crc.to_le_bytes()).collect();
        self.file.write_all(&table)?;
        self.file.write_all_at(&header(tag, &self.sections, crc32c::crc32c(&table)), 0)?;
        self.file.sync_all()?;
        Ok((PAGE + self.n_bytes + table.len()) as u64)
    }
}

impl Drop for ImageWriter {
    /// An unfinished image is removed.
    fn drop(&mut self) {
        _ = std::fs::remove_file(draft_of(&self.folder));
    }
}

fn header(tag: &Tag, sections: &[(u64, u64)], table_crc: u32) -> [u8; PAGE] {
    let mut header = [0; PAGE];
    header[..8].copy_from_slice(MAGIC);
    header[8..12].copy_from_slice(&FORMAT.to_le_bytes());
    header[12..16].copy_from_slice(&BYTE_ORDER.to_ne_bytes());
    header[16..32].copy_from_slice(tag.store.as_bytes());
    header[32..36].copy_from_slice(&tag.collection.0.to_le_bytes());
    header[36..40].copy_from_slice(&(sections.len() as u32).to_le_bytes());
    let numbers = [tag.commit.0, tag.delta, tag.shape].into_iter().chain(tag.numbers);
    let numbers = numbers.chain(sections.iter().take(MOST_SECTIONS).flat_map(|&(offset, length)| [offset, length]));
    for (bytes, number) in header[40..].as_chunks_mut::<8>().0.iter_mut().zip(numbers) {
        *bytes = number.to_le_bytes();
    }
    header[PAGE - 8..PAGE - 4].copy_from_slice(&table_crc.to_le_bytes());
    let crc = crc32c::crc32c(&header[..PAGE - 4]);
    header[PAGE - 4..].copy_from_slice(&crc.to_le_bytes());
    header
}

/// A mapped image, whose checksums were compared.
pub(crate) struct Image {
    path: PathBuf,
    map: Mmap,
    /// Device and inode number of the file.
    identity: (u64, u64),
    pub(crate) tag: Tag,
    sections: Vec<(usize, usize)>,
}

fn identity(file: &File) -> io::Result<(u64, u64)> {
    use std::os::unix::fs::MetadataExt;
    let metadata = file.metadata()?;
    Ok((metadata.dev(), metadata.ino()))
}

/// The reason why an image cannot be used.
pub(crate) type Flaw = String;

/// The images of a database, which other threads read and check.
pub(crate) struct Images(HashMap<CollectionId, Receiver<std::result::Result<Option<Image>, Flaw>>>);

impl Images {
    /// Begins to open all images, on all cores. The caller goes on meanwhile.
    pub(crate) fn open(database: &Path) -> Self {
        let entries = std::fs::read_dir(database.join(FOLDER)).into_iter().flatten().flatten();
        let number = |entry: std::fs::DirEntry| entry.file_name().to_str()?.strip_prefix('c')?.parse().ok();
        let begin = |id: CollectionId| {
            let (sender, receiver) = bounded(1);
            let folder = folder(database, id);
            // The caller may have given up and dropped the receiver.
            rayon::spawn(move || _ = sender.send(Image::open(&folder)));
            (id, receiver)
        };
        Images(entries.filter_map(number).map(CollectionId).map(begin).collect())
    }

    /// Waits for a collection's image; `None` where there is none.
    pub(crate) fn take(&mut self, id: CollectionId) -> std::result::Result<Option<Image>, Flaw> {
        let Some(receiver) = self.0.remove(&id) else { return Ok(None) };
        receiver.recv().unwrap_or_else(|_| Err("reading it came to nothing".into()))
    }
}

impl Image {
    /// Opens a collection's image and compares all checksums; `None` where there is none.
    pub(crate) fn open(folder: &Path) -> std::result::Result<Option<Self>, Flaw> {
        let path = folder.join(FILE_NAME);
        let file = match File::open(&path) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
            file => file.map_err(|error| error.to_string())?,
        };
        let map = arena::view(&file).map_err(|error| error.to_string())?;
        let (tag, sections, table_at) = read_header(&map)?;
        let (data, table) = (&map[PAGE..table_at], map[table_at..].as_chunks::<4>().0);
        let blocks = data.par_chunks(BLOCK).zip(table.par_iter());
        if !blocks.all(|(block, &crc)| crc32c::crc32c(block) == u32::from_le_bytes(crc)) {
            return Err("it is not what was written".into());
        }
        Ok(Some(Image { path, identity: identity(&file).map_err(|error| error.to_string())?, map, tag, sections }))
    }

    /// Opens the file once more. Many images wait at once, and must not keep a descriptor each.
    pub(crate) fn file(&self) -> io::Result<File> {
        let file = File::open(&self.path)?;
        // As long as a file is mapped, its inode number is not given to another file.
        match identity(&file)? == self.identity {
            true => Ok(file),
            false => Err(io::Error::other("another image has taken its place")),
        }
    }

    /// Offset and length of a section in bytes; 0 and 0 if there is no such section.
    pub(crate) fn section(&self, number: usize) -> (u64, usize) {
        self.sections.get(number).map_or((0, 0), |&(offset, length)| (offset as u64, length))
    }

    /// The bytes of a section.
    pub(crate) fn bytes(&self, number: usize) -> &[u8] {
        self.sections.get(number).map_or(&[], |&(offset, length)| &self.map[offset..offset + length])
    }

    pub(crate) fn n_bytes(&self) -> u64 {
        self.map.len() as u64
    }
}

type ImageParts = (Tag, Vec<(usize, usize)>, usize);

fn read_header(map: &[u8]) -> std::result::Result<ImageParts, Flaw> {
    let header: &[u8; PAGE] = map.first_chunk().ok_or("it is shorter than a header")?;
    let u32_at = |at: usize| u32::from_le_bytes([header[at], header[at + 1], header[at + 2], header[at + 3]]);
    let u64_at = |at: usize| u64::from(u32_at(at)) | u64::from(u32_at(at + 4)) << 32;
    if &header[..8] != MAGIC || u32_at(PAGE - 4) != crc32c::crc32c(&header[..PAGE - 4]) {
        return Err("its header's magic or checksum is wrong".into());
    }
    if u32_at(8) != FORMAT || header[12..16] != BYTE_ORDER.to_ne_bytes() {
        return Err(format!("expected format {FORMAT} of this machine's byte order, got format {}", u32_at(8)));
    }
    let mut store = [0; 16];
    store.copy_from_slice(&header[16..32]);
    let mut numbers = [0; N_NUMBERS];
    numbers.iter_mut().enumerate().for_each(|(index, number)| *number = u64_at(64 + 8 * index));
    let n_sections = (u32_at(36) as usize).min(MOST_SECTIONS);
    let section =
        |index: usize| (u64_at(SECTIONS_AT + 16 * index) as usize, u64_at(SECTIONS_AT + 16 * index + 8) as usize);
    let sections: Vec<(usize, usize)> = (0..n_sections).map(section).collect();
    let end = sections.iter().map(|(offset, length)| offset.saturating_add(*length)).max().unwrap_or(PAGE);
    let table_at = end.checked_next_multiple_of(PAGE).filter(|&at| at <= map.len()).ok_or("it is cut short")?;
    let table = &map[table_at..];
    if table.len() != (table_at - PAGE).div_ceil(BLOCK) * 4 || crc32c::crc32c(table) != u32_at(PAGE - 8) {
        return Err("its table is not the one that was written".into());
    }
    let tag = Tag {
        store: Uuid::from_bytes(store),
        collection: CollectionId(u32_at(32)),
        commit: Commit(u64_at(40)),
        delta: u64_at(48),
        shape: u64_at(56),
        numbers,
    };
    Ok((tag, sections, table_at))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn tag() -> Tag {
        Tag {
            store: Uuid::from_bytes([0xab; 16]),
            collection: CollectionId(3),
            commit: Commit(300),
            delta: 17,
            shape: 0x0102,
            numbers: [1, 2, 3, 4, 5, 6, 7, 8],
        }
    }

    fn write(folder: &Path, sections: &[&[u8]]) -> u64 {
        let mut writer = ImageWriter::create(folder.to_owned()).unwrap();
        for section in sections {
            writer.section(|writer| section.chunks(70_001).try_for_each(|piece| writer.put(piece))).unwrap();
        }
        writer.finish(&tag()).unwrap()
    }

    #[test]
    fn golden_header() {
        let header = header(&tag(), &[(4096, 10), (8192, 0)], 0x0403_0201);
        let mut expected = b"VTIMAGE\0\x01\0\0\0".to_vec();
        expected.extend(0x0102_0304u32.to_ne_bytes());
        expected.extend([0xab; 16]);
        expected.extend(b"\x03\0\0\0\x02\0\0\0\x2c\x01\0\0\0\0\0\0\x11\0\0\0\0\0\0\0\x02\x01\0\0\0\0\0\0");
        (1u64..=8).for_each(|number| expected.extend(number.to_le_bytes()));
        [4096u64, 10, 8192, 0].iter().for_each(|number| expected.extend(number.to_le_bytes()));
        assert_eq!(header[..expected.len()], expected);
        assert!(header[expected.len()..PAGE - 8].iter().all(|&byte| byte == 0));
        assert_eq!(header[PAGE - 8..PAGE - 4], [1, 2, 3, 4]);
    }

    #[test]
    fn sections_read_back() {
        let folder = tempfile::tempdir().unwrap();
        assert!(Image::open(folder.path()).unwrap().is_none());
        let large: Vec<u8> = (0..2_500_000u32).map(|at| (at * 7 / 3) as u8).collect();
        let sections: [&[u8]; 4] = [b"abc", &large, b"", b"de"];
        let n_bytes = write(folder.path(), &sections);
        let image = Image::open(folder.path()).unwrap().unwrap();
        assert_eq!((image.tag, image.n_bytes()), (tag(), n_bytes));
        for (number, section) in sections.iter().enumerate() {
            assert_eq!(image.bytes(number), *section);
            assert_eq!(image.section(number).0 % PAGE as u64, 0);
        }
        assert_eq!(image.bytes(9), b"");
    }

    #[test]
    fn an_image_that_was_replaced_is_not_taken_for_the_one_that_was_checked() {
        let folder = tempfile::tempdir().unwrap();
        write(folder.path(), &[b"abc"]);
        let image = Image::open(folder.path()).unwrap().unwrap();
        assert!(image.file().is_ok());
        write(folder.path(), &[b"abd"]);
        assert!(image.file().is_err() && image.bytes(0) == b"abc");
        std::fs::remove_file(folder.path().join(FILE_NAME)).unwrap();
        assert!(image.file().is_err());
    }

    #[test]
    fn every_damage_is_noticed() {
        let folder = tempfile::tempdir().unwrap();
        write(folder.path(), &[&[7; 5_000], &[9; 100]]);
        let path = folder.path().join(FILE_NAME);
        let whole = std::fs::read(&path).unwrap();
        let is_noticed = |bytes: &[u8]| {
            std::fs::write(&path, bytes).unwrap();
            Image::open(folder.path()).is_err()
        };
        assert!(!is_noticed(&whole));
        for byte in (0..whole.len()).step_by(61).chain(whole.len() - 4..whole.len()) {
            let mut damaged = whole.clone();
            damaged[byte] ^= 16;
            assert!(is_noticed(&damaged), "byte {byte}");
        }
        for length in (0..whole.len()).step_by(997) {
            assert!(is_noticed(&whole[..length]), "length {length}");
        }
        assert!(is_noticed(&[whole.as_slice(), &[0; 4]].concat()));
    }

    #[test]
    fn what_does_not_belong_is_removed() {
        let database = tempfile::tempdir().unwrap();
        assert!(remove_strays(database.path(), &[]).is_ok());
        for number in [1, 2] {
            write(&folder(database.path(), CollectionId(number)), &[b"x"]);
        }
        let kept = folder(database.path(), CollectionId(2));
        std::fs::write(draft_of(&kept), b"half").unwrap();
        remove_strays(database.path(), &[CollectionId(2)]).unwrap();
        assert!(!folder(database.path(), CollectionId(1)).exists() && !draft_of(&kept).exists());
        assert!(Image::open(&kept).unwrap().is_some());
        remove(database.path(), CollectionId(2)).unwrap();
        assert!(!kept.exists() && remove(database.path(), CollectionId(2)).is_ok());
    }
}
