//! Random samples of documents.

use std::hash::{BuildHasher, RandomState};
use std::time::Instant;

use crate::cancel::{Cancel, Stop};
use crate::collection::handle::Namespace;
use crate::collection::moment::Listing;
use crate::collection::snapshot::ReadPoint;
use crate::document::StoredDocument;
use crate::error::Result;
use crate::filter::Filter;
use crate::id::Slot;

impl Namespace {
    /// Draws `n` documents at random, each as likely as any other and none twice.
    ///
    /// ```
    /// # let folder = tempfile::tempdir()?;
    /// # let db = vectrove::Database::open(folder.path())?;
    /// # use vectrove::{CollectionConfig, Document, field};
    /// # use serde_json::json;
    /// # let notes = db.get_or_create_collection("notes", CollectionConfig::new(1))?;
    /// notes.insert_many((0..100).map(|n| Document::new([1.0]).metadata(json!({"n": n}))))?;
    /// assert_eq!(notes.sample(10).run()?.len(), 10);
    /// let few = notes.sample(10).filter(field("n").lt(3)).run()?;
    /// assert_eq!(few.len(), 3);
    /// # Ok::<_, Box<dyn std::error::Error>>(())
    /// ```
    pub fn sample(&self, n: usize) -> Sample {
        Sample::of(self.into(), n)
    }
}

/// A sample to be drawn; made by [`Namespace::sample`].
#[must_use = "nothing is drawn until `run`"]
#[derive(Debug, Clone)]
pub struct Sample {
    place: ReadPoint,
    n: usize,
    filter: Filter,
    seed: Option<u64>,
    with_vector: bool,
    stop: Stop,
}

impl Sample {
    pub(in crate::collection) fn of(place: ReadPoint, n: usize) -> Self {
        Sample { place, n, filter: Filter::everything(), seed: None, with_vector: false, stop: Stop::default() }
    }

    /// Draws only documents that match `filter`. Default: all of the namespace.
    pub fn filter(mut self, filter: impl Into<Filter>) -> Self {
        self.filter = filter.into();
        self
    }

    /// Draws the same documents each time, as long as nothing is written. Default: a random seed.
    pub fn seed(mut self, seed: u64) -> Self {
        self.seed = Some(seed);
        self
    }

    /// Whether documents carry their vectors. Default: no.
    pub fn with_vector(mut self, with_vector: bool) -> Self {
        self.with_vector = with_vector;
        self
    }

    /// Ends the draw with `Deadline`, and no partial answer, at `deadline`. Default: never.
    pub fn deadline(mut self, deadline: Instant) -> Self {
        self.stop.set_deadline(deadline);
        self
    }

    /// Ends the draw with `Cancelled`, and no partial answer, once the flag is set. Default: never.
    pub fn cancel(mut self, cancel: &Cancel) -> Self {
        self.stop.set_cancel(cancel);
        self
    }

    /// Draws the documents, in random order; all of them if there are at most `n`. Reads only the
    /// documents drawn, and those that postings leave in doubt.
    ///
    /// # Errors
    /// `InvalidFilter` or `LimitExceeded` for the filter; `Deadline` or `Cancelled` if one of these
    /// ended the draw; otherwise as for every read.
    pub fn run(self) -> Result<Vec<StoredDocument>> {
        self.filter.check()?;
        self.stop.check()?;
        let moment = self.place.moment(Listing::IfFew)?;
        let matching = moment.settled(&self.filter, &self.stop)?;
        let mut slots: Vec<Slot> = matching.possible.each(&moment).collect();
        let mut random = SampleRandom(self.seed.unwrap_or_else(|| RandomState::new().hash_one(0)));
        // The first `n` steps of a Fisher–Yates shuffle.
        let n = self.n.min(slots.len());
        for place in 0..n {
            let other = place + random.below(slots.len() - place);
            slots.swap(place, other);
        }
        let rows = moment.fetch_unless(&self.stop, &slots[..n])?;
        let stored = |(slot, row)| self.stop.check().and_then(|()| moment.stored(slot, row, self.with_vector));
        rows.into_iter().map(stored).collect()
    }
}

/// A generator of random numbers (SplitMix64).
struct SampleRandom(u64);

impl SampleRandom {
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = self.0;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ (mixed >> 31)
    }

    /// A number below `most`, each as likely as any other but for one part in 2³² at most.
    fn below(&mut self, most: usize) -> usize {
        ((u128::from(self.next()) * most as u128) >> 64) as usize
    }
}
