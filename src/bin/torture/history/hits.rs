//! Comparing the hits of a search with the twin.
//!
//! Each hit is compared with its document. The number of hits is exact where no bound cuts them.
//! The hits of an exact search are the best there are; hits at the same distance may be in any
//! order.

use vectrove::{Hit, Hits, Strategy, Value};

use super::check::{Scene, Verdict, complain, expect, expect_distinct};
use super::document::{Stored, index_of};
use super::question::{Search, Wanted};
use super::score::{Boost, Target, is_close, score, slack};
use super::{groups, score};

/// Whether the answers to one search, or to several together, are right.
pub(super) fn check(scene: &Scene<'_>, search: &Search, all: &[Hits]) -> Verdict {
    expect("answers", search.wanted.len(), all.len())?;
    for (place, (wanted, hits)) in search.wanted.iter().zip(all).enumerate() {
        expect("the commit of all answers", all[0].commit, hits.commit)?;
        // Of many searches among many documents, only one is compared with all documents.
        let is_thorough = place == 0 || !scene.lifetime.is_large();
        Examiner::new(scene, search, wanted)?.check(hits, is_thorough)?;
    }
    Ok(())
}

/// One search, and the state that its hits are compared with.
pub(super) struct Examiner<'e> {
    pub(super) scene: &'e Scene<'e>,
    pub(super) search: &'e Search,
    wanted: &'e Wanted,
    target: Option<Target>,
    /// Documents that are examples.
    excluded: Vec<u32>,
}

/// A hit, and the document that it should be.
pub(super) type Pair<'p> = (&'p Hit, &'p Stored);

impl<'e> Examiner<'e> {
    fn new(scene: &'e Scene<'e>, search: &'e Search, wanted: &'e Wanted) -> Result<Self, super::check::Complaint> {
        let documents = scene.documents();
        let (target, excluded) = match wanted {
            Wanted::Words(_) => (None, Vec::new()),
            Wanted::Vector(vector) | Wanted::Both(vector, _) => (Some(Target::new(vector.clone())), Vec::new()),
            Wanted::Examples { positive, negative } => {
                let find =
                    |indexes: &[u32]| indexes.iter().map(|index| documents.get(*index)).collect::<Option<Vec<_>>>();
                let (Some(likes), Some(unlikes)) = (find(positive), find(negative)) else {
                    return complain("an error: an example does not exist", "hits");
                };
                let excluded = positive.iter().chain(negative).copied().collect();
                (Some(Target::of_examples(&scene.lifetime.config, &likes, &unlikes)), excluded)
            }
        };
        Ok(Examiner { scene, search, wanted, target, excluded })
    }

    fn check(&self, hits: &Hits, is_thorough: bool) -> Verdict {
        let pairs = self.pair(hits)?;
        self.check_explanation(hits)?;
        if let Some((field, per_group)) = self.search.group_by {
            return groups::check(self, field, per_group, &pairs);
        }
        let is_sorted = pairs.is_sorted_by(|a, b| a.0.score >= b.0.score);
        if self.search.mmr.is_none() && !is_sorted {
            return complain("falling scores", hits.iter().map(|hit| hit.score).collect::<Vec<_>>());
        }
        if self.search.mmr.is_none() && is_thorough && self.is_exact(hits) {
            return self.check_best(&pairs);
        }
        self.check_number(pairs.len())
    }

    /// Pairs each hit with its document, after comparing both.
    fn pair<'p>(&self, hits: &'p Hits) -> Result<Vec<Pair<'p>>, super::check::Complaint>
    where
        'e: 'p,
    {
        let documents = self.scene.documents();
        let (mut pairs, mut indexes) = (Vec::with_capacity(hits.len()), Vec::with_capacity(hits.len()));
        for hit in hits {
            let found = index_of(&hit.id).and_then(|index| Some((index, documents.get(index)?)));
            let Some((index, stored)) = found else {
                return complain("a document of the namespace at this commit", hit);
            };
            if !self.is_eligible(index, stored) {
                return complain("a document that matches and is no example", (hit, stored));
            }
            self.check_hit(hit, stored)?;
            pairs.push((hit, stored));
            indexes.push(index);
        }
        expect_distinct(indexes)?;
        Ok(pairs)
    }

    pub(super) fn is_eligible(&self, index: u32, stored: &Stored) -> bool {
        self.search.condition.matches(stored) && !self.excluded.contains(&index)
    }

    fn check_hit(&self, hit: &Hit, stored: &Stored) -> Verdict {
        let content = match self.search.with_document {
            true => hit.metadata == stored.metadata && hit.text == stored.text,
            false => hit.metadata == Value::object() && hit.text.is_none(),
        };
        let vector = self.search.with_vector.then_some(&stored.content.vector);
        if !content || hit.vector.as_ref() != vector || hit.version.0 != stored.version {
            return complain(stored, hit);
        }
        let distance = self.distance(stored);
        let is_at = distance.is_infinite() && hit.distance.is_infinite() || is_close(hit.distance, distance);
        if !is_at {
            return complain(format!("distance {distance} of {stored:?}"), hit);
        }
        let is_good = self.search.min_score.is_none_or(|least| hit.score >= least);
        let is_near = self.search.max_distance.is_none_or(|most| hit.distance <= most);
        if !is_good || !is_near {
            return complain("a hit within bounds", hit);
        }
        match self.wanted {
            Wanted::Both(_, wording) => self.check_parts(hit, wording.score(stored, &self.scene.replica.totals)),
            _ if is_close(hit.score, self.score(stored)) => Ok(()),
            _ => complain(format!("score {} of {stored:?}", self.score(stored)), hit),
        }
    }

    /// Whether the parts of a hit are right, and its score is the one that its ranks give.
    fn check_parts(&self, hit: &Hit, by_words: f64) -> Verdict {
        let Some(parts) = hit.parts else { return complain("parts", hit) };
        let by_vector = score::score(&self.scene.lifetime.config, f64::from(hit.distance));
        if !is_close(parts.vector.score, by_vector) || !is_close(parts.text.score, by_words) {
            return complain(format!("parts of scores {by_vector} and {by_words}"), hit);
        }
        let share = |rank: Option<usize>| rank.map_or(0.0, |rank| 1.0 / (5.0 + rank as f64));
        let fused = share(parts.vector.rank) + share(parts.text.rank);
        match self.search.fuses_scores || is_close(hit.score, fused) {
            true => Ok(()),
            false => complain(format!("score {fused}"), hit),
        }
    }

    /// The distance; infinite in a search without a vector.
    pub(super) fn distance(&self, stored: &Stored) -> f64 {
        let distance = |target: &Target| target.distance(&self.scene.lifetime.config, stored);
        self.target.as_ref().map_or(f64::INFINITY, distance)
    }

    /// The score with boosts; 0 for a document that the words do not find.
    fn score(&self, stored: &Stored) -> f64 {
        let plain = match self.wanted {
            Wanted::Words(wording) if !wording.has_phrases(stored) => 0.0,
            Wanted::Words(wording) => wording.score(stored, &self.scene.replica.totals),
            _ => score(&self.scene.lifetime.config, self.distance(stored)),
        };
        plain + self.search.boosts.iter().map(|boost| boost.of(stored)).sum::<f64>()
    }

    /// Whether a search by words finds a document.
    fn is_found(&self, stored: &Stored) -> bool {
        match self.wanted {
            Wanted::Words(wording) => {
                wording.has_phrases(stored) && wording.score(stored, &self.scene.replica.totals) > 0.0
            }
            _ => true,
        }
    }

    /// Whether the hits are the best there are.
    fn is_exact(&self, hits: &Hits) -> bool {
        match self.wanted {
            Wanted::Both(..) => false,
            _ if !self.search.boosts.iter().all(Boost::is_bounded) => false,
            Wanted::Words(_) => true,
            // Boosts are added to the results of several searches, the last of which may have gone
            // another way.
            _ => {
                self.search.strategy == Some(Strategy::Exact)
                    || self.search.boosts.is_empty() && hits.stats.strategy == Strategy::Exact
            }
        }
    }

    /// Every document that may be a hit.
    pub(super) fn eligible(&self) -> impl Iterator<Item = (u32, &'e Stored)> {
        let documents = self.scene.documents().iter();
        documents.filter(|(index, stored)| self.is_eligible(*index, stored) && self.is_found(stored))
    }

    /// The number of documents that may be hits.
    fn n_eligible(&self) -> usize {
        let is_plain = self.search.condition.is_everything() && self.excluded.is_empty();
        match is_plain && self.wanted.has_vector() {
            true => self.scene.documents().len(),
            false => self.eligible().count(),
        }
    }

    fn check_number(&self, n_hits: usize) -> Verdict {
        let n_found = self.search.mmr.map_or(usize::MAX, |(_, candidates)| candidates).min(self.n_eligible());
        let n_most = n_found.saturating_sub(self.search.offset).min(self.search.limit);
        let is_cut = self.search.min_score.is_some() || self.search.max_distance.is_some() || self.search.mmr.is_some();
        match n_hits == n_most || is_cut && n_hits < n_most {
            true => Ok(()),
            false => expect("hits", n_most, n_hits),
        }
    }

    /// Whether hits are the best that there are, in order.
    fn check_best(&self, pairs: &[Pair<'_>]) -> Verdict {
        let by_distance = self.wanted.has_vector() && self.search.boosts.is_empty();
        let (mut keys, mut n_sure) = (Vec::new(), 0);
        for (_, stored) in self.eligible() {
            let (distance, score) = (self.distance(stored), self.score(stored));
            let (is_sure, may_be) = self.is_within(distance, score);
            n_sure += usize::from(is_sure);
            if may_be {
                keys.push(if by_distance { distance } else { -score });
            }
        }
        let shown = |n: usize| n.saturating_sub(self.search.offset).min(self.search.limit);
        let (least, most) = (shown(n_sure), shown(keys.len()));
        if !(least..=most).contains(&pairs.len()) {
            return complain(format!("{least} to {most} hits"), pairs.iter().map(|pair| pair.0).collect::<Vec<_>>());
        }
        let n_first = (self.search.offset + pairs.len()).min(keys.len());
        if (1..keys.len()).contains(&n_first) {
            keys.select_nth_unstable_by(n_first, f64::total_cmp);
            keys.truncate(n_first);
        }
        keys.sort_unstable_by(f64::total_cmp);
        for (place, (hit, _)) in pairs.iter().enumerate() {
            let (expected, got) =
                (keys[self.search.offset + place], if by_distance { hit.distance } else { -hit.score });
            if !is_close(got, expected) {
                let expected = format!("hit {place} at distance, or of negative score, {expected}");
                return complain(expected, pairs.iter().map(|pair| pair.0).collect::<Vec<_>>());
            }
        }
        Ok(())
    }

    /// Whether a document is surely a hit by its distance and score, and whether it may be one.
    fn is_within(&self, distance: f64, score: f64) -> (bool, bool) {
        let near = self.search.max_distance.map_or(f64::INFINITY, |most| f64::from(most) - distance);
        let good = self.search.min_score.map_or(f64::INFINITY, |least| score - f64::from(least));
        let slack = slack(if distance.is_finite() { distance } else { 0.0 }).max(slack(score));
        (near > slack && good > slack, near >= -slack && good >= -slack)
    }

    /// Whether the explanation, if asked for, has the right number of matching documents.
    fn check_explanation(&self, hits: &Hits) -> Verdict {
        expect("an explanation", self.search.explain, hits.explanation.is_some())?;
        let Some(explanation) = &hits.explanation else { return Ok(()) };
        if self.search.condition.is_everything() {
            return Ok(());
        }
        let n_matching = self.scene.documents().count(&self.search.condition);
        // A namespace that never had a document has no explanation of its filter.
        expect("documents that match", n_matching, explanation.filter.map_or(0, |filter| filter.n_matching))
    }
}
