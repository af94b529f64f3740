//! Sums of int8 products on x86-64.

use std::arch::x86_64::*;
use std::mem::MaybeUninit;

use super::super::amx;
use super::{Line, QUAD, Sums, TILE};

pub(super) fn has_amx() -> bool {
    amx::int8_available()
}

pub(super) fn has_vnni() -> bool {
    is_x86_feature_detected!("avx512f") && is_x86_feature_detected!("avx512vnni")
}

pub(super) fn has_avx2() -> bool {
    is_x86_feature_detected!("avx2")
}

/// # Safety
///
/// AMX must be there, and its [`Tiles`](amx::Tiles) ready.
pub(super) unsafe fn amx(left: &[Line], panel: &[Line], height: usize, sums: &mut Sums) {
    let depth = panel.len() / (2 * TILE);
    // SAFETY: both are four tiles of 32-bit integers, and of integers every pattern is one.
    unsafe {
        let sums = &mut *std::ptr::from_mut(sums).cast::<MaybeUninit<amx::Sums<i32>>>();
        amx::int8_tiles(left, panel, depth, height > TILE, sums);
    }
}

/// The four numbers of a row of the left factor that meet line `line` of a tile.
#[inline(always)]
fn quad(left: &[Line], depth: usize, i: usize, tile: usize, line: usize) -> i32 {
    left[(i / TILE * depth + tile) * TILE + i % TILE].integer(line)
}

/// # Safety
///
/// AVX-512 with VNNI must be there.
#[target_feature(enable = "avx512f,avx512vnni")]
pub(super) unsafe fn vnni(left: &[Line], panel: &[Line], height: usize, sums: &mut Sums) {
    for row in (0..height).step_by(8) {
        // SAFETY: VNNI is there.
        unsafe {
            match height - row {
                1 => vnni_rows::<1>(left, panel, row, sums),
                2 => vnni_rows::<2>(left, panel, row, sums),
                3 => vnni_rows::<3>(left, panel, row, sums),
                4 => vnni_rows::<4>(left, panel, row, sums),
                5 => vnni_rows::<5>(left, panel, row, sums),
                6 => vnni_rows::<6>(left, panel, row, sums),
                7 => vnni_rows::<7>(left, panel, row, sums),
                _ => vnni_rows::<8>(left, panel, row, sums),
            }
        }
    }
}

/// # Safety
///
/// AVX-512 with VNNI must be there.
#[target_feature(enable = "avx512f,avx512vnni")]
unsafe fn vnni_rows<const R: usize>(left: &[Line], panel: &[Line], row: usize, sums: &mut Sums) {
    let depth = panel.len() / (2 * TILE);
    let mut found = [[_mm512_setzero_si512(); 2]; R];
    let group = &left[row / TILE * depth * TILE..][..depth * TILE];
    let (tiles, _) = group.as_chunks::<TILE>();
    let (panels, _) = panel.as_chunks::<{ 2 * TILE }>();
    for (left, right) in tiles.iter().zip(panels) {
        let rows: &[Line; R] = left[row % TILE..][..R].try_into().expect("as many");
        // By numbers, so that all sums stay in registers.
        for line in 0..TILE {
            let halves = [&right[line], &right[TILE + line]].map(|line| {
                line.prefetch_later();
                // SAFETY: a line is 64 aligned bytes.
                unsafe { _mm512_load_si512(std::ptr::from_ref(line).cast()) }
            });
            for i in 0..R {
                let q = _mm512_set1_epi32(rows[i].integer(line));
                found[i][0] = _mm512_dpbusd_epi32(found[i][0], q, halves[0]);
                found[i][1] = _mm512_dpbusd_epi32(found[i][1], q, halves[1]);
            }
        }
    }
    for (i, found) in (row..).zip(found) {
        for (half, found) in found.into_iter().enumerate() {
            let to = &mut sums.0[i / TILE * 2 + half][i % TILE];
            // SAFETY: a row of a tile is 64 bytes.
            unsafe { _mm512_storeu_si512(to.as_mut_ptr().cast(), found) };
        }
    }
}

/// # Safety
///
/// AVX2 must be there.
#[target_feature(enable = "avx2")]
pub(super) unsafe fn avx2(left: &[Line], panel: &[Line], height: usize, sums: &mut Sums) {
    let depth = panel.len() / (2 * TILE);
    for i in 0..height {
        for half in 0..2 {
            // Of four columns each, two sums a column: those of its even and of its odd pairs.
            let mut found = [_mm256_setzero_si256(); TILE / QUAD];
            for (tile, lines) in panel.chunks_exact(2 * TILE).enumerate() {
                for (line, p) in lines[half * TILE..][..TILE].iter().enumerate() {
                    let q = _mm_set1_epi32(quad(left, depth, i, tile, line));
                    let q = _mm256_cvtepu8_epi16(q);
                    for (found, p) in found.iter_mut().zip(p.0.chunks_exact(16)) {
                        // SAFETY: there are 16 bytes.
                        let p = unsafe { _mm_loadu_si128(p.as_ptr().cast()) };
                        let products = _mm256_madd_epi16(q, _mm256_cvtepi8_epi16(p));
                        *found = _mm256_add_epi32(*found, products);
                    }
                }
            }
            let to = &mut sums.0[i / TILE * 2 + half][i % TILE];
            for (to, found) in to.chunks_exact_mut(QUAD).zip(found) {
                let mut pairs = [0i32; 8];
                // SAFETY: there is room for eight numbers.
                unsafe { _mm256_storeu_si256(pairs.as_mut_ptr().cast(), found) };
                for (to, pair) in to.iter_mut().zip(pairs.chunks_exact(2)) {
                    *to = pair[0] + pair[1];
                }
            }
        }
    }
}
