//! Recovery of a collection at open: making its memory, and verifying meanwhile that its rows
//! belong together.
//!
//! The fast way takes up the image, and reads only the slots that the commit log names after it
//! ([`since_image`](super::since_image)). The slow way reads every row
//! ([`full_scan`](super::full_scan)). Either way the graph is then brought up to date
//! ([`graph_restore`](super::graph_restore)).

use std::collections::HashSet;
use std::time::Instant;

use uuid::Uuid;

use super::full_scan::read_rows;
use super::graph_log::measured;
use super::image;
use super::loaded::Loaded;
use crate::collection::derived::source::RowSource;
use crate::collection::indexes::Indexes;
use crate::collection::memory::Memory;
use crate::collection::vectors::codes::codebook::Codebook;
use crate::error::{Error, Result};
use crate::id::{CollectionId, Commit, NamespaceId, Slot};
use crate::opening::Opening;
use crate::store::files::image::{Image, Images};
use crate::store::open::commit_log::Expected;

/// An open reads up to this number of changed slots one by one, however small the image is.
const MOST_CHANGED: usize = 16_384;
/// Changed slots that an open reads one by one per slot of the image, if that is more than
/// `MOST_CHANGED`.
const CHANGED_SHARE: usize = 1;
/// Bytes of vectors and codes that bound the changed slots above `MOST_CHANGED`.
const MOST_CHANGED_BYTES: usize = 512 << 20;

/// An image that may be taken up, and the commit up to which it is valid.
pub(crate) struct Candidate {
    pub(crate) image: Image,
    pub(crate) covers: Commit,
}

impl Candidate {
    /// The most slots that may have changed since the image. With more, reading all rows is faster.
    fn most_changed(&self, dimension: usize) -> usize {
        // The vectors of all changed slots are held at once, with their codes.
        let most_by_memory = MOST_CHANGED_BYTES / (dimension * size_of::<f32>() * 2);
        (image::n_slots(&self.image) * CHANGED_SHARE).max(MOST_CHANGED).min(most_by_memory)
    }

    /// The image of a collection, if the graph on disk continues from it.
    pub(crate) fn find(source: RowSource<'_>, images: &mut Images, store: Uuid, id: CollectionId) -> Option<Self> {
        let codebook = source.codebook();
        let shape = image::shape_of(source.config, codebook.as_ref().map(|codebook| &codebook.book));
        let image = image::find(images, (store, id), shape)?;
        let cursor = source.cursor().inspect_err(|error| tracing::warn!("{error}")).ok()??;
        // Rows may be newer than the image if every delta between is still there. Deltas are
        // dropped all at once, so the last one tells.
        if image.tag.delta < cursor.delta && !source.has_delta(cursor.delta) {
            tracing::info!(collection = id.0, "an image is older than the rows of the graph");
            return None;
        }
        let covers = if cursor.image == image.tag.commit { cursor.covers.max(cursor.image) } else { image.tag.commit };
        Some(Candidate { image, covers })
    }
}

/// Reads a collection into an empty memory, by its image if there is a sound one. `last` is the
/// last commit. `expected` is what the log says of the collection, after the candidate's commit or
/// in all.
///
/// # Errors
/// `Corruption` for rows that do not belong together; `DataLoss` if rows are missing that the log
/// names.
pub(crate) fn load(
    source: RowSource<'_>,
    memory: impl Fn(Option<Codebook>) -> Result<Memory>,
    candidate: Option<Candidate>,
    expected: Expected,
    last: Commit,
) -> Result<Loaded> {
    let (began, codebook) = (Instant::now(), source.codebook());
    let memory = || memory(codebook.clone());
    let dimension = source.config.dimension;
    let is_worth_it = |candidate: &Candidate| expected.n_after(candidate.covers) <= candidate.most_changed(dimension);
    let mut loaded = match candidate.filter(is_worth_it) {
        Some(candidate) => load_by_image(source, &memory, candidate, expected, last)?,
        None => load_by_rows(source, memory()?, expected, last)?,
    };
    loaded.state.codebook = source.stored_codebook().ok().flatten().map(|stored| stored.book.generation);
    loaded.state.regions = source.region_keys().unwrap_or_default();
    loaded.state.regions.extend(measured(source.region_rows().unwrap_or_default()));
    loaded.opening.micros = u64::try_from(began.elapsed().as_micros()).unwrap_or(u64::MAX);
    let Opening { way, n_read, n_deltas, n_waiting, micros, .. } = loaded.opening;
    tracing::info!(?way, n_read, n_deltas, n_waiting, micros, "collection read");
    Ok(loaded)
}

/// Takes up an image, and reads what has changed since.
fn load_by_image(
    source: RowSource<'_>,
    memory: &impl Fn() -> Result<Memory>,
    candidate: Candidate,
    mut expected: Expected,
    last: Commit,
) -> Result<Loaded> {
    let Candidate { image, covers } = candidate;
    let (tag, n_bytes, n_imaged, new) = (image.tag, image.n_bytes(), image::n_slots(&image), memory()?);
    let (is_sound, is_verified) = (image::is_sound(&image, &new), image::is_verified(&image));
    let taken = if is_sound { image::take_up(image, &new) } else { Err(std::io::Error::other("it is damaged")) };
    if let Err(error) = taken {
        tracing::warn!("the image is unusable, and all rows are read instead: {error}");
        drop(new);
        return load_by_rows(source, memory()?, expected, last);
    }
    expected.keep_after(covers);
    let namespaces = source.check_names(&mut expected)?;
    let last_change = expected.last_change().unwrap_or(tag.commit);
    let known: HashSet<NamespaceId> = namespaces.iter().map(|(_, number)| number).collect();
    let mut changed: Vec<Slot> = expected.slots.keys().copied().collect();
    changed.sort_unstable();
    let changes = source.read_changed(&changed, &new, &known, &mut expected)?;
    if let Some(from) = expected.first_missing() {
        return Err(Error::DataLoss { from, to: last });
    }
    let indexes = Indexes::read(source);
    let mut loaded = Loaded { namespaces, indexes, last_change, ..Loaded::empty(new, source.config) };
    loaded.opening.n_read = changed.len();
    loaded.state.imaged_delta = tag.delta;
    (loaded.state.image_bytes, loaded.state.n_imaged, loaded.state.n_changed) = (n_bytes, n_imaged, changed.len());
    super::graph_restore::follow(source, &mut loaded, (tag.delta, is_verified), &changes)?;
    (loaded.state.cursor.image, loaded.state.cursor.covers) = (tag.commit, covers);
    Ok(loaded)
}

/// Reads every row of a collection into an empty memory and checks it.
fn load_by_rows(source: RowSource<'_>, memory: Memory, mut expected: Expected, last: Commit) -> Result<Loaded> {
    let namespaces = source.check_names(&mut expected)?;
    let last_change = expected.last_change().unwrap_or(last);
    read_rows(source, &memory, &namespaces, expected, last)?;
    // Vectors that are held by now are complete: all rows were read into place.
    memory.vectors().full.held().iter().for_each(|held| held.set_complete(Commit(0)));
    let indexes = Indexes::read(source);
    let mut loaded = Loaded { namespaces, indexes, last_change, ..Loaded::empty(memory, source.config) };
    loaded.opening.n_read = loaded.memory.census().n_documents;
    loaded.state.n_changed = loaded.opening.n_read;
    super::graph_restore::read(source, &mut loaded)?;
    Ok(loaded)
}
