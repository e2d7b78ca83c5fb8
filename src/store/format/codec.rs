//! The parts of every record: fixed fields, a version, a checksum.
//!
//! Knows no record.

use crate::error::{Error, Result};

pub(super) const CRC: usize = 4;

/// The checksum at the end of a row.
pub(crate) fn checksum_of(row: &[u8]) -> u32 {
    row.last_chunk::<CRC>().map_or(0, |&crc| u32::from_le_bytes(crc))
}

pub(crate) fn read_u32(what: &'static str, bytes: &[u8]) -> Result<u32> {
    bytes.try_into().map(u32::from_le_bytes).map_err(|_| wrong_length(what, 4, bytes.len()))
}

pub(crate) fn read_u64(what: &'static str, bytes: &[u8]) -> Result<u64> {
    bytes.try_into().map(u64::from_le_bytes).map_err(|_| wrong_length(what, 8, bytes.len()))
}

/// Reads fixed fields off the front of a record, whose length was checked before.
pub(in crate::store) struct FieldReader<'a> {
    pub(in crate::store) rest: &'a [u8],
}

impl<'a> FieldReader<'a> {
    /// A reader of the fields after the version byte. Checks that there are at least `least` bytes,
    /// and that the version is one of 1 to `newest`.
    pub(in crate::store) fn new(what: &'static str, bytes: &'a [u8], newest: u8, least: usize) -> Result<Self> {
        let (_, fields) = FieldReader::versions(what, bytes, newest)?;
        if bytes.len() >= least { Ok(fields) } else { Err(wrong_length(what, least, bytes.len())) }
    }

    /// The version, from 1 to `newest`, and a reader of the fields after it.
    pub(super) fn versions(what: &'static str, bytes: &'a [u8], newest: u8) -> Result<(u8, Self)> {
        match bytes.split_first() {
            Some((&version, rest)) if (1..=newest).contains(&version) => Ok((version, FieldReader { rest })),
            Some((&found, _)) if found > newest => {
                Err(Error::UnsupportedFormat { what, found: found.into(), supported: newest.into() })
            }
            _ => Err(wrong_length(what, 1, bytes.len())),
        }
    }

    pub(in crate::store) fn take<const N: usize>(&mut self) -> [u8; N] {
        match self.rest.split_first_chunk::<N>() {
            Some((&field, rest)) => {
                self.rest = rest;
                field
            }
            None => [0; N],
        }
    }

    pub(in crate::store) fn u32(&mut self) -> u32 {
        u32::from_le_bytes(self.take())
    }

    pub(in crate::store) fn u64(&mut self) -> u64 {
        u64::from_le_bytes(self.take())
    }
}

pub(super) fn wrong_length(what: &'static str, expected: usize, got: usize) -> Error {
    Error::corruption(what, format!("expected at least {expected} bytes, got {got}"))
}

pub(in crate::store) fn append_checksum(mut bytes: Vec<u8>) -> Vec<u8> {
    bytes.extend(crc32c::crc32c(&bytes).to_le_bytes());
    bytes
}

pub(in crate::store) fn verify_checksum<'a>(what: &'static str, bytes: &'a [u8]) -> Result<&'a [u8]> {
    let (content, &crc) = bytes.split_last_chunk::<CRC>().ok_or_else(|| wrong_length(what, CRC, bytes.len()))?;
    let (expected, got) = (u32::from_le_bytes(crc), crc32c::crc32c(content));
    if expected != got {
        return Err(Error::corruption(what, format!("expected checksum {expected:08x}, got {got:08x}")));
    }
    Ok(content)
}
