//! The list of data sets.

use vectrove::Metric::{self, Cosine, Dot, Euclidean};

use super::{Dice, Shape, World, cosine, dot, euclidean};

const fn shape(
    (name, metric, dimension, n_rows): (&'static str, Metric, usize, usize),
    about: &'static str,
    world: fn(&mut Dice) -> World,
) -> Shape {
    Shape { name, metric, dimension, n_rows, about, world }
}

/// All sets by name.
pub(crate) const SHAPES: [Shape; 38] = [
    shape(("geo2d", Euclidean, 2, 30_000), "latitude and longitude of places in one city", euclidean::city),
    shape(("geo2dworld", Euclidean, 2, 30_000), "400 cities of unequal size", euclidean::cities),
    shape(("utm5", Euclidean, 5, 30_000), "metres, seconds since 1970, and two small features", euclidean::utm),
    shape(("uni1", Euclidean, 1, 30_000), "uniform, one component", |_| euclidean::uniform(1)),
    shape(("uni2", Euclidean, 2, 30_000), "uniform in a square", |_| euclidean::uniform(2)),
    shape(("uni3", Euclidean, 3, 30_000), "uniform in a cube", |_| euclidean::uniform(3)),
    shape(("uni4", Euclidean, 4, 30_000), "uniform, 4 components", |_| euclidean::uniform(4)),
    shape(("uni8", Euclidean, 8, 30_000), "uniform, 8 components", |_| euclidean::uniform(8)),
    shape(("uni16", Euclidean, 16, 30_000), "uniform, 16 components", |_| euclidean::uniform(16)),
    shape(("pos1", Euclidean, 1, 30_000), "one positive number", euclidean::positive),
    shape(("offset10", Euclidean, 128, 20_000), "embeddings + 10 in each component", |d| euclidean::offset(d, 10.0)),
    shape(("offset100", Euclidean, 128, 20_000), "embeddings + 100", |d| euclidean::offset(d, 100.0)),
    shape(("offset1000", Euclidean, 128, 20_000), "embeddings + 1,000", |d| euclidean::offset(d, 1_000.0)),
    shape(("tabular12", Euclidean, 12, 30_000), "raw columns of a table: income, age, counts, years", euclidean::table),
    shape(("tabular24", Euclidean, 24, 30_000), "an income beside 23 features of spread about 1", euclidean::income),
    shape(("heavydims", Euclidean, 256, 30_000), "components of very unequal spread", euclidean::heavy),
    shape(("cone0", Cosine, 384, 20_000), "no common direction", |d| cosine::cone(d, 0.0)),
    shape(("cone0.9", Cosine, 384, 20_000), "mean cosine of pairs .9", |d| cosine::cone(d, 0.9)),
    shape(("cone0.99", Cosine, 384, 20_000), "mean cosine of pairs .99", |d| cosine::cone(d, 0.99)),
    shape(("cone0.9999", Cosine, 384, 20_000), "mean cosine of pairs .9999", |d| cosine::cone(d, 0.9999)),
    shape(("ood_clip", Cosine, 512, 30_000), "queries of another cone than the rows: text to image", cosine::clip),
    shape(("glove", Cosine, 100, 30_000), "heavy tails and hubs", cosine::glove),
    shape(("tfidf", Cosine, 1_024, 30_000), "sparse rows: 20 words of 1,024", cosine::tfidf),
    shape(("mips_lognormal", Dot, 128, 30_000), "norms lognormal", dot::lognormal),
    shape(("mips_mf", Dot, 64, 30_000), "recommender: popularity in norm and direction", dot::recommender),
    shape(("mips_relu", Dot, 128, 8_326), "rows that have a greater product than with themselves", dot::relu),
    shape(("mips_bias", Dot, 32, 30_000), "ratings with a bias component", dot::bias),
    shape(("int8dot", Dot, 768, 30_000), "whole numbers of -128 to 127", dot::bytes),
    shape(("binary256", Euclidean, 256, 30_000), "zeros and ones", euclidean::binary),
    shape(("sign1024", Cosine, 1_024, 30_000), "ones and minus ones", cosine::signs),
    shape(("grid8", Euclidean, 8, 30_000), "many ties", euclidean::grid),
    shape(("chunks", Cosine, 128, 30_000), "chunks of 3,000 texts, topic by topic", cosine::chunks),
    shape(("drift", Euclidean, 64, 30_000), "rows in the order of a slow walk", |d| euclidean::drift(d, true)),
    shape(("driftshuf", Euclidean, 64, 30_000), "rows of a slow walk in no order", |d| euclidean::drift(d, false)),
    shape(("neardup", Cosine, 384, 30_000), "three of five rows nearly equal to one of 20", cosine::near_duplicates),
    shape(("wildnorms", Euclidean, 64, 30_000), "norms over five orders of magnitude", euclidean::wild_norms),
    shape(("hugenorms", Euclidean, 64, 30_000), "components about 1e16", euclidean::huge_norms),
    shape(("d4096", Cosine, 4_096, 5_000), "4,096 components", cosine::wide),
];
