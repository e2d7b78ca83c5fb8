//! Checks of a database right after its open.

use vectrove::{Database, Result, Strategy, limits::MAX_EF};

use crate::deed::Profile;
use crate::inspect::{distance, room};
use crate::ledger::Ledger;
use crate::rng::Rng;
use crate::walks::is_close;
use crate::world::{FIXED, fixed_config};

/// Number of newest documents that must find themselves.
const N_NEWEST: usize = 300;
const N_OTHERS: u64 = 300;

/// Searches for documents by their own vectors, the newest first. The first hit must be the
/// document itself, or one as near.
pub(super) fn find_selves(db: &Database, ledger: &mut Ledger, rng: &mut Rng) -> Result<()> {
    let docs = ledger.state.docs.iter().filter(|(spot, _)| !ledger.is_unanswered(spot));
    let mut docs: Vec<_> = docs.map(|(spot, doc)| (*spot, *doc)).collect();
    docs.sort_by_key(|(_, doc)| std::cmp::Reverse(doc.version));
    let n_docs = docs.len();
    let others: Vec<_> = (0..N_OTHERS.min(n_docs as u64)).map(|_| docs[rng.below(n_docs as u64) as usize]).collect();
    docs.truncate(N_NEWEST);
    for (spot, doc) in docs.into_iter().chain(others) {
        let config = fixed_config(spot.collection);
        let vector = doc.content(&spot, config.dimension, Profile::Freeze.text_bytes()).vector;
        let room = room(&db.collection(spot.collection)?, spot.namespace)?;
        let own = distance(&config, &vector, &vector);
        let search = room.search(&vector).limit(1).with_document(false);
        let hits = if rng.chance(70) { search.strategy(Strategy::Graph).ef(MAX_EF).run()? } else { search.run()? };
        // Under the inner product other documents may be nearer.
        let is_found = hits.first().is_some_and(|hit| is_close(hit.distance, own) || f64::from(hit.distance) < own);
        if !is_found {
            ledger.violation(format!("{spot:?} {doc:?}: expected itself at {own}, found {hits:?}"));
        }
    }
    Ok(())
}

/// Compares the documents that an open left to link with those that may not have been written.
/// Returns their number.
///
/// The worker looked at each collection from time to time. Let L be the last look that was followed
/// by a look at which a delta was seen. Deltas have no gaps, so all documents that had left the
/// tail by L were in this delta or an earlier one. So at most the documents that waited at L, and
/// those put since, may wait. Without such a look, all documents may.
pub(super) fn check_waiting(db: &Database, ledger: &mut Ledger) -> Result<u64> {
    let (mut n_waiting, stats) = (0, db.stats()?);
    for (at, name) in FIXED.iter().enumerate() {
        let Some(stats) = stats.collections.iter().find(|stats| stats.name == *name) else { continue };
        let looks: Vec<_> = ledger.linked.iter().filter_map(|(commit, all)| Some((*commit, *all.get(at)?))).collect();
        let last = looks.last().map_or(0, |(_, look)| look.n_deltas);
        let counts =
            |pair: &&[(u64, _)]| matches!(pair, [_, (_, crate::line::Linked { n_deltas, .. })] if *n_deltas < last);
        let look = looks.windows(2).rev().find(counts).map(|pair| pair[0]);
        let most = look
            .map_or(stats.n_documents, |(commit, look)| look.n_waiting as usize + ledger.n_puts_after(commit, name));
        eprintln!("freeze: {name}: {} documents, {:?}, at most {most} may wait", stats.n_documents, stats.opening);
        if stats.opening.n_waiting > most {
            ledger.violation(format!("{name}: at most {most} documents may wait at open, but {:?}", stats.opening));
        }
        n_waiting += stats.opening.n_waiting as u64;
    }
    Ok(n_waiting)
}
