//! Distances and scores, computed a second time in double precision.

use vectrove::{CollectionConfig, Metric};

use super::condition::Condition;
use super::document::{BEGINNINGS, N_TERMS, Stored, TIMES, WORDS, is_of};
use super::twin::Totals;

/// A query's vector.
#[derive(Debug, Clone)]
pub(super) struct Target {
    vector: Vec<f32>,
    norm: f64,
}

impl Target {
    pub(super) fn new(vector: Vec<f32>) -> Self {
        let norm = vector.iter().map(|&component| f64::from(component).powi(2)).sum::<f64>().sqrt();
        Target { vector, norm }
    }

    /// The query vector of examples: the mean of the positive ones, moved away from the mean of the
    /// negative ones.
    pub(super) fn of_examples(config: &CollectionConfig, positive: &[&Stored], negative: &[&Stored]) -> Self {
        if let ([one], []) = (positive, negative) {
            return Target::new(one.content.vector.clone());
        }
        let (wanted, unwanted) = (mean(config, positive), mean(config, negative));
        let component = |(at, wanted): (usize, f64)| match negative.is_empty() {
            true => wanted as f32,
            false => (2.0 * wanted - unwanted[at]) as f32,
        };
        Target::new(wanted.into_iter().enumerate().map(component).collect())
    }

    /// The distance of a document in the collection's own measure.
    pub(super) fn distance(&self, config: &CollectionConfig, stored: &Stored) -> f64 {
        let scales = match compares_directions(config) {
            true => (1.0 / self.norm, 1.0 / stored.norm),
            false => (1.0, 1.0),
        };
        let pairs = self.vector.iter().zip(&stored.content.vector).map(|(&a, &b)| (f64::from(a), f64::from(b)));
        let product = |pairs: &mut dyn Iterator<Item = (f64, f64)>| pairs.map(|(a, b)| a * b).sum::<f64>();
        let differences = |(a, b): (f64, f64)| a * scales.0 - b * scales.1;
        match config.metric {
            Metric::Cosine => 1.0 - product(&mut { pairs }) * scales.0 * scales.1,
            Metric::Dot => -product(&mut { pairs }) * scales.0 * scales.1,
            Metric::Manhattan => pairs.map(differences).map(f64::abs).sum(),
            _ => pairs.map(differences).map(|difference| difference * difference).sum::<f64>().sqrt(),
        }
    }
}

fn mean(config: &CollectionConfig, examples: &[&Stored]) -> Vec<f64> {
    let mut mean = vec![0.0; config.dimension];
    for example in examples {
        let scale = if compares_directions(config) { 1.0 / example.norm } else { 1.0 };
        let share = scale / examples.len() as f64;
        mean.iter_mut().zip(&example.content.vector).for_each(|(sum, &component)| *sum += share * f64::from(component));
    }
    mean
}

pub(super) fn compares_directions(config: &CollectionConfig) -> bool {
    config.normalize || config.metric == Metric::Cosine
}

/// The score that belongs to a distance.
pub(super) fn score(config: &CollectionConfig, distance: f64) -> f64 {
    match config.metric {
        Metric::Cosine => 1.0 - distance,
        Metric::Dot => -distance,
        _ => 1.0 / (1.0 + distance),
    }
}

/// How far two numbers may differ by rounding.
pub(super) fn slack(number: f64) -> f64 {
    3e-5 * (1.0 + number.abs())
}

/// Whether a number is right, up to rounding.
pub(super) fn is_close(got: f32, expected: f64) -> bool {
    (f64::from(got) - expected).abs() <= slack(expected)
}

/// A query in words: terms, and phrases of two words.
#[derive(Debug, Clone, Default)]
pub(super) struct Wording {
    pub(super) terms: Vec<usize>,
    pub(super) phrases: Vec<[u8; 2]>,
}

impl Wording {
    /// The query as it is written.
    pub(super) fn text(&self) -> String {
        let terms = self.terms.iter().map(|term| term_text(*term));
        let word = |word: u8| WORDS[usize::from(word)];
        let phrases = self.phrases.iter().map(|[one, other]| format!("\"{} {}\"", word(*one), word(*other)));
        terms.chain(phrases).collect::<Vec<_>>().join(" ")
    }

    /// A document's BM25 score; 0 if it has none of the terms.
    pub(super) fn score(&self, stored: &Stored, totals: &Totals) -> f64 {
        const K1: f64 = 1.2;
        const B: f64 = 0.75;
        let words = stored.words();
        let average = totals.n_words as f64 / totals.n_documents as f64;
        let norm = K1 * (1.0 - B + B * words.len() as f64 / average);
        let phrased = self.phrases.iter().flatten().map(|word| usize::from(*word));
        let share = |term: usize| {
            if stored.terms >> term & 1 == 0 {
                return 0.0;
            }
            let n_times = words.iter().filter(|word| is_of(**word, term)).count() as f64;
            let n = totals.of_terms[term] as f64;
            let rarity = (1.0 + (totals.n_documents as f64 - n + 0.5) / (n + 0.5)).ln();
            rarity * n_times / (n_times + norm)
        };
        self.terms.iter().copied().chain(phrased).map(share).sum()
    }

    pub(super) fn has_phrases(&self, stored: &Stored) -> bool {
        self.phrases.iter().all(|phrase| stored.words().windows(2).any(|pair| pair == phrase))
    }
}

/// A term as it is written in a query.
pub(super) fn term_text(term: usize) -> String {
    debug_assert!(term < N_TERMS, "expected a term");
    match term.checked_sub(WORDS.len()) {
        None => WORDS[term].to_owned(),
        Some(beginning) => format!("{}*", BEGINNINGS[beginning]),
    }
}

/// An addition to scores.
#[derive(Debug, Clone)]
pub(super) enum Boost {
    /// A decay halves its share for each half-life in seconds away from the first of [`TIMES`].
    Decay {
        half_life: u64,
        weight: f32,
    },
    /// The number, or its logarithm.
    Number {
        is_log: bool,
        weight: f32,
    },
    When {
        condition: Condition,
        weight: f32,
    },
}

impl Boost {
    pub(super) fn boost(&self) -> vectrove::Boost {
        match self {
            Boost::Decay { half_life, weight } => {
                let half_life = std::time::Duration::from_secs(*half_life);
                vectrove::Boost::decay("at", half_life).origin(TIMES[0].0).weight(*weight)
            }
            Boost::Number { is_log: true, weight } => vectrove::Boost::field("n").log().weight(*weight),
            Boost::Number { is_log: false, weight } => vectrove::Boost::field("n").weight(*weight),
            Boost::When { condition, weight } => vectrove::Boost::when(condition.filter()).weight(*weight),
        }
    }

    /// The number that it adds to a document's score.
    pub(super) fn of(&self, stored: &Stored) -> f64 {
        let facts = stored.facts();
        let (value, weight) = match self {
            Boost::Decay { half_life, weight } => {
                let seconds = |at: u8| (TIMES[usize::from(at)].1 - TIMES[0].1) as f64;
                (facts.at.map_or(0.0, |at| 0.5f64.powf(seconds(at) / *half_life as f64)), weight)
            }
            Boost::Number { is_log, weight } => {
                let number = f64::from(facts.n.unwrap_or_default());
                (if *is_log { number.ln_1p() } else { number }, weight)
            }
            Boost::When { condition, weight } => (f64::from(u8::from(condition.matches(stored))), weight),
        };
        f64::from(*weight) * value
    }

    /// Whether the most that it can add is known, so that no hit is missed.
    pub(super) fn is_bounded(&self) -> bool {
        !matches!(self, Boost::Number { .. })
    }
}
