//! Writers: threads that change documents, and record what each commit did.
//!
//! A record holds the writes of one commit. The twin computes their effect by replaying commits in
//! order. A refused call is not recorded, so it must have no effect.

use std::sync::Arc;
use std::time::Duration;

use vectrove::{Error, Receipt, Result};

use super::condition::Condition;
use super::document::{Content, Facts, TAGS, draw_number};
use super::draft::{Draft, place};

use super::round::{Round, Site};
use super::twin::{Effect, Entry, NAMESPACES, Patch, Step};
use crate::rng::Rng;

/// One writer.
pub(super) struct Writer<'r> {
    pub(super) round: &'r Round<'r>,
    pub(super) thread: usize,
    pub(super) rng: Rng,
}

impl<'r> Writer<'r> {
    pub(super) fn new(round: &'r Round<'r>, thread: usize) -> Self {
        let rng = Rng::of(&[round.findings.seed, round.number, thread as u64, 1]);
        Writer { round, thread, rng }
    }

    /// Writes until the round is over.
    pub(super) fn run(mut self) {
        while !self.round.is_over() {
            self.round.beat(self.thread);
            if let Some(site) = self.round.draw_site(&mut self.rng, 15) {
                self.write(&site);
            }
            let pause = if self.round.is_of_loading() { 20_000 } else { 4_000 };
            std::thread::sleep(Duration::from_micros(self.rng.below(pause)));
        }
    }

    fn write(&mut self, site: &Site) {
        let inhabited = site.lifetime.inhabited();
        let Some(namespace) = self.rng.pick_some(&inhabited) else { return };
        if site.lifetime.is_large() {
            return self.replace_some(site, namespace);
        }
        match self.rng.below(100) {
            0..55 => self.mix(site),
            55..63 => self.fill(site, namespace),
            63..70 => {
                let condition = Condition::draw_filter(&mut self.rng);
                self.delete_where(site, namespace, condition);
            }
            70..80 => self.delete_half(site, namespace),
            _ => {
                let content = Content::draw(&mut self.rng, site.lifetime.config.dimension);
                let index = self.draw_index(site, namespace);
                let _begun = self.round.progress.begin(self.thread);
                let receipt = place(site, namespace).and_then(|place| place.insert(content.document(index)));
                self.record(receipt, vec![(site.clone(), vec![Draft::Put { namespace, index, content }])]);
            }
        }
    }

    fn draw_index(&mut self, site: &Site, namespace: usize) -> u32 {
        self.rng.below(u64::from(site.lifetime.capacity(namespace)).max(1)) as u32
    }

    /// Commits several writes to some namespaces in one batch, now and then of two collections.
    fn mix(&mut self, site: &Site) {
        let mut sites = vec![site.clone()];
        if self.rng.chance(20) {
            let other = self.round.draw_site(&mut self.rng, 0).filter(|other| !other.lifetime.is_large());
            sites.extend(other.filter(|other| other.lifetime.number != site.lifetime.number));
        }
        let mut writes = Vec::new();
        for site in sites {
            let inhabited = site.lifetime.inhabited();
            let mut drafts = Vec::new();
            for _ in 0..self.rng.between(1, 8) {
                let Some(namespace) = self.rng.pick_some(&inhabited) else { break };
                drafts.push(self.draw_draft(&site, namespace));
            }
            writes.push((site, drafts));
        }
        self.commit(writes);
    }

    fn draw_draft(&mut self, site: &Site, namespace: usize) -> Draft {
        let (index, dimension) = (self.draw_index(site, namespace), site.lifetime.config.dimension);
        match self.rng.below(100) {
            0..60 => Draft::Put { namespace, index, content: Content::draw(&mut self.rng, dimension) },
            60..85 => Draft::Other(Effect::Delete { namespace, index }),
            _ => {
                let patch = Arc::new(self.draw_patch(dimension));
                Draft::Other(Effect::Update { namespace, index, patch })
            }
        }
    }

    fn draw_patch(&mut self, dimension: usize) -> Patch {
        let rng = &mut self.rng;
        let content = Content::draw(rng, dimension);
        let tag = rng.below(TAGS.len() as u64) as u8;
        match rng.below(5) {
            0 => Patch { vector: Some(content.vector), ..Patch::default() },
            1 => Patch { words: Some(content.words), ..Patch::default() },
            2 => Patch { metadata: Some(Step::Merge { tag, n: draw_number(rng) }), ..Patch::default() },
            3 => Patch { metadata: Some(Step::RemoveTag), words: Some(content.words), ..Patch::default() },
            _ => Patch { metadata: Some(Step::Replace(Facts::draw(rng))), vector: Some(content.vector), words: None },
        }
    }

    /// Puts a third of a namespace's documents in one commit.
    pub(super) fn fill(&mut self, site: &Site, namespace: usize) {
        let (capacity, dimension) = (site.lifetime.capacity(namespace), site.lifetime.config.dimension);
        let from = self.rng.below(3) as usize;
        let mut put = |index: u32| {
            let content = Content::draw(&mut self.rng, dimension);
            Draft::Put { namespace, index, content }
        };
        let drafts: Vec<Draft> = (0..capacity).skip(from).step_by(3).map(&mut put).collect();
        self.commit(vec![(site.clone(), drafts)]);
    }

    /// Deletes half of a namespace in one commit, and often inserts other documents right after.
    fn delete_half(&mut self, site: &Site, namespace: usize) {
        let (capacity, from) = (site.lifetime.capacity(namespace), self.rng.below(2) as usize);
        let indexes: Vec<u32> = (0..capacity).skip(from).step_by(2).collect();
        let delete = |index: &u32| Draft::Other(Effect::Delete { namespace, index: *index });
        self.commit(vec![(site.clone(), indexes.iter().map(delete).collect())]);
        if self.rng.chance(60) {
            self.fill(site, namespace);
        }
    }

    /// Puts all documents of a namespace that has many.
    pub(super) fn fill_large(&mut self, site: &Site) {
        const AT_ONCE: usize = 2_000;
        let (capacity, dimension) = (site.lifetime.capacity(0), site.lifetime.config.dimension);
        let indexes: Vec<u32> = (0..capacity).collect();
        for some in indexes.chunks(AT_ONCE) {
            let put = |index: &u32| {
                let content = Content::draw_small(&mut self.rng, dimension);
                Draft::Put { namespace: 0, index: *index, content }
            };
            let drafts = some.iter().map(put).collect();
            self.commit(vec![(site.clone(), drafts)]);
        }
    }

    /// Replaces or deletes some of many documents. While exact vectors are loaded, most writes are
    /// deletes: the thread that loads them also links, and deletes leave nothing to link.
    fn replace_some(&mut self, site: &Site, namespace: usize) {
        let (capacity, dimension) = (u64::from(site.lifetime.capacity(namespace)), site.lifetime.config.dimension);
        let (percent, most) = if self.round.is_loading() { (85, 40) } else { (5, 60) };
        let n = self.rng.between(1, most);
        let first = self.rng.below(capacity - n);
        let deletes = self.rng.chance(percent);
        let draft = |index: u64| {
            let index = index as u32;
            if deletes {
                return Draft::Other(Effect::Delete { namespace, index });
            }
            let content = Content::draw_small(&mut self.rng, dimension);
            Draft::Put { namespace, index, content }
        };
        let drafts = (first..first + n).map(draft).collect();
        self.commit(vec![(site.clone(), drafts)]);
    }

    /// Deletes all documents that match.
    pub(super) fn delete_where(&mut self, site: &Site, namespace: usize, condition: Condition) {
        let round = self.round;
        let _begun = round.progress.begin(self.thread);
        let receipt = match (namespace, condition.is_everything()) {
            (1.., true) => site.collection.drop_namespace(NAMESPACES[namespace]),
            _ => place(site, namespace).and_then(|place| place.delete_where(condition.filter())),
        };
        let effect = Effect::DeleteWhere { namespace, condition };
        self.record(receipt, vec![(site.clone(), vec![Draft::Other(effect)])]);
    }

    /// Commits some writes to one collection or several, all or none.
    pub(super) fn commit(&mut self, writes: Vec<(Site, Vec<Draft>)>) {
        let round = self.round;
        let _begun = round.progress.begin(self.thread);
        let mut batch = round.db.batch();
        for (site, drafts) in &writes {
            for draft in drafts {
                if let Err(error) = draft.add(&mut batch, site) {
                    return self.refused(&error, &writes);
                }
            }
        }
        self.record(batch.commit(), writes);
    }

    /// Records the writes of a commit.
    fn record(&self, receipt: Result<Receipt>, writes: Vec<(Site, Vec<Draft>)>) {
        let receipt = match receipt {
            Ok(receipt) => receipt,
            Err(error) => return self.refused(&error, &writes),
        };
        if receipt.n_changed == 0 {
            return;
        }
        self.round.findings.n_commits.fetch_add(1, std::sync::atomic::Ordering::Relaxed);
        let (commit, is_alone) = (receipt.commit.0, writes.len() == 1);
        for (site, drafts) in writes {
            let effects = drafts.into_iter().map(|draft| draft.effect(commit)).collect();
            site.lifetime.record(Entry { commit, effects, n_changed: is_alone.then_some(receipt.n_changed) });
        }
    }

    /// Reports a write that should not have been refused.
    fn refused(&self, error: &Error, writes: &[(Site, Vec<Draft>)]) {
        let is_dropping = writes.iter().any(|(site, _)| site.lifetime.is_dropping());
        let updates = |draft: &Draft| matches!(draft, Draft::Other(Effect::Update { .. }));
        let is_legitimate = match inner(error) {
            Error::DocumentNotFound { .. } => writes.iter().any(|(_, drafts)| drafts.iter().any(updates)),
            Error::CollectionNotFound { .. } => is_dropping,
            Error::MemoryLimit { .. } | Error::ReadOnly { .. } | Error::DocumentExists { .. } => true,
            _ => false,
        };
        if !is_legitimate {
            self.round.violation(&format!("a write was refused: {error}"));
        }
    }
}

/// The error of the operation that was refused.
fn inner(error: &Error) -> &Error {
    match error {
        Error::InBatch { source, .. } => inner(source),
        other => other,
    }
}
