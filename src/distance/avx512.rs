//! Kernels for AVX-512 with VNNI.
//!
//! `vpdpbusd` multiplies 64 unsigned codes with 64 signed values of the query and adds four
//! products into each of 16 sums. So a row of codes costs little more than its loads and the
//! addition of those 16 sums, which is done for four rows together. Floats run through four
//! accumulators; the remaining values are loaded under a mask.
#![expect(unsafe_code, reason = "intrinsics that load and store, and rows behind raw pointers")]

use std::arch::asm;
use std::arch::x86_64::*;
use std::sync::atomic::AtomicU64;

use super::{Isa, Kernels, LOOKAHEAD, portable};

pub(super) static KERNELS: Kernels = Kernels {
    isa: Isa::Avx512,
    // SAFETY: the table is handed out only where `runs_here` holds.
    negative_dot: |a, b| unsafe { negative_dot(a, b) },
    // SAFETY: as above.
    squared_euclidean: |a, b| unsafe { squared_euclidean(a, b) },
    // SAFETY: as above.
    manhattan: |a, b| unsafe { manhattan(a, b) },
    dot_u8,
    dot_u4,
    dot_u44,
    // SAFETY: as above.
    differing: |query, lines, counts| unsafe { differing(query, lines, counts) },
    // SAFETY: as above.
    join_planes: |row, steps| unsafe { join_planes(row, steps) },
    // SAFETY: as above.
    hadamard: |values| unsafe { hadamard(values) },
    runs_here,
};

fn runs_here() -> bool {
    is_x86_feature_detected!("avx2")
        && is_x86_feature_detected!("fma")
        && is_x86_feature_detected!("popcnt")
        && is_x86_feature_detected!("avx512f")
        && is_x86_feature_detected!("avx512bw")
        && is_x86_feature_detected!("avx512dq")
        && is_x86_feature_detected!("avx512vl")
        && is_x86_feature_detected!("avx512vnni")
}

/// Prefetches a row. Any address may be given.
#[inline(always)]
pub(crate) fn prefetch(row: *const u8, n_bytes: usize) {
    for line in (0..n_bytes).step_by(64) {
        // SAFETY: a prefetch never faults, and SSE is in every x86-64.
        unsafe { _mm_prefetch::<_MM_HINT_T0>(row.wrapping_add(line).cast()) };
    }
}

/// The part of a query that fits in a register.
type QueryChunk = [i8; 64];

/// # Safety
///
/// See [`super::BlockKernel`]; a row has `query.len()` bytes. The machine must have the features.
#[target_feature(enable = "avx512bw,avx512vl,avx512vnni")]
unsafe fn dot_u8(query: &[i8], rows: &[*const u8], out: &mut [i32]) {
    // SAFETY: the caller promises 64 bytes of each row for each 64 values of the query.
    unsafe { by_length(query, rows, out, 64, |query, row| sums_u8(query, row)) }
}

/// # Safety
///
/// See [`super::BlockKernel`]; a row has `query.len() / 2` bytes. The machine must have the
/// features.
#[target_feature(enable = "avx512bw,avx512vl,avx512vnni")]
unsafe fn dot_u4(query: &[i8], rows: &[*const u8], out: &mut [i32]) {
    // SAFETY: the caller promises 32 bytes of each row for each 64 values of the query.
    unsafe { by_length(query, rows, out, 32, |query, row| sums_u4(query, row)) }
}

/// # Safety
///
/// See [`super::BlockKernel`]; a row has `query.len()` bytes. The machine must have the features.
#[target_feature(enable = "avx512bw,avx512vl,avx512vnni")]
unsafe fn dot_u44(query: &[i8], rows: &[*const u8], out: &mut [i32]) {
    // SAFETY: the caller promises 64 bytes of each row for each 64 values of the query.
    unsafe { by_length(query, rows, out, 64, |query, row| sums_u44(query, row)) }
}

/// Scans with a query whose length the compiler knows, if it is a usual one. The compiler then
/// unrolls the loop over the row and keeps the query in registers.
///
/// # Safety
///
/// See [`scan`].
#[inline]
#[target_feature(enable = "avx512bw,avx512vl,avx512vnni")]
unsafe fn by_length(
    query: &[i8],
    rows: &[*const u8],
    out: &mut [i32],
    chunk_bytes: usize,
    sums: impl Fn(&[QueryChunk], *const u8) -> __m512i,
) {
    let (query, _) = query.as_chunks();
    // SAFETY: the caller makes the same promise.
    unsafe {
        match query.len() {
            2 => scan(array::<2>(query), rows, out, chunk_bytes, sums),
            4 => scan(array::<4>(query), rows, out, chunk_bytes, sums),
            6 => scan(array::<6>(query), rows, out, chunk_bytes, sums),
            8 => scan(array::<8>(query), rows, out, chunk_bytes, sums),
            12 => scan(array::<12>(query), rows, out, chunk_bytes, sums),
            16 => scan(array::<16>(query), rows, out, chunk_bytes, sums),
            24 => scan(array::<24>(query), rows, out, chunk_bytes, sums),
            _ => scan(query, rows, out, chunk_bytes, sums),
        }
    }
}

/// The first `N` chunks of a query. It must have as many.
#[inline]
fn array<const N: usize>(query: &[QueryChunk]) -> &[QueryChunk; N] {
    &query.as_chunks().0[0]
}

/// # Safety
///
/// `sums` must be callable for each of `rows`, and the machine must have the features.
#[inline]
#[target_feature(enable = "avx512bw,avx512vl,avx512vnni")]
unsafe fn scan<Q: AsRef<[QueryChunk]> + ?Sized>(
    query: &Q,
    rows: &[*const u8],
    out: &mut [i32],
    chunk_bytes: usize,
    sums: impl Fn(&[QueryChunk], *const u8) -> __m512i,
) {
    debug_assert_eq!(rows.len(), out.len());
    let query = query.as_ref();
    let n_bytes = query.len() * chunk_bytes;
    rows.iter().take(LOOKAHEAD).for_each(|row| prefetch(*row, n_bytes));
    let sums_of = |at: usize| {
        if let Some(ahead) = rows.get(at + LOOKAHEAD) {
            prefetch(*ahead, n_bytes);
        }
        sums(query, rows[at])
    };
    let (fours, rest) = out.as_chunks_mut::<4>();
    let mut at = 0;
    for four in fours {
        let totals = add_up([sums_of(at), sums_of(at + 1), sums_of(at + 2), sums_of(at + 3)]);
        // SAFETY: there is place for four.
        unsafe { _mm_storeu_si128(four.as_mut_ptr().cast(), totals) };
        at += 4;
    }
    for (at, out) in (at..).zip(rest) {
        *out = _mm512_reduce_add_epi32(sums_of(at));
    }
}

/// The sum of each of four registers.
#[inline]
#[target_feature(enable = "avx512f,avx512vl")]
fn add_up([a, b, c, d]: [__m512i; 4]) -> __m128i {
    let ab = _mm512_add_epi32(_mm512_unpacklo_epi32(a, b), _mm512_unpackhi_epi32(a, b));
    let cd = _mm512_add_epi32(_mm512_unpacklo_epi32(c, d), _mm512_unpackhi_epi32(c, d));
    let abcd = _mm512_add_epi32(_mm512_unpacklo_epi64(ab, cd), _mm512_unpackhi_epi64(ab, cd));
    let half = _mm256_add_epi32(_mm512_castsi512_si256(abcd), _mm512_extracti64x4_epi64::<1>(abcd));
    _mm_add_epi32(_mm256_castsi256_si128(half), _mm256_extracti128_si256::<1>(half))
}

/// # Safety
///
/// `row` must be readable for 64 bytes for each chunk.
#[inline]
#[target_feature(enable = "avx512bw,avx512vl,avx512vnni")]
unsafe fn sums_u8(query: &[QueryChunk], row: *const u8) -> __m512i {
    let mut sums = [_mm512_setzero_si512(); 2];
    for (at, chunk) in query.iter().enumerate() {
        // SAFETY: a chunk has 64 bytes; the caller promises those of the row.
        let (values, codes) = unsafe { (load(chunk.as_ptr()), load_row(row, at)) };
        sums[at % 2] = _mm512_dpbusd_epi32(sums[at % 2], codes, values);
    }
    _mm512_add_epi32(sums[0], sums[1])
}

/// # Safety
///
/// `row` must be readable for 64 bytes for each two chunks.
#[inline]
#[target_feature(enable = "avx512bw,avx512vl,avx512vnni")]
unsafe fn sums_u4(query: &[QueryChunk], row: *const u8) -> __m512i {
    let nibble = _mm512_set1_epi8(0x0f);
    let [mut low, mut high] = [_mm512_setzero_si512(); 2];
    for (at, [first, second]) in query.as_chunks().0.iter().enumerate() {
        // SAFETY: a chunk has 64 bytes; the caller promises those of the row.
        let [first, second, codes] = unsafe { [load(first.as_ptr()), load(second.as_ptr()), load_row(row, at)] };
        low = _mm512_dpbusd_epi32(low, _mm512_and_si512(codes, nibble), first);
        // High nibbles are not shifted, so they count sixteen times. The largest sum of half a
        // query, 32,768 · 240 · 127, still fits. One shift at the end costs less than one per load.
        high = _mm512_dpbusd_epi32(high, _mm512_andnot_si512(nibble, codes), second);
    }
    _mm512_add_epi32(low, _mm512_srai_epi32::<4>(high))
}

/// Joins the two planes into bytes and sums up their products.
///
/// # Safety
///
/// `row` must be readable for 64 bytes for each chunk.
#[inline]
#[target_feature(enable = "avx512bw,avx512vl,avx512vnni")]
unsafe fn sums_u44(query: &[QueryChunk], row: *const u8) -> __m512i {
    /// Selects the bits of the second operand where the first is set, otherwise those of the third.
    const SELECT: i32 = 0xca;
    let nibble = _mm512_set1_epi8(0x0f);
    let mut sums = [_mm512_setzero_si512(); 2];
    let (pairs, _) = query.as_chunks();
    for (at, [first, second]) in pairs.iter().enumerate() {
        // SAFETY: a chunk has 64 bytes; the caller promises those of the row.
        let [first, second, high, low] = unsafe {
            [load(first.as_ptr()), load(second.as_ptr()), load_row(row, at), load_row(row, pairs.len() + at)]
        };
        // The shift is by words of 16 bits. The mask discards bits that cross from byte to byte.
        let codes = _mm512_ternarylogic_epi32::<SELECT>(nibble, low, _mm512_slli_epi16::<4>(high));
        sums[0] = _mm512_dpbusd_epi32(sums[0], codes, first);
        let codes = _mm512_ternarylogic_epi32::<SELECT>(nibble, _mm512_srli_epi16::<4>(low), high);
        sums[1] = _mm512_dpbusd_epi32(sums[1], codes, second);
    }
    _mm512_add_epi32(sums[0], sums[1])
}

/// Loads the 64 bytes of block `block` of a row.
///
/// # Safety
///
/// These bytes must be readable.
#[inline]
#[target_feature(enable = "avx512f")]
unsafe fn load_row(row: *const u8, block: usize) -> __m512i {
    // SAFETY: the caller promises the bytes.
    unsafe { load(row.add(64 * block).cast()) }
}

/// # Safety
///
/// `from` must be readable for 64 bytes.
#[inline]
#[target_feature(enable = "avx512f")]
unsafe fn load(from: *const i8) -> __m512i {
    // SAFETY: the caller promises 64 bytes.
    unsafe { _mm512_loadu_si512(from.cast()) }
}

#[target_feature(enable = "avx512f")]
fn negative_dot(a: &[f32], b: &[f32]) -> f32 {
    -accumulate(a, b, |sum, a, b| _mm512_fmadd_ps(a, b, sum))
}

#[target_feature(enable = "avx512f")]
fn squared_euclidean(a: &[f32], b: &[f32]) -> f32 {
    accumulate(a, b, |sum, a, b| {
        let difference = _mm512_sub_ps(a, b);
        _mm512_fmadd_ps(difference, difference, sum)
    })
}

#[target_feature(enable = "avx512f")]
fn manhattan(a: &[f32], b: &[f32]) -> f32 {
    accumulate(a, b, |sum, a, b| _mm512_add_ps(sum, _mm512_abs_ps(_mm512_sub_ps(a, b))))
}

#[inline]
#[target_feature(enable = "avx512f")]
fn accumulate(a: &[f32], b: &[f32], add: impl Fn(__m512, __m512, __m512) -> __m512) -> f32 {
    let length = a.len().min(b.len());
    let (a_blocks, a_tail) = a[..length].as_chunks::<64>();
    let (b_blocks, b_tail) = b[..length].as_chunks::<64>();
    let mut sums = [_mm512_setzero_ps(); 4];
    for (a, b) in a_blocks.iter().zip(b_blocks) {
        let (a, b) = (a.as_chunks().0, b.as_chunks().0);
        for (sum, (a, b)) in sums.iter_mut().zip(a.iter().zip(b)) {
            *sum = add(*sum, read(a), read(b));
        }
    }
    // At most three whole registers are left: the last accumulator is free for the rest.
    let (a_blocks, a_tail) = a_tail.as_chunks::<16>();
    let (b_blocks, b_tail) = b_tail.as_chunks::<16>();
    for (sum, (a, b)) in sums.iter_mut().take(3).zip(a_blocks.iter().zip(b_blocks)) {
        *sum = add(*sum, read(a), read(b));
    }
    if !a_tail.is_empty() {
        let mask = u16::MAX >> (16 - a_tail.len());
        // SAFETY: the mask has one bit for each value there is.
        let [a, b] = [a_tail, b_tail].map(|tail| unsafe { _mm512_maskz_loadu_ps(mask, tail.as_ptr()) });
        sums[3] = add(sums[3], a, b);
    }
    let [a, b, c, d] = sums;
    _mm512_reduce_add_ps(_mm512_add_ps(_mm512_add_ps(a, b), _mm512_add_ps(c, d)))
}

/// # Safety
///
/// The machine must have the features.
#[target_feature(enable = "avx512f,popcnt")]
unsafe fn differing(query: &[u64; 8], lines: &[&[AtomicU64; 8]], counts: &mut [u32]) {
    if is_x86_feature_detected!("avx512vpopcntdq") {
        // SAFETY: the machine has the features of that function too.
        unsafe { differing_by_line(query, lines, counts) };
    } else {
        portable::differing(query, lines, counts);
    }
}

#[target_feature(enable = "avx512f,avx512vpopcntdq")]
fn differing_by_line(query: &[u64; 8], lines: &[&[AtomicU64; 8]], counts: &mut [u32]) {
    // SAFETY: an array is as long as a register.
    let query = unsafe { load(query.as_ptr().cast()) };
    for (line, count) in lines.iter().zip(counts) {
        let sums = _mm512_popcnt_epi64(_mm512_xor_si512(query, load_line(line)));
        *count = count.wrapping_add(_mm512_reduce_add_epi64(sums) as u32);
    }
}

/// Loads eight words at once, each as by a relaxed load.
#[inline]
#[target_feature(enable = "avx512f")]
fn load_line(line: &[AtomicU64; 8]) -> __m512i {
    let words;
    // SAFETY: only the array is read, by an instruction that the compiler does not look into. Other
    // threads may write its words meanwhile, as with relaxed loads.
    unsafe {
        asm!("vmovdqu64 {words}, [{line}]", words = lateout(zmm_reg) words, line = in(reg) line.as_ptr(),
            options(readonly, nostack, preserves_flags));
    }
    words
}

/// The reference implementation, compiled for these instructions.
#[target_feature(enable = "avx512f,avx512bw,avx512vl")]
fn join_planes(row: &[u8], steps: &mut [i8]) -> i32 {
    portable::join_planes(row, steps)
}

#[target_feature(enable = "avx512f")]
fn hadamard(values: &mut [f32]) {
    debug_assert!(values.len().is_power_of_two());
    if values.len() < 16 {
        return portable::hadamard(values);
    }
    let (blocks, _) = values.as_chunks_mut::<16>();
    for block in blocks.iter_mut() {
        write(block, within_block(read(block)));
    }
    let n_blocks = blocks.len();
    let mut width = 1;
    // Two rounds at a time halve the number of loads.
    while 4 * width <= n_blocks {
        for four in blocks.chunks_exact_mut(4 * width) {
            let (left, right) = four.split_at_mut(2 * width);
            let ((a, b), (c, d)) = (left.split_at_mut(width), right.split_at_mut(width));
            for (((a, b), c), d) in a.iter_mut().zip(b).zip(c).zip(d) {
                let (a_and_b, a_less_b) = butterfly(read(a), read(b));
                let (c_and_d, c_less_d) = butterfly(read(c), read(d));
                let (first, third) = butterfly(a_and_b, c_and_d);
                let (second, fourth) = butterfly(a_less_b, c_less_d);
                write(a, first);
                write(b, second);
                write(c, third);
                write(d, fourth);
            }
        }
        width *= 4;
    }
    if width < n_blocks {
        let (left, right) = blocks.split_at_mut(width);
        for (a, b) in left.iter_mut().zip(right) {
            let (sum, difference) = butterfly(read(a), read(b));
            write(a, sum);
            write(b, difference);
        }
    }
}

/// The first four rounds of the transform, which stay within 16 values.
#[inline]
#[target_feature(enable = "avx512f")]
fn within_block(x: __m512) -> __m512 {
    // In each pair the right value becomes left minus right, the left value their sum.
    let round = |x, swapped, right| _mm512_mask_sub_ps(_mm512_add_ps(x, swapped), right, swapped, x);
    let x = round(x, _mm512_permute_ps::<0b10_11_00_01>(x), 0xaaaa);
    let x = round(x, _mm512_permute_ps::<0b01_00_11_10>(x), 0xcccc);
    let x = round(x, _mm512_shuffle_f32x4::<0b10_11_00_01>(x, x), 0xf0f0);
    round(x, _mm512_shuffle_f32x4::<0b01_00_11_10>(x, x), 0xff00)
}

#[inline]
#[target_feature(enable = "avx512f")]
fn butterfly(a: __m512, b: __m512) -> (__m512, __m512) {
    (_mm512_add_ps(a, b), _mm512_sub_ps(a, b))
}

#[inline]
#[target_feature(enable = "avx512f")]
fn read(block: &[f32; 16]) -> __m512 {
    // SAFETY: a block has 16 values.
    unsafe { _mm512_loadu_ps(block.as_ptr()) }
}

#[inline]
#[target_feature(enable = "avx512f")]
fn write(block: &mut [f32; 16], values: __m512) {
    // SAFETY: a block has 16 values.
    unsafe { _mm512_storeu_ps(block.as_mut_ptr(), values) }
}
