//! Kinds of questions: their names, and how often each is asked.

use crate::Outcome;
use crate::rng::Rng;

/// A kind of question; `--only` takes their names.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Kind {
    Get,
    GetMany,
    Contains,
    Count,
    Facet,
    Scroll,
    Ordered,
    Sample,
    Namespaces,
    Plain,
    Exact,
    Graph,
    Codes,
    Many,
    Words,
    Both,
    Like,
    Group,
    Mmr,
    Boost,
    Explain,
    Loading,
    /// All other kinds, asked of snapshots.
    Snapshot,
    /// All questions, asked of copies.
    Copy,
}

impl Kind {
    /// Each kind, its name, and its share of the questions.
    pub(super) const ALL: [(Kind, &str, u64); 24] = [
        (Kind::Get, "get", 12),
        (Kind::GetMany, "get-many", 3),
        (Kind::Contains, "contains", 12),
        (Kind::Count, "count", 14),
        (Kind::Facet, "facet", 4),
        (Kind::Scroll, "scroll", 3),
        (Kind::Ordered, "ordered", 3),
        (Kind::Sample, "sample", 3),
        (Kind::Namespaces, "namespaces", 2),
        (Kind::Plain, "search", 8),
        (Kind::Exact, "exact", 6),
        (Kind::Graph, "graph", 6),
        (Kind::Codes, "codes", 4),
        (Kind::Many, "many", 6),
        (Kind::Words, "words", 6),
        (Kind::Both, "both", 4),
        (Kind::Like, "like", 4),
        (Kind::Group, "group", 5),
        (Kind::Mmr, "mmr", 2),
        (Kind::Boost, "boost", 3),
        (Kind::Explain, "explain", 2),
        (Kind::Loading, "loading", 1),
        (Kind::Snapshot, "snapshot", 0),
        (Kind::Copy, "copy", 0),
    ];

    pub(super) fn name(self) -> &'static str {
        Kind::ALL.iter().find(|(kind, ..)| *kind == self).map_or("", |(_, name, _)| name)
    }

    /// The kinds named, separated by commas.
    pub(super) fn read(names: &str) -> Outcome<Vec<Kind>> {
        let read = |name: &str| {
            let found = Kind::ALL.iter().find(|(_, known, _)| *known == name);
            let known = Kind::ALL.map(|(_, name, _)| name).join(", ");
            found.map(|(kind, ..)| *kind).ok_or_else(|| format!("--only: expected some of {known}, got {name:?}"))
        };
        names.split(',').map(read).collect()
    }

    /// Draws one of some kinds.
    pub(super) fn draw(rng: &mut Rng, among: &[Kind]) -> Kind {
        let weight = |kind: Kind| Kind::ALL.iter().find(|(other, ..)| *other == kind).map_or(0, |(.., weight)| *weight);
        let mut left = rng.below(among.iter().map(|kind| weight(*kind)).sum::<u64>().max(1));
        for &kind in among {
            match left.checked_sub(weight(kind)) {
                Some(rest) => left = rest,
                None => return kind,
            }
        }
        among[0]
    }
}
