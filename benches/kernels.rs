//! The kernels of each instruction set of this machine: the cost of one row.
//!
//! Float kernels are compared with `simsimd`, which sums in single precision too. Rows of codes are
//! read in random order, once from the nearest cache and once from far more memory. Kernels are not
//! public, so this program compiles their folder.
#![expect(unsafe_code, reason = "block kernels take raw pointers")]

#[path = "../src/distance/mod.rs"]
#[expect(dead_code, unreachable_pub, unused_imports, reason = "only the kernels are used here")]
mod distance;
mod error {
    pub(crate) use vectrove::{Error, Result};
}

use std::hint::black_box;
use std::time::{Duration, Instant};

use criterion::measurement::WallTime;
use criterion::{BenchmarkGroup, BenchmarkId, Criterion, criterion_group, criterion_main};
use rand::seq::SliceRandom;
use rand::{Rng, SeedableRng, rngs::StdRng};
use simsimd::SpatialSimilarity;

use crate::distance::{BlockKernel, Isa, Kernel, Kernels};

/// Rows of one call of a kernel: as many as a node of the graph has neighbours.
const BATCH: usize = 32;

/// A cache line. Rows begin at one.
#[derive(Clone)]
#[repr(align(64))]
struct Line<T>(T);

/// Rows of codes, and the order in which they are read.
struct Rows {
    lines: Vec<Line<[u8; 64]>>,
    order: Vec<*const u8>,
}

impl Rows {
    fn random(rng: &mut StdRng, n_bytes: usize, width: usize) -> Self {
        let mut lines = vec![Line([0; 64]); n_bytes / 64];
        lines.iter_mut().for_each(|line| rng.fill(&mut line.0[..]));
        let begin = lines.as_ptr().cast::<u8>();
        let mut order: Vec<_> = (0..n_bytes / width).map(|row| begin.wrapping_add(row * width)).collect();
        order.shuffle(rng);
        order.truncate(order.len() / BATCH * BATCH);
        Rows { lines, order }
    }

    /// Times a kernel over `n_rows` rows.
    fn time(&self, kernel: BlockKernel, query: &[i8], n_rows: u64) -> Duration {
        assert_eq!(self.order.len() % BATCH, 0, "only whole batches, of {} lines", self.lines.len());
        let mut sums = [0; BATCH];
        let n_batches = n_rows.div_ceil(BATCH as u64);
        let batches = self.order.chunks_exact(BATCH).cycle().take(n_batches as usize);
        let begin = Instant::now();
        for batch in batches {
            // SAFETY: the rows lie one behind the other within `lines`.
            unsafe { kernel(black_box(query), batch, &mut sums) };
            black_box(&sums);
        }
        begin.elapsed().mul_f64(n_rows as f64 / (n_batches * BATCH as u64) as f64)
    }
}

struct Metric {
    name: &'static str,
    ours: fn(&Kernels) -> Kernel,
    /// `None` for a metric that `simsimd` does not have.
    theirs: fn(&[f32], &[f32]) -> Option<f64>,
}

struct Layout {
    name: &'static str,
    kernel: fn(&Kernels) -> BlockKernel,
    /// Bits of a component.
    n_bits: usize,
}

fn kernels() -> impl Iterator<Item = &'static Kernels> {
    Isa::available().into_iter().filter_map(Kernels::of)
}

fn group<'a>(criterion: &'a mut Criterion, name: &str) -> BenchmarkGroup<'a, WallTime> {
    let mut group = criterion.benchmark_group(name);
    group.warm_up_time(Duration::from_millis(100)).measurement_time(Duration::from_millis(300));
    group.sample_size(20).nresamples(1000);
    group
}

fn floats(criterion: &mut Criterion) {
    let mut rng = StdRng::seed_from_u64(1);
    let metrics = [
        Metric { name: "dot", ours: |kernels| kernels.negative_dot, theirs: SpatialSimilarity::dot },
        Metric { name: "euclidean", ours: |kernels| kernels.squared_euclidean, theirs: SpatialSimilarity::sqeuclidean },
        Metric { name: "manhattan", ours: |kernels| kernels.manhattan, theirs: |_, _| None },
    ];
    for Metric { name, ours, theirs } in metrics {
        let mut group = group(criterion, name);
        for dimension in [96, 100, 128, 384, 768, 1000, 1536] {
            let mut values = || Line(std::array::from_fn::<f32, 1536, _>(|_| rng.random_range(-1.0..1.0)));
            let (a, b) = (values(), values());
            let (a, b) = (&a.0[..dimension], &b.0[..dimension]);
            for kernels in kernels() {
                let id = BenchmarkId::new(kernels.isa.to_string(), dimension);
                let kernel = ours(kernels);
                group.bench_function(id, |bencher| bencher.iter(|| kernel(black_box(a), black_box(b))));
            }
            if theirs(a, b).is_some() {
                let id = BenchmarkId::new("simsimd", dimension);
                group.bench_function(id, |bencher| bencher.iter(|| theirs(black_box(a), black_box(b))));
            }
        }
    }
}

fn codes(criterion: &mut Criterion) {
    let mut rng = StdRng::seed_from_u64(2);
    let layouts = [
        Layout { name: "u8", kernel: |kernels| kernels.dot_u8, n_bits: 8 },
        Layout { name: "u4", kernel: |kernels| kernels.dot_u4, n_bits: 4 },
        Layout { name: "u44", kernel: |kernels| kernels.dot_u44, n_bits: 8 },
    ];
    for (place, n_bytes) in [("16 KB", 16 << 10), ("24 MB", 24 << 20)] {
        for Layout { name, kernel, n_bits } in &layouts {
            let mut group = group(criterion, &format!("{name} within {place}"));
            for dimension in [128, 384] {
                let rows = Rows::random(&mut rng, n_bytes, dimension * n_bits / 8);
                let query: Vec<i8> = (0..dimension).map(|_| rng.random_range(-127..=127)).collect();
                for kernels in kernels() {
                    let id = BenchmarkId::new(kernels.isa.to_string(), dimension);
                    group.bench_function(id, |bencher| {
                        bencher.iter_custom(|n_rows| rows.time(kernel(kernels), &query, n_rows));
                    });
                }
            }
        }
    }
}

fn transform(criterion: &mut Criterion) {
    let mut group = group(criterion, "hadamard");
    for n in [128, 512, 1024] {
        let mut values = vec![0.0f32; n];
        for kernels in kernels() {
            let id = BenchmarkId::new(kernels.isa.to_string(), n);
            group.bench_function(id, |bencher| bencher.iter(|| (kernels.hadamard)(black_box(&mut values))));
        }
    }
}

criterion_group!(benches, floats, codes, transform);
criterion_main!(benches);
