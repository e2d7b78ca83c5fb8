//! Data sets under cosine distance.

use super::clusters::{Clusters, mixed, unit};
use super::dice::Shares;
use super::{Dice, Place, World};

/// Clusters about a common direction; pairs have this mean cosine.
pub(super) fn cone(dice: &mut Dice, cosine: f64) -> World {
    let mean = unit(dice.normals(384));
    let clusters = Clusters::new(dice, 384, 200, 0.7, 32);
    World::alike(move |dice| mixed(cosine.sqrt(), &mean, (1.0 - cosine).sqrt(), &unit(clusters.draw(dice))))
}

/// One meaning in 96 components, seen from two sides, each with a direction and a noise of its own.
pub(super) fn clip(dice: &mut Dice) -> World {
    const WIDTH: usize = 512;
    let directions: Vec<Vec<f64>> = (0..96).map(|_| dice.normals(WIDTH)).collect();
    let (image, text) = (unit(dice.normals(WIDTH)), unit(dice.normals(WIDTH)));
    let meanings = Clusters::new(dice, 96, 300, 0.5, 24);
    let meaning = std::rc::Rc::new(move |dice: &mut Dice| {
        let mut seen = vec![0.0; WIDTH];
        for (length, direction) in meanings.draw(dice).iter().zip(&directions) {
            seen.iter_mut().zip(direction).for_each(|(x, component)| *x += length * component);
        }
        unit(seen)
    });
    let again = meaning.clone();
    World::apart(move |dice| side(&image, meaning(dice), 0.3, dice), move |dice| side(&text, again(dice), 0.5, dice))
}

fn side(mean: &[f64], meaning: Vec<f64>, noise: f64, dice: &mut Dice) -> Vec<f64> {
    let noise = noise / (mean.len() as f64).sqrt();
    let row = mixed(0.8, mean, 0.6, &meaning);
    unit(row.into_iter().map(|x| x + noise * dice.normal()).collect())
}

pub(super) fn glove(dice: &mut Dice) -> World {
    let common = dice.normals(100);
    let weight = |n: usize| 2.0 - 1.7 * n as f64 / 99.0;
    World::alike(move |dice| common.iter().enumerate().map(|(n, x)| x + weight(n) * dice.student_t(3)).collect())
}

/// 12 words of a topic and 8 of any, by Zipf's law, each weighted by how rare it is.
pub(super) fn tfidf(dice: &mut Dice) -> World {
    const N_WORDS: usize = 1_024;
    let zipf: Vec<f64> = (1..=N_WORDS).map(|rank| 1.0 / rank as f64).collect();
    let sum: f64 = zipf.iter().sum();
    let rarity: Vec<f64> = zipf.iter().map(|share| -(share / sum).ln()).collect();
    let topics: Vec<Vec<usize>> = (0..150).map(|_| dice.pick_apart(&zipf, 60)).collect();
    let any = Shares::new(zipf);
    World::alike(move |dice| {
        let topic = &topics[dice.below(150)];
        let mut row = vec![0.0; N_WORDS];
        for n in 0..20 {
            let word = if n < 12 { topic[dice.below(60)] } else { dice.pick(&any) };
            row[word] = rarity[word] * dice.uniform(1.0, 2.0);
        }
        row
    })
}

pub(super) fn signs(dice: &mut Dice) -> World {
    let clusters = Clusters::new(dice, 1_024, 200, 0.7, 24);
    World::alike(move |dice| clusters.draw(dice).iter().map(|x| x.signum()).collect())
}

/// 40 topics of 75 texts; the chunks of a text come one after the other. A query is near a chunk.
pub(super) fn chunks(dice: &mut Dice) -> World {
    const N_TEXTS: usize = 3_000;
    let topics: Vec<Vec<f64>> = (0..40).map(|_| dice.normals(128)).collect();
    let texts: Vec<Vec<f64>> = (0..N_TEXTS).map(|n| near(&topics[n / 75], 0.35, dice)).collect();
    let row = move |dice: &mut Dice, place: Place| {
        let n_of_a_text = place.n_rows.div_ceil(N_TEXTS);
        near(&texts[place.rows.len() / n_of_a_text], 0.05, dice)
    };
    World::in_order(row, |dice, place| near(&widened(&place.rows[dice.below(place.n_rows)]), 0.05, dice))
}

/// Three of five rows are nearly equal to one of the first 20. Queries are of the same clusters,
/// turned.
pub(super) fn near_duplicates(dice: &mut Dice) -> World {
    let clusters = Clusters::new(dice, 384, 200, 0.7, 32);
    let turned = clusters.turned(dice);
    let row = move |dice: &mut Dice, place: Place| {
        let n_others = place.n_rows.saturating_sub(20).max(1);
        let share = (0.6 * place.n_rows as f64 / n_others as f64).min(1.0);
        if place.rows.len() >= 20 && dice.chance(share) {
            near(&widened(&place.rows[dice.below(20)]), 1e-3, dice)
        } else {
            clusters.draw(dice)
        }
    };
    World::in_order(row, move |dice, _| turned.draw(dice))
}

pub(super) fn wide(dice: &mut Dice) -> World {
    let clusters = Clusters::new(dice, 4_096, 100, 0.7, 48);
    World::alike(move |dice| clusters.draw(dice))
}

fn near(row: &[f64], spread: f64, dice: &mut Dice) -> Vec<f64> {
    row.iter().map(|x| x + spread * dice.normal()).collect()
}

fn widened(row: &[f32]) -> Vec<f64> {
    row.iter().map(|&x| f64::from(x)).collect()
}
