//! Filters of the twin. Each is asked as a [`Filter`], and evaluated a second time here, over
//! facts.

use vectrove::{Filter, field};

use super::document::{N_NUMBERS, N_SMALL, N_TERMS, Stored, TAGS, WORDS};
use super::score::term_text;
use crate::rng::Rng;

/// A filter.
#[derive(Debug, Clone)]
pub(super) enum Condition {
    Everything,
    /// The tag is a value.
    Tag(u8),
    /// The tag is one of two values.
    TagIn(u8, u8),
    /// The number lies in a range, its end left out.
    Range(u8, u8),
    /// The list has an element.
    Element(u8),
    /// The field that most collections do not index has a value.
    Raw(u8),
    /// There is a time.
    HasTime,
    /// The text has a word, or one that begins so.
    Term(usize),
    /// A condition that no document satisfies.
    Nowhere,
    Not(Box<Condition>),
    And(Box<Condition>, Box<Condition>),
    Or(Box<Condition>, Box<Condition>),
}

impl Condition {
    pub(super) fn draw(rng: &mut Rng) -> Self {
        match rng.below(100) {
            0..40 => Condition::Everything,
            _ => Condition::draw_filter(rng),
        }
    }

    /// Draws a condition other than the one that all documents satisfy.
    pub(super) fn draw_filter(rng: &mut Rng) -> Self {
        let mut simple = || Box::new(Condition::draw_simple(rng));
        let (one, other) = (simple(), simple());
        match rng.below(100) {
            0..45 => *one,
            45..75 => Condition::Not(one),
            75..85 => Condition::And(one, Box::new(Condition::Not(other))),
            85..93 => Condition::Or(one, other),
            93..97 => Condition::Nowhere,
            _ => Condition::Not(Box::new(Condition::Nowhere)),
        }
    }

    fn draw_simple(rng: &mut Rng) -> Self {
        let mut tag = || rng.below(TAGS.len() as u64) as u8;
        let (one, other) = (tag(), tag());
        match rng.below(100) {
            0..30 => Condition::Tag(one),
            30..40 => Condition::TagIn(one, other),
            40..60 => {
                let from = rng.below(N_NUMBERS) as u8;
                Condition::Range(from, from + rng.between(1, N_NUMBERS) as u8)
            }
            60..72 => Condition::Element(rng.below(N_SMALL) as u8),
            72..86 => Condition::Raw(rng.below(N_SMALL) as u8),
            86..93 => Condition::HasTime,
            _ => Condition::Term(rng.below(N_TERMS as u64) as usize),
        }
    }

    pub(super) fn is_everything(&self) -> bool {
        matches!(self, Condition::Everything)
    }

    pub(super) fn filter(&self) -> Filter {
        match self {
            Condition::Everything => Filter::everything(),
            Condition::Tag(tag) => field("tag").eq(TAGS[usize::from(*tag)]),
            Condition::TagIn(one, other) => field("tag").is_in([TAGS[usize::from(*one)], TAGS[usize::from(*other)]]),
            Condition::Range(from, to) => field("n").gte(u32::from(*from)).and(field("n").lt(u32::from(*to))),
            Condition::Element(element) => field("list").eq(u32::from(*element)),
            Condition::Raw(raw) => field("raw").eq(u32::from(*raw)),
            Condition::HasTime => field("at").exists(true),
            Condition::Term(term) => Filter::text(term_text(*term)),
            Condition::Nowhere => field("tag").eq("nowhere"),
            Condition::Not(condition) => !condition.filter(),
            Condition::And(one, other) => one.filter().and(other.filter()),
            Condition::Or(one, other) => one.filter().or(other.filter()),
        }
    }

    pub(super) fn matches(&self, stored: &Stored) -> bool {
        let facts = stored.facts();
        match self {
            Condition::Everything => true,
            Condition::Tag(tag) => facts.tag == Some(*tag),
            Condition::TagIn(one, other) => facts.tag.is_some_and(|tag| tag == *one || tag == *other),
            Condition::Range(from, to) => facts.n.is_some_and(|n| (*from..*to).contains(&n)),
            Condition::Element(element) => facts.list.as_ref().is_some_and(|list| list.contains(element)),
            Condition::Raw(raw) => facts.raw == Some(*raw),
            Condition::HasTime => facts.at.is_some(),
            Condition::Term(term) => stored.terms >> term & 1 == 1,
            Condition::Nowhere => false,
            Condition::Not(condition) => !condition.matches(stored),
            Condition::And(one, other) => one.matches(stored) && other.matches(stored),
            Condition::Or(one, other) => one.matches(stored) || other.matches(stored),
        }
    }
}

/// Whether a term is a word, not a beginning of words.
pub(super) fn is_word(term: usize) -> bool {
    term < WORDS.len()
}
