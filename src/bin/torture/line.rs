//! Lines from a worker to its parent: one before each operation, one after it.
//!
//! Each line is one `write` to a pipe, short enough to be atomic, so that a killed worker leaves
//! whole lines.

use vectrove::Outcome;

use crate::world::Stamp;

#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Line {
    /// The database is open, at this commit, and operations begin.
    Ready { commit: u64 },
    /// An operation is about to be tried. `read` is the version that it will expect.
    Intent { stamp: Stamp, read: u64 },
    /// The operation was acknowledged.
    Done { stamp: Stamp, commit: u64, n_changed: usize, repeated: bool },
    /// The operation failed. `commit` is the number in the error, or 0.
    Failed { stamp: Stamp, outcome: Outcome, kind: String, commit: u64, message: String },
    /// Progress of linking in each permanent collection, after this commit.
    Linked { commit: u64, collections: Vec<Linked> },
    /// The worker itself found a violation.
    Fault(String),
    /// The database was closed in order.
    Closed,
}

/// Progress of linking in a collection.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Linked {
    /// Deltas written since the database was opened.
    pub(crate) n_deltas: u64,
    /// Documents that wait to be linked, read after the deltas.
    pub(crate) n_waiting: u64,
}

impl Line {
    pub(crate) fn encode(&self) -> String {
        let of = |stamp: &Stamp| format!("{} {} {}", stamp.run, stamp.thread, stamp.n);
        let text = match self {
            Line::Ready { commit } => format!("ready {commit}"),
            Line::Intent { stamp, read } => format!("> {} {read}", of(stamp)),
            Line::Done { stamp, commit, n_changed, repeated } => {
                format!("< {} {commit} {n_changed} {}", of(stamp), u8::from(*repeated))
            }
            Line::Failed { stamp, outcome, kind, commit, message } => {
                let outcome = match outcome {
                    Outcome::NotApplied => "not-applied",
                    Outcome::NotDurable => "not-durable",
                    _ => "unknown",
                };
                format!("x {} {outcome} {kind} {commit} {message}", of(stamp))
            }
            Line::Linked { commit, collections } => {
                let of = |linked: &Linked| format!(" {}:{}", linked.n_deltas, linked.n_waiting);
                format!("linked {commit}{}", collections.iter().map(of).collect::<String>())
            }
            Line::Fault(text) => format!("! {text}"),
            Line::Closed => "closed".to_owned(),
        };
        let mut text: String = text.chars().map(|c| if c == '\n' { ' ' } else { c }).take(900).collect();
        text.push('\n');
        text
    }

    pub(crate) fn parse(text: &str) -> Option<Self> {
        let (head, rest) = text.split_once(' ').unwrap_or((text, ""));
        match head {
            "ready" => Some(Line::Ready { commit: rest.parse().ok()? }),
            "linked" => Self::parse_linked(rest),
            "!" => Some(Line::Fault(rest.to_owned())),
            "closed" => Some(Line::Closed),
            ">" | "<" | "x" => Self::parse_operation(head, rest),
            _ => None,
        }
    }

    fn parse_linked(rest: &str) -> Option<Self> {
        let (commit, rest) = rest.split_once(' ')?;
        let linked = |text: &str| {
            let (n_deltas, n_waiting) = text.split_once(':')?;
            Some(Linked { n_deltas: n_deltas.parse().ok()?, n_waiting: n_waiting.parse().ok()? })
        };
        let collections = rest.split(' ').map(linked).collect::<Option<_>>()?;
        Some(Line::Linked { commit: commit.parse().ok()?, collections })
    }

    fn parse_operation(head: &str, rest: &str) -> Option<Self> {
        let mut words = rest.splitn(7, ' ');
        let mut number = || words.next()?.parse::<u64>().ok();
        let stamp = Stamp {
            run: u32::try_from(number()?).ok()?,
            thread: u8::try_from(number()?).ok()?,
            n: u32::try_from(number()?).ok()?,
        };
        match head {
            ">" => Some(Line::Intent { stamp, read: number()? }),
            "<" => Some(Line::Done {
                stamp,
                commit: number()?,
                n_changed: usize::try_from(number()?).ok()?,
                repeated: number()? == 1,
            }),
            _ => {
                let outcome = match words.next()? {
                    "not-applied" => Outcome::NotApplied,
                    "not-durable" => Outcome::NotDurable,
                    _ => Outcome::Unknown,
                };
                let (kind, commit) = (words.next()?.to_owned(), words.next()?.parse().ok()?);
                Some(Line::Failed { stamp, outcome, kind, commit, message: words.next().unwrap_or("").to_owned() })
            }
        }
    }
}
