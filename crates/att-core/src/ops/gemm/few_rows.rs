//! f32 products whose left factor has few rows, as in a step of decoding. Reading the right factor
//! is what takes the time, so it is read once, in the order in which it lies, and not packed.

use std::array;

use pulp::{Simd, WithSimd};

use super::{Mat, Out};

/// Rows of the left factor up to which this is faster than packing.
pub(super) const MOST: usize = 16;

/// Whether the factors lie as this module needs them: the right one either way, the left one by
/// rows.
pub(super) fn takes(lhs: Mat, rhs: Mat) -> bool {
    lhs.rows <= MOST && lhs.col_stride == 1 && (rhs.col_stride == 1 || rhs.row_stride == 1)
}

/// `lhs rhs` into `out`.
///
/// # Safety
///
/// [`takes`] must say yes, the inner sizes agree, and `out` have room for `lhs.rows` rows of
/// `rhs.cols`.
pub(super) unsafe fn product(out: Out, lhs: Mat, rhs: Mat) {
    pulp::Arch::new().dispatch(Product { out, lhs, rhs });
}

struct Product<'a> {
    out: Out,
    lhs: Mat<'a>,
    rhs: Mat<'a>,
}

/// Calls a function for as many rows as the tile has, a constant in its code.
macro_rules! by_height {
    ($height:expr, [$($n:literal)*], $rows:ident => $call:expr) => {
        match $height {
            $($n => { const $rows: usize = $n; $call })*
            _ => unreachable!("no tile has so many rows"),
        }
    };
}

impl WithSimd for Product<'_> {
    type Output = ();

    #[inline(always)]
    fn with_simd<S: Simd>(self, simd: S) {
        if self.rhs.col_stride == 1 {
            self.by_rows(simd);
        } else {
            self.by_columns(simd);
        }
    }
}

impl Product<'_> {
    /// Of a right factor that lies row by row: a few of its rows at a time are added to sums that
    /// stay in the first cache.
    #[inline(always)]
    fn by_rows<S: Simd>(self, simd: S) {
        const HEIGHT: usize = 8;
        let Self { out, lhs, rhs } = self;
        let mut sums = [[0.0; COLS]; MOST];
        for from in (0..rhs.cols).step_by(COLS) {
            let width = COLS.min(rhs.cols - from);
            for (i, sums) in sums[..lhs.rows].iter_mut().enumerate() {
                // SAFETY: inside `out`, by the caller of `product`.
                unsafe {
                    match out.from(i, from).base {
                        Some((row, _)) => row.copy_to_nonoverlapping(sums.as_mut_ptr(), width),
                        None => sums[..width].fill(0.0),
                    }
                }
            }
            let mut l = 0;
            while l < lhs.cols {
                let deep = lhs.cols - l >= DEPTH;
                for row in (0..lhs.rows).step_by(HEIGHT) {
                    let height = HEIGHT.min(lhs.rows - row);
                    let at = At {
                        row,
                        l,
                        from,
                        width,
                    };
                    by_height!(height, [1 2 3 4 5 6 7 8], R => if deep {
                        add::<S, R, DEPTH>(simd, lhs, rhs, at, &mut sums);
                    } else {
                        add::<S, R, 1>(simd, lhs, rhs, at, &mut sums);
                    });
                }
                l += if deep { DEPTH } else { 1 };
            }
            for (i, sums) in sums[..lhs.rows].iter().enumerate() {
                // SAFETY: as above.
                unsafe {
                    let row = out.from(i, from).data;
                    row.copy_from_nonoverlapping(sums.as_ptr(), width);
                }
            }
        }
    }

    /// Of one that lies column by column: dot products.
    #[inline(always)]
    fn by_columns<S: Simd>(self, simd: S) {
        const HEIGHT: usize = 4;
        const WIDTH: usize = 4;
        let Self { out, lhs, rhs } = self;
        for col in (0..rhs.cols).step_by(WIDTH) {
            for row in (0..lhs.rows).step_by(HEIGHT) {
                let height = HEIGHT.min(lhs.rows - row);
                // SAFETY: `dots` keeps to rows and columns that are there.
                unsafe {
                    by_height!(height, [1 2 3 4], R => if rhs.cols - col >= WIDTH {
                        dots::<S, R, WIDTH>(simd, lhs, rhs, [row, col], out);
                    } else {
                        for col in col..rhs.cols {
                            dots::<S, R, 1>(simd, lhs, rhs, [row, col], out);
                        }
                    });
                }
            }
        }
    }
}

/// Columns whose sums are kept at a time: 2 KiB a row.
const COLS: usize = 512;
/// Rows of the right factor that are read side by side; sums are read and written once for them.
const DEPTH: usize = 8;

/// Where a few rows of the right factor meet a few of the left one.
#[derive(Clone, Copy)]
struct At {
    row: usize,
    l: usize,
    from: usize,
    width: usize,
}

/// Adds the products of R rows of the left factor with D rows of the right one.
#[inline(always)]
fn add<S: Simd, const R: usize, const D: usize>(
    simd: S,
    lhs: Mat,
    rhs: Mat,
    at: At,
    sums: &mut [[f32; COLS]; MOST],
) {
    // Loops, where closures might not be compiled for the vectors' instructions.
    let x: [&[f32]; R] = array::from_fn(|i| &lhs.row(at.row + i)[at.l..][..D]);
    let mut factors = [[simd.splat_f32s(0.0); D]; R];
    for i in 0..R {
        for l in 0..D {
            factors[i][l] = simd.splat_f32s(x[i][l]);
        }
    }
    let rows: [(&[S::f32s], &[f32]); D] =
        array::from_fn(|l| S::as_simd_f32s(&rhs.row(at.l + l)[at.from..][..at.width]));
    let mut sums = sums[at.row..].iter_mut();
    let sums: [(&mut [S::f32s], &mut [f32]); R] = array::from_fn(|_| {
        let sums = sums.next().expect("as many sums as rows");
        S::as_mut_simd_f32s(&mut sums[..at.width])
    });
    for j in 0..rows[0].0.len() {
        let mut s = [simd.splat_f32s(0.0); R];
        for i in 0..R {
            s[i] = sums[i].0[j];
        }
        for l in 0..D {
            let w = &rows[l].0[j];
            if at.row == 0 {
                // The processor does not foresee that these columns go on in the next rows.
                prefetch((w as *const S::f32s).wrapping_byte_add(4 * D * rhs.row_stride));
            }
            for i in 0..R {
                s[i] = simd.mul_add_e_f32s(factors[i][l], *w, s[i]);
            }
        }
        for i in 0..R {
            sums[i].0[j] = s[i];
        }
    }
    for j in 0..rows[0].1.len() {
        for i in 0..R {
            for l in 0..D {
                sums[i].1[j] += x[i][l] * rows[l].1[j];
            }
        }
    }
}

/// R rows of the left factor times C columns of the right one.
///
/// # Safety
///
/// `out` must have room for them.
#[inline(always)]
unsafe fn dots<S: Simd, const R: usize, const C: usize>(
    simd: S,
    lhs: Mat,
    rhs: Mat,
    [row, col]: [usize; 2],
    out: Out,
) {
    let x: [(&[S::f32s], &[f32]); R] = array::from_fn(|i| S::as_simd_f32s(lhs.row(row + i)));
    let w: [(&[S::f32s], &[f32]); C] = array::from_fn(|j| S::as_simd_f32s(rhs.t().row(col + j)));
    let mut sums = [[simd.splat_f32s(0.0); C]; R];
    for l in 0..x[0].0.len() {
        for j in 0..C {
            let w = w[j].0[l];
            for i in 0..R {
                sums[i][j] = simd.mul_add_e_f32s(x[i].0[l], w, sums[i][j]);
            }
        }
    }
    for i in 0..R {
        for j in 0..C {
            let rest = x[i].1.iter().zip(w[j].1).map(|(x, w)| x * w);
            let sum = simd.reduce_sum_f32s(sums[i][j]) + rest.sum::<f32>();
            // SAFETY: the caller's.
            unsafe {
                let to = out.from(row + i, col + j);
                *to.data = to.base.map_or(sum, |(base, _)| *base + sum);
            }
        }
    }
}

/// Asks for a cache line; of an address where nothing lies, nothing comes.
#[inline(always)]
fn prefetch<T>(at: *const T) {
    #[cfg(target_arch = "x86_64")]
    // SAFETY: a prefetch does not access memory.
    unsafe {
        use std::arch::x86_64::{_MM_HINT_T0, _mm_prefetch};
        _mm_prefetch::<_MM_HINT_T0>(at.cast());
    }
    #[cfg(not(target_arch = "x86_64"))]
    let _ = at;
}
