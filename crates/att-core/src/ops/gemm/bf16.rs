//! bf16 products with f32 sums, of 32 rows by 32 columns at a time: on AMX tiles, or with the
//! instruction of AVX-512 that adds up products of pairs.

use std::arch::x86_64::*;
use std::cell::RefCell;
use std::mem::MaybeUninit;
use std::ops::Range;

use super::amx::{self, Sums, TILE, Tiles};
use super::{Line, Mat, Out};

/// Columns of a panel: two tiles.
pub(super) const NR: usize = 32;
/// Inner size of a tile.
const DEPTH: usize = 32;
/// Inner sizes are cut into pieces of this.
const KC: usize = 2048;
/// Lines of the left factor that are packed at a time: 512 KiB in the second cache.
const LEFT_LINES: usize = 8192;

/// Whether the processor has AVX-512 with bf16.
pub(super) fn available() -> bool {
    is_x86_feature_detected!("avx512f")
        && is_x86_feature_detected!("avx512bw")
        && is_x86_feature_detected!("avx512bf16")
}

const ZERO: Line = Line([0; 64]);

/// The right factor in panels of [`NR`] columns: for each 32 rows two tiles. Row `p` of a tile
/// holds rows `2 p` and `2 p + 1` of the matrix, as pairs. Filled up with zeros.
pub(super) struct Panels {
    /// Tiles of the inner size.
    depth: usize,
    lines: Vec<Line>,
}

impl Panels {
    pub(super) fn pack(rhs: Mat) -> Self {
        let (k, n) = (rhs.rows, rhs.cols);
        let depth = k.div_ceil(DEPTH);
        let panel_lines = depth * 2 * TILE;
        let mut lines = vec![ZERO; n.div_ceil(NR) * panel_lines];
        for (tile, lines) in lines.chunks_exact_mut(TILE).enumerate() {
            let (panel, at) = (tile / (2 * depth), tile % (2 * depth));
            let (row, col) = (at / 2 * DEPTH, panel * NR + at % 2 * TILE);
            if col < n {
                let part = rhs.part(row..(row + DEPTH).min(k), col..(col + TILE).min(n));
                // SAFETY: AVX-512 is there wherever panels are packed.
                unsafe { pack_pairs(part, lines) };
            }
        }
        Self { depth, lines }
    }
}

/// One tile of the right factor, of at most 32 rows and 16 columns.
///
/// # Safety
///
/// AVX-512 with bf16 must be there.
#[target_feature(enable = "avx512f,avx512bw,avx512bf16")]
unsafe fn pack_pairs(part: Mat, lines: &mut [Line]) {
    let pairs = part.rows.div_ceil(2);
    if part.col_stride == 1 {
        let mask = u16::MAX >> (TILE - part.cols);
        for (pair, line) in lines[..pairs].iter_mut().enumerate() {
            let (even, odd) = (2 * pair, 2 * pair + 1);
            // SAFETY: the mask keeps to the columns that there are.
            unsafe {
                let even = _mm512_maskz_loadu_ps(mask, part.row(even).as_ptr());
                let odd = match odd < part.rows {
                    true => _mm512_maskz_loadu_ps(mask, part.row(odd).as_ptr()),
                    false => _mm512_setzero_ps(),
                };
                store(line, interleaved(even, odd));
            }
        }
    } else {
        // The columns lie in rows of neighbouring numbers: pairs are moved as one.
        let mut columns = [_mm512_setzero_si512(); TILE];
        for (j, column) in columns[..part.cols].iter_mut().enumerate() {
            let numbers = part.t().row(j);
            // SAFETY: `numbers` are the rows of `part`.
            *column = unsafe { rounded(numbers) };
        }
        for (line, pairs) in lines.iter_mut().zip(transposed(columns)) {
            store(line, pairs);
        }
    }
}

/// Pairs of `even` and `odd`, rounded.
#[target_feature(enable = "avx512f,avx512bw,avx512bf16")]
fn interleaved(even: __m512, odd: __m512) -> __m512i {
    let order = _mm512_set_epi16(
        31, 15, 30, 14, 29, 13, 28, 12, 27, 11, 26, 10, 25, 9, 24, 8, 23, 7, 22, 6, 21, 5, 20, 4,
        19, 3, 18, 2, 17, 1, 16, 0,
    );
    _mm512_permutexvar_epi16(order, bits(_mm512_cvtne2ps_pbh(odd, even)))
}

/// At most 32 neighbouring numbers, rounded, and zeros behind.
///
/// # Safety
///
/// AVX-512 with bf16 must be there.
#[target_feature(enable = "avx512f,avx512bw,avx512bf16")]
unsafe fn rounded(numbers: &[f32]) -> __m512i {
    debug_assert!((1..=DEPTH).contains(&numbers.len()));
    let mask = u32::MAX >> (DEPTH - numbers.len());
    // SAFETY: the masks keep to the numbers that there are.
    unsafe {
        let first = _mm512_maskz_loadu_ps(mask as u16, numbers.as_ptr());
        let second = _mm512_maskz_loadu_ps((mask >> 16) as u16, numbers.as_ptr().wrapping_add(16));
        bits(_mm512_cvtne2ps_pbh(second, first))
    }
}

#[inline(always)]
fn bits(numbers: __m512bh) -> __m512i {
    // SAFETY: both are 64 bytes without meaning to the compiler.
    unsafe { std::mem::transmute(numbers) }
}

#[target_feature(enable = "avx512f")]
fn store(line: &mut Line, numbers: __m512i) {
    // SAFETY: a line is 64 aligned bytes.
    unsafe { _mm512_store_si512(std::ptr::from_mut(line).cast(), numbers) }
}

/// The transpose of a 16 x 16 matrix of 32-bit numbers.
#[target_feature(enable = "avx512f")]
fn transposed(rows: [__m512i; 16]) -> [__m512i; 16] {
    let zero = _mm512_setzero_si512();
    // Pairs of rows, then pairs of pairs: each 128-bit part holds a 4 x 4 block's column.
    let mut two = [zero; 16];
    for i in 0..8 {
        two[2 * i] = _mm512_unpacklo_epi32(rows[2 * i], rows[2 * i + 1]);
        two[2 * i + 1] = _mm512_unpackhi_epi32(rows[2 * i], rows[2 * i + 1]);
    }
    let mut four = [zero; 16];
    for i in 0..4 {
        let [a, b, c, d] = [two[4 * i], two[4 * i + 1], two[4 * i + 2], two[4 * i + 3]];
        four[4 * i] = _mm512_unpacklo_epi64(a, c);
        four[4 * i + 1] = _mm512_unpackhi_epi64(a, c);
        four[4 * i + 2] = _mm512_unpacklo_epi64(b, d);
        four[4 * i + 3] = _mm512_unpackhi_epi64(b, d);
    }
    // The 128-bit parts are transposed as a 4 x 4 matrix of blocks.
    let mut out = [zero; 16];
    for i in 0..4 {
        let (a, b) = (four[i], four[4 + i]);
        let (c, d) = (four[8 + i], four[12 + i]);
        let (ab_even, ab_odd) = (
            _mm512_shuffle_i32x4::<0b10_00_10_00>(a, b),
            _mm512_shuffle_i32x4::<0b11_01_11_01>(a, b),
        );
        let (cd_even, cd_odd) = (
            _mm512_shuffle_i32x4::<0b10_00_10_00>(c, d),
            _mm512_shuffle_i32x4::<0b11_01_11_01>(c, d),
        );
        out[i] = _mm512_shuffle_i32x4::<0b10_00_10_00>(ab_even, cd_even);
        out[8 + i] = _mm512_shuffle_i32x4::<0b11_01_11_01>(ab_even, cd_even);
        out[4 + i] = _mm512_shuffle_i32x4::<0b10_00_10_00>(ab_odd, cd_odd);
        out[12 + i] = _mm512_shuffle_i32x4::<0b11_01_11_01>(ab_odd, cd_odd);
    }
    out
}

thread_local! {
    /// The packed piece of the left factor.
    static LEFT: RefCell<Vec<Line>> = const { RefCell::new(Vec::new()) };
}

/// The columns `cols` (starting on a panel) of `lhs` times the panels, into `out`.
///
/// # Safety
///
/// bf16 must be [`available`], and `out` have room for `lhs.rows` rows of `cols`.
pub(super) unsafe fn product(out: Out, lhs: Mat, rhs: &Panels, cols: Range<usize>) {
    let k = lhs.cols;
    LEFT.with_borrow_mut(|left| {
        let tiles = amx::available().then(Tiles::new);
        let piece = LEFT_LINES / k.clamp(DEPTH, KC).div_ceil(DEPTH);
        for first in (0..lhs.rows).step_by(piece) {
            let rows = piece.min(lhs.rows - first);
            // One piece at least, so that an empty sum is written.
            for k_from in (0..k.max(1)).step_by(KC) {
                let k_to = (k_from + KC).min(k);
                let depth = (k_to - k_from).div_ceil(DEPTH);
                // SAFETY: the caller's.
                unsafe { pack_left(left, lhs.part(first..first + rows, k_from..k_to)) };
                for col in cols.clone().step_by(NR) {
                    let width = NR.min(cols.end - col);
                    let start = (col / NR * rhs.depth + k_from / DEPTH) * 2 * TILE;
                    let panel = &rhs.lines[start..][..depth * 2 * TILE];
                    for row in (0..rows).step_by(2 * TILE) {
                        let height = (2 * TILE).min(rows - row);
                        let left = &left[row / TILE * depth * TILE..];
                        // SAFETY: the caller's; `first + row` and `col` are inside `out`.
                        unsafe {
                            let mut target = out.from(first + row, col - cols.start);
                            if k_from > 0 {
                                target = target.onto_itself();
                            }
                            let mut sums = MaybeUninit::uninit();
                            match tiles {
                                Some(_) => {
                                    amx::bf16_tiles(left, panel, depth, height > TILE, &mut sums);
                                }
                                None => dots(left, panel, height, &mut sums),
                            }
                            write(target, sums.assume_init_ref(), height, width);
                        }
                    }
                }
            }
        }
    });
}

/// Rows in tiles of 16: for each 16 rows the tiles along the inner size.
///
/// # Safety
///
/// AVX-512 with bf16 must be there.
#[target_feature(enable = "avx512f,avx512bw,avx512bf16")]
unsafe fn pack_left(left: &mut Vec<Line>, lhs: Mat) {
    let depth = lhs.cols.div_ceil(DEPTH);
    left.resize(lhs.rows.div_ceil(TILE) * depth * TILE, ZERO);
    for (tile, lines) in left.chunks_exact_mut(TILE).enumerate() {
        let (row, col) = (tile / depth * TILE, tile % depth * DEPTH);
        let part = lhs.part(
            row..(row + TILE).min(lhs.rows),
            col..(col + DEPTH).min(lhs.cols),
        );
        if part.col_stride == 1 {
            for (i, line) in lines.iter_mut().enumerate() {
                *line = ZERO;
                if i < part.rows {
                    // SAFETY: AVX-512 with bf16 is there.
                    store(line, unsafe { rounded(part.row(i)) });
                }
            }
        } else {
            // A tile of pairs as in the right factor, transposed.
            let mut pairs = [ZERO; TILE];
            // SAFETY: AVX-512 with bf16 is there.
            unsafe { pack_pairs(part.t(), &mut pairs) };
            let rows = pairs.map(|line| load(&line));
            for (line, row) in lines.iter_mut().zip(transposed(rows)) {
                store(line, row);
            }
        }
    }
}

#[target_feature(enable = "avx512f")]
fn load(line: &Line) -> __m512i {
    // SAFETY: a line is 64 aligned bytes.
    unsafe { _mm512_load_si512(std::ptr::from_ref(line).cast()) }
}

/// The sums of `height` rows and a panel without AMX; those of further rows stay as they are.
///
/// # Safety
///
/// AVX-512 with bf16 must be there.
#[target_feature(enable = "avx512f,avx512bw,avx512bf16")]
unsafe fn dots(left: &[Line], panel: &[Line], height: usize, sums: &mut MaybeUninit<Sums<f32>>) {
    let mut row = 0;
    while row < height {
        // SAFETY: bf16 is there.
        row += unsafe {
            match height - row {
                1 => dots_of::<1>(left, panel, row, sums),
                2 => dots_of::<2>(left, panel, row, sums),
                3 => dots_of::<3>(left, panel, row, sums),
                4 => dots_of::<4>(left, panel, row, sums),
                5 => dots_of::<5>(left, panel, row, sums),
                6 => dots_of::<6>(left, panel, row, sums),
                7 => dots_of::<7>(left, panel, row, sums),
                _ => dots_of::<8>(left, panel, row, sums),
            }
        };
    }
}

/// Those of `R` rows from `row` on, all in one group of 16: how many there are.
///
/// # Safety
///
/// AVX-512 with bf16 must be there.
#[target_feature(enable = "avx512f,avx512bw,avx512bf16")]
unsafe fn dots_of<const R: usize>(
    left: &[Line],
    panel: &[Line],
    row: usize,
    sums: &mut MaybeUninit<Sums<f32>>,
) -> usize {
    let depth = panel.len() / (2 * TILE);
    let group = &left[row / TILE * depth * TILE..][..depth * TILE];
    let mut found = [[_mm512_setzero_ps(); 2]; R];
    let (tiles, _) = group.as_chunks::<TILE>();
    let (panels, _) = panel.as_chunks::<{ 2 * TILE }>();
    for (left, right) in tiles.iter().zip(panels) {
        let rows: &[Line; R] = left[row % TILE..][..R].try_into().expect("as many");
        // By numbers, so that all sums stay in registers.
        for pair in 0..TILE {
            let halves = [&right[pair], &right[TILE + pair]].map(|line| {
                line.prefetch_later();
                load(line)
            });
            for i in 0..R {
                let pair = numbers(_mm512_set1_epi32(rows[i].integer(pair)));
                found[i][0] = _mm512_dpbf16_ps(found[i][0], pair, numbers(halves[0]));
                found[i][1] = _mm512_dpbf16_ps(found[i][1], pair, numbers(halves[1]));
            }
        }
    }
    let sums = sums.as_mut_ptr().cast::<[f32; TILE]>();
    for (i, found) in (row..).zip(found) {
        for (half, found) in found.into_iter().enumerate() {
            let tile = i / TILE * 2 + half;
            // SAFETY: there are 64 rows of 16 sums.
            unsafe { _mm512_storeu_ps(sums.add(tile * TILE + i % TILE).cast(), found) };
        }
    }
    R
}

#[inline(always)]
fn numbers(bits: __m512i) -> __m512bh {
    // SAFETY: both are 64 bytes without meaning to the compiler.
    unsafe { std::mem::transmute(bits) }
}

/// Copies or adds the sums' first `height` rows and `width` columns.
///
/// # Safety
///
/// `out` must have room for them, and AVX-512 be there.
#[target_feature(enable = "avx512f")]
unsafe fn write(out: Out, sums: &Sums<f32>, height: usize, width: usize) {
    let bits = u32::MAX >> (32 - width);
    for i in 0..height {
        let from = i / TILE * 2 * TILE + i % TILE;
        // SAFETY: the masks keep to the `width` columns that there is room for.
        unsafe {
            let row = out.data.add(i * out.row_stride);
            for (half, mask) in [bits as u16, (bits >> 16) as u16].into_iter().enumerate() {
                let to = row.wrapping_add(half * TILE);
                let mut sum = _mm512_load_ps(sums.0[from + half * TILE].as_ptr());
                if let Some((base, stride)) = out.base {
                    let base = base.wrapping_add(i * stride + half * TILE);
                    sum = _mm512_add_ps(sum, _mm512_maskz_loadu_ps(mask, base));
                }
                _mm512_mask_storeu_ps(to, mask, sum);
            }
        }
    }
}
