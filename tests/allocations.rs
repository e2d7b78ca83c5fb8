//! A graph search allocates nothing: the allocations of a search do not depend on its length.
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]
#![expect(unsafe_code, reason = "an allocator that counts passes everything on")]

mod common;

use std::alloc::{GlobalAlloc, Layout, System};
use std::cell::Cell;

use common::{database, random, seed};
use rand::Rng;
use vectrove::{CollectionConfig, Document, Quantization, Strategy};

/// The system's allocator, counting what each thread asks for.
struct Counting;

thread_local! {
    static COUNT: Cell<usize> = const { Cell::new(0) };
}

#[global_allocator]
static ALLOCATOR: Counting = Counting;

// SAFETY: everything is passed on to the system's allocator.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        _ = COUNT.try_with(|count| count.set(count.get() + 1));
        // SAFETY: the caller's promise is passed on.
        unsafe { System.alloc(layout) }
    }

    unsafe fn dealloc(&self, pointer: *mut u8, layout: Layout) {
        // SAFETY: the caller's promise is passed on.
        unsafe { System.dealloc(pointer, layout) }
    }
}

fn counted<T>(work: impl FnOnce() -> T) -> usize {
    let before = COUNT.get();
    drop(work());
    COUNT.get() - before
}

#[test]
fn a_walk_allocates_nothing() {
    for quantization in [Quantization::Sq8, Quantization::None] {
        let (mut random, (_folder, db)) = (random(seed()), database());
        let collection = db.create_collection("c", CollectionConfig::new(300).quantization(quantization)).unwrap();
        let mut vector = || (0..300).map(|_| random.random_range(-1.0..1.0)).collect::<Vec<f32>>();
        let vectors: Vec<Vec<f32>> = (0..3_000).map(|_| vector()).collect();
        collection.insert_many(vectors.iter().enumerate().map(|(n, v)| Document::new(v.clone()).id(n as u64))).unwrap();
        collection.wait_indexed().unwrap();
        let search = |row: usize, ef: usize| {
            let search = collection.search(&vectors[row]).ef(ef).strategy(Strategy::Graph).with_document(false);
            counted(|| search.run().unwrap())
        };
        // Grows the buffers that are kept from search to search.
        (0..50).for_each(|row| _ = search(row, 1_000));
        let short: Vec<usize> = (0..50).map(|row| search(row, 20)).collect();
        let long: Vec<usize> = (0..50).map(|row| search(row, 1_000)).collect();
        assert_eq!(short, long, "{quantization:?}");
        assert!(short.iter().all(|&count| count < 20), "{short:?}");
    }
}
