//! The parameters of one search. `validate` checks all of them when the search begins.

use crate::boost::Boost;
use crate::config::within;
use crate::error::{Error, Result};
use crate::filter::Filter;
use crate::limits::{MAX_BOOSTS, MAX_CANDIDATES, MAX_EF, MAX_GROUP, MAX_PATH_BYTES};
use crate::route::Strategy;

/// Points of the default `ef` in any case; each hit adds [`EF_PER_HIT`].
pub(crate) const LEAST_EF: usize = 48;
pub(crate) const EF_PER_HIT: usize = 2;
/// Default of [`SearchParams::oversampling`].
const OVERSAMPLING: f32 = 1.5;

/// The parameters of one search, set through the methods of [`Search`](crate::Search).
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct SearchParams {
    /// Most hits to return; a number above that of all documents returns all. Default: 10.
    pub limit: usize,
    /// Nearest hits to skip first; see [`Search::offset`](crate::Search::offset). Default: 0.
    pub offset: usize,
    /// The documents that may be hits. Default: all of the namespace.
    pub filter: Filter,
    /// Lowest score of a hit. Default: none.
    pub min_score: Option<f32>,
    /// Largest distance of a hit. Default: none.
    pub max_distance: Option<f32>,
    /// Whether hits carry their vector. Default: false.
    pub with_vector: bool,
    /// The metadata fields that hits carry, at most 1,024. Default: all.
    pub fields: Option<Vec<String>>,
    /// Whether hits carry their metadata and text. Default: true. If false, hits are completed
    /// without reading their documents from disk, unless these have changed meanwhile.
    pub with_document: bool,
    /// HNSW's ef: points in the beam of the graph search, 1 to 4,096. A larger `ef` finds more of
    /// the nearest and takes longer. A value below [`least_ef`](SearchParams::least_ef) is raised
    /// to it. Default: [`default_ef`](SearchParams::default_ef), or more while codes leave in doubt
    /// which points are nearest. [`SearchStats::ef`](crate::SearchStats) shows the `ef` that a
    /// search used.
    pub ef: Option<usize>,
    /// The way to search, such as an exact scan or the graph. Default: the fastest by estimate.
    pub strategy: Option<Strategy>,
    /// Documents whose exact vectors are compared after a search by codes, as a multiple of the
    /// wanted hits: 1 to 100. At least a fifth of `ef` are compared, and all of them up to 16
    /// components. Default: 1.5.
    pub oversampling: f32,
    /// Whether the result explains why the search took its way. Default: false.
    pub explain: bool,
    /// Diversity of hits, by maximal marginal relevance (MMR). Default: none.
    pub mmr: Option<Mmr>,
    /// The field by which hits are grouped. Default: none.
    pub group_by: Option<GroupBy>,
    /// Terms added to scores. Default: none.
    pub boosts: Vec<Boost>,
    /// Best hits that are found before boosts are added, 1 to 4,096. The search finds more while a
    /// boost with a known maximum could still change the result. Default: ten for each hit wanted,
    /// and at least 100.
    pub boosted_candidates: Option<usize>,
    /// BM25's k1, for a search in words: 0 or more. A larger `k1` lets repeated words count for
    /// more; 0 counts only whether a word occurs. Default: 1.2.
    pub k1: f32,
    /// BM25's b, for a search in words: how much long documents lose, from 0 (nothing) to 1.
    /// Default: 0.75.
    pub b: f32,
    /// How a search by a vector and words fuses both rankings. Default: by reciprocal rank fusion
    /// (RRF), with equal weights.
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
            strategy: None,
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
    /// The `ef` of a search that sets none, for `n_hits` hits (`limit` and `offset` together): 48
    /// and twice the hits.
    ///
    /// ```
    /// assert_eq!(vectrove::SearchParams::default_ef(10), 68);
    /// ```
    pub const fn default_ef(n_hits: usize) -> usize {
        n_hits.saturating_mul(EF_PER_HIT).saturating_add(LEAST_EF)
    }

    /// The least `ef` of a search for `n_hits` hits (`limit` and `offset` together); a smaller one
    /// is raised to it. It is `n_hits` times `oversampling`, rounded up. Under a filter, and in a
    /// graph without codes, the least is `n_hits`.
    ///
    /// ```
    /// assert_eq!(vectrove::SearchParams::default().least_ef(10), 15);
    /// ```
    pub fn least_ef(&self, n_hits: usize) -> usize {
        n_oversampled(n_hits, self.oversampling)
    }

    /// Hits to find, including those that `offset` skips.
    pub(crate) fn n_hits(&self) -> usize {
        self.offset.saturating_add(self.limit)
    }

    /// Nearest documents to find: the candidates of MMR, or the hits.
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

/// Documents, nearest by codes, whose exact vectors are compared at least.
pub(crate) fn n_oversampled(n_hits: usize, oversampling: f32) -> usize {
    (n_hits as f32 * oversampling).ceil() as usize
}

/// Diversity: maximal marginal relevance, MMR (Carbonell and Goldstein, 1998).
///
/// Hits are chosen one by one from the nearest candidates. Each time the candidate with the
/// greatest `lambda · s - (1 - lambda) · t` is chosen. `s` is its score, and `t` the greatest of
/// its similarities to the hits chosen before, as scores.
#[derive(Debug, Clone, Copy, PartialEq)]
#[non_exhaustive]
pub struct Mmr {
    /// Weight of nearness to the query against difference from other hits, from 0 (difference
    /// alone) to 1 (nearness alone).
    pub lambda: f32,
    /// Nearest documents from which hits are chosen, 1 to 4,096. The search returns at most this
    /// many hits.
    pub candidates: usize,
}

impl Mmr {
    /// MMR with this `lambda` and number of candidates.
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

/// Grouping of hits by their value in a metadata field.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct GroupBy {
    /// The path of the field.
    pub field: String,
    /// Most hits of each group: 1 to 4,096.
    pub per_group: usize,
}

impl GroupBy {
    /// Groups by `field`, with at most `per_group` hits in each group.
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

/// How a search by a vector and words fuses its two rankings.
///
/// Both rankings find candidates, under the same filter. [`Hit::parts`](crate::Hit) shows the place
/// of a hit in both.
///
/// ```
/// use vectrove::Fusion;
/// let fusion = Fusion::scores().weights(0.7, 0.3).candidates(200);
/// ```
#[derive(Debug, Clone, Copy, PartialEq)]
#[non_exhaustive]
pub struct Fusion {
    /// The fused quantity: ranks or scores.
    pub by: FusedBy,
    /// Weight of the ranking by the vector: 0 or more. Default: 1.
    pub vector_weight: f32,
    /// Weight of the ranking by words: 0 or more. Default: 1.
    pub text_weight: f32,
    /// Best candidates of each ranking that are fused, 1 to 4,096. Default: three for each hit, and
    /// at least 64.
    pub candidates: Option<usize>,
}

/// The quantity that is added up over the two rankings.
#[derive(Debug, Clone, Copy, PartialEq)]
#[non_exhaustive]
pub enum FusedBy {
    /// Reciprocal rank fusion, RRF (Cormack and others, 2009): the sum of `weight / (k + rank)`,
    /// where ranks begin with 1. A ranking without the document adds 0.
    Rrf {
        /// RRF's constant, 0 to 1,000,000. A larger `k` flattens the weight of the first ranks.
        /// Default: 5. The paper uses 60, with which a clear winner of one ranking counts for less.
        k: f32,
    },
    /// The sum of `weight · s`, where `s` is the score in a ranking, scaled linearly so that the
    /// candidates of both rankings lie between 0 and 1 (min-max normalisation). Each candidate is
    /// scored in both rankings.
    Scores,
}

impl Default for Fusion {
    fn default() -> Self {
        Fusion { by: FusedBy::Rrf { k: 5.0 }, vector_weight: 1.0, text_weight: 1.0, candidates: None }
    }
}

impl Fusion {
    /// Reciprocal rank fusion (RRF), with `k` 5.
    pub fn rrf() -> Self {
        Fusion::default()
    }

    /// Fusion by scores.
    pub fn scores() -> Self {
        Fusion { by: FusedBy::Scores, ..Fusion::default() }
    }

    /// Reciprocal rank fusion (RRF), with this `k`.
    #[must_use]
    pub fn k(mut self, k: f32) -> Self {
        self.by = FusedBy::Rrf { k };
        self
    }

    /// Weights of the two rankings. Default: both 1.
    #[must_use]
    pub fn weights(mut self, vector: f32, text: f32) -> Self {
        (self.vector_weight, self.text_weight) = (vector, text);
        self
    }

    /// Best candidates of each ranking that are fused. Default: three for each hit, and at least
    /// 64.
    #[must_use]
    pub fn candidates(mut self, candidates: usize) -> Self {
        self.candidates = Some(candidates);
        self
    }

    /// Candidates to find in each ranking for `n_hits` hits.
    pub(crate) fn n_candidates(&self, n_hits: usize) -> usize {
        self.candidates.unwrap_or_else(|| n_hits.saturating_mul(3).max(64)).max(n_hits)
    }

    fn validate(&self, check: impl Fn(&'static str, f32, f32) -> Result<()>) -> Result<()> {
        check("vector_weight", self.vector_weight, 1e6)?;
        check("text_weight", self.text_weight, 1e6)?;
        if let FusedBy::Rrf { k } = self.by {
            check("k", k, 1e6)?;
        }
        self.candidates.map_or(Ok(()), |candidates| within("candidates", candidates, 1, MAX_CANDIDATES))
    }
}
