//! The HNSW graph on disk: rows of links, deltas, and a cursor that says how far the rows are.
//!
//! A row holds a point's links at one level, as of the last checkpoint of the graph. At level 0 it
//! also holds the point's duplicates, which have the same vector. A delta holds what linking has
//! changed since, one delta for each batch of linked documents. The cursor names the last delta
//! that the rows contain. The rows and then the deltas after the cursor, in order, make the graph.
//! All of it is derived from documents and vectors.
//!
//! The codebook says how the codes were made by which the graph was linked. A graph without a
//! codebook has codes of one byte for each component, measured from the origin. Each region, the
//! points of one namespace, may have a codebook under a key of its own. It names the centre that
//! the namespace's vectors are measured from, and how far their codes can be trusted. An empty
//! centre stands for the collection's. The collection's codebook says how far codes of the default
//! namespace can be trusted. A region's codebook counts only if its generation is the collection's.
//!
//! If regions other than 0 have links of their own, the cursor is of version 2, with the same
//! layout. Then the row of regions says where their walks begin. Libraries that know no regions
//! refuse such a cursor and link all documents again.
//!
//! Each slot in a link comes with a *tag*, the low byte of its document's generation. The tag shows
//! that the slot was given another document since; the link is then dropped.
//!
//! ```text
//! Row     OFFSET SIZE FIELD              Delta  OFFSET SIZE FIELD         Cursor  OFFSET SIZE FIELD
//!              0    1 version = 1               0    1 version = 1                 0    1 version = 1 or 2
//!              1    4 generation                1    … steps                       1    8 delta
//!              5    4 n: links                end    4 CRC32C                      9    8 commit of the newest image
//!              9    4 t: duplicates                                               17    8 commit up to which it holds
//!             13   5n links                                                       25    8 entry
//!              …   5t duplicates                                                  33    8 points
//!            end    4 CRC32C                                                      41    8 duplicates
//!                                                                                end    4 CRC32C
//!
//! Codebook   OFFSET SIZE FIELD
//!                 0    1 version = 1
//!                 1    1 kind of codes: 0 bytes from the origin, 1 bytes from the centre, 2 two bytes, 3 vectors
//!                 2    4 generation
//!                 6    8 documents when it was measured, 0 if it was not
//!                14    4 recall by codes, f32
//!                18    4 recall of searches, f32
//!                22    4 n: components of the centre, 0 for the origin, of a region for the collection's
//!                26   4n centre, f32
//!               end    4 CRC32C
//!
//! Regions    OFFSET SIZE FIELD
//!                 0    1 version = 1
//!                 1    4 n: regions other than 0
//!                 5  12n region u32, entry u64
//!               end    4 CRC32C
//!
//! Link    slot u32 (bit 31: spared by pruning), tag u8
//! Step    kind in the low half of a byte, level in the high half; then
//!         1 row      slot u32, generation u32, n u16, n links, one bit for each: the slot is linked back to
//!         2 append   slot u32, tag u8, link
//!         3 duplicates of u32, generation u32, n u32, n links
//!         4 gone     slot u32, generation u32
//!         5 entry    slot u32        6 no entry
//!         7 attach   duplicate u32, tag u8, of u32, tag u8
//!         8 entry    region u32, slot u32        9 no entry    region u32
//! ```

use super::codec::{FieldReader, append_checksum, verify_checksum};
use crate::error::{Error, Result};
use crate::graph::{Delta, DeltaLink, EntryPoint, Link, Op};
use crate::id::Commit;

// Each kind of record has a version of its own.
const ROW_VERSION: u8 = 1;
const DELTA_VERSION: u8 = 1;
const CURSOR_VERSION: u8 = 1;
/// The version of a cursor that goes with a row of regions.
const DIVIDED_CURSOR_VERSION: u8 = 2;
const REGIONS_VERSION: u8 = 1;
const CODEBOOK_VERSION: u8 = 1;
const KEPT: u32 = 1 << 31;
const LINK_BYTES: usize = 5;
const ROW_HEADER: usize = 13;

/// Tells the generation of the document that a slot holds, or held last.
pub(crate) type Generations<'g> = &'g dyn Fn(u32) -> u32;
/// Tells whether a slot still holds the document that it held when it was stored with a tag.
pub(crate) type IsCurrent<'k> = &'k (dyn Fn(u32, u8) -> bool + Sync);

/// A row of links.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct GraphRow {
    pub(crate) generation: u32,
    pub(crate) links: Vec<Link>,
    /// Slots with the same vector as the point; only at level 0.
    pub(crate) duplicates: Vec<u32>,
}

impl GraphRow {
    pub(crate) fn encode(&self, generations: Generations<'_>) -> Vec<u8> {
        let n_bytes = ROW_HEADER + LINK_BYTES * (self.links.len() + self.duplicates.len());
        let mut bytes = Vec::with_capacity(n_bytes + 4);
        bytes.push(ROW_VERSION);
        for number in [self.generation, self.links.len() as u32, self.duplicates.len() as u32] {
            bytes.extend(number.to_le_bytes());
        }
        self.links.iter().for_each(|link| put_link(&mut bytes, *link, generations));
        self.duplicates.iter().for_each(|&slot| put_link(&mut bytes, Link { slot, kept: false }, generations));
        append_checksum(bytes)
    }

    /// Reads a row without slots that are not known any more, and whether any were left out.
    pub(crate) fn decode(bytes: &[u8], is_current: IsCurrent<'_>) -> Result<(Self, bool)> {
        const WHAT: &str = "a row of the graph";
        let mut fields = FieldReader::new(WHAT, verify_checksum(WHAT, bytes)?, ROW_VERSION, ROW_HEADER)?;
        let (generation, n_links, n_duplicates) = (fields.u32(), fields.u32() as usize, fields.u32() as usize);
        let (words, rest) = fields.rest.as_chunks::<LINK_BYTES>();
        if Some(words.len()) != n_links.checked_add(n_duplicates) || !rest.is_empty() {
            let got = fields.rest.len();
            return Err(Error::corruption(
                WHAT,
                format!("expected {n_links} links and {n_duplicates} duplicates, got {got} bytes"),
            ));
        }
        let links: Vec<Link> = words[..n_links].iter().filter_map(|word| read_link(word, is_current)).collect();
        let duplicates: Vec<u32> =
            words[n_links..].iter().filter_map(|word| Some(read_link(word, is_current)?.slot)).collect();
        let is_short = links.len() + duplicates.len() < words.len();
        Ok((GraphRow { generation, links, duplicates }, is_short))
    }
}

fn put_link(bytes: &mut Vec<u8>, link: Link, generations: Generations<'_>) {
    let word = link.slot | if link.kept { KEPT } else { 0 };
    bytes.extend(word.to_le_bytes());
    bytes.push(generations(link.slot) as u8);
}

fn read_link(&[a, b, c, d, tag]: &[u8; LINK_BYTES], is_current: IsCurrent<'_>) -> Option<Link> {
    let word = u32::from_le_bytes([a, b, c, d]);
    let link = Link { slot: word & !KEPT, kept: word & KEPT != 0 };
    is_current(link.slot, tag).then_some(link)
}

const ROW: u8 = 1;
const APPEND: u8 = 2;
const DUPLICATES: u8 = 3;
const GONE: u8 = 4;
const ENTRY: u8 = 5;
const NO_ENTRY: u8 = 6;
const ATTACH: u8 = 7;
const REGION_ENTRY: u8 = 8;
const NO_REGION_ENTRY: u8 = 9;

/// Encodes a delta.
pub(crate) fn encode_delta(delta: &Delta, generations: Generations<'_>) -> Vec<u8> {
    let mut bytes = vec![DELTA_VERSION];
    for op in &delta.ops {
        match op {
            Op::Row { slot, level, delta_links } => {
                put_head(&mut bytes, ROW, *level, *slot);
                bytes.extend(generations(*slot).to_le_bytes());
                bytes.extend((delta_links.len() as u16).to_le_bytes());
                delta_links.iter().for_each(|delta_link| put_link(&mut bytes, delta_link.link, generations));
                let bits = |delta_links: &[DeltaLink]| {
                    delta_links.iter().rev().fold(0u8, |bits, delta_link| bits << 1 | u8::from(delta_link.back))
                };
                bytes.extend(delta_links.chunks(8).map(bits));
            }
            Op::Append { slot, level, to } => {
                put_head(&mut bytes, APPEND, *level, *slot);
                bytes.push(generations(*slot) as u8);
                put_link(&mut bytes, Link { slot: *to, kept: false }, generations);
            }
            Op::Duplicates { of, duplicates } => {
                put_head(&mut bytes, DUPLICATES, 0, *of);
                bytes.extend(generations(*of).to_le_bytes());
                bytes.extend((duplicates.len() as u32).to_le_bytes());
                duplicates.iter().for_each(|&slot| put_link(&mut bytes, Link { slot, kept: false }, generations));
            }
            Op::Gone { slot } => {
                put_head(&mut bytes, GONE, 0, *slot);
                bytes.extend(generations(*slot).to_le_bytes());
            }
            Op::Entry(Some(EntryPoint { slot, level })) => put_head(&mut bytes, ENTRY, *level, *slot),
            Op::Entry(None) => put_head(&mut bytes, NO_ENTRY, 0, 0),
            Op::RegionEntry { region, entry: Some(EntryPoint { slot, level }) } => {
                put_head(&mut bytes, REGION_ENTRY, *level, *region);
                bytes.extend(slot.to_le_bytes());
            }
            Op::RegionEntry { region, entry: None } => put_head(&mut bytes, NO_REGION_ENTRY, 0, *region),
            Op::Attach { duplicate, of } => {
                put_head(&mut bytes, ATTACH, 0, *duplicate);
                bytes.push(generations(*duplicate) as u8);
                put_link(&mut bytes, Link { slot: *of, kept: false }, generations);
            }
        }
    }
    append_checksum(bytes)
}

fn put_head(bytes: &mut Vec<u8>, kind: u8, level: usize, slot: u32) {
    bytes.push(kind | (level as u8) << 4);
    bytes.extend(slot.to_le_bytes());
}

/// A delta that was read.
#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) struct ReadDelta {
    pub(crate) delta: Delta,
    /// Points that lost links or duplicates, because a slot that these led to is not known any
    /// more.
    pub(crate) underfull: Vec<u32>,
    /// Slots whose rows were left out, because the slots are not known any more.
    pub(crate) outdated: Vec<u32>,
}

/// Reads a delta without slots that are not known any more.
pub(crate) fn decode_delta(bytes: &[u8], is_current: IsCurrent<'_>) -> Result<ReadDelta> {
    const WHAT: &str = "a delta of the graph";
    let mut fields = FieldReader::new(WHAT, verify_checksum(WHAT, bytes)?, DELTA_VERSION, 1)?;
    let mut read = ReadDelta::default();
    while let Some((&head, rest)) = fields.rest.split_first() {
        fields.rest = rest;
        read.read_step(head, &mut fields, is_current)
            .ok_or_else(|| Error::corruption(WHAT, "a step is cut short or of an unknown kind"))?;
    }
    Ok(read)
}

impl ReadDelta {
    /// Reads one step; `None` if it is malformed.
    fn read_step(&mut self, head: u8, fields: &mut FieldReader<'_>, is_current: IsCurrent<'_>) -> Option<()> {
        let (kind, level, slot) = (head & 0x0f, usize::from(head >> 4), fields.try_u32()?);
        match kind {
            ROW => self.read_row((slot, level), fields, is_current)?,
            APPEND => {
                let ([tag], word) = (fields.try_take()?, fields.try_take()?);
                match read_link(&word, is_current) {
                    Some(link) if is_current(slot, tag) => {
                        self.delta.ops.push(Op::Append { slot, level, to: link.slot })
                    }
                    None if is_current(slot, tag) => self.underfull.push(slot),
                    _ => {}
                }
            }
            DUPLICATES => self.read_duplicates(slot, fields, is_current)?,
            GONE => {
                fields.try_u32()?;
                // The document that the slot holds now was linked after this.
                self.delta.ops.push(Op::Gone { slot });
            }
            ENTRY => self.delta.ops.push(Op::Entry(Some(EntryPoint { slot, level }))),
            NO_ENTRY => self.delta.ops.push(Op::Entry(None)),
            REGION_ENTRY => {
                let (region, entry) = (slot, Some(EntryPoint { slot: fields.try_u32()?, level }));
                self.delta.ops.push(Op::RegionEntry { region, entry });
            }
            NO_REGION_ENTRY => self.delta.ops.push(Op::RegionEntry { region: slot, entry: None }),
            ATTACH => {
                let ([tag], word) = (fields.try_take()?, fields.try_take()?);
                match read_link(&word, is_current) {
                    Some(of) if is_current(slot, tag) => {
                        self.delta.ops.push(Op::Attach { duplicate: slot, of: of.slot })
                    }
                    Some(of) => self.underfull.push(of.slot),
                    None => {}
                }
            }
            _ => return None,
        }
        Some(())
    }

    /// Reads the links of a slot's new row at a level.
    fn read_row(
        &mut self,
        (slot, level): (u32, usize),
        fields: &mut FieldReader<'_>,
        is_current: IsCurrent<'_>,
    ) -> Option<()> {
        let (generation, n_links) = (fields.try_u32()?, usize::from(u16::from_le_bytes(fields.try_take()?)));
        let words = fields.try_links(n_links)?;
        let bits = fields.try_bytes(n_links.div_ceil(8))?;
        let is_back = |at: usize| bits[at / 8] >> (at % 8) & 1 == 1;
        let known = words.iter().enumerate().filter_map(|(at, word)| Some((at, read_link(word, is_current)?)));
        if !is_current(slot, generation as u8) {
            // The slot holds another document: its neighbours lack the links to the former one.
            self.underfull.extend(known.filter(|(at, _)| is_back(*at)).map(|(_, link)| link.slot));
            self.outdated.push(slot);
            return Some(());
        }
        let delta_links: Vec<DeltaLink> = known.map(|(at, link)| DeltaLink { link, back: is_back(at) }).collect();
        if delta_links.len() < n_links {
            self.underfull.push(slot);
        }
        self.delta.ops.push(Op::Row { slot, level, delta_links });
        Some(())
    }

    fn read_duplicates(&mut self, of: u32, fields: &mut FieldReader<'_>, is_current: IsCurrent<'_>) -> Option<()> {
        let (generation, n_duplicates) = (fields.try_u32()?, fields.try_u32()? as usize);
        let words = fields.try_links(n_duplicates)?;
        if is_current(of, generation as u8) {
            let duplicates: Vec<u32> =
                words.iter().filter_map(|word| Some(read_link(word, is_current)?.slot)).collect();
            if duplicates.len() < n_duplicates {
                self.underfull.push(of);
            }
            self.delta.ops.push(Op::Duplicates { of, duplicates });
        }
        Some(())
    }
}

/// How far the rows of a graph have got.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct GraphCursor {
    /// The rows contain every delta up to this one.
    pub(crate) delta: u64,
    /// The commit of the newest image; 0 without one.
    pub(crate) image: Commit,
    /// The commit up to which the newest image still holds.
    pub(crate) covers: Commit,
    /// Where walks of region 0 begin, as of the rows.
    pub(crate) entry: u64,
    pub(crate) n_points: u64,
    pub(crate) n_duplicates: u64,
    /// Whether regions other than 0 have entries of their own.
    pub(crate) is_divided: bool,
}

impl GraphCursor {
    pub(crate) fn encode(&self) -> Vec<u8> {
        let mut bytes = vec![if self.is_divided { DIVIDED_CURSOR_VERSION } else { CURSOR_VERSION }];
        for number in [self.delta, self.image.0, self.covers.0, self.entry, self.n_points, self.n_duplicates] {
            bytes.extend(number.to_le_bytes());
        }
        append_checksum(bytes)
    }

    pub(crate) fn decode(bytes: &[u8]) -> Result<Self> {
        const WHAT: &str = "the cursor of the graph";
        let (version, mut fields) = FieldReader::versions(WHAT, verify_checksum(WHAT, bytes)?, DIVIDED_CURSOR_VERSION)?;
        if fields.rest.len() < 48 {
            return Err(Error::corruption(WHAT, format!("expected 48 bytes, got {}", fields.rest.len())));
        }
        Ok(GraphCursor {
            delta: fields.u64(),
            image: Commit(fields.u64()),
            covers: Commit(fields.u64()),
            entry: fields.u64(),
            n_points: fields.u64(),
            n_duplicates: fields.u64(),
            is_divided: version == DIVIDED_CURSOR_VERSION,
        })
    }
}

/// Where walks of regions other than 0 begin, as of the rows: region and entry.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct RegionsRow(pub(crate) Vec<(u32, u64)>);

const REGION_BYTES: usize = 12;

impl RegionsRow {
    pub(crate) fn encode(&self) -> Vec<u8> {
        let mut bytes = vec![REGIONS_VERSION];
        bytes.extend((self.0.len() as u32).to_le_bytes());
        for (region, entry) in &self.0 {
            bytes.extend(region.to_le_bytes());
            bytes.extend(entry.to_le_bytes());
        }
        append_checksum(bytes)
    }

    pub(crate) fn decode(bytes: &[u8]) -> Result<Self> {
        const WHAT: &str = "the regions of the graph";
        let mut fields = FieldReader::new(WHAT, verify_checksum(WHAT, bytes)?, REGIONS_VERSION, 5)?;
        let n = fields.u32() as usize;
        if n.checked_mul(REGION_BYTES) != Some(fields.rest.len()) {
            return Err(Error::corruption(WHAT, format!("expected {n} regions, got {} bytes", fields.rest.len())));
        }
        Ok(RegionsRow((0..n).map(|_| (fields.u32(), fields.u64())).collect()))
    }
}

/// How codes are made, and how far they can be trusted.
#[derive(Debug, Clone, Default, PartialEq)]
pub(crate) struct CodebookRow {
    pub(crate) kind: u8,
    pub(crate) generation: u32,
    pub(crate) n_measured: u64,
    pub(crate) code_recall: f32,
    pub(crate) recall: f32,
    pub(crate) centre: Vec<f32>,
}

const CODEBOOK_HEADER: usize = 26;

impl CodebookRow {
    pub(crate) fn encode(&self) -> Vec<u8> {
        let mut bytes = vec![CODEBOOK_VERSION, self.kind];
        bytes.extend(self.generation.to_le_bytes());
        bytes.extend(self.n_measured.to_le_bytes());
        bytes.extend(self.code_recall.to_le_bytes());
        bytes.extend(self.recall.to_le_bytes());
        bytes.extend((self.centre.len() as u32).to_le_bytes());
        self.centre.iter().for_each(|component| bytes.extend(component.to_le_bytes()));
        append_checksum(bytes)
    }

    pub(crate) fn decode(bytes: &[u8]) -> Result<Self> {
        const WHAT: &str = "the codebook";
        let mut fields = FieldReader::new(WHAT, verify_checksum(WHAT, bytes)?, CODEBOOK_VERSION, CODEBOOK_HEADER)?;
        let [kind] = fields.take();
        let (generation, n_measured) = (fields.u32(), fields.u64());
        let (code_recall, recall) = (f32::from_le_bytes(fields.take()), f32::from_le_bytes(fields.take()));
        let n = fields.u32() as usize;
        let (components, rest) = fields.rest.as_chunks();
        if components.len() != n || !rest.is_empty() {
            let detail = format!("expected a centre of {n} components, got {} bytes", fields.rest.len());
            return Err(Error::corruption(WHAT, detail));
        }
        let centre = components.iter().map(|bytes| f32::from_le_bytes(*bytes)).collect();
        Ok(CodebookRow { kind, generation, n_measured, code_recall, recall, centre })
    }
}

impl<'a> FieldReader<'a> {
    fn try_take<const N: usize>(&mut self) -> Option<[u8; N]> {
        let (&field, rest) = self.rest.split_first_chunk::<N>()?;
        self.rest = rest;
        Some(field)
    }

    fn try_u32(&mut self) -> Option<u32> {
        self.try_take().map(u32::from_le_bytes)
    }

    fn try_bytes(&mut self, n: usize) -> Option<&'a [u8]> {
        let (bytes, rest) = self.rest.split_at_checked(n)?;
        self.rest = rest;
        Some(bytes)
    }

    fn try_links(&mut self, n: usize) -> Option<&'a [[u8; LINK_BYTES]]> {
        Some(self.try_bytes(n.checked_mul(LINK_BYTES)?)?.as_chunks().0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn link(slot: u32) -> Link {
        Link { slot, kept: false }
    }

    fn delta() -> Delta {
        let delta_link = |slot, kept, back| DeltaLink { link: Link { slot, kept }, back };
        Delta {
            ops: vec![
                Op::Row {
                    slot: 7,
                    level: 0,
                    delta_links: vec![delta_link(1, false, true), delta_link(2, true, false)],
                },
                Op::Row { slot: 7, level: 3, delta_links: vec![] },
                Op::Append { slot: 3, level: 1, to: 9 },
                Op::Attach { duplicate: 4, of: 3 },
                Op::Duplicates { of: 5, duplicates: vec![6] },
                Op::Gone { slot: 8 },
                Op::Entry(Some(EntryPoint { slot: 7, level: 3 })),
                Op::Entry(None),
                Op::RegionEntry { region: 2, entry: Some(EntryPoint { slot: 9, level: 1 }) },
                Op::RegionEntry { region: 3, entry: None },
            ],
        }
    }

    fn generations(slot: u32) -> u32 {
        slot + 0x100
    }

    fn check_golden(bytes: &[u8], expected: &[u8]) {
        let (content, crc) = bytes.split_last_chunk::<4>().unwrap();
        assert_eq!(content, expected);
        assert_eq!(u32::from_le_bytes(*crc), crc32c::crc32c(content));
    }

    #[test]
    fn golden_row_and_cursor() {
        let row = GraphRow { generation: 3, links: vec![link(1), Link { slot: 2, kept: true }], duplicates: vec![5] };
        check_golden(
            &row.encode(&generations),
            b"\x01\x03\0\0\0\x02\0\0\0\x01\0\0\0\x01\0\0\0\x01\x02\0\0\x80\x02\x05\0\0\0\x05",
        );
        let cursor = GraphCursor {
            delta: 1,
            image: Commit(2),
            covers: Commit(3),
            entry: 4,
            n_points: 5,
            n_duplicates: 6,
            is_divided: false,
        };
        check_golden(
            &cursor.encode(),
            b"\x01\x01\0\0\0\0\0\0\0\x02\0\0\0\0\0\0\0\x03\0\0\0\0\0\0\0\x04\0\0\0\0\0\0\0\x05\0\0\0\0\0\0\0\x06\0\0\0\0\0\0\0",
        );
        assert_eq!(GraphCursor::decode(&cursor.encode()).unwrap(), cursor);
        let divided = GraphCursor { is_divided: true, ..cursor };
        assert_eq!(divided.encode()[0], 2);
        assert_eq!(divided.encode()[1..49], cursor.encode()[1..49]);
        assert_eq!(GraphCursor::decode(&divided.encode()).unwrap(), divided);
    }

    #[test]
    fn golden_regions() {
        let row = RegionsRow(vec![(1, 2), (3, 1 << 32 | 4)]);
        check_golden(&row.encode(), b"\x01\x02\0\0\0\x01\0\0\0\x02\0\0\0\0\0\0\0\x03\0\0\0\x04\0\0\0\x01\0\0\0");
        assert_eq!(RegionsRow::decode(&row.encode()).unwrap(), row);
        assert!(RegionsRow::decode(&append_checksum(b"\x01\x02\0\0\0\x01".to_vec())).is_err());
    }

    #[test]
    fn golden_codebook() {
        let row = CodebookRow {
            kind: 1,
            generation: 2,
            n_measured: 3,
            code_recall: 0.5,
            recall: 1.0,
            centre: vec![-2.0, 0.25],
        };
        check_golden(
            &row.encode(),
            b"\x01\x01\x02\0\0\0\x03\0\0\0\0\0\0\0\0\0\0\x3f\0\0\x80\x3f\x02\0\0\0\0\0\0\xc0\0\0\x80\x3e",
        );
        assert_eq!(CodebookRow::decode(&row.encode()).unwrap(), row);
    }

    #[test]
    fn golden_delta() {
        let expected = [
            &b"\x01\x01\x07\0\0\0\x07\x01\0\0\x02\0\x01\0\0\0\x01\x02\0\0\x80\x02\x01"[..],
            b"\x31\x07\0\0\0\x07\x01\0\0\0\0",
            b"\x12\x03\0\0\0\x03\x09\0\0\0\x09",
            b"\x07\x04\0\0\0\x04\x03\0\0\0\x03",
            b"\x03\x05\0\0\0\x05\x01\0\0\x01\0\0\0\x06\0\0\0\x06",
            b"\x04\x08\0\0\0\x08\x01\0\0",
            b"\x35\x07\0\0\0",
            b"\x06\0\0\0\0",
            b"\x18\x02\0\0\0\x09\0\0\0",
            b"\x09\x03\0\0\0",
        ];
        check_golden(&encode_delta(&delta(), &generations), &expected.concat());
    }

    #[test]
    fn what_is_known_reads_back() {
        let bytes = encode_delta(&delta(), &generations);
        let all = decode_delta(&bytes, &|slot, tag| slot as u8 == tag).unwrap();
        assert_eq!(all, ReadDelta { delta: delta(), ..ReadDelta::default() });
        let row = GraphRow { generation: 9, links: (0..40).map(link).collect(), duplicates: (50..53).collect() };
        let is_current: IsCurrent<'_> = &|slot, tag| slot as u8 == tag;
        assert_eq!(GraphRow::decode(&row.encode(&generations), is_current).unwrap(), (row.clone(), false));
        let (left, is_short) = GraphRow::decode(&row.encode(&generations), &|slot, _| slot < 51).unwrap();
        assert!(is_short && left.links == row.links && left.duplicates == [50]);
    }

    #[test]
    fn what_is_not_known_any_more_is_left_out() {
        let bytes = encode_delta(&delta(), &generations);
        let ReadDelta { delta, underfull, .. } = decode_delta(&bytes, &|slot, _| slot != 2 && slot != 3).unwrap();
        assert_eq!(underfull, [7], "but neither slot 3, which is not known itself, nor what it led to");
        assert_eq!(delta.ops.len(), 8, "neither the append nor the duplicate of slot 3");
        let Op::Row { delta_links, .. } = &delta.ops[0] else { panic!("expected a row") };
        assert_eq!(delta_links, &[DeltaLink { link: link(1), back: true }]);
        assert_eq!(decode_delta(&bytes, &|_, _| false).unwrap().delta.ops.len(), 5, "what is gone and the entries");
    }

    #[test]
    fn every_flipped_bit_and_every_cut_is_an_error() {
        let row = GraphRow { generation: 3, links: vec![link(1)], duplicates: vec![5] }.encode(&generations);
        let (delta, cursor) = (encode_delta(&delta(), &generations), GraphCursor::default().encode());
        let codebook = CodebookRow { centre: vec![1.0], ..CodebookRow::default() }.encode();
        let is_current: IsCurrent<'_> = &|_, _| true;
        let regions = RegionsRow(vec![(1, 2)]).encode();
        for bytes in [row, delta, cursor, codebook, regions] {
            let fails = |bytes: &[u8]| {
                GraphRow::decode(bytes, is_current).is_err()
                    && decode_delta(bytes, is_current).is_err()
                    && GraphCursor::decode(bytes).is_err()
                    && CodebookRow::decode(bytes).is_err()
                    && RegionsRow::decode(bytes).is_err()
            };
            for bit in 0..bytes.len() * 8 {
                let mut damaged = bytes.clone();
                damaged[bit / 8] ^= 1 << (bit % 8);
                assert!(fails(&damaged), "bit {bit}");
            }
            assert!((0..bytes.len()).all(|length| fails(&bytes[..length])));
        }
        // These bodies have a valid checksum, but are no deltas.
        for body in
            [&b"\x01\x0a\0\0\0\0"[..], b"\x01\x08\0\0\0\0", b"\x01\x01\x07\0\0\0\x07\x01\0\0\xff\xff", b"\x01\x04\x07"]
        {
            assert!(decode_delta(&append_checksum(body.to_vec()), is_current).is_err(), "{body:?}");
        }
    }
}
