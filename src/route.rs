//! How a search was answered, and why it went that way.

use std::fmt;

use serde::Serialize;

/// How a search found its hits, and what that took.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize)]
#[non_exhaustive]
pub struct Route {
    /// Whether every vector or code was compared, or the graph walked.
    pub way: Way,
    /// Documents whose exact vectors were compared: all of them in a scan, otherwise the best found by codes.
    pub n_scanned: usize,
    /// Documents compared on the walk through the graph, or by their codes alone.
    pub n_visited: usize,
    /// Documents of which, before that, only the signs of the components were compared: most of those that match.
    pub n_sifted: usize,
    /// Steps of the walk: documents whose links were followed.
    pub n_hops: usize,
    /// Points that the walk kept: `ef`, or more where that was too few; the most of several walks. 0 without a walk.
    pub ef: usize,
    /// Documents compared one by one because they were not linked yet: all that wait in the collection. The search took
    /// about as much longer as comparing so many codes takes. [`Options::tail_bound`](crate::Options::tail_bound) says
    /// how many there may be, [`Collection::wait_indexed`](crate::Collection::wait_indexed) waits until there are none.
    /// 0 where all documents were compared in any case.
    pub n_tail: usize,
    /// Documents that match the filter, as far as that was found out: at most so many. None without a filter.
    pub n_matching: Option<usize>,
    /// Documents that were looked at to see whether they match, because postings do not tell.
    pub n_checked: usize,
    /// Fields that the filter names and no document of the collection has ([`Hits::absent_fields`](crate::Hits)).
    pub n_absent_fields: usize,
    /// Whether a walk was begun and given up for comparing all that may be hits: it would have missed some, or codes
    /// could not tell which of what it found are the nearest.
    pub gave_up: bool,
    /// Whether the search took a wider walk because of deleted documents: it found too few that are still there and went on
    /// past the others, or it ran right after deleted documents were taken out of the links.
    pub widened: bool,
    /// Whether codes were too coarse to tell which of the documents found are the nearest, so that some hits may be
    /// missed: they do not fit the vectors, or not yet ([`CollectionStats::codes`](crate::CollectionStats)).
    pub doubtful: bool,
}

/// The ways to answer a search.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Hash, Serialize)]
#[serde(rename_all = "lowercase")]
#[non_exhaustive]
pub enum Way {
    /// Every vector that may be a hit was compared: the hits are the nearest there are.
    #[default]
    Exact,
    /// The graph was walked: the hits are nearly always the nearest there are.
    Graph,
    /// Of a filtered search, or one of a namespace: the codes of all that may be hits were compared, and the best of
    /// them by their vectors. The hits are the nearest, unless codes are too coarse to tell. Where many match, those
    /// that the signs of their components say are far away are left out before, and with them one hit in two hundred.
    Codes,
    /// Of a search in words alone: those that may be among the best were scored, and the hits are the best there are.
    Words,
}

/// Why a search went the way it did, and what that took; asked for by [`Search::explain`](crate::Search::explain).
///
/// It shows as a few lines of text.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[non_exhaustive]
pub struct Explanation {
    /// The way that was taken, and what it took.
    pub route: Route,
    /// The ways there were, and what each was expected to take, the fastest first.
    pub estimates: Vec<Estimate>,
    /// What is known of the filter; `None` without one.
    pub filter: Option<FilterFigures>,
    /// Time that the filter took, in microseconds. Searches that are asked together share it.
    pub filter_micros: u64,
    /// Time that searching took, in microseconds.
    pub search_micros: u64,
    /// Time that it took to read the hits' documents, in microseconds.
    pub documents_micros: u64,
}

/// What a way was expected to take.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
#[non_exhaustive]
pub struct Estimate {
    /// The way.
    pub way: Way,
    /// The time, in microseconds; `None` where there was no choice, or nothing to tell it by.
    pub micros: Option<f64>,
}

/// How many documents a filter matches.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[non_exhaustive]
pub struct FilterFigures {
    /// At most so many, as far as postings tell: by this the way was chosen.
    pub n_possible: usize,
    /// Of these, so many were in doubt, because postings do not tell.
    pub n_doubtful: usize,
    /// So many in truth. Where some are in doubt, all of those were looked at to find it out.
    pub n_matching: usize,
}

impl fmt::Display for Explanation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Route { way, n_scanned, n_visited, n_sifted, n_hops, ef, n_tail, n_checked, .. } = self.route;
        let Route { gave_up, widened, doubtful, n_absent_fields, .. } = self.route;
        write!(f, "way: {}", name(way))?;
        if gave_up {
            write!(f, ", after a walk that was given up")?;
        }
        if widened {
            write!(f, ", past what was deleted")?;
        }
        if doubtful {
            write!(f, ", by codes that can hardly tell the nearest")?;
        }
        for (place, Estimate { way, micros }) in self.estimates.iter().enumerate() {
            write!(f, "{}{}", if place == 0 { "\nexpected: " } else { ", " }, name(*way))?;
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
        if n_sifted > 0 {
            write!(f, ", {n_sifted} sifted before")?;
        }
        write!(f, "; {n_hops} steps")?;
        if ef > 0 {
            write!(f, " with ef {ef}")?;
        }
        let (filter, search, documents) = (self.filter_micros, self.search_micros, self.documents_micros);
        write!(f, "\ntime: filter {filter} µs, search {search} µs, documents {documents} µs")
    }
}

fn name(way: Way) -> &'static str {
    match way {
        Way::Exact => "exact",
        Way::Graph => "graph",
        Way::Codes => "codes",
        Way::Words => "words",
    }
}
