//! Every kernel of every instruction set of this machine, against a reference implementation.

use super::*;
use rand::{Rng, SeedableRng, rngs::StdRng};

fn runnable() -> impl Iterator<Item = &'static Kernels> {
    Isa::available().into_iter().filter_map(Kernels::of)
}

// Floats.

/// The reference implementation of a metric's kernel, in double precision.
fn twin(metric: Metric, a: &[f32], b: &[f32]) -> f64 {
    let pairs = || a.iter().zip(b).map(|(&x, &y)| (f64::from(x), f64::from(y)));
    match metric {
        Metric::Cosine | Metric::Dot => -pairs().map(|(x, y)| x * y).sum::<f64>(),
        Metric::Euclidean => pairs().map(|(x, y)| (x - y) * (x - y)).sum(),
        Metric::Manhattan => pairs().map(|(x, y)| (x - y).abs()).sum(),
    }
}

/// The sum of the absolute values that a metric's kernel adds up. Its rounding error is a fraction
/// of that.
fn size(metric: Metric, a: &[f32], b: &[f32]) -> f64 {
    match metric {
        Metric::Cosine | Metric::Dot => a.iter().zip(b).map(|(x, y)| f64::from((x * y).abs())).sum(),
        Metric::Euclidean | Metric::Manhattan => twin(metric, a, b),
    }
}

/// Compares all metrics, within 1e-6 of what is added up. A sum over 4,097 components in at least
/// four lanes rounds a thousand times, in random directions.
fn check_metrics(kernels: &Kernels, a: &[f32], b: &[f32]) {
    for metric in Metric::ALL {
        let got = f64::from(kernels.kernel(metric)(a, b));
        let (want, bound) = (twin(metric, a, b), 1e-6 * size(metric, a, b));
        let (isa, dimension) = (kernels.isa, a.len());
        assert!((got - want).abs() <= bound, "{isa} {metric} d={dimension}: expected {want}, got {got}");
    }
}

#[test]
fn metrics_agree_with_their_twin_at_every_dimension() {
    let mut rng = StdRng::seed_from_u64(1);
    for dimension in (1..=130).chain([255, 256, 257, 384, 769, 1000, 1536, 1537, 4097]) {
        let mut row = || (0..dimension + 1).map(|_| rng.random_range(-1.0..1.0)).collect::<Vec<f32>>();
        let (a, b) = (row(), row());
        for kernels in runnable() {
            check_metrics(kernels, &a[..dimension], &b[..dimension]);
            check_metrics(kernels, &a[1..], &b[1..]);
            check_metrics(kernels, &a[1..], &b[..dimension]);
        }
    }
}

#[test]
fn metrics_read_every_component_once_and_nothing_else() {
    for dimension in 1..=200 {
        // The numbers beside a row are NaN, and would show in any sum.
        let mut row = vec![f32::NAN; dimension + 2];
        row[1..=dimension].fill(0.0);
        let zeros = row.clone();
        for at in 1..=dimension {
            row[at] = 2.0;
            let (a, b) = (&row[1..=dimension], &zeros[1..=dimension]);
            for kernels in runnable() {
                let isa = kernels.isa;
                assert_eq!((kernels.negative_dot)(a, a), -4.0, "{isa} dot d={dimension} at {at}");
                assert_eq!((kernels.squared_euclidean)(a, b), 4.0, "{isa} euclidean d={dimension} at {at}");
                assert_eq!((kernels.manhattan)(b, a), 2.0, "{isa} manhattan d={dimension} at {at}");
            }
            row[at] = 0.0;
        }
    }
}

#[test]
fn the_largest_allowed_vectors_do_not_overflow() {
    let component = (crate::limits::MAX_NORM / (65_536f64).sqrt()) as f32;
    let (a, b) = (vec![component; 65_536], vec![-component; 65_536]);
    for kernels in runnable() {
        for metric in Metric::ALL {
            assert!(kernels.kernel(metric)(&a, &b).is_finite(), "{} {metric}", kernels.isa);
            assert!(kernels.kernel(metric)(&a, &a).is_finite(), "{} {metric}", kernels.isa);
        }
    }
}

// Codes.

/// Rows of codes in plain order, and the sums they must give.
struct Case {
    query: Vec<i8>,
    rows: Vec<Vec<u8>>,
}

impl Case {
    fn random(rng: &mut StdRng, dimension: usize, n_rows: usize) -> Self {
        let query = (0..dimension).map(|_| rng.random_range(-127..=127)).collect();
        let rows = (0..n_rows).map(|_| (0..dimension).map(|_| rng.random()).collect()).collect();
        Case { query, rows }
    }

    /// The largest sums there are: positive, negative, and alternating.
    fn extreme(dimension: usize) -> Vec<Self> {
        let rows = vec![vec![255; dimension], vec![0; dimension], vec![255; dimension]];
        let queries = [|_| 127, |_| -127, |at| if at % 2 == 0 { 127 } else { -127 }];
        queries.into_iter().map(|of| Case { query: (0..dimension).map(of).collect(), rows: rows.clone() }).collect()
    }

    fn sums(&self, code: impl Fn(u8) -> u8) -> Vec<i32> {
        let sum = |row: &Vec<u8>| row.iter().zip(&self.query).map(|(&c, &q)| i64::from(code(c)) * i64::from(q)).sum();
        self.rows.iter().map(sum).map(|sum: i64| i32::try_from(sum).expect("fits")).collect()
    }

    /// Runs a kernel over the rows, each in its layout and shifted to an odd address.
    fn run(&self, kernel: BlockKernel, lay_out: impl Fn(&[u8]) -> Vec<u8>) -> Vec<i32> {
        let laid_out: Vec<Vec<u8>> = self.rows.iter().map(|row| [&[0xff], &lay_out(row)[..]].concat()).collect();
        let rows: Vec<*const u8> = laid_out.iter().map(|row| row[1..].as_ptr()).collect();
        let mut out = vec![i32::MIN; rows.len() + 1];
        run(kernel, &self.query, &rows, &mut out[..rows.len()]);
        assert_eq!(out.pop(), Some(i32::MIN), "nothing is written behind the last row");
        out
    }

    fn check(&self) {
        for kernels in runnable() {
            let name = format!("{} d={} n={}", kernels.isa, self.query.len(), self.rows.len());
            assert_eq!(self.run(kernels.dot_u8, <[u8]>::to_vec), self.sums(|code| code), "u8 {name}");
            if self.query.len().is_multiple_of(128) {
                let low = |row: &[u8]| plane(row, |code| code & 15);
                assert_eq!(self.run(kernels.dot_u4, low), self.sums(|code| code & 15), "u4 {name}");
                let planes = |row: &[u8]| [plane(row, |code| code >> 4), plane(row, |code| code & 15)].concat();
                assert_eq!(self.run(kernels.dot_u44, planes), self.sums(|code| code), "u44 {name}");
            }
        }
    }
}

#[expect(unsafe_code, reason = "block kernels take raw pointers")]
fn run(kernel: BlockKernel, query: &[i8], rows: &[*const u8], out: &mut [i32]) {
    // SAFETY: `Case::run` lays out each row in full.
    unsafe { kernel(query, rows, out) }
}

/// The 4-bit layout of a row.
fn plane(row: &[u8], nibble: impl Fn(u8) -> u8) -> Vec<u8> {
    let pairs = row.chunks(128).flat_map(|block| block[..64].iter().zip(&block[64..]));
    pairs.map(|(low, high)| nibble(*low) | nibble(*high) << 4).collect()
}

#[test]
fn codes_give_the_same_sums_at_every_length() {
    let mut rng = StdRng::seed_from_u64(2);
    for dimension in (64..=1536).step_by(64) {
        Case::random(&mut rng, dimension, 7).check();
        Case::extreme(dimension).iter().for_each(Case::check);
    }
}

#[test]
fn codes_give_the_same_sums_for_every_number_of_rows() {
    let mut rng = StdRng::seed_from_u64(3);
    for n_rows in 0..=40 {
        for dimension in [64, 128, 192, 384, 640] {
            Case::random(&mut rng, dimension, n_rows).check();
        }
    }
}

#[test]
fn the_longest_rows_do_not_overflow() {
    Case::extreme(crate::limits::MAX_DIMENSION).iter().for_each(Case::check);
    Case::random(&mut StdRng::seed_from_u64(4), crate::limits::MAX_DIMENSION, 5).check();
}

// The transform.

fn random_values(n: usize) -> Vec<f32> {
    let mut rng = StdRng::seed_from_u64(n as u64);
    (0..n).map(|_| rng.random_range(-1.0..1.0)).collect()
}

#[test]
fn the_transform_is_its_definition() {
    for n in (0..=11).map(|log| 1usize << log) {
        let values = random_values(n);
        let sign = |row: usize, column: usize| if (row & column).count_ones().is_multiple_of(2) { 1.0 } else { -1.0 };
        let component = |row| values.iter().enumerate().map(|(at, x)| sign(row, at) * f64::from(*x)).sum::<f64>();
        for kernels in runnable() {
            let mut got = values.clone();
            (kernels.hadamard)(&mut got);
            for (row, got) in got.into_iter().enumerate() {
                let want = component(row);
                assert!((f64::from(got) - want).abs() < 1e-4, "{} n={n} at {row}: {want}, got {got}", kernels.isa);
            }
        }
    }
}

#[test]
fn the_transform_is_its_own_inverse_and_the_same_everywhere() {
    for n in (0..=16).map(|log| 1usize << log) {
        let values = random_values(n);
        let mut by_portable = values.clone();
        (portable::KERNELS.hadamard)(&mut by_portable);
        for kernels in runnable() {
            let mut got = values.clone();
            (kernels.hadamard)(&mut got);
            assert!(got == by_portable, "{} n={n}: not the bits of portable", kernels.isa);
            (kernels.hadamard)(&mut got);
            for (got, x) in got.iter().zip(&values) {
                assert!((got / n as f32 - x).abs() < 1e-5, "{} n={n}: expected {x}", kernels.isa);
            }
        }
    }
}

#[test]
fn bits_that_differ_are_counted() {
    let words = |seed: u64| [0, 1, 2, 3, 4, 5, 6, 7].map(|at| (seed * 8 + at + 1).wrapping_mul(0x9e37_79b9_7f4a_7c15));
    let differ = |seed| words(seed).iter().zip(words(0)).map(|(a, b)| (a ^ b).count_ones()).sum::<u32>();
    let lines: Vec<[AtomicU64; 8]> = (0..35).map(|seed| words(seed).map(AtomicU64::new)).collect();
    for kernels in runnable() {
        for n in [0, 1, 2, 35] {
            let mut counts = vec![7; n];
            (kernels.differing)(&words(0), &lines[..n].iter().collect::<Vec<_>>(), &mut counts);
            assert!(counts.iter().copied().eq((0..n as u64).map(|seed| 7 + differ(seed))), "{} {n}", kernels.isa);
        }
    }
}

// Metrics.

#[test]
fn scores_grow_as_distances_shrink() {
    for metric in Metric::ALL {
        let (near, far) = (-0.9, -0.1);
        let (near, far) = if metric.kernel()(&[1.0], &[3.0]) < 0.0 { (near, far) } else { (0.1, 0.9) };
        let (near, far) = (metric.measure(near), metric.measure(far));
        assert!(metric.distance(near) < metric.distance(far), "{metric}");
        assert!(metric.score(near) > metric.score(far), "{metric}");
    }
    for (product, distance, score) in
        [(-1.0000001, 0.0, 1.0), (-1.0, 0.0, 1.0), (0.0, 1.0, 0.0), (1.0000001, 2.0, -1.0)]
    {
        let measure = Metric::Cosine.measure(product);
        assert_eq!((Metric::Cosine.distance(measure), Metric::Cosine.score(measure)), (distance, score));
    }
    assert!(Metric::Dot.distance(-0.0).is_sign_positive());
    assert_eq!(Metric::Euclidean.distance(9.0), 3.0);
}

#[test]
fn names_round_trip() {
    for metric in Metric::ALL {
        assert_eq!(metric.to_string().parse::<Metric>().unwrap(), metric);
    }
    assert_eq!("L2".parse::<Metric>().unwrap(), Metric::Euclidean);
    assert!("hamming".parse::<Metric>().is_err());
}

// Measures.

fn unit(rng: &mut StdRng, dimension: usize) -> Vec<f32> {
    let mut row: Vec<f32> = (0..dimension).map(|_| rng.random_range(-1.0..1.0)).collect();
    normalize(&mut row);
    row
}

#[test]
fn a_vector_measures_nothing_from_itself_by_any_kernel() {
    let mut rng = StdRng::seed_from_u64(5);
    for dimension in (1..=70).chain([100, 384, 768, 1_536, 4_097, 65_536]) {
        for _ in 0..if dimension < 1_000 { 40 } else { 4 } {
            let row = unit(&mut rng, dimension);
            for kernels in runnable() {
                for metric in [Metric::Cosine, Metric::Euclidean, Metric::Manhattan] {
                    let measure = Comparison::Metric(metric, kernels.kernel(metric)).measure(&row, &row.clone());
                    let what = format!("{} {metric} d={dimension}", kernels.isa);
                    assert_eq!((measure, metric.distance(measure), metric.score(measure)), (0.0, 0.0, 1.0), "{what}");
                }
            }
        }
    }
}

#[test]
fn small_cosine_distances_are_right_and_never_negative() {
    let mut rng = StdRng::seed_from_u64(6);
    for dimension in [2, 3, 17, 384, 1_536] {
        for shift in [1e-7f32, 1e-6, 1e-5, 1e-4, 1e-3, 3e-3, 1e-2, 0.1, 1.0] {
            for _ in 0..20 {
                let a = unit(&mut rng, dimension);
                let mut b = a.clone();
                b.iter_mut().for_each(|x| *x += shift * rng.random_range(-1.0..1.0) / (dimension as f32).sqrt());
                normalize(&mut b);
                // The squared chord is twice the distance; computed directly, the distance is lost
                // in rounding.
                let chord: f64 = a.iter().zip(&b).map(|(x, y)| (f64::from(*x) - f64::from(*y)).powi(2)).sum();
                for kernels in runnable() {
                    let comparison = Comparison::Metric(Metric::Cosine, kernels.kernel(Metric::Cosine));
                    let (measure, exact) = (comparison.measure(&a, &b), chord / 2.0);
                    let bound = if exact < 5e-6 { 1e-5 * exact } else { 1e-6 };
                    let is_close = (f64::from(measure) - exact).abs() <= bound;
                    assert!(is_close && measure >= 0.0, "{} d={dimension}: {exact}, got {measure}", kernels.isa);
                    assert_eq!(measure == 0.0, a == b, "{} d={dimension}: other vectors lie away", kernels.isa);
                }
            }
        }
    }
}

#[test]
fn what_reaches_as_far_is_no_farther() {
    let mut rng = StdRng::seed_from_u64(7);
    for metric in Metric::ALL {
        let comparison = Comparison::of_metric(metric);
        for _ in 0..10_000 {
            let measure = metric.measure(rng.random_range(0.0f32..2.0).powi(rng.random_range(1..9)));
            let mut next = measure;
            // All measures with the same distance lie within reach.
            while comparison.reported_distance(next) == comparison.reported_distance(measure) {
                assert!(next <= comparison.reach(measure), "{metric}: {next} is as far as {measure}");
                next = next.next_up();
            }
        }
    }
}
