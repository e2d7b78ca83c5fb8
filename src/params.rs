//! What belongs to one search, and to nothing that lasts longer. `validate` checks once, at the door.

use crate::config::within;
use crate::document::Way;
use crate::error::{Error, Result};
use crate::filter::Filter;
use crate::limits::{MAX_CANDIDATES, MAX_EF};

/// What one search asks for. Set through the methods of [`Search`](crate::Search).
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct SearchParams {
    /// Most hits to return. Default: 10. More than there are documents means all of them.
    pub limit: usize,
    /// How many of the nearest to leave out first. Default: 0.
    pub offset: usize,
    /// Which documents may be hits. Default: all of the namespace.
    pub filter: Filter,
    /// The lowest score a hit may have. Default: none.
    pub min_score: Option<f32>,
    /// The largest distance a hit may have. Default: none.
    pub max_distance: Option<f32>,
    /// Whether hits carry their vector. Default: false.
    pub with_vector: bool,
    /// The metadata fields hits carry. Default: all.
    pub fields: Option<Vec<String>>,
    /// Whether hits carry their metadata and text. Default: true. Without them, nothing is read from disk.
    pub with_document: bool,
    /// Points that the walk through the graph keeps: the more, the more of the nearest it finds and the longer it
    /// takes. 1 to 4,096; at least as many are kept as are compared exactly. Default: 48 more than twice the hits wanted.
    pub ef: Option<usize>,
    /// Whether to compare every vector or to walk the graph. Default: whichever is faster.
    pub way: Option<Way>,
    /// How many times as many documents as are wanted are compared once more, by their exact vectors, where the graph is
    /// walked by codes: 1 to 100. A quarter of `ef` are in any case, and all of it up to 16 components. Default: 1.5.
    pub oversampling: f32,
    /// Whether hits are to differ from each other, and how much. Default: no.
    pub mmr: Option<Mmr>,
}

impl Default for SearchParams {
    fn default() -> Self {
        SearchParams {
            limit: 10,
            offset: 0,
            filter: Filter::everything(),
            min_score: None,
            max_distance: None,
            with_vector: false,
            fields: None,
            with_document: true,
            ef: None,
            way: None,
            oversampling: 1.5,
            mmr: None,
        }
    }
}

impl SearchParams {
    /// How many of the nearest to find.
    pub(crate) fn n_nearest(&self) -> usize {
        self.mmr.map_or(self.offset.saturating_add(self.limit), |mmr| mmr.candidates)
    }

    pub(crate) fn validate(&self) -> Result<()> {
        self.ef.map_or(Ok(()), |ef| within("ef", ef, 1, MAX_EF))?;
        if !(1.0..=100.0).contains(&self.oversampling) {
            let reason = format!("expected 1 to 100, got {}", self.oversampling);
            return Err(Error::InvalidConfig { field: "oversampling", reason });
        }
        for (field, bound) in [("min_score", self.min_score), ("max_distance", self.max_distance)] {
            if bound.is_some_and(f32::is_nan) {
                return Err(Error::InvalidConfig { field, reason: "expected a number, got NaN".into() });
            }
        }
        self.mmr.map_or(Ok(()), Mmr::validate)?;
        self.filter.check()
    }
}

/// Hits that differ from each other: maximal marginal relevance (Carbonell and Goldstein, 1998).
///
/// Of the nearest candidates one after another is taken: always the one with the greatest `lambda · s - (1 - lambda) · t`,
/// where `s` is its score and `t` the greatest score that it would have as a hit for one taken before.
#[derive(Debug, Clone, Copy, PartialEq)]
#[non_exhaustive]
pub struct Mmr {
    /// What nearness to the query counts, against being unlike other hits: 1 is nearness alone, 0 difference alone.
    pub lambda: f32,
    /// How many of the nearest to choose from, 1 to 4,096. No more hits than these are returned.
    pub candidates: usize,
}

impl Mmr {
    /// To choose from so many.
    pub fn new(lambda: f32, candidates: usize) -> Self {
        Mmr { lambda, candidates }
    }

    fn validate(self) -> Result<()> {
        if !(0.0..=1.0).contains(&self.lambda) {
            let reason = format!("expected 0 to 1, got {}", self.lambda);
            return Err(Error::InvalidConfig { field: "lambda", reason });
        }
        within("candidates", self.candidates, 1, MAX_CANDIDATES)
    }
}
