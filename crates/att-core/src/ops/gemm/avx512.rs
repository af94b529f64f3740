//! f32 products with AVX-512: a tile of up to 12 rows by 32 columns stays in 24 registers while
//! its inner sum runs (the scheme of Goto and van de Geijn 2008, and of BLIS).

use std::arch::x86_64::*;
use std::cell::RefCell;
use std::ops::Range;

use super::{Mat, Out};

/// Columns of a panel.
pub(super) const NR: usize = 32;
/// Rows of a tile.
const MR: usize = 12;
/// Inner sizes are cut into pieces of this: a panel's piece (64 KiB) is read from the second cache.
const KC: usize = 512;
/// Rows that are packed at a time: with `KC`, 240 KiB in the second cache.
const MC: usize = 10 * MR;

pub(super) fn available() -> bool {
    is_x86_feature_detected!("avx512f")
}

/// A cache line of numbers.
#[derive(Clone, Copy)]
#[repr(align(64))]
struct Line([f32; 16]);

/// The right factor in panels of [`NR`] columns, each `[k, NR]`; the last is filled with zeros.
pub(super) struct Panels {
    k: usize,
    lines: Vec<Line>,
}

impl Panels {
    pub(super) fn pack(rhs: Mat) -> Self {
        let (k, n) = (rhs.rows, rhs.cols);
        let mut lines = vec![Line([0.0; 16]); n.div_ceil(NR) * k * 2];
        for (panel, lines) in lines.chunks_exact_mut((2 * k).max(1)).enumerate() {
            let from = panel * NR;
            let cols = NR.min(n - from);
            if rhs.col_stride == 1 {
                for (i, pair) in lines.chunks_exact_mut(2).enumerate() {
                    let row = &rhs.data[i * rhs.row_stride + from..][..cols];
                    let (left, right) = row.split_at(cols.min(16));
                    pair[0].0[..left.len()].copy_from_slice(left);
                    pair[1].0[..right.len()].copy_from_slice(right);
                }
            } else {
                // Blocks of rows keep the lines that are written in the first cache.
                for block in (0..k).step_by(64) {
                    for j in 0..cols {
                        for i in block..(block + 64).min(k) {
                            lines[2 * i + j / 16].0[j % 16] = rhs.at(i, from + j);
                        }
                    }
                }
            }
        }
        Self { k, lines }
    }
}

thread_local! {
    /// The packed piece of the left factor.
    static LEFT: RefCell<Vec<f32>> = const { RefCell::new(Vec::new()) };
}

/// The columns `cols` (starting on a panel) of `lhs` times the panels, into `out`.
///
/// # Safety
///
/// AVX-512 must be [`available`], and `out` have room for `lhs.rows` rows of `cols`.
pub(super) unsafe fn product(out: Out, lhs: Mat, rhs: &Panels, cols: Range<usize>) {
    let k = lhs.cols;
    if k == 0 && !out.accumulate {
        for i in 0..lhs.rows {
            for j in 0..cols.len() {
                // SAFETY: inside `out`, by the caller.
                unsafe { *out.data.add(i * out.row_stride + j) = 0.0 };
            }
        }
    }
    LEFT.with_borrow_mut(|left| {
        for first in (0..lhs.rows).step_by(MC) {
            let rows = MC.min(lhs.rows - first);
            for k_from in (0..k).step_by(KC) {
                let depth = KC.min(k - k_from);
                pack_left(left, lhs, first..first + rows, k_from..k_from + depth);
                for col in cols.clone().step_by(NR) {
                    let width = NR.min(cols.end - col);
                    let lines = &rhs.lines[(col / NR * rhs.k + k_from) * 2..][..2 * depth];
                    for row in (0..rows).step_by(MR) {
                        let height = MR.min(rows - row);
                        let left = &left[row * depth..][..height * depth];
                        // SAFETY: the caller's; `first + row` and `col` are inside `out`.
                        unsafe {
                            let target = Out {
                                accumulate: out.accumulate || k_from > 0,
                                ..out.from(first + row, col - cols.start)
                            };
                            tile(target, left, lines, height, width);
                        }
                    }
                }
            }
        }
    });
}

/// Rows in groups of [`MR`], each group `[depth, rows of the group]`.
fn pack_left(left: &mut Vec<f32>, lhs: Mat, rows: Range<usize>, depth: Range<usize>) {
    left.resize(rows.len() * depth.len(), 0.0);
    let groups = left.chunks_mut(MR * depth.len());
    for (group, from) in groups.zip(rows.clone().step_by(MR)) {
        let height = MR.min(rows.end - from);
        if lhs.row_stride == 1 {
            for (column, l) in group.chunks_exact_mut(height).zip(depth.clone()) {
                column.copy_from_slice(&lhs.data[l * lhs.col_stride + from..][..height]);
            }
        } else {
            for i in 0..height {
                for (l, at) in depth.clone().enumerate() {
                    group[l * height + i] = lhs.at(from + i, at);
                }
            }
        }
    }
}

/// One tile of the result.
///
/// # Safety
///
/// AVX-512 must be there, `left` hold `height` times half as many numbers as `lines` has lines,
/// and `out` have room for `height` rows of `width`.
unsafe fn tile(out: Out, left: &[f32], lines: &[Line], height: usize, width: usize) {
    macro_rules! by_height {
        ($($rows:literal)*) => {
            match height {
                // SAFETY: the caller's.
                $($rows => unsafe { tile_of::<$rows>(out, left, lines, width) },)*
                _ => unreachable!("a tile has 1 to {MR} rows"),
            }
        };
    }
    by_height!(1 2 3 4 5 6 7 8 9 10 11 12);
}

/// # Safety
///
/// That of [`tile`].
#[target_feature(enable = "avx512f")]
unsafe fn tile_of<const R: usize>(out: Out, left: &[f32], lines: &[Line], width: usize) {
    debug_assert!(left.len() * 2 == R * lines.len() && width <= NR);
    let mut sums = [[_mm512_setzero_ps(); 2]; R];
    // SAFETY: `left` has R numbers for each pair of lines.
    unsafe {
        let (mut a, mut b) = (left.as_ptr(), lines.as_ptr().cast::<f32>());
        for _ in 0..lines.len() / 2 {
            let (b0, b1) = (_mm512_load_ps(b), _mm512_load_ps(b.add(16)));
            for (i, [left, right]) in sums.iter_mut().enumerate() {
                let x = _mm512_set1_ps(*a.add(i));
                *left = _mm512_fmadd_ps(x, b0, *left);
                *right = _mm512_fmadd_ps(x, b1, *right);
            }
            a = a.add(R);
            b = b.add(32);
        }
    }
    let bits = u32::MAX >> (32 - width);
    let (left_mask, right_mask) = (bits as u16, (bits >> 16) as u16);
    for (i, [left, right]) in sums.into_iter().enumerate() {
        // SAFETY: the masks keep to the `width` columns that there is room for.
        unsafe {
            let row = out.data.add(i * out.row_stride);
            let (mut left, mut right) = (left, right);
            if out.accumulate {
                left = _mm512_add_ps(left, _mm512_maskz_loadu_ps(left_mask, row));
                right = _mm512_add_ps(right, _mm512_maskz_loadu_ps(right_mask, row.add(16)));
            }
            _mm512_mask_storeu_ps(row, left_mask, left);
            _mm512_mask_storeu_ps(row.wrapping_add(16), right_mask, right);
        }
    }
}
