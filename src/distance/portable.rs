//! Kernels in plain Rust, written so that the compiler can use the vector registers of any target.
//!
//! Unknown machines run them, and they are the reference implementation for all others. Sixteen
//! running sums keep the additions of floats independent of each other; the tail goes through the
//! same sums.
#![expect(unsafe_code, reason = "block kernels read rows through raw pointers")]

use std::slice;
use std::sync::atomic::{AtomicU64, Ordering};

use super::{Isa, Kernels, LOOKAHEAD};

const LANES: usize = 16;

pub(super) static KERNELS: Kernels = Kernels {
    isa: Isa::Portable,
    negative_dot,
    squared_euclidean,
    manhattan,
    dot_u8,
    dot_u4,
    dot_u44,
    differing,
    join_planes,
    hadamard,
    runs_here: || true,
};

fn negative_dot(a: &[f32], b: &[f32]) -> f32 {
    -accumulate(a, b, |x, y| x * y)
}

fn squared_euclidean(a: &[f32], b: &[f32]) -> f32 {
    accumulate(a, b, |x, y| (x - y) * (x - y))
}

fn manhattan(a: &[f32], b: &[f32]) -> f32 {
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

/// # Safety
///
/// See [`super::BlockKernel`]; a row has `query.len()` bytes.
unsafe fn dot_u8(query: &[i8], rows: &[*const u8], out: &mut [i32]) {
    // SAFETY: the caller promises `query.len()` bytes of each row.
    unsafe { scan(rows, out, query.len(), |row| sum_u8(query, row)) }
}

/// # Safety
///
/// See [`super::BlockKernel`]; a row has `query.len() / 2` bytes.
unsafe fn dot_u4(query: &[i8], rows: &[*const u8], out: &mut [i32]) {
    // SAFETY: the caller promises `query.len() / 2` bytes of each row.
    unsafe { scan(rows, out, query.len() / 2, |row| sum_u4(query, row)) }
}

/// # Safety
///
/// See [`super::BlockKernel`]; a row has `query.len()` bytes.
unsafe fn dot_u44(query: &[i8], rows: &[*const u8], out: &mut [i32]) {
    let sum = |row: &[u8]| {
        let (high, low) = row.split_at(row.len() / 2);
        16 * sum_u4(query, high) + sum_u4(query, low)
    };
    // SAFETY: the caller promises `query.len()` bytes of each row.
    unsafe { scan(rows, out, query.len(), sum) }
}

/// # Safety
///
/// Every row must be readable for `n_bytes`.
#[inline(always)]
unsafe fn scan(rows: &[*const u8], out: &mut [i32], n_bytes: usize, sum: impl Fn(&[u8]) -> i32) {
    debug_assert_eq!(rows.len(), out.len());
    rows.iter().take(LOOKAHEAD).for_each(|row| super::prefetch(*row, n_bytes));
    for (at, (row, out)) in rows.iter().zip(out).enumerate() {
        if let Some(ahead) = rows.get(at + LOOKAHEAD) {
            super::prefetch(*ahead, n_bytes);
        }
        // SAFETY: the caller promises `n_bytes` of each row.
        *out = sum(unsafe { slice::from_raw_parts(*row, n_bytes) });
    }
}

// No sum can overflow, see `BlockKernel`. With wrapping additions the compiler may use vectors.

#[inline(always)]
fn sum_u8(query: &[i8], row: &[u8]) -> i32 {
    query.iter().zip(row).fold(0i32, |sum, (q, code)| sum.wrapping_add(i32::from(*q) * i32::from(*code)))
}

#[inline(always)]
fn sum_u4(query: &[i8], row: &[u8]) -> i32 {
    let (queries, _) = query.as_chunks::<128>();
    let (blocks, _) = row.as_chunks::<64>();
    queries.iter().zip(blocks).fold(0i32, |sum, (query, block)| {
        let (first, second) = query.split_at(64);
        let codes = block.iter().zip(first.iter().zip(second));
        codes.fold(sum, |sum, (code, (first, second))| {
            let (low, high) = (i32::from(code & 0x0f), i32::from(code >> 4));
            sum.wrapping_add(low * i32::from(*first)).wrapping_add(high * i32::from(*second))
        })
    })
}

#[inline(always)]
pub(super) fn differing(query: &[u64; 8], lines: &[&[AtomicU64; 8]], counts: &mut [u32]) {
    for (line, count) in lines.iter().zip(counts) {
        let differ = |(bits, word): (&u64, &AtomicU64)| (bits ^ word.load(Ordering::Relaxed)).count_ones();
        *count = count.wrapping_add(query.iter().zip(*line).map(differ).sum());
    }
}

#[inline(always)]
pub(super) fn join_planes(row: &[u8], steps: &mut [i8]) -> i32 {
    let (high, low) = row.split_at(row.len() / 2);
    let planes = high.as_chunks::<64>().0.iter().zip(low.as_chunks::<64>().0);
    let mut sum = 0i32;
    for (steps, (high, low)) in steps.as_chunks_mut::<128>().0.iter_mut().zip(planes) {
        for at in 0..64 {
            steps[at] = ((high[at] << 4 | low[at] & 0x0f) ^ 0x80) as i8;
            steps[64 + at] = ((high[at] & 0xf0 | low[at] >> 4) ^ 0x80) as i8;
        }
        sum = steps.iter().fold(sum, |sum, &step| sum.wrapping_add(i32::from(step)));
    }
    sum
}

#[inline(always)]
pub(super) fn hadamard(values: &mut [f32]) {
    debug_assert!(values.len().is_power_of_two());
    let (blocks, rest) = values.as_chunks_mut::<LANES>();
    // The length of a block is known, so its rounds are unrolled.
    blocks.iter_mut().for_each(|block| rounds(block, 1));
    rounds(rest, 1);
    rounds(values, LANES);
}

/// All rounds of the transform, beginning with pairs of values `width` apart.
#[inline(always)]
fn rounds(values: &mut [f32], mut width: usize) {
    while width < values.len() {
        for pair in values.chunks_exact_mut(2 * width) {
            let (left, right) = pair.split_at_mut(width);
            for (a, b) in left.iter_mut().zip(right) {
                (*a, *b) = (*a + *b, *a - *b);
            }
        }
        width *= 2;
    }
}
