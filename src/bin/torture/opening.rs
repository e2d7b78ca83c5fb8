//! Opening options of campaigns: little memory, and options drawn for each opening.

use vectrove::{Options, Residency};

use crate::Outcome;
use crate::args::Args;
use crate::child::Start;
use crate::rng::Rng;

/// The options in which openings may differ.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Opening {
    /// Where exact vectors are; `None` leaves it to each collection.
    residency: Option<Residency>,
    /// Whether the graph is written to disk.
    persists: bool,
}

const RESIDENCIES: [(&str, Residency); 3] =
    [("ram", Residency::Ram), ("mapped", Residency::Mapped), ("disk", Residency::Disk)];

impl Opening {
    pub(crate) fn draw(rng: &mut Rng) -> Self {
        let drawn = rng.pick(&RESIDENCIES).1;
        Opening { residency: rng.chance(60).then_some(drawn), persists: rng.chance(93) }
    }

    /// As `self`, with the graph written to disk.
    pub(crate) fn persisting(self) -> Self {
        Opening { persists: true, ..self }
    }

    pub(crate) fn options(self) -> Options {
        let options = Options::new().memory_bytes(8 << 20).min_free_bytes(0).persist_graph(self.persists);
        match self.residency {
            Some(residency) => options.residency(residency),
            None => options,
        }
    }

    /// Passes the options on to a worker.
    pub(crate) fn tell(self, start: Start) -> Start {
        let start = if self.persists { start } else { start.set("forgets-graph", 1) };
        match RESIDENCIES.iter().find(|(_, residency)| Some(*residency) == self.residency) {
            Some((name, _)) => start.set("residency", name),
            None => start,
        }
    }
}

/// The options that a worker was given.
pub(crate) fn told(args: &Args) -> Outcome<Options> {
    let residency = match args.text("residency") {
        Some(text) => {
            let found = RESIDENCIES.iter().find(|(name, _)| *name == text);
            Some(found.ok_or_else(|| format!("--residency: got {text:?}"))?.1)
        }
        None => None,
    };
    Ok(Opening { residency, persists: args.text("forgets-graph").is_none() }.options())
}
