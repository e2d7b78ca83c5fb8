//! A collection's image: which arrays it holds in which order, writing them, and taking them up at
//! open.
//!
//! An image shows what one commit left. Of a slot without a document then, it holds the generation
//! and the last document's namespace. It also holds that slot's code if a link of the graph leads
//! there or may come to. The commit log tells what later commits changed.

use std::collections::BTreeMap;
use std::sync::atomic::Ordering;

use uuid::Uuid;

use super::graph_log::Saver;
use crate::collection::memory::{self, CELL_BYTES, Memory};
use crate::config::CollectionConfig;
use crate::error::Result;
use crate::graph::{EntryPoint, Extent, Graph};
use crate::id::{CollectionId, Commit, NamespaceId, Slot};
use crate::quant::{Book, CODES_VERSION, Codes, FACTS_BYTES};
use crate::store::View;
use crate::store::files::image::{self, Image, ImageWriter, Images, Tag};
use crate::store::format::key;

/// The first section. The others follow in this order.
const CELLS: usize = 0;
const ID_OFFSETS: usize = 1;
const IDS: usize = 2;
const CODES: usize = 3;
const FACTS: usize = 4;
const GRAPH: usize = 5;

/// Raised whenever the meaning of the arrays changes.
const ARRAYS_VERSION: u32 = 1;
/// Rows of the graph that are gathered before a write.
const ROWS: u32 = 4_096;

/// A number that differs where arrays would be made differently (a fingerprint). `book` says how
/// codes are made, where there are codes.
pub(super) fn shape_of(config: &CollectionConfig, book: Option<&Book>) -> u64 {
    let CollectionConfig { dimension, metric, index, m, ef_construction, quantization, distance, .. } = config;
    let unit = config.compares_directions();
    let mut text = format!("{dimension} {metric} {unit} {index:?} {m} {ef_construction} {quantization:?} {distance:?}");
    if let Some(book) = book.filter(|book| **book != Book::default()) {
        text.push_str(&text_of(book));
    }
    let versions = u64::from(ARRAYS_VERSION) << 16 | u64::from(CODES_VERSION);
    versions << 32 | u64::from(crc32c::crc32c(text.as_bytes()))
}

/// The codebook's part of the text that `shape_of` hashes.
fn text_of(Book { kind, generation, centres }: &Book) -> String {
    let mut text = format!(" Book {{ kind: {kind:?}, generation: {generation}, centre: {:?} }}", centres.shared);
    for (namespace, centre) in &centres.own {
        let crc = centre.iter().fold(0, |crc, component| crc32c::crc32c_append(crc, &component.to_le_bytes()));
        text.push_str(&format!(" {}: {crc:08x}", namespace.0));
    }
    text
}

/// The collection's own numbers in an image's header.
#[derive(Debug, Clone, Copy)]
struct Numbers {
    n_slots: usize,
    extent: Extent,
    /// Whether the graph was searched for points that no walk reaches, and none was left.
    is_verified: bool,
}

impl Numbers {
    fn write(self) -> [u64; 8] {
        let Extent { n_slots, n_upper, entry } = self.extent;
        let verified = u64::from(self.is_verified);
        [self.n_slots as u64, n_slots as u64, n_upper as u64, EntryPoint::to_bits(entry), verified, 0, 0, 0]
    }

    fn read([n_slots, n_graph, n_upper, entry, verified, ..]: [u64; 8]) -> Self {
        let extent =
            Extent { n_slots: n_graph as usize, n_upper: n_upper as usize, entry: EntryPoint::from_bits(entry) };
        Numbers { n_slots: n_slots as usize, extent, is_verified: verified == 1 }
    }
}

impl Saver<'_> {
    /// Writes an image of what the view's commit left and of the graph, which `delta` was the last
    /// to change. Nothing is linked meanwhile. `regions` have a codebook on disk; the image relies
    /// on no other region's. Returns the image's size in bytes.
    pub(super) fn write_image(
        &self,
        view: &View,
        delta: u64,
        graph: Option<&Graph>,
        regions: &BTreeMap<NamespaceId, u64>,
    ) -> Result<u64> {
        let (memory, slots) = (self.memory, &self.memory.slots);
        let n_slots = slots.n_slots();
        let nothing = Extent { n_slots: 0, n_upper: 0, entry: None };
        let (extent, is_verified) = (graph.map_or(nothing, Graph::extent), memory.vectors().index.is_verified());
        let numbers = Numbers { n_slots, extent, is_verified };
        let all = || (0..n_slots as u32).map(Slot);
        let mut writer = ImageWriter::create(image::folder(self.context.store.folder(), self.context.id))?;
        writer.section(|writer| {
            all().try_for_each(|slot| {
                let version = self.version_at(view, slot).map_err(std::io::Error::other)?;
                writer.put(&slots.cell_bytes(slot, view.commit, version))
            })
        })?;
        let id_of = |slot: Slot| slots.exists_at(slot, view.commit).then(|| slots.id(slot)).flatten();
        let mut ids = Vec::new();
        writer.section(|writer| {
            writer.put(&0u64.to_ne_bytes())?;
            all().try_for_each(|slot| {
                id_of(slot).inspect(|id| key::put_bare_id(&mut ids, id));
                writer.put(&(ids.len() as u64).to_ne_bytes())
            })
        })?;
        writer.section(|writer| writer.put(&ids))?;
        let points = memory.vectors().index.points();
        let codes = points.as_ref().and_then(|points| points.codes());
        // This waits for a commit under way. A slot that got a document while cells were written is
        // in the tail after it.
        drop(memory.still());
        // A slot in the tail may be linked although its document died before the commit. A later
        // delta then leads there.
        let is_reached = memory.vectors().index.reached();
        let has_code = |slot: Slot| slots.exists_at(slot, view.commit) || is_reached(slot);
        writer.section(|writer| codes.map_or(Ok(()), |codes| write_codes(writer, codes, n_slots, &has_code)))?;
        writer.section(|writer| {
            let Some(codes) = codes.filter(|codes| codes.has_facts()) else { return Ok(()) };
            all().try_for_each(|slot| match has_code(slot) {
                true => writer.put(&codes.bytes_at(slot.0).1),
                false => writer.put(&[0; FACTS_BYTES]),
            })
        })?;
        if let Some(graph) = graph {
            for (rows, n_rows) in graph.arrays(&numbers.extent) {
                writer.section(|writer| {
                    let mut bytes = Vec::new();
                    for from in (0..n_rows as u32).step_by(ROWS as usize) {
                        bytes.clear();
                        for row in from..(from + ROWS).min(n_rows as u32) {
                            let words = rows.shared(row).iter();
                            words.for_each(|word| bytes.extend(word.load(Ordering::Relaxed).to_ne_bytes()));
                        }
                        writer.put(&bytes)?;
                    }
                    Ok(())
                })?;
            }
        }
        let book = codes.map(|codes| codes.book().only(|namespace| regions.contains_key(&namespace)));
        writer.finish(&Tag {
            store: self.context.store.identity(),
            collection: self.context.id,
            commit: view.commit,
            delta,
            shape: shape_of(&self.context.config, book.as_ref()),
            numbers: numbers.write(),
        })
    }

    /// The commit that had last changed a slot's document as of a view.
    fn version_at(&self, view: &View, slot: Slot) -> Result<Commit> {
        let version = self.memory.slots.version(slot);
        if version <= view.commit || !self.memory.slots.exists_at(slot, view.commit) {
            return Ok(version);
        }
        let rows = self.context.source(Some(&view.snapshot)).fetch(&[slot])?;
        Ok(rows.first().map_or(version, |(_, row)| row.commit))
    }
}

fn write_codes(
    writer: &mut ImageWriter,
    codes: &Codes,
    n_slots: usize,
    has_code: &dyn Fn(Slot) -> bool,
) -> std::io::Result<()> {
    let nothing = vec![0; codes.width()];
    (0..n_slots as u32).map(Slot).try_for_each(|slot| match has_code(slot) {
        true => writer.put(codes.bytes_at(slot.0).0),
        false => writer.put(&nothing),
    })
}

/// Finds a collection's image; `None` if it is damaged, or has another store, collection or shape.
pub(crate) fn find(images: &mut Images, (store, id): (Uuid, CollectionId), shape: u64) -> Option<Image> {
    let image = match images.take(id) {
        Ok(image) => image?,
        Err(flaw) => {
            tracing::warn!(collection = id.0, "the image is unusable, and another will be written: {flaw}");
            return None;
        }
    };
    let fits = (image.tag.store, image.tag.collection, image.tag.shape) == (store, id, shape);
    fits.then_some(image)
}

/// Whether every section of an image has its full length, and no version is later than the image's
/// commit.
pub(crate) fn is_sound(image: &Image, memory: &Memory) -> bool {
    let Numbers { n_slots, extent, .. } = Numbers::read(image.tag.numbers);
    let has = |section: usize, n_bytes: usize| image.section(section).1 == n_bytes;
    let (points, graph) = (memory.vectors().index.points(), memory.vectors().index.graph());
    let codes = points.as_ref().and_then(|points| points.codes());
    let mut arrays = graph.iter().flat_map(|graph| graph.arrays(&extent)).enumerate();
    has(CELLS, n_slots * CELL_BYTES)
        && has(ID_OFFSETS, (n_slots + 1) * 8)
        && has(CODES, codes.map_or(0, |codes| codes.width() * n_slots))
        && has(FACTS, codes.filter(|codes| codes.has_facts()).map_or(0, |_| FACTS_BYTES * n_slots))
        && arrays.all(|(at, (rows, n_rows))| has(GRAPH + at, rows.bytes_of(n_rows)))
        && !memory::has_later_versions(image.bytes(CELLS), image.tag.commit)
}

/// The number of slots in an image.
pub(crate) fn n_slots(image: &Image) -> usize {
    Numbers::read(image.tag.numbers).n_slots
}

/// Whether the image's graph was verified to have no point that walks miss.
pub(in crate::collection) fn is_verified(image: &Image) -> bool {
    Numbers::read(image.tag.numbers).is_verified
}

/// Takes an image up into a memory without slots.
pub(crate) fn take_up(image: Image, memory: &Memory) -> std::io::Result<()> {
    let Numbers { n_slots, extent, .. } = Numbers::read(image.tag.numbers);
    let file = image.file()?;
    if let Some(codes) = memory.vectors().index.points().as_ref().and_then(|points| points.codes()) {
        codes.adopt(&file, image.section(CODES).0, image.section(FACTS).0, n_slots)?;
    }
    if let Some(graph) = memory.vectors().index.graph() {
        let mut section = GRAPH;
        graph.adopt(&extent, |(rows, n_rows)| {
            rows.adopt(&file, image.section(section).0, n_rows)?;
            section += 1;
            Ok(())
        })?;
    }
    memory.adopt(image, &file, n_slots, [CELLS, ID_OFFSETS, IDS])
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::quant::{Centres, CodeKind};

    #[test]
    fn a_book_is_told_from_others_by_its_centres() {
        let book = |own: &[(u32, f32)]| {
            let own = own.iter().map(|(namespace, x)| (NamespaceId(*namespace), vec![*x, 0.0])).collect();
            let centres = Centres { shared: vec![1.0, -2.5], own }.into();
            text_of(&Book { kind: CodeKind::Sq8Centred, generation: 1, centres })
        };
        // This is the text of images from before namespaces had centres.
        assert_eq!(book(&[]), " Book { kind: Sq8Centred, generation: 1, centre: [1.0, -2.5] }");
        let all = [book(&[]), book(&[(1, 2.0)]), book(&[(2, 2.0)]), book(&[(1, 3.0)]), book(&[(1, 2.0), (2, 2.0)])];
        assert!(all.iter().enumerate().all(|(at, text)| !all[..at].contains(text)), "{all:?}");
    }
}
