//! Kernels in plain Rust, written so that the compiler can use whatever vector registers the target has.
//!
//! Sixteen running sums keep the additions independent of each other; the tail goes through the same sums.

const LANES: usize = 16;

pub(super) fn negative_dot(a: &[f32], b: &[f32]) -> f32 {
    -accumulate(a, b, |x, y| x * y)
}

pub(super) fn squared_euclidean(a: &[f32], b: &[f32]) -> f32 {
    accumulate(a, b, |x, y| (x - y) * (x - y))
}

pub(super) fn manhattan(a: &[f32], b: &[f32]) -> f32 {
    accumulate(a, b, |x, y| (x - y).abs())
}

#[inline(always)]
fn accumulate(a: &[f32], b: &[f32], term: impl Fn(f32, f32) -> f32) -> f32 {
    let mut sums = [0.0f32; LANES];
    let (a_blocks, a_tail) = a.as_chunks::<LANES>();
    let (b_blocks, b_tail) = b.as_chunks::<LANES>();
    for (a, b) in a_blocks.iter().zip(b_blocks) {
        for lane in 0..LANES {
            sums[lane] += term(a[lane], b[lane]);
        }
    }
    for (sum, (&x, &y)) in sums.iter_mut().zip(a_tail.iter().zip(b_tail)) {
        *sum += term(x, y);
    }
    let mut width = LANES / 2;
    while width > 0 {
        for lane in 0..width {
            sums[lane] += sums[lane + width];
        }
        width /= 2;
    }
    sums[0]
}
