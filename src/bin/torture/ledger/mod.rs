//! The ledger: acknowledged and possible operations. It turns the worker's lines into the state
//! that must be found.
//!
//! After each line, the state is exact except for operations that were tried and never answered.
//! Once the database has been read, [`Ledger::settle`] decides for each of these whether it
//! happened, wholly or not at all, and compares all content.

mod settle;

use std::collections::{BTreeMap, HashSet};
use std::time::Instant;

use vectrove::{ErrorKind, Outcome};

use crate::deed::{Deed, Profile, Step};
use crate::line::{Line, Linked};
use crate::state::{Effect, State, UNSEEN};
use crate::world::{FIXED, Spot, Stamp, fixed_config};

/// The answers that are valid besides acknowledgements.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Terms {
    /// Writes may be refused at any time, because the disk is full or gone.
    pub(crate) may_refuse: bool,
    /// Power may be lost: writes that were applied but not durable may be gone.
    pub(crate) power: bool,
    /// Each acknowledged commit is kept, so that the state is known as of any of them.
    pub(crate) keeps_history: bool,
}

pub(crate) struct Ledger {
    profile: Profile,
    seed: u64,
    terms: Terms,
    pub(crate) state: State,
    pending: BTreeMap<Stamp, Pending>,
    /// The commit at which operations began; `None` until a worker was first ready.
    base: Option<u64>,
    /// The last commit that must be found.
    commit: u64,
    /// Further commits that pending operations on collections may have made.
    slack: u64,
    seen: HashSet<u64>,
    refused_strays: HashSet<u64>,
    pub(crate) history: Vec<Entry>,
    /// Progress of linking in each permanent collection, as of some commits of the current run.
    pub(crate) linked: Vec<(u64, Vec<Linked>)>,
    pub(crate) n_acknowledged: u64,
    pub(crate) violations: Vec<String>,
}

/// An operation without an answer yet.
#[derive(Debug, Clone, Copy)]
struct Pending {
    read: u64,
    /// The commit that it made in an earlier run, as was found; it is being tried again.
    made: Option<u64>,
}

/// An acknowledged operation.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Entry {
    pub(crate) commit: u64,
    pub(crate) stamp: Stamp,
    pub(crate) read: u64,
    pub(crate) at: Instant,
}

/// An operation to be tried again. It has an operation id, so a second try must be harmless.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Retry {
    pub(crate) stamp: Stamp,
    pub(crate) read: u64,
    /// The commit that it made, if one was found.
    pub(crate) made: Option<u64>,
}

impl Ledger {
    pub(crate) fn new(profile: Profile, seed: u64, terms: Terms) -> Self {
        Ledger {
            profile,
            seed,
            terms,
            state: State::default(),
            pending: BTreeMap::new(),
            base: None,
            commit: 0,
            slack: 0,
            seen: HashSet::new(),
            refused_strays: HashSet::new(),
            history: Vec::new(),
            linked: Vec::new(),
            n_acknowledged: 0,
            violations: Vec::new(),
        }
    }

    pub(crate) fn seed(&self) -> u64 {
        self.seed
    }

    /// The commit at which operations began.
    pub(crate) fn base(&self) -> u64 {
        self.base.unwrap_or(0)
    }

    /// The last commit that must be found.
    pub(crate) fn commit(&self) -> u64 {
        self.commit
    }

    /// Expects the next run to try these operations again.
    pub(crate) fn expect_retries(&mut self, retries: &[Retry]) {
        let pending = |retry: &Retry| (retry.stamp, Pending { read: retry.read, made: retry.made });
        self.pending.extend(retries.iter().map(pending));
    }

    pub(crate) fn violation(&mut self, text: String) {
        eprintln!("VIOLATION: {text}");
        self.violations.push(text);
    }

    /// Records one line.
    pub(crate) fn take(&mut self, line: Line) {
        match line {
            Line::Ready { commit } => self.ready(commit),
            Line::Intent { stamp, read } => {
                self.pending.entry(stamp).or_insert(Pending { read, made: None });
            }
            Line::Done { stamp, commit, n_changed, repeated } => self.done(stamp, commit, n_changed, repeated),
            Line::Failed { stamp, outcome, kind, commit, message } => match outcome {
                Outcome::NotApplied => self.refused(stamp, &kind, &message),
                Outcome::NotDurable if !self.terms.power => {
                    eprintln!("{stamp:?} is applied but not durable: {message}");
                    self.applied(stamp, commit);
                }
                _ if self.terms.may_refuse => {}
                outcome => self.violation(format!("{stamp:?}: {outcome} without cause: {message}")),
            },
            Line::Fault(text) => self.violation(format!("seen by the worker: {text}")),
            Line::Linked { commit, collections } => self.linked.push((commit, collections)),
            Line::Closed => {}
        }
    }

    /// Number of vectors that operations put, or may have put, into a collection after a commit.
    pub(crate) fn n_puts_after(&self, commit: u64, collection: &str) -> usize {
        let later = self.history.iter().filter(|entry| entry.commit > commit).map(|entry| entry.stamp);
        let deeds = later.chain(self.pending.keys().copied()).map(|stamp| self.deed(stamp));
        let puts = |step: &&Step| step.spot.collection == collection && step.change.puts_vector();
        deeds.map(|deed| deed.steps().iter().filter(puts).count()).sum()
    }

    /// Whether an unanswered operation of the last run may have changed a document.
    pub(crate) fn is_unanswered(&self, spot: &Spot) -> bool {
        let concerns = |stamp: &Stamp| match self.deed(*stamp) {
            Deed::DeleteWhere { .. } => true,
            deed => deed.steps().iter().any(|step| step.spot == *spot),
        };
        self.pending.keys().any(concerns)
    }

    fn ready(&mut self, commit: u64) {
        self.linked.clear();
        // An operation that an earlier run left unanswered may have happened.
        let unanswered = self.pending.values().any(|pending| pending.made.is_none());
        if self.base.is_none() {
            self.state.collections.extend(FIXED.map(|name| (name, fixed_config(name))));
            (self.base, self.commit) = (Some(commit), commit);
        } else if commit < self.commit || (commit > self.commit && !unanswered) {
            self.violation(format!("opened at commit {commit}, expected {}", self.commit));
        }
    }

    fn deed(&self, stamp: Stamp) -> Deed {
        Deed::draw(self.profile, self.seed, stamp)
    }

    fn done(&mut self, stamp: Stamp, commit: u64, n_changed: usize, repeated: bool) {
        let Some(pending) = self.pending.get(&stamp).copied() else {
            return self.violation(format!("{stamp:?} was acknowledged but never tried"));
        };
        if repeated || pending.made.is_some() {
            let made = pending.made;
            if !repeated || ![Some(commit), Some(UNSEEN)].contains(&made) {
                self.violation(format!("{stamp:?} tried again: it made {made:?}, got {commit}, repeated {repeated}"));
            }
            self.pending.remove(&stamp);
            return;
        }
        let deed = self.deed(stamp);
        match self.state.plan(&deed, stamp.code(), pending.read, commit) {
            Ok(effect) if effect.n_changed == n_changed => {}
            Ok(effect) => {
                let expected = effect.n_changed;
                self.violation(format!("{stamp:?} {deed:?}: expected {expected} changed, got {n_changed}"));
            }
            Err(kind) => {
                self.violation(format!("{stamp:?} {deed:?}: expected to be refused as {kind:?}, got {commit}"));
            }
        }
        self.applied(stamp, commit);
    }

    /// Applies an operation that made this commit.
    fn applied(&mut self, stamp: Stamp, commit: u64) {
        let Some(Pending { read, .. }) = self.pending.remove(&stamp) else { return };
        let deed = self.deed(stamp);
        let Ok(effect) = self.state.plan(&deed, stamp.code(), read, commit) else { return };
        self.n_acknowledged += u64::from(effect.n_changed > 0 || effect.collection.is_some());
        self.count(&effect, commit, stamp);
        self.state.apply(&effect);
        if self.terms.keeps_history && effect.n_changed > 0 {
            self.history.push(Entry { commit, stamp, read, at: Instant::now() });
        }
    }

    /// Counts the commits of an operation.
    fn count(&mut self, effect: &Effect, commit: u64, stamp: Stamp) {
        let n_commits = n_commits(effect);
        self.commit += n_commits;
        if n_commits == 1 && !self.seen.insert(commit) {
            self.violation(format!("commit {commit} of {stamp:?} was given out before"));
        }
    }

    fn refused(&mut self, stamp: Stamp, kind: &str, message: &str) {
        let Some(pending) = self.pending.remove(&stamp) else {
            return self.violation(format!("{stamp:?} was refused but never tried"));
        };
        let deed = self.deed(stamp);
        let stray = deed.steps().iter().any(|step| step.is_stray());
        if stray {
            self.refused_strays.insert(stamp.code());
        }
        let is = |expected: ErrorKind| kind == format!("{expected:?}");
        let expected = match self.state.plan(&deed, stamp.code(), pending.read, 0) {
            _ if pending.made.is_some() => None,
            Ok(_) if stray && is(ErrorKind::NotFound) => return,
            Ok(_) => None,
            Err(expected) => Some(expected),
        };
        let for_want_of_disk = is(ErrorKind::Unavailable) || (self.terms.power && is(ErrorKind::Internal));
        if !(expected.is_some_and(is) || (self.terms.may_refuse && for_want_of_disk)) {
            self.violation(format!("{stamp:?} {deed:?}: expected {expected:?}, was refused: {kind} {message}"));
        }
    }
}

/// Number of commits of an operation: two for creating or dropping a collection.
fn n_commits(effect: &Effect) -> u64 {
    match effect.collection {
        Some(_) => 2,
        None => u64::from(effect.n_changed > 0),
    }
}
