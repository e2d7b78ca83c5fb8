//! Places of a campaign's documents, and the content of each: a pure function of place and stamp.
//!
//! Each spot belongs to one writing thread, so its history is a sequence. The content of a document
//! follows from its spot and the stamps of the operations that put its parts, so any difference
//! shows.

use serde_json::{Value as Json, json};
use uuid::Uuid;
use vectrove::{CollectionConfig, DocId, Metric, Quantization, Residency};

use crate::rng::{Rng, mix};

/// Collections that are there from the first moment to the last.
pub(crate) const FIXED: [&str; 4] = ["angles", "products", "lengths", "blocks"];
/// Collections that come and go.
pub(crate) const CHURN: [&str; 3] = ["churn-a", "churn-b", "churn-c"];
/// Namespaces of each; the first is the default one.
pub(crate) const NAMESPACES: [&str; 3] = ["", "agent-1", "сессия"];
/// The thread that creates and drops the churn collections and owns their documents.
pub(crate) const CHURN_THREAD: u8 = 7;
/// Number of values of the metadata field `bucket`.
pub(crate) const BUCKETS: u32 = 4;

/// The configuration of a fixed collection.
pub(crate) fn fixed_config(name: &str) -> CollectionConfig {
    match FIXED.iter().position(|fixed| *fixed == name) {
        Some(0) => CollectionConfig::new(8),
        Some(1) => CollectionConfig::new(5).metric(Metric::Dot).residency(Residency::Disk),
        Some(2) => CollectionConfig::new(24).metric(Metric::Euclidean).residency(Residency::Mapped),
        // A graph over exact vectors, which are in a mapped file.
        _ => CollectionConfig::new(4)
            .metric(Metric::Manhattan)
            .normalize(true)
            .quantization(Quantization::None)
            .residency(Residency::Mapped),
    }
}

/// The configuration of a churn collection in its life with this stamp.
pub(crate) fn churn_config(stamp: u64) -> CollectionConfig {
    let mut rng = Rng::of(&[stamp, 1]);
    let config = CollectionConfig::new(rng.between(4, 25) as usize).metric(rng.pick(&Metric::ALL));
    let config = config.normalize(rng.chance(20));
    let config = if rng.chance(25) { config.quantization(Quantization::None) } else { config };
    let has_codes = config.quantization == Quantization::Sq8 && config.metric != Metric::Manhattan;
    config.residency(match rng.below(4) {
        0 | 1 => Residency::Ram,
        // Without codes, the graph needs vectors in memory.
        2 if has_codes => Residency::Disk,
        _ => Residency::Mapped,
    })
}

/// One of the names above, as a static string; `None` for a name that no campaign uses.
pub(crate) fn known(name: &str) -> Option<&'static str> {
    FIXED.iter().chain(&CHURN).chain(&NAMESPACES).copied().find(|known| *known == name)
}

/// The identity of an operation: run of the worker, thread, and number in the thread.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) struct Stamp {
    pub(crate) run: u32,
    pub(crate) thread: u8,
    pub(crate) n: u32,
}

impl Stamp {
    pub(crate) fn code(self) -> u64 {
        u64::from(self.run) << 40 | u64::from(self.thread) << 32 | u64::from(self.n)
    }

    /// The operation id of a batch with this stamp, if the batch has one.
    pub(crate) fn operation_id(self, seed: u64) -> Uuid {
        Uuid::from_u64_pair(mix(&[seed, self.code()]), self.code())
    }
}

/// The place of one document.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) struct Spot {
    pub(crate) collection: &'static str,
    pub(crate) namespace: &'static str,
    pub(crate) thread: u8,
    pub(crate) index: u32,
}

impl Spot {
    /// The document's id; ids of every kind occur.
    pub(crate) fn id(&self) -> DocId {
        let number = u64::from(self.thread) << 32 | u64::from(self.index);
        match self.index % 3 {
            0 => DocId::from(number),
            1 => DocId::from(format!("thread {} № {}", self.thread, self.index)),
            _ => DocId::from(Uuid::from_u64_pair(0x0123_4567_89ab_cdef, number)),
        }
    }

    /// The spot of an id that was found; `None` if no campaign writes such an id.
    pub(crate) fn of(collection: &'static str, namespace: &'static str, id: &DocId) -> Option<Self> {
        let number = match id {
            DocId::U64(number) => *number,
            DocId::Uuid(uuid) => uuid.as_u64_pair().1,
            DocId::Str(text) => {
                let (thread, index) = text.strip_prefix("thread ")?.split_once(" № ")?;
                thread.parse::<u64>().ok()? << 32 | index.parse::<u64>().ok()?
            }
        };
        let thread = u8::try_from(number >> 32).ok()?;
        let spot = Spot { collection, namespace, thread, index: number as u32 };
        (spot.id() == *id).then_some(spot)
    }

    pub(crate) fn bucket(&self) -> u32 {
        self.index / 3 % BUCKETS
    }

    fn hash(&self) -> u64 {
        let bytes = self.collection.bytes().chain([0]).chain(self.namespace.bytes()).map(u64::from);
        let parts: Vec<u64> = bytes.chain([u64::from(self.thread), u64::from(self.index)]).collect();
        mix(&parts)
    }

    pub(crate) fn vector(&self, stamp: u64, dimension: usize) -> Vec<f32> {
        let mut rng = Rng::of(&[self.hash(), stamp, 2]);
        let mut vector: Vec<f32> = (0..dimension).map(|_| rng.component()).collect();
        // Cosine refuses a vector of zeros.
        vector[0] += if vector[0] < 0.0 { -0.5 } else { 0.5 };
        vector
    }

    pub(crate) fn metadata(&self, stamp: u64) -> Json {
        let mut rng = Rng::of(&[self.hash(), stamp, 3]);
        let list: Vec<u64> = (0..rng.below(4)).map(|_| rng.next()).collect();
        json!({
            "stamp": stamp,
            "thread": self.thread,
            "bucket": self.bucket(),
            "hash": rng.next(),
            "float": f64::from(rng.component()),
            "nested": {"list": list, "nothing": null, "flag": rng.chance(50)},
        })
    }

    /// A text of up to about `n_bytes` bytes that does not compress.
    pub(crate) fn text(&self, stamp: u64, n_bytes: u64) -> String {
        const LETTERS: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789 ,";
        let mut rng = Rng::of(&[self.hash(), stamp, 4]);
        let n_words = rng.below(n_bytes / 10 + 1);
        let mut text = format!("{stamp}: ");
        for _ in 0..n_words {
            let word = rng.next();
            text.extend((0..10).map(|letter| char::from(LETTERS[(word >> (letter * 6)) as usize & 63])));
        }
        text
    }
}
