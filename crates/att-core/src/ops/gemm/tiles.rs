//! f32 products by vectors: a tile of a few rows by two vectors of columns stays in registers while its
//! inner sum runs (the scheme of Goto and van de Geijn 2008, and of BLIS). With AVX-512 a tile has
//! up to 12 rows by 32 columns, with AVX2 6 by 16, with NEON 12 by 8.

use std::cell::RefCell;
use std::ops::Range;

use pulp::{Simd, WithSimd};

use super::{LINE, Mat, Out};

/// Terms of a sum that are added up in registers: what a panel has of them, 64 KiB with AVX-512 and 32
/// with AVX2, is read from the second cache. Results are read and written again for each further part.
const DEPTH: usize = 512;
/// Rows of the left factor that are packed at a time: 240 KiB in the second cache.
const LEFT_ROWS: usize = 120;
/// Numbers of the right factor between those that are multiplied and those that are asked for.
const AHEAD: usize = super::AHEAD / size_of::<f32>();

/// Columns of a panel on this processor: two vectors.
///
/// None where there are no vectors worth the name.
fn panel_width() -> Option<usize> {
    struct Lanes;
    impl WithSimd for Lanes {
        type Output = usize;

        #[inline(always)]
        fn with_simd<S: Simd>(self, _: S) -> usize {
            S::F32_LANES
        }
    }
    let lanes = pulp::Arch::new().dispatch(Lanes);
    (lanes > 1).then_some(2 * lanes)
}

/// Rows of a tile: what the registers have room for beside two vectors of the right factor and one of
/// the left.
const fn rows_of_tile<S: Simd>() -> usize {
    if S::F32_LANES == 16 || cfg!(target_arch = "aarch64") {
        12
    } else {
        6
    }
}

pub(super) fn available() -> bool {
    panel_width().is_some()
}

/// A cache line of numbers, which are read as such.
#[derive(Clone, Copy)]
#[repr(align(64))]
struct Line(#[expect(dead_code)] [f32; 16]);

/// The right factor in panels of two vectors of columns, each `[k, width]`; the last is filled with
/// zeros.
pub(super) struct Panels {
    width: usize,
    lines: Vec<Line>,
}

impl Panels {
    /// # Panics
    ///
    /// If tiles are not [`available`].
    pub(super) fn pack(rhs: Mat) -> Self {
        let width = panel_width().expect("asked for where there are vectors");
        let (k, n) = (rhs.rows, rhs.cols);
        let numbers = n.div_ceil(width) * k * width;
        let mut panels = Self {
            width,
            lines: vec![Line([0.0; 16]); numbers.div_ceil(16)],
        };
        let numbers = panels.numbers_mut();
        for (panel, numbers) in numbers.chunks_exact_mut((k * width).max(1)).enumerate() {
            let from = panel * width;
            if from >= n {
                break; // what fills up the last line
            }
            let cols = width.min(n - from);
            if rhs.col_stride == 1 {
                for (i, to) in numbers.chunks_exact_mut(width).enumerate() {
                    let row = &rhs.data[i * rhs.row_stride + from..][..cols];
                    // Pieces of a known size are not worth a call of memmove.
                    let (to, rest) = to[..cols].as_chunks_mut::<8>();
                    let (row, row_rest) = row.as_chunks::<8>();
                    to.iter_mut().zip(row).for_each(|(to, from)| *to = *from);
                    rest.copy_from_slice(row_rest);
                }
            } else {
                // Blocks of rows keep the lines that are written in the first cache.
                for block in (0..k).step_by(64) {
                    for j in 0..cols {
                        for i in block..(block + 64).min(k) {
                            numbers[i * width + j] = rhs.at(i, from + j);
                        }
                    }
                }
            }
        }
        panels
    }

    /// Columns of a panel.
    pub(super) fn width(&self) -> usize {
        self.width
    }

    fn numbers(&self) -> &[f32] {
        let lines = &self.lines;
        // SAFETY: a line is sixteen numbers and nothing else.
        unsafe { std::slice::from_raw_parts(lines.as_ptr().cast(), 16 * lines.len()) }
    }

    fn numbers_mut(&mut self) -> &mut [f32] {
        let lines = &mut self.lines;
        // SAFETY: as above.
        unsafe { std::slice::from_raw_parts_mut(lines.as_mut_ptr().cast(), 16 * lines.len()) }
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
/// `out` must have room for `lhs.rows` rows of `cols`.
pub(super) unsafe fn product(out: Out, lhs: Mat, rhs: &Panels, cols: Range<usize>) {
    let k = lhs.cols;
    if k == 0 {
        // SAFETY: the caller's.
        unsafe { out.begun(lhs.rows, cols.len()) };
    }
    pulp::Arch::new().dispatch(Product {
        out,
        lhs,
        rhs,
        cols,
    });
}

struct Product<'a> {
    out: Out,
    lhs: Mat<'a>,
    rhs: &'a Panels,
    cols: Range<usize>,
}

impl WithSimd for Product<'_> {
    type Output = ();

    #[inline(always)]
    fn with_simd<S: Simd>(self, simd: S) {
        let Self {
            out,
            lhs,
            rhs,
            cols,
        } = self;
        let mr = rows_of_tile::<S>();
        let nr = 2 * S::F32_LANES;
        assert_eq!(nr, rhs.width, "packed on another processor");
        let (k, panels) = (lhs.cols, rhs.numbers());
        LEFT.with_borrow_mut(|left| {
            for first in (0..lhs.rows).step_by(LEFT_ROWS) {
                let rows = LEFT_ROWS.min(lhs.rows - first);
                for k_from in (0..k).step_by(DEPTH) {
                    let depth = DEPTH.min(k - k_from);
                    pack_left(left, mr, lhs, first..first + rows, k_from..k_from + depth);
                    for col in cols.clone().step_by(nr) {
                        let width = nr.min(cols.end - col);
                        let right = &panels[col * k + k_from * nr..][..depth * nr];
                        for row in (0..rows).step_by(mr) {
                            let height = mr.min(rows - row);
                            let left = &left[row * depth..][..height * depth];
                            // SAFETY: `first + row` and `col` are inside `out`, by the caller of
                            // `product`.
                            unsafe {
                                let mut target = out.from(first + row, col - cols.start);
                                if k_from > 0 {
                                    target = target.onto_itself();
                                }
                                tile(simd, target, left, right, height, width);
                            }
                        }
                    }
                }
            }
        });
    }
}

/// Rows in groups of `mr`, each group `[depth, rows of the group]`.
#[inline(always)]
fn pack_left(left: &mut Vec<f32>, mr: usize, lhs: Mat, rows: Range<usize>, depth: Range<usize>) {
    left.resize(rows.len() * depth.len(), 0.0);
    let groups = left.chunks_mut(mr * depth.len());
    for (group, from) in groups.zip(rows.clone().step_by(mr)) {
        let height = mr.min(rows.end - from);
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
/// `out` must have room for `height` rows of `width`.
#[inline(always)]
unsafe fn tile<S: Simd>(
    simd: S,
    out: Out,
    left: &[f32],
    right: &[f32],
    height: usize,
    width: usize,
) {
    macro_rules! by_height {
        ($($rows:literal)*) => {
            match height {
                // The guard keeps tiles that the registers have no room for out of the code.
                $($rows if $rows <= rows_of_tile::<S>() => {
                    simd.vectorize(Tile::<$rows> { out, left, right, width });
                })*
                _ => unreachable!("no tile has so many rows"),
            }
        };
    }
    by_height!(1 2 3 4 5 6 7 8 9 10 11 12);
}

/// A tile of R rows, which `out` has room for.
struct Tile<'a, const R: usize> {
    out: Out,
    left: &'a [f32],
    right: &'a [f32],
    width: usize,
}

impl<const R: usize> WithSimd for Tile<'_, R> {
    type Output = ();

    #[inline(always)]
    fn with_simd<S: Simd>(self, simd: S) {
        let Self {
            out,
            left,
            right,
            width,
        } = self;
        let depth = left.len() / R;
        assert!(right.len() == depth * 2 * S::F32_LANES && width <= 2 * S::F32_LANES);
        for i in 0..R {
            prefetch(out.data.wrapping_add(i * out.row_stride));
        }
        let mut sums = [[simd.splat_f32s(0.0); 2]; R];
        // SAFETY: `left` has R numbers, and `right` two vectors, for each of `depth`.
        unsafe {
            let (mut a, mut b) = (left.as_ptr(), right.as_ptr().cast::<S::f32s>());
            for _ in 0..depth {
                let later = b.cast::<f32>().wrapping_add(AHEAD);
                prefetch(later);
                if 2 * S::F32_LANES > LINE {
                    prefetch(later.wrapping_add(LINE));
                }
                let (b0, b1) = (b.read_unaligned(), b.add(1).read_unaligned());
                for (i, [left, right]) in sums.iter_mut().enumerate() {
                    let x = simd.splat_f32s(*a.add(i));
                    *left = simd.mul_add_f32s(x, b0, *left);
                    *right = simd.mul_add_f32s(x, b1, *right);
                }
                a = a.add(R);
                b = b.add(2);
            }
        }
        if width == 2 * S::F32_LANES {
            for (i, sums) in sums.into_iter().enumerate() {
                for (j, mut sum) in sums.into_iter().enumerate() {
                    // SAFETY: there is room for R rows of two vectors.
                    unsafe {
                        let at = out.data.add(i * out.row_stride + j * S::F32_LANES);
                        if let Some((base, stride)) = out.base {
                            let base = base.add(i * stride + j * S::F32_LANES);
                            sum = simd.add_f32s(sum, base.cast::<S::f32s>().read_unaligned());
                        }
                        at.cast::<S::f32s>().write_unaligned(sum);
                    }
                }
            }
            return;
        }
        // Masks are calls of functions here, too dear for all tiles.
        let lanes = S::F32_LANES as u32;
        let width = width as u32;
        let masks = [
            simd.mask_between_m32s(0, width.min(lanes)),
            simd.mask_between_m32s(0, width.saturating_sub(lanes)),
        ];
        for (i, sums) in sums.into_iter().enumerate() {
            for (j, (mut sum, mask)) in sums.into_iter().zip(masks).enumerate() {
                // SAFETY: the masks keep to the `width` columns that there is room for.
                unsafe {
                    let at = out.data.wrapping_add(i * out.row_stride + j * S::F32_LANES);
                    if let Some((base, stride)) = out.base {
                        let base = base.wrapping_add(i * stride + j * S::F32_LANES);
                        sum = simd.add_f32s(sum, simd.mask_load_ptr_f32s(mask, base));
                    }
                    simd.mask_store_ptr_f32s(mask, at, sum);
                }
            }
        }
    }
}

/// Asks for a line that is written or read soon.
#[inline(always)]
fn prefetch(at: *const f32) {
    #[cfg(target_arch = "x86_64")]
    // SAFETY: a hint, whatever the address.
    unsafe {
        use std::arch::x86_64::{_MM_HINT_T0, _mm_prefetch};
        _mm_prefetch(at.cast(), _MM_HINT_T0);
    }
    #[cfg(not(target_arch = "x86_64"))]
    let _ = at;
}
