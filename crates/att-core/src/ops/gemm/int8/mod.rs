//! int8 products. The right factor is rounded once, to 8 bits with a scale of its own for each column;
//! the left one as it comes, with a scale for each row. Sums are exact integers:
//!
//! ```text
//! w[l, j] ~ s[j] p[l, j]            p in -127..=127    s[j] = max_l |w[l, j]| / 127
//! x[i, l] ~ r[i] (q[i, l] - 128)    q in 1..=255       r[i] = max_l |x[i, l]| / 127
//!
//! out[i, j] = r[i] s[j] (sum_l q[i, l] p[l, j] - 128 sum_l p[l, j])
//! ```
//!
//! By AMX tiles, AVX-512 VNNI or AVX2 ([`x86`]), whatever the processor has; all give the same bits.

#[cfg(target_arch = "x86_64")]
mod x86;

use std::cell::Cell;
use std::mem::MaybeUninit;
use std::ops::Range;
use std::sync::LazyLock;

use gemm::Parallelism;
use rayon::prelude::*;

#[cfg(target_arch = "x86_64")]
use super::amx::Tiles;
use super::{Line, Mat, Out};
use crate::ops::simd::vectorise;
use crate::ops::work::{Kind, span};

/// Columns of a panel: two tiles.
pub(super) const NR: usize = 32;
/// Rows of a tile, and columns.
const TILE: usize = 16;
/// Rows of the right factor that a line holds.
const QUAD: usize = 4;
/// Rows of the right factor that a tile holds.
const DEPTH: usize = TILE * QUAD;
/// What is added to the left factor so that it has no sign.
const OFFSET: i32 = 128;

/// Inner sizes whose sums can't leave 32 bits: `255 * 127 * k < 2^31`.
pub(super) const DEEPEST: usize = 1 << 16;

/// The right factor in panels of [`NR`] columns: for each 64 rows two tiles of 16 columns. A line of a
/// tile holds four rows, the four numbers of a column together. Filled up with zeros.
pub(super) struct Panels {
    /// Tiles of the inner size.
    depth: usize,
    lines: Vec<Line>,
    /// `s`, up to full panels.
    scales: Vec<f32>,
    /// `128 sum_l p[l, j]`, likewise.
    offsets: Vec<i32>,
}

impl Panels {
    /// # Panics
    ///
    /// If the inner size is greater than [`DEEPEST`].
    pub(super) fn pack(rhs: Mat) -> Self {
        let (k, n) = (rhs.rows, rhs.cols);
        assert!(k <= DEEPEST, "the sums of an int8 product would not fit");
        let depth = k.div_ceil(DEPTH);
        let padded = n.next_multiple_of(NR);
        let mut lines = vec![Line([0; 64]); padded / TILE * depth * TILE];
        let (mut scales, mut offsets) = (vec![0.0; padded], vec![0; padded]);
        let mut columns = vec![[0.0; TILE]; k];
        for (tile, (scales, offsets)) in scales
            .chunks_exact_mut(TILE)
            .zip(offsets.chunks_exact_mut(TILE))
            .enumerate()
        {
            let from = tile * TILE;
            if from >= n {
                break; // the second half of the last panel
            }
            copy_columns(rhs, from..(from + TILE).min(n), &mut columns);
            let panel = &mut lines[tile / 2 * depth * 2 * TILE..][..depth * 2 * TILE];
            // Each second tile of the panel.
            let lines = panel.chunks_exact_mut(TILE).skip(tile % 2).step_by(2);
            pack_columns(&columns, lines, scales, offsets);
        }
        Self {
            depth,
            lines,
            scales,
            offsets,
        }
    }

    /// The tiles of a panel.
    fn panel(&self, panel: usize) -> &[Line] {
        let len = self.depth * 2 * TILE;
        &self.lines[panel * len..][..len]
    }
}

/// Some columns of a matrix, up to a tile's, row by row; zeros fill them up.
fn copy_columns(rhs: Mat, cols: Range<usize>, to: &mut [[f32; TILE]]) {
    let width = cols.len();
    if rhs.col_stride == 1 {
        for (l, to) in to.iter_mut().enumerate() {
            let row = &rhs.data[l * rhs.row_stride + cols.start..][..width];
            to[..width].copy_from_slice(row);
            to[width..].fill(0.0);
        }
    } else {
        for (j, col) in cols.enumerate() {
            for (l, to) in to.iter_mut().enumerate() {
                to[j] = rhs.at(l, col);
            }
        }
        to.iter_mut().for_each(|to| to[width..].fill(0.0));
    }
}

/// A tile's columns, rounded, into its `lines`; their scales and offsets.
fn pack_columns<'a>(
    columns: &[[f32; TILE]],
    lines: impl Iterator<Item = &'a mut [Line]>,
    scales: &mut [f32],
    offsets: &mut [i32],
) {
    vectorise(
        #[inline(always)]
        || {
            let mut largest = [0u32; TILE];
            for row in columns {
                for (largest, x) in largest.iter_mut().zip(row) {
                    *largest = (*largest).max(magnitude(*x));
                }
            }
            let mut inverses = [0.0; TILE];
            for j in 0..TILE {
                scales[j] = scale_of_largest(largest[j]);
                inverses[j] = inverse_of(scales[j]);
            }
            let mut sums = [0; TILE];
            for (rows, lines) in columns.chunks(DEPTH).zip(lines) {
                for (rows, line) in rows.chunks(QUAD).zip(lines) {
                    for (r, row) in rows.iter().enumerate() {
                        for j in 0..TILE {
                            let p = (row[j] * inverses[j]).round_ties_even() as i8;
                            sums[j] += i32::from(p);
                            line.0[j * QUAD + r] = p as u8;
                        }
                    }
                }
            }
            for (offset, sum) in offsets.iter_mut().zip(sums) {
                *offset = OFFSET * sum;
            }
        },
    );
}

/// Numbers without their signs are ordered as these are, infinity and NaN last.
#[inline(always)]
fn magnitude(x: f32) -> u32 {
    x.to_bits() & 0x7fff_ffff
}

/// What 127 stands for; not a number where one of the numbers is not finite, so that products show it.
#[inline(always)]
fn scale_of(numbers: &[f32]) -> f32 {
    scale_of_largest(numbers.iter().map(|x| magnitude(*x)).fold(0, u32::max))
}

/// The same of the greatest [`magnitude`].
#[inline(always)]
fn scale_of_largest(largest: u32) -> f32 {
    let largest = f32::from_bits(largest);
    if largest.is_finite() {
        largest / 127.0
    } else {
        f32::NAN
    }
}

/// 1 / scale; zero where nothing is to be scaled, or its inverse is no number.
#[inline(always)]
fn inverse_of(scale: f32) -> f32 {
    let inverse = 1.0 / scale;
    if inverse.is_finite() { inverse } else { 0.0 }
}

/// The left factor of a product, rounded once for all its threads: rows in groups of 16, for each
/// group a tile each 64 numbers.
#[derive(Default)]
pub(super) struct Left {
    /// Tiles of the inner size.
    depth: usize,
    lines: Vec<Line>,
    /// `r` of each row.
    scales: Vec<f32>,
}

thread_local! {
    /// Room for the next product's.
    static ROOM: Cell<Left> = const {
        Cell::new(Left {
            depth: 0,
            lines: Vec::new(),
            scales: Vec::new(),
        })
    };
}

impl Left {
    /// Runs with the rounded factor.
    pub(super) fn with<T>(lhs: Mat, parallelism: Parallelism, run: impl FnOnce(&Self) -> T) -> T {
        // Taken out, because a thread that waits for others may take up another product.
        let mut left = ROOM.take();
        left.fill(lhs, parallelism);
        let result = run(&left);
        ROOM.set(left);
        result
    }

    fn fill(&mut self, lhs: Mat, parallelism: Parallelism) {
        const WORTH_A_THREAD: usize = 1 << 16;
        self.depth = lhs.cols.div_ceil(DEPTH);
        let group = (self.depth * TILE).max(1);
        // What is left over from another product does no harm: beyond the last number the right
        // factor is zero, and rows beyond the last are not written.
        self.lines
            .resize(lhs.rows.div_ceil(TILE) * group, Line([0; 64]));
        self.scales.resize(lhs.rows, 0.0);
        let fill = |(i, (lines, scales)): (usize, (&mut [Line], &mut [f32]))| {
            let _span = span(Kind::Products);
            for (row, scale) in scales.iter_mut().enumerate() {
                *scale = fill_row(lines, row, lhs, i * TILE + row);
            }
        };
        match parallelism {
            Parallelism::Rayon(_) if lhs.rows * lhs.cols >= 2 * WORTH_A_THREAD => {
                self.lines
                    .par_chunks_mut(group)
                    .zip(self.scales.par_chunks_mut(TILE))
                    .enumerate()
                    .for_each(fill);
            }
            _ => self
                .lines
                .chunks_mut(group)
                .zip(self.scales.chunks_mut(TILE))
                .enumerate()
                .for_each(fill),
        }
    }
}

/// Rounds row `from` of `lhs` into row `to` of a group's tiles; returns its scale.
fn fill_row(lines: &mut [Line], to: usize, lhs: Mat, from: usize) -> f32 {
    let mut copy = Vec::new();
    let row = if lhs.col_stride == 1 {
        lhs.row(from)
    } else {
        copy.extend((0..lhs.cols).map(|l| lhs.at(from, l)));
        &copy
    };
    vectorise(
        #[inline(always)]
        || {
            let scale = scale_of(row);
            let inverse = inverse_of(scale);
            for (tile, numbers) in row.chunks(DEPTH).enumerate() {
                let line = &mut lines[tile * TILE + to].0;
                for (q, x) in line.iter_mut().zip(numbers) {
                    // From 1 to 255 and a half, which is cut off; NaN becomes zero.
                    *q = (x * inverse + (OFFSET as f32 + 0.5)) as u8;
                }
            }
            scale
        },
    )
}

/// Rows whose sums are made at a time: two groups.
const HEIGHT: usize = 2 * TILE;

/// `sum_l q[i, l] p[l, j]` of a few rows and a panel: one tile after the other, as AMX stores them. The
/// first [`TILE`] rows are in the first two.
#[repr(align(64))]
struct Sums([[[i32; TILE]; TILE]; 4]);

impl Sums {
    /// Row `i`, its first and its second half.
    fn row(&self, i: usize) -> [&[i32; TILE]; 2] {
        let group = i / TILE * 2;
        [&self.0[group][i % TILE], &self.0[group + 1][i % TILE]]
    }
}

/// Who makes the sums.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Engine {
    #[cfg(target_arch = "x86_64")]
    Amx,
    #[cfg(target_arch = "x86_64")]
    Vnni,
    #[cfg(target_arch = "x86_64")]
    Avx2,
    Portable,
}

impl Engine {
    /// All that this processor has, the fastest first.
    fn available() -> impl Iterator<Item = Self> {
        #[cfg(target_arch = "x86_64")]
        let engines = [
            (Self::Amx, x86::has_amx()),
            (Self::Vnni, x86::has_vnni()),
            (Self::Avx2, x86::has_avx2()),
            (Self::Portable, true),
        ];
        #[cfg(not(target_arch = "x86_64"))]
        let engines = [(Self::Portable, true)];
        engines
            .into_iter()
            .filter_map(|(engine, there)| there.then_some(engine))
    }

    /// The sums of `height` rows and a panel.
    fn sums(self, left: &[Line], panel: &[Line], height: usize, sums: &mut Sums) {
        match self {
            // SAFETY: an engine is there where it was found.
            #[cfg(target_arch = "x86_64")]
            Self::Amx => unsafe { x86::amx(left, panel, height, sums) },
            // SAFETY: as above.
            #[cfg(target_arch = "x86_64")]
            Self::Vnni => unsafe { x86::vnni(left, panel, height, sums) },
            // SAFETY: as above.
            #[cfg(target_arch = "x86_64")]
            Self::Avx2 => unsafe { x86::avx2(left, panel, height, sums) },
            Self::Portable => portable(left, panel, height, sums),
        }
    }
}

fn portable(left: &[Line], panel: &[Line], height: usize, sums: &mut Sums) {
    let depth = panel.len() / (2 * TILE);
    for i in 0..height {
        for half in 0..2 {
            let mut row = [0; TILE];
            for tile in 0..depth {
                let q = &left[(i / TILE * depth + tile) * TILE + i % TILE].0;
                let lines = &panel[(tile * 2 + half) * TILE..][..TILE];
                for (q, line) in q.chunks_exact(QUAD).zip(lines) {
                    for (sum, p) in row.iter_mut().zip(line.0.chunks_exact(QUAD)) {
                        for (&q, &p) in q.iter().zip(p) {
                            *sum += i32::from(q) * i32::from(p as i8);
                        }
                    }
                }
            }
            sums.0[i / TILE * 2 + half][i % TILE] = row;
        }
    }
}

/// The rows `rows` (starting on a group) of `left` times the columns `cols` (starting on a panel) of
/// the panels, into `out`.
///
/// # Safety
///
/// `out` must have room for as many rows of as many columns, and what they are added to stand there, if
/// anything.
pub(super) unsafe fn product(
    out: Out,
    left: &Left,
    rows: Range<usize>,
    rhs: &Panels,
    cols: Range<usize>,
) {
    // Asked once: in a virtual machine the answer takes longer than a small product.
    static FASTEST: LazyLock<Engine> =
        LazyLock::new(|| Engine::available().next().expect("one is always there"));
    // SAFETY: the caller's.
    unsafe { product_by(*FASTEST, out, left, rows, rhs, cols) }
}

/// # Safety
///
/// As of [`product`].
unsafe fn product_by(
    engine: Engine,
    out: Out,
    left: &Left,
    rows: Range<usize>,
    rhs: &Panels,
    cols: Range<usize>,
) {
    #[cfg(target_arch = "x86_64")]
    let _tiles = (engine == Engine::Amx).then(Tiles::new);
    let mut sums = Sums([[[0; TILE]; TILE]; 4]);
    vectorise(
        #[inline(always)]
        || {
            for col in cols.clone().step_by(NR) {
                let width = NR.min(cols.end - col);
                for row in rows.clone().step_by(HEIGHT) {
                    let height = HEIGHT.min(rows.end - row);
                    let lines = &left.lines[row * left.depth..];
                    engine.sums(lines, rhs.panel(col / NR), height, &mut sums);
                    // SAFETY: the caller's; nobody else writes to these rows and columns.
                    unsafe {
                        let target = out.from(row - rows.start, col - cols.start);
                        let scales = &rhs.scales[col..][..NR];
                        let offsets = &rhs.offsets[col..][..NR];
                        let of_rows = &left.scales[row..][..height];
                        write(target, width, &sums, of_rows, scales, offsets);
                    }
                }
            }
        },
    );
}

/// Scales the sums of some rows, of which `r` are the scales, and of `width` columns.
///
/// # Safety
///
/// `out` must have room for them, and what they are added to stand there, if anything.
#[inline(always)]
unsafe fn write(out: Out, width: usize, sums: &Sums, r: &[f32], scales: &[f32], offsets: &[i32]) {
    let (scales, _) = scales.as_chunks::<TILE>();
    let (offsets, _) = offsets.as_chunks::<TILE>();
    for (i, &r) in r.iter().enumerate() {
        // SAFETY: the caller's.
        let row: &mut [MaybeUninit<f32>] = unsafe {
            let start = out.data.add(i * out.row_stride).cast();
            std::slice::from_raw_parts_mut(start, width)
        };
        let halves = scales.iter().zip(offsets).zip(sums.row(i));
        for (to, ((scales, offsets), sums)) in row.chunks_mut(TILE).zip(halves) {
            // All of a half, so that it is one vector.
            let products: [f32; TILE] =
                std::array::from_fn(|j| (sums[j] - offsets[j]) as f32 * (r * scales[j]));
            let put = |(to, x): (&mut MaybeUninit<f32>, f32)| {
                to.write(match out.base {
                    // SAFETY: what it is added to stands there.
                    Some(_) => x + unsafe { to.assume_init() },
                    None => x,
                });
            };
            match <&mut [MaybeUninit<f32>; TILE]>::try_from(&mut *to) {
                Ok(to) => to.iter_mut().zip(products).for_each(put),
                Err(_) => to.iter_mut().zip(products).for_each(put),
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn numbers(n: usize, seed: u64) -> Vec<f32> {
        crate::random::seed(seed);
        crate::random::normal(n, 1.0)
    }

    fn by(engine: Engine, lhs: Mat, rhs: Mat) -> Vec<f32> {
        let mut out = vec![7.0; lhs.rows * rhs.cols];
        let target = Out {
            data: out.as_mut_ptr(),
            row_stride: rhs.cols,
            base: None,
        };
        let panels = Panels::pack(rhs);
        Left::with(lhs, Parallelism::None, |left| {
            // SAFETY: `out` has as much room.
            unsafe { product_by(engine, target, left, 0..lhs.rows, &panels, 0..rhs.cols) };
        });
        out
    }

    const SIZES: [(usize, usize, usize); 6] = [
        (1, 1, 1),
        (2, 31, 63),
        (5, 64, 64),
        (17, 33, 130),
        (33, 40, 257),
        (70, 100, 500),
    ];

    #[test]
    fn every_engine_gives_the_same_bits() {
        for (m, n, k) in SIZES {
            let (a, b) = (numbers(m * k, 1), numbers(k * n, 2));
            let (lhs, rhs) = (Mat::rows(&a, m, k, k), Mat::rows(&b, k, n, n));
            let expected = by(Engine::Portable, lhs, rhs);
            for engine in Engine::available() {
                assert_eq!(by(engine, lhs, rhs), expected, "{engine:?} {m} {n} {k}");
            }
        }
    }

    /// Half a unit in each factor, at most.
    #[test]
    fn the_error_is_that_of_the_rounding() {
        for (m, n, k) in SIZES {
            let (a, b) = (numbers(m * k, 3), numbers(k * n, 4));
            for transposed in [false, true] {
                let (lhs, rhs) = if transposed {
                    (Mat::rows(&a, k, m, m).t(), Mat::rows(&b, n, k, k).t())
                } else {
                    (Mat::rows(&a, m, k, k), Mat::rows(&b, k, n, n))
                };
                let found = by(Engine::available().next().unwrap(), lhs, rhs);
                let largest = |mut x: Box<dyn Iterator<Item = f32> + '_>| {
                    x.by_ref().fold(0.0, |max: f32, x| max.max(x.abs()))
                };
                for i in 0..m {
                    let r = largest(Box::new((0..k).map(|l| lhs.at(i, l)))) / 127.0;
                    for j in 0..n {
                        let s = largest(Box::new((0..k).map(|l| rhs.at(l, j)))) / 127.0;
                        let (mut exact, mut bound) = (0.0, 1e-5);
                        for l in 0..k {
                            let (x, w) = (lhs.at(i, l), rhs.at(l, j));
                            exact += x * w;
                            bound += 0.5 * (r * w.abs() + s * x.abs() + 0.5 * r * s);
                        }
                        let error = (found[i * n + j] - exact).abs();
                        assert!(error <= bound * 1.01, "{m} {n} {k}: {error} {bound}");
                    }
                }
            }
        }
    }

    #[test]
    fn zeros_and_what_is_no_number_show() {
        let b = numbers(8, 5);
        let rhs = Mat::rows(&b, 4, 2, 2);
        let zeros = [0.0; 4];
        assert_eq!(
            by(Engine::Portable, Mat::rows(&zeros, 1, 4, 4), rhs),
            [0.0, 0.0]
        );
        let bad = [1.0, f32::INFINITY, 0.0, 0.0];
        let found = by(Engine::Portable, Mat::rows(&bad, 1, 4, 4), rhs);
        assert!(found.iter().all(|x| x.is_nan()), "{found:?}");
    }
}
