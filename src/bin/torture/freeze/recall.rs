//! Recall of a graph, and of the same graph rebuilt.

use std::collections::HashSet;

use vectrove::{Collection, DocId, Hits, Namespace, Result, Strategy};

use super::N_QUERIES;
use crate::inspect::{Found, RoomCheck};
use crate::rng::Rng;
use crate::world::NAMESPACES;

/// True neighbours of each query.
const N_NEAREST: usize = 10;
/// A narrow beam, so that a worse graph shows.
const EF: usize = 10;

/// Recall of a collection's graph as found, and after a rebuild.
#[derive(Debug, Clone, Copy)]
pub(super) struct Recall {
    pub(super) before: f64,
    pub(super) anew: f64,
}

impl Recall {
    /// Measures over all namespaces with the same queries, before and after a rebuild of the graph.
    pub(super) fn measure(collection: &Collection, found: &Found, rng: &mut Rng) -> Result<Self> {
        let mut asked = Vec::new();
        for number in 0..N_QUERIES {
            let namespace = NAMESPACES[number as usize % NAMESPACES.len()];
            let check = RoomCheck::of((collection, &collection.name(), namespace), collection.config(), found)?;
            let query: Vec<f32> = (0..collection.config().dimension).map(|_| rng.component()).collect();
            asked.push((check.room, query));
        }
        let before = recall(&asked)?;
        collection.rebuild_index()?;
        Ok(Recall { before, anew: recall(&asked)? })
    }
}

fn recall(asked: &[(Namespace, Vec<f32>)]) -> Result<f64> {
    let (mut n_found, mut n_all) = (0, 0);
    for (room, query) in asked {
        let nearest = ids(room.search(query).limit(N_NEAREST).exact(true).run()?);
        let walked = ids(room.search(query).limit(N_NEAREST).strategy(Strategy::Graph).ef(EF).run()?);
        n_found += nearest.intersection(&walked).count();
        n_all += nearest.len();
    }
    Ok(if n_all == 0 { 1.0 } else { n_found as f64 / n_all as f64 })
}

fn ids(hits: Hits) -> HashSet<DocId> {
    hits.into_iter().map(|hit| hit.id).collect()
}
