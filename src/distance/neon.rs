//! Kernels for NEON, which every 64-bit ARM has.
//!
//! Products of bytes are widened to `i16` and added there while they fit: sixteen products of a
//! nibble are at most 16 · 15 · 127 = 30,480. The product of a whole byte leaves no room for a
//! second one, and is added as `i32` at once. The remaining floats are copied into a register of
//! zeros.
#![expect(unsafe_code, reason = "intrinsics that load, and rows behind raw pointers")]

use std::arch::aarch64::*;
use std::arch::{asm, is_aarch64_feature_detected};

use super::{Isa, Kernels, LOOKAHEAD, portable};

pub(super) static KERNELS: Kernels = Kernels {
    isa: Isa::Neon,
    // SAFETY: the table is handed out only where `runs_here` holds.
    negative_dot: |a, b| unsafe { negative_dot(a, b) },
    // SAFETY: as above.
    squared_euclidean: |a, b| unsafe { squared_euclidean(a, b) },
    // SAFETY: as above.
    manhattan: |a, b| unsafe { manhattan(a, b) },
    dot_u8,
    dot_u4,
    dot_u44,
    // The compiler uses NEON for this function by itself.
    differing: portable::differing,
    join_planes: portable::join_planes,
    hadamard: portable::hadamard,
    runs_here: || is_aarch64_feature_detected!("neon"),
};

/// Prefetches a row. Any address may be given.
#[inline(always)]
pub(crate) fn prefetch(row: *const u8, n_bytes: usize) {
    for line in (0..n_bytes).step_by(64) {
        let address = row.wrapping_add(line);
        // SAFETY: a prefetch never faults, and changes nothing a program can see.
        unsafe { asm!("prfm pldl1keep, [{}]", in(reg) address, options(nostack, preserves_flags, readonly)) };
    }
}

/// # Safety
///
/// See [`super::BlockKernel`]; a row has `query.len()` bytes. The machine must have the features.
#[target_feature(enable = "neon")]
unsafe fn dot_u8(query: &[i8], rows: &[*const u8], out: &mut [i32]) {
    // SAFETY: the caller promises `query.len()` bytes of each row.
    unsafe { scan(rows, out, query.len(), |row| sums_u8(query, row)) }
}

/// # Safety
///
/// See [`super::BlockKernel`]; a row has `query.len() / 2` bytes. The machine must have the
/// features.
#[target_feature(enable = "neon")]
unsafe fn dot_u4(query: &[i8], rows: &[*const u8], out: &mut [i32]) {
    // SAFETY: the caller promises `query.len() / 2` bytes of each row.
    unsafe { scan(rows, out, query.len() / 2, |row| sums_u4(query, row)) }
}

/// # Safety
///
/// See [`super::BlockKernel`]; a row has `query.len()` bytes. The machine must have the features.
#[target_feature(enable = "neon")]
unsafe fn dot_u44(query: &[i8], rows: &[*const u8], out: &mut [i32]) {
    // SAFETY: the caller promises `query.len()` bytes of each row, half of them for each plane.
    unsafe {
        scan(rows, out, query.len(), |row| {
            let (high, low) = (sums_u4(query, row), sums_u4(query, row.add(query.len() / 2)));
            vaddq_s32(vshlq_n_s32::<4>(high), low)
        })
    }
}

/// # Safety
///
/// `sums` must be callable for each of `rows`.
#[inline]
#[target_feature(enable = "neon")]
unsafe fn scan(rows: &[*const u8], out: &mut [i32], n_bytes: usize, sums: impl Fn(*const u8) -> int32x4_t) {
    debug_assert_eq!(rows.len(), out.len());
    rows.iter().take(LOOKAHEAD).for_each(|row| prefetch(*row, n_bytes));
    for (at, (row, out)) in rows.iter().zip(out).enumerate() {
        if let Some(ahead) = rows.get(at + LOOKAHEAD) {
            prefetch(*ahead, n_bytes);
        }
        *out = vaddvq_s32(sums(*row));
    }
}

/// # Safety
///
/// `row` must be readable for `query.len()` bytes.
#[inline]
#[target_feature(enable = "neon")]
unsafe fn sums_u8(query: &[i8], row: *const u8) -> int32x4_t {
    let mut sums = [vdupq_n_s32(0); 4];
    for (at, of_query) in query.as_chunks().0.iter().enumerate() {
        // SAFETY: the caller promises `query.len()` bytes of the row.
        let codes = unsafe { vld1q_u8(row.add(16 * at)) };
        let values = values(of_query);
        let low_codes = vreinterpretq_s16_u16(vmovl_u8(vget_low_u8(codes)));
        let high_codes = vreinterpretq_s16_u16(vmovl_high_u8(codes));
        let (low_values, high_values) = (vmovl_s8(vget_low_s8(values)), vmovl_high_s8(values));
        sums[0] = vmlal_s16(sums[0], vget_low_s16(low_codes), vget_low_s16(low_values));
        sums[1] = vmlal_high_s16(sums[1], low_codes, low_values);
        sums[2] = vmlal_s16(sums[2], vget_low_s16(high_codes), vget_low_s16(high_values));
        sums[3] = vmlal_high_s16(sums[3], high_codes, high_values);
    }
    vaddq_s32(vaddq_s32(sums[0], sums[1]), vaddq_s32(sums[2], sums[3]))
}

/// # Safety
///
/// `row` must be readable for `query.len() / 2` bytes.
#[inline]
#[target_feature(enable = "neon")]
unsafe fn sums_u4(query: &[i8], row: *const u8) -> int32x4_t {
    let nibble = vdupq_n_u8(0x0f);
    let mut sums = [vdupq_n_s32(0); 2];
    for (block, of_query) in query.as_chunks::<128>().0.iter().enumerate() {
        // The low nibbles belong to the first 64 values of the query, the high ones to the next 64.
        let (first, second) = of_query.split_at(64);
        let mut products = [vdupq_n_s16(0); 2];
        for (at, (first, second)) in first.as_chunks().0.iter().zip(second.as_chunks().0).enumerate() {
            // SAFETY: the caller promises `query.len() / 2` bytes of the row.
            let codes = unsafe { vld1q_u8(row.add(64 * block + 16 * at)) };
            let (low, high) = (vandq_u8(codes, nibble), vshrq_n_u8::<4>(codes));
            products[0] = add_products(products[0], vreinterpretq_s8_u8(low), values(first));
            products[1] = add_products(products[1], vreinterpretq_s8_u8(high), values(second));
        }
        // Four times two products in each `i16` fit: see the module's text.
        sums[0] = vpadalq_s16(sums[0], products[0]);
        sums[1] = vpadalq_s16(sums[1], products[1]);
    }
    vaddq_s32(sums[0], sums[1])
}

/// Adds two products into each sum.
#[inline]
#[target_feature(enable = "neon")]
fn add_products(sums: int16x8_t, codes: int8x16_t, values: int8x16_t) -> int16x8_t {
    vmlal_high_s8(vmlal_s8(sums, vget_low_s8(codes), vget_low_s8(values)), codes, values)
}

#[inline]
#[target_feature(enable = "neon")]
fn values(of_query: &[i8; 16]) -> int8x16_t {
    // SAFETY: there are 16 bytes.
    unsafe { vld1q_s8(of_query.as_ptr()) }
}

#[target_feature(enable = "neon")]
fn negative_dot(a: &[f32], b: &[f32]) -> f32 {
    -accumulate(a, b, |sum, a, b| vfmaq_f32(sum, a, b))
}

#[target_feature(enable = "neon")]
fn squared_euclidean(a: &[f32], b: &[f32]) -> f32 {
    accumulate(a, b, |sum, a, b| {
        let difference = vsubq_f32(a, b);
        vfmaq_f32(sum, difference, difference)
    })
}

#[target_feature(enable = "neon")]
fn manhattan(a: &[f32], b: &[f32]) -> f32 {
    accumulate(a, b, |sum, a, b| vaddq_f32(sum, vabdq_f32(a, b)))
}

#[inline]
#[target_feature(enable = "neon")]
fn accumulate(a: &[f32], b: &[f32], add: impl Fn(float32x4_t, float32x4_t, float32x4_t) -> float32x4_t) -> f32 {
    let length = a.len().min(b.len());
    let (a_blocks, a_tail) = a[..length].as_chunks::<16>();
    let (b_blocks, b_tail) = b[..length].as_chunks::<16>();
    let mut sums = [vdupq_n_f32(0.0); 4];
    for (a, b) in a_blocks.iter().zip(b_blocks) {
        let (a, b) = (a.as_chunks().0, b.as_chunks().0);
        for (sum, (a, b)) in sums.iter_mut().zip(a.iter().zip(b)) {
            *sum = add(*sum, read(a), read(b));
        }
    }
    // At most three whole registers are left: the last accumulator is free for the rest.
    let (a_blocks, a_tail) = a_tail.as_chunks::<4>();
    let (b_blocks, b_tail) = b_tail.as_chunks::<4>();
    for (sum, (a, b)) in sums.iter_mut().take(3).zip(a_blocks.iter().zip(b_blocks)) {
        *sum = add(*sum, read(a), read(b));
    }
    if !a_tail.is_empty() {
        let [a, b] = [a_tail, b_tail].map(|tail| {
            let mut block = [0.0; 4];
            block[..tail.len()].copy_from_slice(tail);
            read(&block)
        });
        sums[3] = add(sums[3], a, b);
    }
    let [a, b, c, d] = sums;
    vaddvq_f32(vaddq_f32(vaddq_f32(a, b), vaddq_f32(c, d)))
}

#[inline]
#[target_feature(enable = "neon")]
fn read(block: &[f32; 4]) -> float32x4_t {
    // SAFETY: a block has 4 values.
    unsafe { vld1q_f32(block.as_ptr()) }
}
