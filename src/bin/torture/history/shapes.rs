//! The collections of the history campaign, and how its database is opened.

use vectrove::{
    CollectionConfig, Durability, FieldRule, Index, Metric, Options, Quantization, Residency, Schema, Type,
};

use crate::rng::Rng;

/// A collection that exists throughout the campaign.
pub(super) struct Shape {
    pub(super) name: &'static str,
    /// Bounds on the numbers of documents, in the default namespace and in each other one.
    pub(super) capacities: (u32, u32),
    /// Share of questions and writes, relative to the other collections.
    pub(super) weight: u64,
}

pub(super) const SHAPES: [Shape; 6] = [
    Shape { name: "angles", capacities: (600, 450), weight: 30 },
    Shape { name: "lengths", capacities: (300, 240), weight: 20 },
    Shape { name: "products", capacities: (300, 240), weight: 20 },
    Shape { name: "rows", capacities: (200, 160), weight: 12 },
    Shape { name: "wide", capacities: (120, 90), weight: 8 },
    // Enough documents that loading their exact vectors takes a while.
    Shape { name: "large", capacities: (30_000, 0), weight: 0 },
];

/// Names of the collection that comes and goes, in turn.
pub(super) const CHURN: [&str; 2] = ["churn", "churned"];
/// Bound on the numbers of its documents.
pub(super) const CHURN_CAPACITY: u32 = 150;
/// Its share of questions and writes, relative to the other collections.
pub(super) const CHURN_WEIGHT: u64 = 8;

/// The configuration of a fixed collection.
pub(super) fn fixed_config(name: &str) -> CollectionConfig {
    match name {
        "angles" => CollectionConfig::new(8).no_index("raw"),
        "lengths" => CollectionConfig::new(24).metric(Metric::Euclidean).residency(Residency::Mapped).no_index("raw"),
        "products" => CollectionConfig::new(12).metric(Metric::Dot).residency(Residency::Disk).no_index("list"),
        // A graph over exact vectors, which are in a mapped file.
        "rows" => CollectionConfig::new(6).quantization(Quantization::None).residency(Residency::Mapped),
        // Codes of two planes.
        "wide" => CollectionConfig::new(256).metric(Metric::Euclidean).no_index("raw"),
        _ => CollectionConfig::new(8).metric(Metric::Euclidean),
    }
}

/// The configuration of the collection that comes and goes, for one of its lives. It encodes the
/// life's number.
pub(super) fn churn_config(rng: &mut Rng, number: u64) -> CollectionConfig {
    let config = CollectionConfig::new(rng.between(4, 20) as usize).metric(rng.pick(&Metric::ALL));
    let config = config.normalize(rng.chance(20)).ef_construction(EF_OF_LIVES + (number % N_LIVES) as usize);
    let config = if rng.chance(25) { config.quantization(Quantization::None) } else { config };
    let config = if rng.chance(10) { config.no_text() } else { config };
    let config = if rng.chance(50) { config.no_index("raw") } else { config };
    let config = if rng.chance(10) { config.index(Index::Flat) } else { config };
    let has_kernels = config.metric != Metric::Manhattan && config.index == Index::Hnsw;
    let has_codes = config.quantization == Quantization::Sq8 && has_kernels;
    config.residency(match rng.below(4) {
        0 | 1 => Residency::Ram,
        // Without codes, the graph needs vectors in memory.
        2 if has_codes => Residency::Disk,
        _ => Residency::Mapped,
    })
}

const EF_OF_LIVES: usize = 20;
const N_LIVES: u64 = 1_000;

/// Whether a configuration belongs to the life with this number.
pub(super) fn is_life(config: &CollectionConfig, number: u64) -> bool {
    config.ef_construction == EF_OF_LIVES + (number % N_LIVES) as usize
}

/// Schemas that all documents of the campaign satisfy, from wide to narrow.
pub(super) fn schema(number: u64) -> Option<Schema> {
    let rule = |rule: Type| -> FieldRule { rule.into() };
    let some = || Schema::new().field("tag", rule(Type::String)).field("at", rule(Type::Time));
    match number % 3 {
        0 => None,
        1 => Some(some()),
        _ => Some(some().field("n", rule(Type::Integer)).field("list", Type::Integer.array())),
    }
}

/// Opening options of a round.
pub(super) fn options(rng: &mut Rng) -> Options {
    const MEMORY: [usize; 2] = [8 << 20, 32 << 20];
    let memory = rng.pick(&MEMORY);
    let options = Options::new().durability(Durability::Wal).memory_bytes(memory).min_free_bytes(0);
    let options = options.link_threads(rng.between(1, 3) as usize);
    // Little enough memory that exact vectors leave memory again and again.
    let options =
        if rng.chance(15) { options.memory_limit(memory + (rng.between(8, 24) << 20) as usize) } else { options };
    let options = match rng.below(8) {
        0 => options.residency(Residency::Ram),
        1 => options.residency(Residency::Mapped),
        2 => options.residency(Residency::Disk),
        _ => options,
    };
    match rng.below(5) {
        0 => options.tail_bound(16),
        1 => options.tail_bound(256),
        2 => options.tail_bound(20_000),
        _ => options,
    }
}
