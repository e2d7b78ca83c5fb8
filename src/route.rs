//! How a search was answered, and why in this way.

use std::fmt;

use serde::Serialize;

/// How a search found its hits, and the work it did.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize)]
#[non_exhaustive]
pub struct SearchStats {
    /// The way that found the hits.
    pub strategy: Strategy,
    /// Documents whose exact vectors were compared: all candidates of a scan, otherwise the best by
    /// codes.
    pub n_scanned: usize,
    /// Documents compared in the graph, compared by their codes alone, or scored by their words.
    pub n_visited: usize,
    /// Candidates compared by their 1-bit sketches (SimHash), the signs of their components, before
    /// any codes were compared.
    pub n_prefiltered: usize,
    /// Steps in the graph: documents whose links were followed.
    pub n_hops: usize,
    /// Points in the beam of the graph search: `ef`, or more where `ef` was too few. The largest of
    /// several graph searches; 0 without one.
    pub ef: usize,
    /// Documents compared one by one because they were not linked yet: all that wait in the
    /// collection. Their codes add to the time of the search.
    /// [`Options::tail_bound`](crate::Options::tail_bound) bounds their number, and
    /// [`Collection::wait_indexed`](crate::Collection::wait_indexed) waits until it is 0. Also 0
    /// where all documents were compared in any case.
    pub n_tail: usize,
    /// Documents that match the filter, as an upper bound where documents were left in doubt. None
    /// without a filter.
    pub n_matching: Option<usize>,
    /// Documents that were read to see whether they match, because postings left them in doubt.
    pub n_checked: usize,
    /// Fields of the filter that no document of the collection has
    /// ([`Hits::absent_fields`](crate::Hits)).
    pub n_absent_fields: usize,
    /// Whether a graph search was begun, then given up for comparing all candidates. It would have
    /// missed some, or codes could not tell which of its points are nearest.
    pub gave_up: bool,
    /// Whether the graph search was widened because of deleted documents. Either it found too few
    /// that still exist and went on past the others, or it ran right after deleted documents were
    /// removed from the links.
    pub widened: bool,
    /// Whether codes were too coarse to tell which of the found documents are nearest, so that hits
    /// may be missing. The codes do not fit the vectors, or not yet
    /// ([`CollectionStats::codes`](crate::CollectionStats)).
    pub doubtful: bool,
}

/// The strategies to answer a search.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Hash, Serialize)]
#[serde(rename_all = "lowercase")]
#[non_exhaustive]
pub enum Strategy {
    /// A scan of all candidates by their exact vectors: the hits are the nearest there are.
    #[default]
    Exact,
    /// A graph search (HNSW): the hits are nearly always the nearest there are.
    Graph,
    /// For a filtered search, or one in a namespace: a scan of the candidates by their codes, then
    /// of the best by their exact vectors. The hits are the nearest, unless codes are too coarse to
    /// tell. Among many candidates, 1-bit sketches (SimHash) first drop those that are far away,
    /// and with them one hit in 200.
    Codes,
    /// For a search in words alone: documents that may be among the best were scored. The hits are
    /// the best there are.
    Words,
}

/// Why a search took its way, and the work it did; [`Search::explain`](crate::Search::explain) asks
/// for it.
///
/// Its `Display` form is a few lines of text.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[non_exhaustive]
pub struct Explanation {
    /// The way that was taken, and the work it did.
    pub stats: SearchStats,
    /// The possible ways with their expected times, fastest first.
    pub estimates: Vec<Estimate>,
    /// Counts of the filter's matches; `None` without a filter.
    pub filter: Option<FilterFigures>,
    /// Time of the filter, in microseconds. Searches of one call share it.
    pub filter_micros: u64,
    /// Time of the search, in microseconds.
    pub search_micros: u64,
    /// Time for reading the documents of the hits, in microseconds.
    pub documents_micros: u64,
}

/// The expected time of a way.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
#[non_exhaustive]
pub struct Estimate {
    /// The strategy.
    pub strategy: Strategy,
    /// The time, in microseconds; `None` if there was no choice, or no measurement.
    pub micros: Option<f64>,
}

/// Number of documents that match a filter.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[non_exhaustive]
pub struct FilterFigures {
    /// Upper bound from postings, by which the way was chosen.
    pub n_possible: usize,
    /// Documents among these that postings leave in doubt: an upper bound.
    pub n_doubtful: usize,
    /// The exact number. To find it, all documents in doubt were read.
    pub n_matching: usize,
}

impl fmt::Display for Explanation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let SearchStats { strategy, n_scanned, n_visited, n_prefiltered, n_hops, ef, n_tail, n_checked, .. } =
            self.stats;
        let SearchStats { gave_up, widened, doubtful, n_absent_fields, .. } = self.stats;
        write!(f, "strategy: {}", name(strategy))?;
        if gave_up {
            write!(f, ", after a walk that was given up")?;
        }
        if widened {
            write!(f, ", past what was deleted")?;
        }
        if doubtful {
            write!(f, ", by codes that can hardly tell the nearest")?;
        }
        for (place, Estimate { strategy, micros }) in self.estimates.iter().enumerate() {
            write!(f, "{}{}", if place == 0 { "\nexpected: " } else { ", " }, name(*strategy))?;
            if let Some(micros) = micros {
                write!(f, " {micros:.0} µs")?;
            }
        }
        if let Some(FilterFigures { n_possible, n_doubtful, n_matching }) = self.filter {
            write!(f, "\nfilter: {n_matching} match; by postings at most {n_possible}, {n_doubtful} in doubt")?;
            write!(f, ", {n_checked} looked at")?;
            if n_absent_fields > 0 {
                write!(f, "; {n_absent_fields} of its fields no document has")?;
            }
        }
        write!(f, "\ncompared: {n_visited} by codes or words, {n_scanned} by vectors, {n_tail} not linked yet")?;
        if n_prefiltered > 0 {
            write!(f, ", {n_prefiltered} prefiltered")?;
        }
        write!(f, "; {n_hops} steps")?;
        if ef > 0 {
            write!(f, " with ef {ef}")?;
        }
        let (filter, search, documents) = (self.filter_micros, self.search_micros, self.documents_micros);
        write!(f, "\ntime: filter {filter} µs, search {search} µs, documents {documents} µs")
    }
}

fn name(strategy: Strategy) -> &'static str {
    match strategy {
        Strategy::Exact => "exact",
        Strategy::Graph => "graph",
        Strategy::Codes => "codes",
        Strategy::Words => "words",
    }
}
