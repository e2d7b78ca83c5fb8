//! Kernels for AVX2 with FMA.
//!
//! Without VNNI, `vpmaddubsw` multiplies unsigned codes with signed values of the query and adds
//! two products into an `i16`, with saturation. Nibbles never saturate: two products add up to at
//! most 2 · 15 · 127 = 3,810, and even eight such pairs, 30,480, fit. Bytes could saturate, and are
//! therefore multiplied as two nibbles.
#![expect(unsafe_code, reason = "intrinsics that load and store, and rows behind raw pointers")]

use std::arch::asm;
use std::arch::x86_64::*;
use std::sync::atomic::AtomicU64;

use super::{Isa, Kernels, LOOKAHEAD, portable, prefetch};

pub(super) static KERNELS: Kernels = Kernels {
    isa: Isa::Avx2,
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
    is_x86_feature_detected!("avx2") && is_x86_feature_detected!("fma")
}

/// # Safety
///
/// See [`super::BlockKernel`]; a row has `query.len()` bytes. The machine must have the features.
#[target_feature(enable = "avx2")]
unsafe fn dot_u8(query: &[i8], rows: &[*const u8], out: &mut [i32]) {
    // SAFETY: the caller promises `query.len()` bytes of each row.
    unsafe { scan(rows, out, query.len(), |row| sums_u8(query, row)) }
}

/// # Safety
///
/// See [`super::BlockKernel`]; a row has `query.len() / 2` bytes. The machine must have the
/// features.
#[target_feature(enable = "avx2")]
unsafe fn dot_u4(query: &[i8], rows: &[*const u8], out: &mut [i32]) {
    // SAFETY: the caller promises `query.len() / 2` bytes of each row.
    unsafe { scan(rows, out, query.len() / 2, |row| sums_u4(query, row)) }
}

/// # Safety
///
/// See [`super::BlockKernel`]; a row has `query.len()` bytes. The machine must have the features.
#[target_feature(enable = "avx2")]
unsafe fn dot_u44(query: &[i8], rows: &[*const u8], out: &mut [i32]) {
    // SAFETY: the caller promises `query.len()` bytes of each row, half of them for each plane.
    unsafe {
        scan(rows, out, query.len(), |row| {
            let (high, low) = (sums_u4(query, row), sums_u4(query, row.add(query.len() / 2)));
            _mm256_add_epi32(_mm256_slli_epi32::<4>(high), low)
        })
    }
}

/// # Safety
///
/// `sums` must be callable for each of `rows`.
#[inline]
#[target_feature(enable = "avx2")]
unsafe fn scan(rows: &[*const u8], out: &mut [i32], n_bytes: usize, sums: impl Fn(*const u8) -> __m256i) {
    debug_assert_eq!(rows.len(), out.len());
    rows.iter().take(LOOKAHEAD).for_each(|row| prefetch(*row, n_bytes));
    let sums_of = |at: usize| {
        if let Some(ahead) = rows.get(at + LOOKAHEAD) {
            prefetch(*ahead, n_bytes);
        }
        sums(rows[at])
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
        *out = _mm_cvtsi128_si32(add_up([sums_of(at); 4]));
    }
}

/// The sum of each of four registers.
#[inline]
#[target_feature(enable = "avx2")]
fn add_up([a, b, c, d]: [__m256i; 4]) -> __m128i {
    let abcd = _mm256_hadd_epi32(_mm256_hadd_epi32(a, b), _mm256_hadd_epi32(c, d));
    _mm_add_epi32(_mm256_castsi256_si128(abcd), _mm256_extracti128_si256::<1>(abcd))
}

/// # Safety
///
/// `row` must be readable for `query.len()` bytes.
#[inline]
#[target_feature(enable = "avx2")]
unsafe fn sums_u8(query: &[i8], row: *const u8) -> __m256i {
    let (mut high, mut low) = (_mm256_setzero_si256(), _mm256_setzero_si256());
    for (at, [first, second]) in query.as_chunks::<32>().0.as_chunks().0.iter().enumerate() {
        // SAFETY: the caller promises `query.len()` bytes of the row.
        let (first_codes, second_codes) = unsafe { (load(row.add(64 * at)), load(row.add(64 * at + 32))) };
        let (first, second) = (values(first), values(second));
        let (first_low, first_high) = nibbles(first_codes);
        let (second_low, second_high) = nibbles(second_codes);
        // Two pairs in an `i16` fit: see the module's text.
        let pairs = _mm256_add_epi16(_mm256_maddubs_epi16(first_low, first), _mm256_maddubs_epi16(second_low, second));
        low = _mm256_add_epi32(low, widen(pairs));
        let pairs =
            _mm256_add_epi16(_mm256_maddubs_epi16(first_high, first), _mm256_maddubs_epi16(second_high, second));
        high = _mm256_add_epi32(high, widen(pairs));
    }
    _mm256_add_epi32(_mm256_slli_epi32::<4>(high), low)
}

/// # Safety
///
/// `row` must be readable for `query.len() / 2` bytes.
#[inline]
#[target_feature(enable = "avx2")]
unsafe fn sums_u4(query: &[i8], row: *const u8) -> __m256i {
    let mut sums = _mm256_setzero_si256();
    for (at, [a, b, c, d]) in query.as_chunks::<32>().0.as_chunks().0.iter().enumerate() {
        // SAFETY: the caller promises `query.len() / 2` bytes of the row.
        let (first, second) = unsafe { (load(row.add(64 * at)), load(row.add(64 * at + 32))) };
        // The low nibbles belong to the first 64 values of the query, the high ones to the next 64.
        let ((a_codes, c_codes), (b_codes, d_codes)) = (nibbles(first), nibbles(second));
        let low = _mm256_add_epi16(_mm256_maddubs_epi16(a_codes, values(a)), _mm256_maddubs_epi16(b_codes, values(b)));
        let high = _mm256_add_epi16(_mm256_maddubs_epi16(c_codes, values(c)), _mm256_maddubs_epi16(d_codes, values(d)));
        // Four pairs in an `i16` fit: see the module's text.
        sums = _mm256_add_epi32(sums, widen(_mm256_add_epi16(low, high)));
    }
    sums
}

/// The low and the high nibble of each byte.
#[inline]
#[target_feature(enable = "avx2")]
fn nibbles(codes: __m256i) -> (__m256i, __m256i) {
    let nibble = _mm256_set1_epi8(0x0f);
    (_mm256_and_si256(codes, nibble), _mm256_and_si256(_mm256_srli_epi16::<4>(codes), nibble))
}

/// Adds pairs of `i16` into `i32`.
#[inline]
#[target_feature(enable = "avx2")]
fn widen(sums: __m256i) -> __m256i {
    _mm256_madd_epi16(sums, _mm256_set1_epi16(1))
}

#[inline]
#[target_feature(enable = "avx2")]
fn values(of_query: &[i8; 32]) -> __m256i {
    // SAFETY: there are 32 bytes.
    unsafe { _mm256_loadu_si256(of_query.as_ptr().cast()) }
}

/// # Safety
///
/// `from` must be readable for 32 bytes.
#[inline]
#[target_feature(enable = "avx2")]
unsafe fn load(from: *const u8) -> __m256i {
    // SAFETY: the caller promises 32 bytes.
    unsafe { _mm256_loadu_si256(from.cast()) }
}

#[target_feature(enable = "avx2,fma")]
fn negative_dot(a: &[f32], b: &[f32]) -> f32 {
    -accumulate(a, b, |sum, a, b| _mm256_fmadd_ps(a, b, sum))
}

#[target_feature(enable = "avx2,fma")]
fn squared_euclidean(a: &[f32], b: &[f32]) -> f32 {
    accumulate(a, b, |sum, a, b| {
        let difference = _mm256_sub_ps(a, b);
        _mm256_fmadd_ps(difference, difference, sum)
    })
}

#[target_feature(enable = "avx2,fma")]
fn manhattan(a: &[f32], b: &[f32]) -> f32 {
    let sign = _mm256_set1_ps(-0.0);
    accumulate(a, b, |sum, a, b| _mm256_add_ps(sum, _mm256_andnot_ps(sign, _mm256_sub_ps(a, b))))
}

#[inline]
#[target_feature(enable = "avx2,fma")]
fn accumulate(a: &[f32], b: &[f32], add: impl Fn(__m256, __m256, __m256) -> __m256) -> f32 {
    let length = a.len().min(b.len());
    let (a_blocks, a_tail) = a[..length].as_chunks::<32>();
    let (b_blocks, b_tail) = b[..length].as_chunks::<32>();
    let mut sums = [_mm256_setzero_ps(); 4];
    for (a, b) in a_blocks.iter().zip(b_blocks) {
        let (a, b) = (a.as_chunks().0, b.as_chunks().0);
        for (sum, (a, b)) in sums.iter_mut().zip(a.iter().zip(b)) {
            *sum = add(*sum, read(a), read(b));
        }
    }
    // At most three whole registers are left: the last accumulator is free for the rest.
    let (a_blocks, a_tail) = a_tail.as_chunks::<8>();
    let (b_blocks, b_tail) = b_tail.as_chunks::<8>();
    for (sum, (a, b)) in sums.iter_mut().take(3).zip(a_blocks.iter().zip(b_blocks)) {
        *sum = add(*sum, read(a), read(b));
    }
    if !a_tail.is_empty() {
        sums[3] = add(sums[3], read_some(a_tail), read_some(b_tail));
    }
    let [a, b, c, d] = sums;
    let eight = _mm256_add_ps(_mm256_add_ps(a, b), _mm256_add_ps(c, d));
    let four = _mm_add_ps(_mm256_castps256_ps128(eight), _mm256_extractf128_ps::<1>(eight));
    let two = _mm_add_ps(four, _mm_movehl_ps(four, four));
    _mm_cvtss_f32(_mm_add_ss(two, _mm_movehdup_ps(two)))
}

/// Reads up to 8 values. Missing values become 0.
#[inline]
#[target_feature(enable = "avx2")]
fn read_some(values: &[f32]) -> __m256 {
    // Eight numbers beginning at `8 - values.len()` are the mask: -1 reads a value, 0 does not.
    const MASKS: [i32; 16] = [-1, -1, -1, -1, -1, -1, -1, -1, 0, 0, 0, 0, 0, 0, 0, 0];
    let mask = &MASKS[8 - values.len()..][..8];
    // SAFETY: the mask has eight numbers, and lets only the values be read that there are.
    unsafe { _mm256_maskload_ps(values.as_ptr(), _mm256_loadu_si256(mask.as_ptr().cast())) }
}

#[inline]
#[target_feature(enable = "avx2")]
fn read(block: &[f32; 8]) -> __m256 {
    // SAFETY: a block has 8 values.
    unsafe { _mm256_loadu_ps(block.as_ptr()) }
}

/// Counts bits with a lookup table of nibbles (Mula, Kurz and Lemire, "Faster population counts
/// using AVX2 instructions", 2018).
#[target_feature(enable = "avx2")]
fn differing(query: &[u64; 8], lines: &[&[AtomicU64; 8]], counts: &mut [u32]) {
    let of_nibbles = _mm256_broadcastsi128_si256(_mm_setr_epi8(0, 1, 1, 2, 1, 2, 2, 3, 1, 2, 2, 3, 2, 3, 3, 4));
    let low = _mm256_set1_epi8(0x0f);
    let count_bytes = |bits: __m256i| {
        let by_low = _mm256_shuffle_epi8(of_nibbles, _mm256_and_si256(bits, low));
        let by_high = _mm256_shuffle_epi8(of_nibbles, _mm256_and_si256(_mm256_srli_epi16::<4>(bits), low));
        _mm256_add_epi8(by_low, by_high)
    };
    let (a, b) = query.split_at(4);
    // SAFETY: half of the array is as long as a register.
    let (a, b) = unsafe { (load(a.as_ptr().cast()), load(b.as_ptr().cast())) };
    for (line, count) in lines.iter().zip(counts) {
        let [first, second] = load_line(line);
        let (first, second) = (count_bytes(_mm256_xor_si256(a, first)), count_bytes(_mm256_xor_si256(b, second)));
        let sums = _mm256_sad_epu8(_mm256_add_epi8(first, second), _mm256_setzero_si256());
        let sums = _mm_add_epi64(_mm256_castsi256_si128(sums), _mm256_extracti128_si256::<1>(sums));
        *count = count.wrapping_add((_mm_cvtsi128_si64(sums) + _mm_extract_epi64::<1>(sums)) as u32);
    }
}

/// Loads eight words at once, each as by a relaxed load.
#[inline]
#[target_feature(enable = "avx2")]
fn load_line(line: &[AtomicU64; 8]) -> [__m256i; 2] {
    let (first, second);
    // SAFETY: only the array is read, by instructions that the compiler does not look into. Other
    // threads may write its words meanwhile, as with relaxed loads.
    unsafe {
        asm!("vmovdqu {first}, [{line}]", "vmovdqu {second}, [{line} + 32]",
            first = out(ymm_reg) first, second = lateout(ymm_reg) second, line = in(reg) line.as_ptr(),
            options(readonly, nostack, preserves_flags));
    }
    [first, second]
}

/// The reference implementation, compiled for these instructions.
#[target_feature(enable = "avx2")]
fn join_planes(row: &[u8], steps: &mut [i8]) -> i32 {
    portable::join_planes(row, steps)
}

/// The portable transform, compiled for wider registers.
#[target_feature(enable = "avx2")]
fn hadamard(values: &mut [f32]) {
    portable::hadamard(values);
}
