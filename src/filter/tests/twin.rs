//! Random filters and documents, for the reference implementation and for an index.

use super::naive::matches;
use super::*;

/// Makes scalars, documents and filters of a few parts, so that filters often match.
pub(super) struct Generator(pub(super) StdRng);

impl Generator {
    fn pick<T: Clone>(&mut self, items: &[T]) -> T {
        items.choose(&mut self.0).unwrap().clone()
    }

    fn scalar(&mut self) -> Json {
        match self.0.random_range(0..8) {
            0 => Json::Null,
            1 => json!(self.0.random::<bool>()),
            2 | 3 => self.number(),
            4 => json!(self.0.random_range(0..4)),
            _ => self.string(),
        }
    }

    fn number(&mut self) -> Json {
        let big = 1_u64 << 53;
        self.pick(&[
            json!(0),
            json!(-0.0),
            json!(1),
            json!(1.0),
            json!(1.5),
            json!(-1),
            json!(-1.5),
            json!(2),
            json!(big),
            json!(big + 1),
            json!(big as f64),
            json!(i64::MIN),
            json!(i64::MIN as f64),
            json!(i64::MAX),
            json!(i64::MAX as f64),
            json!(i64::MAX as u64 + 1),
            json!(u64::MAX),
            json!(u64::MAX as f64),
            json!(1e300),
            json!(-1e300),
            json!(5e-324),
        ])
    }

    fn string(&mut self) -> Json {
        json!(self.pick(&[
            "",
            "a",
            "ab",
            "b",
            "abc",
            "c",
            "ä",
            "2026",
            "2026-01-01",
            "2026-01-01T00:00:00Z",
            "2026-01-01t00:00:00z",
            "2026-01-01T01:00:00+01:00",
            "2026-01-01 00:00:00.000000001Z",
            "2026-13-01T00:00:00Z",
            "2025-12-31T23:59:60Z",
            "2025-12-31T23:59:59.999999999Z",
            "0000-01-01T00:00:00+23:59",
            "2026-01-01T00:00:00",
            "2026-01-01T00:00:00.5",
            "2026-01-01T00:00",
            "2026-01-01T01:00:00+0100",
            "2025-12-31T19:00:00-05",
            "2026-01-01T00:00:00+1",
            "2026-13-01",
            "2026-1-1",
            "9999-12-31T23:59:59-23:59",
            "2026-01-01T00:00:00Zé",
            "2026-01-0éT00:00:00Z",
        ]))
    }

    fn path(&mut self) -> &'static str {
        self.pick(&["a", "b", "a.b", "b.c", "a.b.c", "c", "a.", ".a", "c.a"])
    }

    fn list(&mut self) -> Json {
        (0..self.0.random_range(0..4)).map(|_| self.scalar()).collect()
    }

    fn value(&mut self, levels: usize) -> Json {
        match self.0.random_range(0..10) {
            0..=3 if levels > 0 => self.object(levels - 1),
            4 | 5 if levels > 0 => (0..self.0.random_range(0..4)).map(|_| self.value(levels - 1)).collect(),
            _ => self.scalar(),
        }
    }

    pub(super) fn object(&mut self, levels: usize) -> Json {
        let keys = ["a", "b", "c", "", "a.b", "b.c", "a."];
        Json::Object(
            (0..self.0.random_range(0..4)).map(|_| (self.pick(&keys).to_owned(), self.value(levels))).collect(),
        )
    }

    pub(super) fn filter(&mut self, levels: usize) -> Json {
        let n_clauses = self.pick(&[0, 1, 1, 1, 1, 1, 2, 3]);
        Json::Object((0..n_clauses).map(|_| self.clause(levels)).collect())
    }

    fn clause(&mut self, levels: usize) -> (String, Json) {
        if levels == 0 || self.0.random_bool(0.4) {
            return (self.path().to_owned(), self.condition(2));
        }
        match self.pick(&["$and", "$or", "$nor", "$not"]) {
            "$not" => ("$not".to_owned(), self.filter(levels - 1)),
            name => (name.to_owned(), (0..self.0.random_range(0..4)).map(|_| self.filter(levels - 1)).collect()),
        }
    }

    fn condition(&mut self, levels: usize) -> Json {
        if self.0.random_bool(0.2) {
            return self.scalar();
        }
        Json::Object((0..self.pick(&[1, 1, 1, 2])).map(|_| self.operator(levels)).collect())
    }

    fn operator(&mut self, levels: usize) -> (String, Json) {
        let names = "$eq $ne $gt $gte $lt $lte $in $nin $any $all $between $prefix $contains $exists $isNull $not";
        let names: Vec<&str> = names.split(' ').filter(|&name| levels > 0 || name != "$not").collect();
        let name = self.pick(&names);
        let operand = match name {
            "$eq" | "$ne" | "$contains" => self.scalar(),
            "$gt" | "$gte" | "$lt" | "$lte" => self.ordered(),
            "$in" | "$nin" | "$any" | "$all" => self.list(),
            "$between" => json!([self.ordered(), self.ordered()]),
            "$prefix" => self.string(),
            "$exists" | "$isNull" => json!(self.0.random::<bool>()),
            _ => loop {
                let condition = self.condition(levels - 1);
                if condition.is_object() {
                    break condition;
                }
            },
        };
        (name.to_owned(), operand)
    }

    fn ordered(&mut self) -> Json {
        if self.0.random() { self.number() } else { self.string() }
    }
}

#[test]
fn the_twin_agrees() {
    let seed = std::env::var("SEED").map_or_else(|_| rand::random(), |seed| seed.parse().unwrap());
    println!("SEED={seed}");
    let mut generator = Generator(StdRng::seed_from_u64(seed));
    let (mut n_matching, mut n_other) = (0, 0);
    for _ in 0..5_000 {
        let json = generator.filter(3);
        let read = Filter::from_json(&json).unwrap();
        let again: Filter = read.to_string().parse().unwrap();
        assert_eq!(again.to_json(), read.to_json(), "{json}");
        let (other_json, opposite) = (generator.filter(2), !again.clone());
        let other = Filter::from_json(&other_json).unwrap();
        let (both, either) = (read.clone() & other.clone(), again.clone() | other);
        for _ in 0..20 {
            let document = generator.object(3);
            let metadata = Value::from(document.clone());
            let (expected, expected_other) = (matches(&json, &document), matches(&other_json, &document));
            *if expected { &mut n_matching } else { &mut n_other } += 1;
            assert_eq!(read.matches(&metadata), expected, "{json} on {document}");
            assert_eq!(again.matches(&metadata), expected, "{again}, written from {json}, on {document}");
            assert_eq!(opposite.matches(&metadata), !expected, "not {json} on {document}");
            assert_eq!(both.matches(&metadata), expected && expected_other, "{json} and {other_json} on {document}");
            assert_eq!(either.matches(&metadata), expected || expected_other, "{json} or {other_json} on {document}");
        }
    }
    assert!(n_matching > 10_000 && n_other > 10_000, "{n_matching} match, {n_other} do not: the test sees too little");
}
