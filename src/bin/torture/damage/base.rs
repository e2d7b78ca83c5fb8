//! The database that trials damage. Several runs of a worker write it, and are closed or killed, so
//! that the content at each commit is known.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::time::Duration;

use super::superblock;
use crate::child::{End, Start};
use crate::deed::{Deed, Profile};
use crate::inspect::{digest_of_collection, digest_of_parts};
use crate::ledger::{Ledger, Terms};
use crate::opening::Opening;
use crate::rng::{Rng, mix};
use crate::state::{Doc, State};
use crate::world::{FIXED, Spot, fixed_config};
use crate::{Outcome, folder};

pub(super) struct Base {
    /// The folder to copy and damage.
    pub(super) folder: PathBuf,
    /// A copy of it from an earlier time.
    pub(super) older: PathBuf,
    /// The digest of all content at each commit.
    pub(super) digests: BTreeMap<u64, u64>,
    pub(super) violations: Vec<String>,
}

/// Writes a database. The same seed gives the same one, apart from effects of the clock.
pub(super) fn lay(folder: &Path, seed: u64) -> Outcome<Base> {
    folder::remove(folder)?;
    let terms = Terms { keeps_history: true, ..Terms::default() };
    let mut ledger = Ledger::new(Profile::Lay, mix(&[seed, 1]), terms);
    let mut rng = Rng::of(&[seed]);
    let (n_stages, retention) = (rng.between(2, 6), rng.pick(&[0, 60, 1_000]));
    let mason =
        Mason { db: folder.join("base"), older: folder.join("older"), copies: folder.join("copies"), retention };
    let lingering = if rng.chance(35) { rng.below(n_stages) } else { n_stages };
    for stage in 0..n_stages {
        ledger = mason.lay_stage(ledger, stage, stage == lingering, &mut rng)?;
        let last = stage + 1 == n_stages;
        if !last && (stage == 0 || rng.chance(50)) {
            mason.copy_older()?;
        }
    }
    let Mason { db, older, .. } = mason;
    Ok(Base { digests: digests(&ledger), folder: db, older, violations: ledger.violations })
}

/// The writer of one stage after the other.
struct Mason {
    db: PathBuf,
    older: PathBuf,
    copies: PathBuf,
    retention: u64,
}

impl Mason {
    fn lay_stage(&self, ledger: Ledger, stage: u64, lingers: bool, rng: &mut Rng) -> Outcome<Ledger> {
        let mut start = Start::new(Profile::Lay, &self.db, ledger.seed(), stage as u32)?
            .set("operations", if lingers { 420 } else { rng.between(20, 160) })
            .set("retention", self.retention)
            .set("durability", rng.pick(&["sync", "sync", "wal"]))
            .set("checkpoints", self.copies.display());
        start = Opening::draw(rng).tell(start);
        // The first stage is closed, so that all collections exist for certain.
        if stage > 0 && rng.chance(60) {
            start = start.set("end", "killed");
        }
        if lingers {
            start = start.set("linger", 1);
        }
        let mut worker = start.spawn(ledger)?;
        if stage > 0 && rng.chance(60) {
            // The older files are those of this stage, as a kill in its midst would leave them.
            let enough = rng.below(60);
            worker.wait_until(Duration::from_secs(50), |progress| progress.n_done() >= enough);
            worker.while_stopped(|| self.copy_older())?;
        }
        worker.wait_until(Duration::from_secs(50), |_| false);
        worker.kill();
        let (ledger, end) = worker.finish()?;
        if end == Some(End::Killed { was_ready: false }) {
            return Err(format!("stage {stage} of a database never began"));
        }
        Ok(ledger)
    }

    fn copy_older(&self) -> Outcome<()> {
        folder::remove(&self.older)?;
        folder::copy(&self.db, &self.older)
    }
}

impl Base {
    pub(super) fn last(&self) -> u64 {
        self.digests.last_key_value().map_or(0, |(commit, _)| *commit)
    }

    /// The commit that was durable when the folder was left.
    pub(super) fn durable(&self) -> Outcome<u64> {
        let bytes = std::fs::read(self.folder.join("superblock")).map_err(|error| error.to_string())?;
        superblock::durable(&bytes).ok_or_else(|| "the base has no whole superblock".to_owned())
    }
}

/// The digest of all content at each commit, computed from the acknowledgements.
fn digests(ledger: &Ledger) -> BTreeMap<u64, u64> {
    let mut state = State::default();
    let mut digest = 0u64;
    for name in FIXED {
        state.collections.insert(name, fixed_config(name));
        digest = digest.wrapping_add(digest_of_collection(name, &fixed_config(name)));
    }
    let mut digests = BTreeMap::from([(ledger.base(), digest)]);
    for entry in &ledger.history {
        let deed = Deed::draw(Profile::Lay, ledger.seed(), entry.stamp);
        let Ok(effect) = state.plan(&deed, entry.stamp.code(), entry.read, entry.commit) else { continue };
        for (spot, doc) in &effect.docs {
            let of = |doc: Option<&Doc>| doc.map_or(0, |doc| digest_of_doc(spot, doc));
            digest = digest.wrapping_sub(of(state.docs.get(spot))).wrapping_add(of(doc.as_ref()));
        }
        state.apply(&effect);
        digests.insert(entry.commit, digest);
    }
    digests
}

/// The digest of one expected document.
pub(super) fn digest_of_doc(spot: &Spot, doc: &Doc) -> u64 {
    let content = doc.content(spot, fixed_config(spot.collection).dimension, Profile::Lay.text_bytes());
    let parts = (content.vector.as_slice(), &content.metadata, content.text.as_deref());
    digest_of_parts((spot.collection, spot.namespace), &spot.id(), parts, doc.version)
}
