//! Drawing questions of each kind.

use super::condition::{Condition, is_word};
use super::document::{N_TERMS, WORDS, draw_vector};
use super::kind::Kind;
use super::question::{Field, Ordered, Question, Search, Wanted};
use super::score::{Boost, Wording};
use super::twin::Lifetime;
use crate::rng::Rng;

impl Question {
    /// Draws a question of a kind to a namespace.
    pub(super) fn draw(rng: &mut Rng, kind: Kind, lifetime: &Lifetime, namespace: usize) -> Question {
        let capacity = u64::from(lifetime.capacity(namespace)).max(1);
        let index = |rng: &mut Rng| rng.below(capacity) as u32;
        let limit = |rng: &mut Rng| rng.pick(&[1, 7, 40, 200]);
        match kind {
            Kind::Get => Question::Get { index: index(rng) },
            Kind::GetMany => Question::GetMany { indexes: (0..rng.below(20)).map(|_| index(rng)).collect() },
            Kind::Contains => Question::Contains { index: index(rng) },
            Kind::Count => Question::Count { condition: Condition::draw(rng) },
            Kind::Facet => Question::Facet {
                field: rng.pick(&Field::ALL),
                condition: Condition::draw(rng),
                limit: rng.pick(&[2, 100]),
            },
            Kind::Scroll => Question::Scroll {
                condition: Condition::draw(rng),
                after: rng.chance(40).then(|| index(rng)),
                limit: limit(rng),
                with_vector: rng.chance(30),
            },
            Kind::Ordered => Question::Ordered(Ordered {
                field: rng.pick(&Field::ALL),
                is_descending: rng.chance(50),
                condition: Condition::draw(rng),
                after: None,
                limit: limit(rng),
            }),
            Kind::Sample => {
                Question::Sample { n: limit(rng), condition: Condition::draw(rng), with_vector: rng.chance(30) }
            }
            Kind::Namespaces => Question::Namespaces,
            _ => Question::Search(Box::new(Search::draw(rng, kind, lifetime, namespace))),
        }
    }
}

impl Search {
    fn draw(rng: &mut Rng, kind: Kind, lifetime: &Lifetime, namespace: usize) -> Search {
        let (dimension, capacity) = (lifetime.config.dimension, lifetime.capacity(namespace).max(1));
        let limits = if lifetime.is_large() { [1, 10, 50] } else { [1, 10, capacity as usize + 5] };
        let plain = Search {
            wanted: vec![Wanted::Vector(draw_query(rng, dimension))],
            is_many: false,
            condition: Condition::draw(rng),
            limit: rng.pick(&limits),
            offset: if rng.chance(15) { rng.below(30) as usize } else { 0 },
            strategy: None,
            ef: rng.chance(25).then(|| rng.pick(&[1, 10, 300])),
            min_score: rng.chance(6).then(|| rng.component()),
            max_distance: rng.chance(6).then(|| rng.component() + 1.0),
            with_document: rng.chance(40),
            with_vector: rng.chance(10),
            group_by: None,
            mmr: None,
            boosts: Vec::new(),
            fuses_scores: rng.chance(50),
            explain: false,
        };
        plain.of_kind(rng, kind, lifetime, capacity)
    }

    fn of_kind(self, rng: &mut Rng, kind: Kind, lifetime: &Lifetime, capacity: u32) -> Search {
        let dimension = lifetime.config.dimension;
        let strategy =
            |rng: &mut Rng| rng.pick(&[None, None, Some(vectrove::Strategy::Exact), Some(vectrove::Strategy::Graph)]);
        match kind {
            Kind::Exact => Search { strategy: Some(vectrove::Strategy::Exact), ..self },
            Kind::Graph => {
                let n_queries = if rng.chance(30) { rng.between(2, 24) } else { 1 };
                let wanted = (0..n_queries).map(|_| Wanted::Vector(draw_query(rng, dimension))).collect();
                let condition = if rng.chance(70) { Condition::Everything } else { self.condition.clone() };
                let strategy = Some(vectrove::Strategy::Graph);
                Search { wanted, is_many: n_queries > 1, strategy, condition, ..self }
            }
            Kind::Codes => {
                Search { strategy: Some(vectrove::Strategy::Codes), condition: Condition::draw_filter(rng), ..self }
            }
            Kind::Many => Search {
                wanted: draw_many(rng, dimension),
                max_distance: None,
                strategy: strategy(rng),
                is_many: true,
                ..self
            },
            Kind::Words => Search { wanted: vec![Wanted::Words(draw_wording(rng))], max_distance: None, ..self },
            Kind::Both => {
                let wording = Wording { phrases: Vec::new(), ..draw_wording(rng) };
                let wanted = vec![Wanted::Both(draw_query(rng, dimension), wording)];
                Search { wanted, strategy: strategy(rng), max_distance: None, min_score: None, ..self }
            }
            Kind::Like => Search { wanted: vec![draw_examples(rng, capacity)], strategy: strategy(rng), ..self },
            Kind::Group => {
                let group_by = Some((rng.pick(&Field::ALL), rng.pick(&[1, 2, 5])));
                let (limit, offset) = (rng.pick(&[1, 3, 50]), if rng.chance(15) { 1 } else { 0 });
                Search { group_by, limit, offset, strategy: strategy(rng), max_distance: None, min_score: None, ..self }
            }
            Kind::Mmr => Search { mmr: Some((0.5, rng.between(1, 60) as usize)), strategy: strategy(rng), ..self },
            Kind::Boost => {
                let boosts = (0..rng.between(1, 3)).map(|_| draw_boost(rng)).collect();
                let wanted = match rng.chance(25) {
                    true => vec![Wanted::Words(draw_wording(rng))],
                    false => self.wanted,
                };
                Search { wanted, boosts, strategy: strategy(rng), max_distance: None, min_score: None, ..self }
            }
            Kind::Explain => {
                let condition = if rng.chance(80) { Condition::draw_filter(rng) } else { Condition::Everything };
                Search { condition, explain: true, ..self }
            }
            Kind::Loading => self.slow(rng, dimension),
            _ => self,
        }
    }

    /// Several exact searches near zero, which keep one view for a long time. A vector that reads
    /// as zeros would be the nearest.
    fn slow(self, rng: &mut Rng, dimension: usize) -> Search {
        let query = |rng: &mut Rng| Wanted::Vector((0..dimension).map(|_| rng.component() * 0.01).collect());
        Search {
            wanted: (0..rng.between(4, 20)).map(|_| query(rng)).collect(),
            is_many: true,
            condition: Condition::Everything,
            limit: 10,
            offset: 0,
            strategy: Some(vectrove::Strategy::Exact),
            min_score: None,
            max_distance: None,
            with_document: false,
            with_vector: false,
            ..self
        }
    }
}

/// A vector like those of documents, or one near zero.
fn draw_query(rng: &mut Rng, dimension: usize) -> Vec<f32> {
    let scale = if rng.chance(20) { 0.01 } else { 1.0 };
    draw_vector(rng, dimension).into_iter().map(|component| component * scale).collect()
}

fn draw_many(rng: &mut Rng, dimension: usize) -> Vec<Wanted> {
    let has_words = rng.chance(25);
    let one = |rng: &mut Rng| match has_words && rng.chance(50) {
        true => Wanted::Words(Wording { phrases: Vec::new(), ..draw_wording(rng) }),
        false => Wanted::Vector(draw_query(rng, dimension)),
    };
    (0..rng.between(2, 16)).map(|_| one(rng)).collect()
}

fn draw_examples(rng: &mut Rng, capacity: u32) -> Wanted {
    let mut some = |n: u64| -> Vec<u32> { (0..n).map(|_| rng.below(u64::from(capacity)) as u32).collect() };
    let (one, other, unwanted) = (some(1), some(2), some(1));
    match rng.below(3) {
        0 => Wanted::Examples { positive: one, negative: Vec::new() },
        1 => Wanted::Examples { positive: other, negative: Vec::new() },
        _ => Wanted::Examples { positive: one, negative: unwanted },
    }
}

fn draw_wording(rng: &mut Rng) -> Wording {
    let terms: Vec<usize> = (0..rng.between(1, 4)).map(|_| rng.below(N_TERMS as u64) as usize).collect();
    let mut word = || rng.below(WORDS.len() as u64) as u8;
    let phrase = [word(), word()];
    match rng.below(4) {
        0 => Wording { terms: Vec::new(), phrases: vec![phrase] },
        1 => Wording { terms: terms.into_iter().filter(|term| is_word(*term)).collect(), phrases: vec![phrase] },
        _ => Wording { terms, phrases: Vec::new() },
    }
}

fn draw_boost(rng: &mut Rng) -> Boost {
    let weight = rng.component();
    match rng.below(4) {
        0 => Boost::Number { is_log: rng.chance(50), weight: weight * 0.1 },
        1 | 2 => Boost::Decay { half_life: rng.between(3_600, 1_000_000), weight },
        _ => Boost::When { condition: Condition::draw_filter(rng), weight },
    }
}
