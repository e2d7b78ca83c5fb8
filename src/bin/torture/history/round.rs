//! The state that the threads of one round share: open collections, writes in progress, and
//! violations.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::{Duration, Instant};

use parking_lot::{Mutex, RwLock};
use vectrove::{Collection, CollectionStats, Database, Residency};

use super::kind::Kind;
use super::progress::Progress;
use super::shapes::{CHURN_WEIGHT, SHAPES};
use super::twin::Lifetime;
use crate::rng::Rng;

/// Violations after which the campaign stops.
const MOST_VIOLATIONS: usize = 20;
/// Time after the last exact vector was loaded in which questions are still drawn as if loading
/// went on.
const GRACE: Duration = Duration::from_millis(200);
/// Longest wait for loading.
const MOST_LOADING: Duration = Duration::from_secs(4);

/// A collection of the open database, and its twin.
#[derive(Clone)]
pub(super) struct Site {
    pub(super) lifetime: Arc<Lifetime>,
    pub(super) collection: Collection,
}

/// The state that the threads of one round share.
pub(super) struct Round<'c> {
    pub(super) number: u64,
    pub(super) db: Database,
    /// The fixed collections, in the order of [`SHAPES`].
    pub(super) fixed: Vec<Site>,
    /// The collection that comes and goes, while it is there.
    pub(super) churn: RwLock<Option<Site>>,
    pub(super) progress: Progress,
    pub(super) kinds: &'c [Kind],
    /// Whether exact vectors are in memory or mapped wherever a collection is configured so.
    pub(super) holds_vectors: bool,
    pub(super) is_over: AtomicBool,
    pub(super) findings: &'c Findings,
    /// One count for each thread, raised with each of its actions.
    pub(super) beats: Vec<AtomicU64>,
    pub(super) began: Instant,
    pub(super) loading: AtomicBool,
}

/// Violations and counts of the whole campaign.
pub(super) struct Findings {
    pub(super) seed: u64,
    began: Instant,
    n_violations: AtomicU64,
    pub(super) n_commits: AtomicU64,
    pub(super) n_copies: AtomicU64,
    /// Answers of each kind.
    answers: Mutex<BTreeMap<Kind, u64>>,
    /// Wrong answers of each kind.
    wrong: Mutex<BTreeMap<Kind, u64>>,
}

impl Round<'_> {
    pub(super) fn is_over(&self) -> bool {
        self.is_over.load(Ordering::Relaxed) || self.findings.is_enough()
    }

    pub(super) fn beat(&self, thread: usize) {
        self.beats[thread].fetch_add(1, Ordering::Relaxed);
    }

    /// Whether exact vectors of the large collection are being loaded, or were a moment ago.
    pub(super) fn is_loading(&self) -> bool {
        self.loading.load(Ordering::Relaxed)
    }

    /// Watches whether exact vectors are being loaded, until all are in place.
    pub(super) fn watch_loading(&self) {
        let has_begun = |stats: &CollectionStats| stats.residency != Residency::Disk;
        let name = self.large().collection.name();
        let mut loaded = None;
        while self.asks_large() && self.began.elapsed() < MOST_LOADING && !self.is_over() {
            let stats = self.db.stats().map(|stats| stats.collections).unwrap_or_default();
            let Some(large) = stats.into_iter().find(|stats| stats.name == name).filter(has_begun) else { break };
            if large.n_vectors_loaded >= large.n_documents {
                let since: &Instant = loaded.get_or_insert_with(Instant::now);
                if since.elapsed() > GRACE {
                    break;
                }
            }
            std::thread::sleep(Duration::from_millis(20));
        }
        self.loading.store(false, Ordering::Relaxed);
    }

    /// Whether the campaign asks only about loading.
    pub(super) fn is_of_loading(&self) -> bool {
        self.kinds == [Kind::Loading]
    }

    /// Whether the large collection has documents.
    pub(super) fn asks_large(&self) -> bool {
        self.kinds.contains(&Kind::Loading)
    }

    /// The large collection.
    pub(super) fn large(&self) -> &Site {
        &self.fixed[SHAPES.len() - 1]
    }

    /// Draws a collection; `None` for the one that comes and goes while it is absent. While exact
    /// vectors are loaded, `of_loading` percent of the draws give the large collection.
    pub(super) fn draw_site(&self, rng: &mut Rng, of_loading: u64) -> Option<Site> {
        let percent = if self.is_loading() { of_loading } else { 1 };
        if self.is_of_loading() || (self.asks_large() && self.holds_vectors && rng.chance(percent)) {
            return Some(self.large().clone());
        }
        let shapes = &SHAPES[..SHAPES.len() - 1];
        let mut left = rng.below(shapes.iter().map(|shape| shape.weight).sum::<u64>() + CHURN_WEIGHT);
        for (shape, site) in shapes.iter().zip(&self.fixed) {
            match left.checked_sub(shape.weight) {
                Some(rest) => left = rest,
                None => return Some(site.clone()),
            }
        }
        self.churn.read().clone()
    }

    /// Prints a violation that belongs to no question.
    pub(super) fn violation(&self, text: &str) {
        self.findings.violation(&format!("round {}: {text}", self.number));
    }
}

impl Findings {
    pub(super) fn new(seed: u64) -> Self {
        Findings {
            seed,
            began: Instant::now(),
            n_violations: AtomicU64::new(0),
            n_commits: AtomicU64::new(0),
            n_copies: AtomicU64::new(0),
            answers: Mutex::default(),
            wrong: Mutex::default(),
        }
    }

    pub(super) fn violation(&self, text: &str) {
        if self.n_violations.fetch_add(1, Ordering::SeqCst) < MOST_VIOLATIONS as u64 {
            let seconds = self.began.elapsed().as_secs_f64();
            eprintln!("VIOLATION after {seconds:.1} s: seed {}, {text}", self.seed);
        }
    }

    pub(super) fn wrong(&self, kind: Kind, text: &str) {
        *self.wrong.lock().entry(kind).or_default() += 1;
        self.violation(text);
    }

    pub(super) fn n_violations(&self) -> usize {
        self.n_violations.load(Ordering::SeqCst) as usize
    }

    pub(super) fn is_enough(&self) -> bool {
        self.n_violations() >= MOST_VIOLATIONS
    }

    pub(super) fn count(&self, counts: &BTreeMap<Kind, u64>) {
        let mut answers = self.answers.lock();
        counts.iter().for_each(|(kind, n)| *answers.entry(*kind).or_default() += n);
    }

    pub(super) fn n_answers(&self) -> u64 {
        self.answers.lock().values().sum()
    }

    /// Prints how often each kind of question was answered, and how often wrongly. Returns the
    /// kinds that never were.
    pub(super) fn print_table(&self, kinds: &[Kind]) -> Vec<&'static str> {
        let (answers, wrong) = (self.answers.lock(), self.wrong.lock());
        for kind in kinds {
            let of = |counts: &BTreeMap<Kind, u64>| counts.get(kind).copied().unwrap_or_default();
            let (n, n_wrong) = (of(&answers), of(&wrong));
            eprintln!("history: {:>10} {:>12} answers, {n_wrong} wrong", kind.name(), crate::report::grouped(n));
        }
        kinds.iter().filter(|kind| !answers.contains_key(kind)).map(|kind| kind.name()).collect()
    }
}
