//! What belongs to one search, and to nothing that lasts longer. `validate` checks once, at the door.

use crate::boost::Boost;
use crate::config::within;
use crate::error::{Error, Result};
use crate::filter::Filter;
use crate::limits::{MAX_BOOSTS, MAX_CANDIDATES, MAX_EF, MAX_GROUP, MAX_PATH_BYTES};
use crate::route::Way;

/// The beam of a search that sets none: so much, and so much for each hit.
pub(crate) const LEAST_EF: usize = 48;
pub(crate) const EF_PER_HIT: usize = 2;
/// How many times as many as are wanted are compared by their vectors, if a search does not say.
const OVERSAMPLING: f32 = 1.5;

/// What one search asks for. Set through the methods of [`Search`](crate::Search).
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct SearchParams {
    /// Most hits to return. Default: 10. More than there are documents means all of them.
    pub limit: usize,
    /// How many of the nearest to leave out first; see [`Search::offset`](crate::Search::offset). Default: 0.
    pub offset: usize,
    /// Which documents may be hits. Default: all of the namespace.
    pub filter: Filter,
    /// The lowest score a hit may have. Default: none.
    pub min_score: Option<f32>,
    /// The largest distance a hit may have. Default: none.
    pub max_distance: Option<f32>,
    /// Whether hits carry their vector. Default: false.
    pub with_vector: bool,
    /// The metadata fields hits carry, at most 1,024. Default: all.
    pub fields: Option<Vec<String>>,
    /// Whether hits carry their metadata and text. Default: true. Without them, nothing is read from disk.
    pub with_document: bool,
    /// Points that the walk through the graph keeps: the more, the more of the nearest it finds and the longer it
    /// takes. 1 to 4,096; less than [`least_ef`](SearchParams::least_ef) counts as that. Default:
    /// [`default_ef`](SearchParams::default_ef), and more where codes leave in doubt what is nearest.
    /// [`Route::ef`](crate::Route) tells what a search used.
    pub ef: Option<usize>,
    /// Whether to compare every vector or to walk the graph. Default: whichever is faster.
    pub way: Option<Way>,
    /// How many times as many documents as are wanted are compared once more, by their exact vectors, where the graph
    /// is walked by codes: 1 to 100. A fifth of `ef` are in any case, and all of it up to 16 components. Default: 1.5.
    pub oversampling: f32,
    /// Whether hits say why they were found as they were. Default: false.
    pub explain: bool,
    /// Whether hits are to differ from each other, and how much. Default: no.
    pub mmr: Option<Mmr>,
    /// Whether hits come in groups. Default: no.
    pub group_by: Option<GroupBy>,
    /// What adds to scores. Default: nothing.
    pub boosts: Vec<Boost>,
    /// How many of the best are found before boosts are added, 1 to 4,096. Default: ten for each hit wanted, and at
    /// least 100.
    pub boosted_candidates: Option<usize>,
    /// How slowly a word that comes again and again counts for less, in a search by words: 0 or more. 0 counts only
    /// whether it is there. Default: 1.2.
    pub k1: f32,
    /// How much long documents count for less, in a search by words: 0 not at all, to 1. Default: 0.75.
    pub b: f32,
    /// How a search by a vector and by words makes one answer of both. Default: by ranks, both alike.
    pub fusion: Fusion,
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
            oversampling: OVERSAMPLING,
            explain: false,
            mmr: None,
            group_by: None,
            boosts: Vec::new(),
            boosted_candidates: None,
            k1: 1.2,
            b: 0.75,
            fusion: Fusion::default(),
        }
    }
}

impl SearchParams {
    /// The `ef` of a search for so many hits (`limit`, and `offset` before it) that sets none: 48, and twice the hits.
    ///
    /// ```
    /// assert_eq!(vectrove::SearchParams::default_ef(10), 68);
    /// ```
    pub const fn default_ef(n_hits: usize) -> usize {
        n_hits.saturating_mul(EF_PER_HIT).saturating_add(LEAST_EF)
    }

    /// The least `ef` of a search for so many hits (`limit`, and `offset` before it), to which a smaller one is raised:
    /// the hits times `oversampling`, rounded up; under a filter, and where no codes are walked, the hits themselves.
    ///
    /// ```
    /// assert_eq!(vectrove::SearchParams::default().least_ef(10), 15);
    /// ```
    pub fn least_ef(&self, n_hits: usize) -> usize {
        n_oversampled(n_hits, self.oversampling)
    }

    /// How many hits there may be, with those that are left out first.
    pub(crate) fn n_hits(&self) -> usize {
        self.offset.saturating_add(self.limit)
    }

    /// How many of the nearest to find.
    pub(crate) fn n_nearest(&self) -> usize {
        self.mmr.map_or(self.n_hits(), |mmr| mmr.candidates)
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
        let least = |field, number: f32, most: f32| match (0.0..=most).contains(&number) {
            true => Ok(()),
            false => Err(Error::InvalidConfig { field, reason: format!("expected 0 to {most:e}, got {number}") }),
        };
        least("k1", self.k1, 1e6)?;
        least("b", self.b, 1.0)?;
        self.fusion.validate(least)?;
        self.boosted_candidates.map_or(Ok(()), |n| within("boosted_candidates", n, 1, MAX_CANDIDATES))?;
        within("boosts", self.boosts.len(), 0, MAX_BOOSTS)?;
        self.boosts.iter().try_for_each(Boost::validate)?;
        self.group_by.as_ref().map_or(Ok(()), GroupBy::validate)?;
        if self.mmr.is_some() && (self.group_by.is_some() || !self.boosts.is_empty()) {
            let reason = "expected a search without groups and boosts, got one with them".into();
            return Err(Error::InvalidConfig { field: "mmr", reason });
        }
        self.filter.check()
    }
}

/// How many of the nearest by codes are compared by their vectors at least.
pub(crate) fn n_oversampled(n_hits: usize, oversampling: f32) -> usize {
    (n_hits as f32 * oversampling).ceil() as usize
}

/// Hits that differ from each other: maximal marginal relevance (Carbonell and Goldstein, 1998).
///
/// Of the nearest candidates one after another is taken: always the one with the greatest `lambda · s - (1 - lambda) ·
/// t`, where `s` is its score and `t` the greatest score that it would have as a hit for one taken before.
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

/// Hits in groups that have the same value in a metadata field.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct GroupBy {
    /// The path of the field.
    pub field: String,
    /// Most hits of each group: 1 to 4,096.
    pub per_group: usize,
}

impl GroupBy {
    /// By a field, with so many hits in each group.
    pub fn new(field: impl Into<String>, per_group: usize) -> Self {
        GroupBy { field: field.into(), per_group }
    }

    fn validate(&self) -> Result<()> {
        within("per_group", self.per_group, 1, MAX_GROUP)?;
        if (1..=MAX_PATH_BYTES).contains(&self.field.len()) && !self.field.starts_with('$') {
            return Ok(());
        }
        let reason = format!("expected a path of 1 to {MAX_PATH_BYTES} bytes, got {:.60}", self.field);
        Err(Error::InvalidConfig { field: "group_by", reason })
    }
}

/// How the answers of a search by a vector and by words are made one.
///
/// Each side finds its candidates, under the same filter. A hit's score then says how it stands in both
/// ([`Hit::parts`](crate::Hit)).
///
/// ```
/// use vectrove::Fusion;
/// let fusion = Fusion::scores().weights(0.7, 0.3).candidates(200);
/// ```
#[derive(Debug, Clone, Copy, PartialEq)]
#[non_exhaustive]
pub struct Fusion {
    /// What is added up.
    pub by: FusedBy,
    /// What the side of the vector counts for: 0 or more. Default: 1.
    pub vector_weight: f32,
    /// What the side of the words counts for: 0 or more. Default: 1.
    pub text_weight: f32,
    /// How many of the best of each side are fused, 1 to 4,096. Default: three for each hit wanted, and at least 64.
    pub candidates: Option<usize>,
}

/// What is added up of the two sides.
#[derive(Debug, Clone, Copy, PartialEq)]
#[non_exhaustive]
pub enum FusedBy {
    /// `weight / (k + rank)`, ranks beginning with 1; a side that has not found a document adds nothing (Cormack and
    /// others, "Reciprocal rank fusion", 2009).
    Ranks {
        /// How little the first ranks differ: 0 to 1,000,000. Default: 5; the paper has 60, by which what one side is
        /// sure of counts for less.
        k: f32,
    },
    /// `weight · s`, where `s` is the score, moved and scaled to lie between 0 and 1 for the candidates of both sides.
    /// Scores are worked out for all of them, whichever side has found them.
    Scores,
}

impl Default for Fusion {
    fn default() -> Self {
        Fusion { by: FusedBy::Ranks { k: 5.0 }, vector_weight: 1.0, text_weight: 1.0, candidates: None }
    }
}

impl Fusion {
    /// By ranks, with `k` 5.
    pub fn ranks() -> Self {
        Fusion::default()
    }

    /// By scores.
    pub fn scores() -> Self {
        Fusion { by: FusedBy::Scores, ..Fusion::default() }
    }

    /// By ranks, with this `k`.
    #[must_use]
    pub fn k(mut self, k: f32) -> Self {
        self.by = FusedBy::Ranks { k };
        self
    }

    /// What each side counts for. Default: both 1.
    #[must_use]
    pub fn weights(mut self, vector: f32, text: f32) -> Self {
        (self.vector_weight, self.text_weight) = (vector, text);
        self
    }

    /// How many of the best of each side are fused. Default: three for each hit wanted, and at least 64.
    #[must_use]
    pub fn candidates(mut self, candidates: usize) -> Self {
        self.candidates = Some(candidates);
        self
    }

    /// How many of each side to find for so many hits.
    pub(crate) fn n_candidates(&self, n_hits: usize) -> usize {
        self.candidates.unwrap_or_else(|| n_hits.saturating_mul(3).max(64)).max(n_hits)
    }

    fn validate(&self, check: impl Fn(&'static str, f32, f32) -> Result<()>) -> Result<()> {
        check("vector_weight", self.vector_weight, 1e6)?;
        check("text_weight", self.text_weight, 1e6)?;
        if let FusedBy::Ranks { k } = self.by {
            check("k", k, 1e6)?;
        }
        self.candidates.map_or(Ok(()), |candidates| within("candidates", candidates, 1, MAX_CANDIDATES))
    }
}
