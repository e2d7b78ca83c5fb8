//! Data sets under Euclidean distance.

use std::f64::consts::TAU;

use super::clusters::{Clusters, scaled};
use super::{Dice, Place, World};

pub(super) fn city(_: &mut Dice) -> World {
    World::alike(|dice| vec![52.52 + 0.08 * dice.normal(), 13.40 + 0.12 * dice.normal()])
}

pub(super) fn cities(dice: &mut Dice) -> World {
    let cities: Vec<[f64; 2]> = (0..400).map(|_| [dice.uniform(-60.0, 70.0), dice.uniform(-180.0, 180.0)]).collect();
    let shares = dice.shares(400, 0.3);
    World::alike(move |dice| cities[dice.pick(&shares)].iter().map(|place| place + 0.05 * dice.normal()).collect())
}

pub(super) fn utm(_: &mut Dice) -> World {
    World::alike(|dice| {
        let (north, east) = (5.8e6 + 2e3 * dice.normal(), 3.9e5 + 2e3 * dice.normal());
        vec![north, east, 1.76e9 + dice.uniform(0.0, 8e4), dice.normal(), dice.normal()]
    })
}

pub(super) fn uniform(dimension: usize) -> World {
    World::alike(move |dice| (0..dimension).map(|_| dice.uniform(-1.0, 1.0)).collect())
}

pub(super) fn positive(_: &mut Dice) -> World {
    World::alike(|dice| vec![dice.uniform(0.1, 5.0)])
}

pub(super) fn offset(dice: &mut Dice, by: f64) -> World {
    let clusters = Clusters::plain(dice, 128);
    World::alike(move |dice| clusters.draw(dice).into_iter().map(|x| x + by).collect())
}

pub(super) fn table(_: &mut Dice) -> World {
    World::alike(|dice| {
        vec![
            dice.lognormal(10.5, 0.8),
            18.0 + dice.below(72) as f64,
            dice.uniform(0.0, 1.0),
            dice.below(2) as f64,
            f64::from(dice.poisson(2.0)),
            dice.normal(),
            dice.lognormal(3.0, 1.0),
            1.0 + dice.below(5) as f64,
            dice.uniform(0.0, 0.01),
            36.6 + 0.4 * dice.normal(),
            120.0 + 15.0 * dice.normal(),
            1_900.0 + dice.below(126) as f64,
        ]
    })
}

pub(super) fn income(dice: &mut Dice) -> World {
    let features = Clusters::new(dice, 23, 100, 0.5, 24);
    World::alike(move |dice| {
        let mut row = vec![dice.lognormal(10.5, 0.8)];
        row.extend(features.draw(dice));
        row
    })
}

pub(super) fn heavy(dice: &mut Dice) -> World {
    let clusters = Clusters::plain(dice, 256);
    let weights: Vec<f64> = (0..256).map(|_| dice.lognormal(0.0, 2.0)).collect();
    World::alike(move |dice| clusters.draw(dice).iter().zip(&weights).map(|(x, weight)| x * weight).collect())
}

pub(super) fn binary(dice: &mut Dice) -> World {
    let kinds: Vec<Vec<bool>> = (0..300).map(|_| (0..256).map(|_| dice.chance(0.5)).collect()).collect();
    World::alike(move |dice| {
        let kind = &kinds[dice.below(300)];
        kind.iter().map(|bit| f64::from(u8::from(bit ^ dice.chance(0.12)))).collect()
    })
}

pub(super) fn grid(_: &mut Dice) -> World {
    World::alike(|dice| (0..8).map(|_| dice.below(4) as f64).collect())
}

/// Rows at even times of a slow walk, one after the other, or at any time. Queries are at any time.
pub(super) fn drift(dice: &mut Dice, in_order: bool) -> World {
    let pace: Vec<(f64, f64)> = (0..64).map(|_| (dice.normal(), dice.uniform(0.0, TAU))).collect();
    let again = pace.clone();
    let any_time = |dice: &mut Dice| dice.uniform(0.0, 60.0);
    let row = move |dice: &mut Dice, place: Place| {
        let even = 60.0 * place.rows.len() as f64 / place.n_rows as f64;
        let time = if in_order { even } else { any_time(dice) };
        on_the_walk(&pace, time, dice)
    };
    World::in_order(row, move |dice, _| on_the_walk(&again, any_time(dice), dice))
}

fn on_the_walk(pace: &[(f64, f64)], time: f64, dice: &mut Dice) -> Vec<f64> {
    pace.iter().map(|(pace, begin)| 3.0 * (0.3 * time * pace + begin).sin() + 0.4 * dice.normal()).collect()
}

pub(super) fn wild_norms(dice: &mut Dice) -> World {
    let clusters = Clusters::plain(dice, 64);
    World::alike(move |dice| {
        let row = clusters.draw(dice);
        scaled(row, dice.lognormal(0.0, 3.0))
    })
}

pub(super) fn huge_norms(dice: &mut Dice) -> World {
    let clusters = Clusters::plain(dice, 64);
    World::alike(move |dice| scaled(clusters.draw(dice), 1e16))
}
