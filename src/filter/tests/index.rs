//! Postings never tell anything wrong about a filter.

use super::memory::Index;
use super::twin::Generator;
use super::*;

#[test]
fn postings_tell_what_documents_say() {
    let seed = std::env::var("SEED").map_or_else(|_| rand::random(), |seed| seed.parse().unwrap());
    println!("SEED={seed}");
    let mut generator = Generator(StdRng::seed_from_u64(seed));
    let (mut n_sure, mut n_open, mut n_told) = (0, 0, 0);
    for round in 0..60 {
        let mut documents: Vec<Value> = (0..60).map(|_| generator.object(3).into()).collect();
        if round % 4 == 0 {
            documents.push(json!({"a": "x".repeat(300), "b": ["y".repeat(400), "x"]}).into());
            documents.push(json!({"a": (0..2_000).collect::<Vec<_>>()}).into());
        }
        let unindexed = if round % 3 == 0 { vec!["b".to_owned(), "a.b".to_owned()] } else { Vec::new() };
        let index = Index::new(&documents, unindexed);
        for _ in 0..100 {
            let json = generator.filter(3);
            let filter = Filter::from_json(&json).unwrap();
            let bounds = filter.bounds(&index).unwrap();
            n_told += usize::from(bounds.possible.is_none());
            for (document, slot) in documents.iter().zip(0..) {
                let (is_match, is_sure) = (filter.matches(document), bounds.sure.contains(slot));
                let is_possible = bounds.possible().contains(slot);
                assert!(is_match || !is_sure, "{json} does not match {document}, and is said to");
                assert!(!is_match || is_possible, "{json} matches {document}, and is said not to");
                n_sure += usize::from(is_sure || !is_possible);
                n_open += usize::from(!is_sure && is_possible);
            }
        }
    }
    assert!(
        n_sure > 8 * n_open && n_told > 3_000,
        "{n_sure} sure, {n_open} open, {n_told} of 6,000 filters told whole"
    );
}
