//! The reader beside the writer: a second, read-only handle of the same folder, which refreshes to
//! later commits.
//!
//! Each of its answers belongs to the commit that its last refresh returned.

use std::path::Path;
use std::time::{Duration, Instant};

use vectrove::{Database, ErrorKind, Options};

use super::readers::Reader;
use super::round::{Round, Site};
use super::shapes::{CHURN, SHAPES, is_life};

/// The time between two refreshes.
const PAUSE: Duration = Duration::from_millis(1_200);

/// Asks until the round is over.
pub(super) fn run(round: &Round<'_>, thread: usize, path: &Path) {
    if round.is_of_loading() {
        return rest(round, thread);
    }
    let mut reader = Reader::new(round, thread);
    let opened = Database::open_with(path, Options::new().read_only(true).memory_bytes(8 << 20));
    let db = match opened {
        Ok(db) => db,
        Err(error) => return round.violation(&format!("opening beside the writer: {error}")),
    };
    while !round.is_over() {
        round.beat(thread);
        let commit = match db.refresh() {
            Ok(commit) => commit.0,
            Err(error) => return round.violation(&format!("refreshing beside the writer: {error}")),
        };
        round.progress.wait();
        let (sites, began) = (sites(round, &db), Instant::now());
        while began.elapsed() < PAUSE && !round.is_over() {
            round.beat(thread);
            let place = reader.rng().below(sites.len().max(1) as u64) as usize;
            sites.get(place).into_iter().for_each(|site| reader.ask_some(site, Some(commit)));
        }
    }
    if let Err(error) = db.close() {
        round.violation(&format!("closing beside the writer: {error}"));
    }
}

/// Does nothing until the round is over.
pub(super) fn rest(round: &Round<'_>, thread: usize) {
    while !round.is_over() {
        round.beat(thread);
        std::thread::sleep(Duration::from_millis(20));
    }
}

/// The collections as seen beside the writer, each with its twin.
pub(super) fn sites(round: &Round<'_>, db: &Database) -> Vec<Site> {
    let mut sites = Vec::new();
    let asked = SHAPES.iter().zip(&round.fixed).filter(|(_, site)| round.asks_large() || !site.lifetime.is_large());
    for (shape, site) in asked {
        match db.collection(shape.name) {
            Ok(collection) => sites.push(Site { lifetime: site.lifetime.clone(), collection }),
            Err(error) => round.violation(&format!("beside the writer: {error}")),
        }
    }
    for name in CHURN {
        let Some(site) = round.churn.read().clone() else { continue };
        match db.collection(name) {
            // The lifetime seen may differ from the present one.
            Ok(collection) if is_life(collection.config(), site.lifetime.number) => {
                sites.push(Site { lifetime: site.lifetime.clone(), collection });
            }
            Ok(_) => {}
            Err(error) if error.kind() == ErrorKind::NotFound => {}
            Err(error) => round.violation(&format!("beside the writer: {error}")),
        }
    }
    sites
}
