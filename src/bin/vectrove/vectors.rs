//! Files of vectors, read row by row.
//!
//! | suffix | layout |
//! |---|---|
//! | `.fbin` | rows and columns as u32, then the rows as f32; all little-endian |
//! | `.npy` | NumPy's own, two-dimensional, row by row (C order), of `<f4`, or of `<f8` rounded to f32 |
//!
//! A file whose length differs from its head is refused when it is opened. At most one row is in
//! memory.

use std::fs::File;
use std::io::{self, BufReader, Read, Seek, SeekFrom};
use std::path::{Path, PathBuf};

use vectrove::limits::MAX_DIMENSION;

use crate::failure::Failure;

/// Longest head of a `.npy` file, in bytes. NumPy's own head for two dimensions has 128 bytes.
const MAX_HEAD_BYTES: usize = 1 << 16;

/// An open file of vectors.
pub(crate) struct VectorFile {
    path: PathBuf,
    source: BufReader<File>,
    layout: Layout,
    /// The row that is read next, from 0.
    next: u64,
}

/// The content of a file's head.
#[derive(Debug, Clone, Copy, PartialEq)]
struct Layout {
    n_head_bytes: u64,
    n_rows: u64,
    n_columns: usize,
    component: Component,
}

#[derive(Debug, Clone, Copy, PartialEq)]
enum Component {
    F32,
    F64,
}

impl VectorFile {
    /// Opens a file and checks its length against its head.
    pub(crate) fn open(path: &Path) -> Result<Self, Failure> {
        let failed = |error: io::Error| Failure::file("reading", path, &error);
        let mut source = BufReader::new(File::open(path).map_err(failed)?);
        let layout = match path.extension().and_then(|suffix| suffix.to_str()) {
            Some("fbin") => read_fbin_head(&mut source),
            Some("npy") => read_npy_head(&mut source),
            _ => Err(io::Error::other("expected a file named .fbin or .npy")),
        };
        let layout = layout.map_err(failed)?;
        let n_bytes = source.get_ref().metadata().map_err(failed)?.len();
        layout.check(n_bytes).map_err(|reason| failed(io::Error::other(reason)))?;
        Ok(VectorFile { path: path.to_owned(), source, layout, next: 0 })
    }

    pub(crate) fn n_rows(&self) -> u64 {
        self.layout.n_rows
    }

    pub(crate) fn n_columns(&self) -> usize {
        self.layout.n_columns
    }

    /// The number of the row that is read next, from 0.
    pub(crate) fn position(&self) -> u64 {
        self.next
    }

    /// Moves to a row, counted from 0.
    pub(crate) fn seek(&mut self, row: u64) -> Result<(), Failure> {
        let row = row.min(self.layout.n_rows);
        if row == self.next {
            return Ok(());
        }
        let place = SeekFrom::Start(self.layout.n_head_bytes + row * self.layout.n_row_bytes());
        self.source.seek(place).map_err(|error| Failure::file("reading", &self.path, &error))?;
        self.next = row;
        Ok(())
    }

    /// The next row; `None` after the last.
    pub(crate) fn read(&mut self) -> Result<Option<Vec<f32>>, Failure> {
        if self.next == self.layout.n_rows {
            return Ok(None);
        }
        let row = self.read_row().map_err(|error| Failure::file("reading", &self.path, &error))?;
        self.next += 1;
        Ok(Some(row))
    }

    fn read_row(&mut self) -> io::Result<Vec<f32>> {
        let mut row = Vec::with_capacity(self.layout.n_columns);
        for _ in 0..self.layout.n_columns {
            row.push(match self.layout.component {
                Component::F32 => f32::from_le_bytes(read_bytes(&mut self.source)?),
                Component::F64 => f64::from_le_bytes(read_bytes(&mut self.source)?) as f32,
            });
        }
        Ok(row)
    }
}

impl Layout {
    fn n_row_bytes(&self) -> u64 {
        let n_component_bytes = match self.component {
            Component::F32 => 4,
            Component::F64 => 8,
        };
        // `check` has limited the columns to MAX_DIMENSION.
        self.n_columns as u64 * n_component_bytes
    }

    fn check(&self, n_bytes: u64) -> Result<(), String> {
        if !(1..=MAX_DIMENSION).contains(&self.n_columns) {
            return Err(format!("expected 1 to {MAX_DIMENSION} columns, got {}", self.n_columns));
        }
        let expected = self.n_rows.checked_mul(self.n_row_bytes()).and_then(|rows| rows.checked_add(self.n_head_bytes));
        match expected {
            Some(expected) if expected == n_bytes => Ok(()),
            _ => Err(format!(
                "its head says {} rows of {} components, {} bytes in all, but it has {n_bytes} bytes",
                self.n_rows,
                self.n_columns,
                expected.map_or_else(|| "more than any file's".to_owned(), |expected| expected.to_string())
            )),
        }
    }
}

fn read_bytes<const N: usize>(source: &mut impl Read) -> io::Result<[u8; N]> {
    let mut bytes = [0; N];
    source.read_exact(&mut bytes).map_err(|error| match error.kind() {
        io::ErrorKind::UnexpectedEof => io::Error::other("the file ends too soon"),
        _ => error,
    })?;
    Ok(bytes)
}

fn read_fbin_head(source: &mut impl Read) -> io::Result<Layout> {
    let n_rows = u32::from_le_bytes(read_bytes(source)?).into();
    let n_columns = u32::from_le_bytes(read_bytes(source)?) as usize;
    Ok(Layout { n_head_bytes: 8, n_rows, n_columns, component: Component::F32 })
}

/// Reads magic, version and length, then the dictionary.
fn read_npy_head(source: &mut impl Read) -> io::Result<Layout> {
    let [magic @ .., major, _minor] = read_bytes::<8>(source)?;
    if magic != *b"\x93NUMPY" {
        return Err(io::Error::other("it does not begin like a .npy file"));
    }
    let (n_before, n_text) = match major {
        1 => (10, usize::from(u16::from_le_bytes(read_bytes(source)?))),
        2 | 3 => (12, u32::from_le_bytes(read_bytes(source)?) as usize),
        other => return Err(io::Error::other(format!("expected format version 1 to 3, got {other}"))),
    };
    if n_text > MAX_HEAD_BYTES {
        return Err(io::Error::other(format!("expected a head of at most {MAX_HEAD_BYTES} bytes, got {n_text}")));
    }
    let mut text = String::new();
    source.take(n_text as u64).read_to_string(&mut text)?;
    let layout = |(n_rows, n_columns, component)| Layout {
        n_head_bytes: (n_before + n_text) as u64,
        n_rows,
        n_columns,
        component,
    };
    parse_npy_dictionary(&text).map(layout).map_err(io::Error::other)
}

/// Reads the dictionary's three entries in NumPy's own spelling, with any spaces: rows, columns,
/// components.
fn parse_npy_dictionary(text: &str) -> Result<(u64, usize, Component), String> {
    let dense: String = text.split_ascii_whitespace().collect();
    let entry = |key: &str, open: &str, close: char| {
        let (_, rest) = dense.split_once(&format!("'{key}':{open}"))?;
        rest.split_once(close).map(|(entry, _)| entry)
    };
    let component = match entry("descr", "'", '\'') {
        Some("<f4") => Component::F32,
        Some("<f8") => Component::F64,
        other => return Err(format!("expected elements of '<f4' or '<f8', got {}", other.unwrap_or("others"))),
    };
    match entry("fortran_order", "", ',') {
        Some("False") => {}
        _ => return Err("expected rows one after the other (C order)".to_owned()),
    }
    let shape = entry("shape", "(", ')').ok_or("its head has no shape")?;
    let numbers: Vec<&str> = shape.trim_end_matches(',').split(',').collect();
    let [n_rows, n_columns] = numbers[..] else { return Err(format!("expected two dimensions, got ({shape})")) };
    match (n_rows.parse(), n_columns.parse()) {
        (Ok(n_rows), Ok(n_columns)) => Ok((n_rows, n_columns, component)),
        _ => Err(format!("expected two dimensions, got ({shape})")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn npy(dictionary: &str) -> Result<Layout, String> {
        let mut head = b"\x93NUMPY\x01\x00".to_vec();
        head.extend(u16::try_from(dictionary.len()).unwrap().to_le_bytes());
        head.extend(dictionary.as_bytes());
        read_npy_head(&mut head.as_slice()).map_err(|error| error.to_string())
    }

    #[test]
    fn heads_of_npy_files_are_read_as_numpy_writes_them() {
        let layout = npy("{'descr': '<f4', 'fortran_order': False, 'shape': (3, 2), }          \n").unwrap();
        assert_eq!((layout.n_rows, layout.n_columns, layout.component), (3, 2, Component::F32));
        assert!(layout.check(layout.n_head_bytes + 24).is_ok());
        assert!(layout.check(layout.n_head_bytes + 23).is_err());
        for (dictionary, reason) in [
            ("{'descr': '<i4', 'fortran_order': False, 'shape': (3, 2), }", "got <i4"),
            ("{'descr': '<f4', 'fortran_order': True, 'shape': (3, 2), }", "C order"),
            ("{'descr': '<f4', 'fortran_order': False, 'shape': (3,), }", "two dimensions, got (3,)"),
            ("{'descr': '<f4', 'fortran_order': False, 'shape': (3, 2, 1), }", "two dimensions"),
            ("{'descr': '<f4', 'fortran_order': False, 'shape': (-3, 2), }", "two dimensions"),
            ("{'descr': [('a', '<f4')], 'fortran_order': False, 'shape': (3,), }", "got others"),
            ("((((((", "got others"),
        ] {
            let message = npy(dictionary).unwrap_err();
            assert!(message.contains(reason), "{dictionary}: {message}");
        }
    }

    #[test]
    fn sizes_beyond_any_file_are_refused_and_not_computed() {
        for (n_rows, n_columns) in [(u64::MAX, 2), (1 << 62, 65_536), (1, usize::MAX), (1, 0)] {
            let layout = Layout { n_head_bytes: 8, n_rows, n_columns, component: Component::F64 };
            assert!(layout.check(8).is_err(), "{layout:?}");
        }
    }
}
