//! Data sets under the dot product (maximum inner product search, MIPS).

use super::clusters::{Clusters, LowRank, mixed, scaled, unit};
use super::{Dice, World};

pub(super) fn lognormal(_: &mut Dice) -> World {
    let row = |dice: &mut Dice| {
        let row = unit(dice.normals(128));
        scaled(row, dice.lognormal(0.0, 1.0))
    };
    World::apart(row, |dice| dice.normals(128))
}

/// Popular items are long and lie in one direction; users lie near the same direction.
pub(super) fn recommender(dice: &mut Dice) -> World {
    let (items, users) = (LowRank::new(dice, 64, 12), LowRank::new(dice, 64, 12));
    let popular = [0.125; 64];
    let row = move |dice: &mut Dice| {
        let row = mixed(0.6, &popular, 0.4 / 8.0, &items.draw(dice));
        scaled(row, dice.pareto(1.5) + 0.2)
    };
    World::apart(row, move |dice| mixed(0.5, &popular, 1.0 / 8.0, &users.draw(dice)))
}

pub(super) fn relu(dice: &mut Dice) -> World {
    let (rows, queries) = (Clusters::new(dice, 128, 60, 0.7, 24), Clusters::new(dice, 128, 60, 0.7, 24));
    let positive = |row: Vec<f64>| row.into_iter().map(|x| x.max(0.0)).collect::<Vec<f64>>();
    let row = move |dice: &mut Dice| {
        let row = positive(rows.draw(dice));
        scaled(row, dice.lognormal(0.0, 0.8))
    };
    World::apart(row, move |dice| positive(queries.draw(dice)))
}

/// The last component of a row is its rating for all users; that of a query is constant.
pub(super) fn bias(dice: &mut Dice) -> World {
    let (rows, queries) = (LowRank::new(dice, 31, 8), LowRank::new(dice, 31, 8));
    let row = move |dice: &mut Dice| {
        let mut row = scaled(rows.draw(dice), 0.3);
        row.push(2.0 * dice.normal());
        row
    };
    let query = move |dice: &mut Dice| {
        let mut query = queries.draw(dice);
        query.push(0.5);
        query
    };
    World::apart(row, query)
}

pub(super) fn bytes(dice: &mut Dice) -> World {
    let clusters = Clusters::new(dice, 768, 200, 0.6, 32);
    let byte = |x: f64| (40.0 * x).round_ties_even().clamp(-128.0, 127.0);
    World::alike(move |dice| clusters.draw(dice).into_iter().map(byte).collect())
}
