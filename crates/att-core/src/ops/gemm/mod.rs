//! Matrix products on slices.
//!
//! A right factor that is used more than once is packed once ([`Packed`]); where the processor has
//! vectors these products are our own ([`tiles`]), and bf16 ones use AMX tiles or AVX-512's
//! instruction if there are any ([`bf16`]). Others are those of the `gemm` crate. Products with a few rows, as in decoding,
//! read the right factor where it lies ([`few_rows`]), unless a run of many products with the same weights
//! has them arranged once for all ([`prepared`]).

#[cfg(target_arch = "x86_64")]
mod amx;
#[cfg(target_arch = "x86_64")]
mod bf16;
mod few_rows;
mod int8;
mod mat;
mod out;
pub(in crate::ops) mod prepared;
mod tiles;

use std::ops::Range;
use std::sync::Arc;

use gemm::Parallelism;
use rayon::prelude::*;

use crate::Precision;
use crate::ops::WeightFormat;
use crate::ops::work::{Kind, span};

pub(in crate::ops) use mat::Mat;
pub(in crate::ops) use out::Onto;
use out::Out;

/// The right factor of products, arranged once for all of them.
#[derive(Clone)]
pub(in crate::ops) struct Packed {
    k: usize,
    n: usize,
    /// Whether left factors are to be rounded to bf16 before they come to the form.
    rounds_left: bool,
    form: Arc<Form>,
}

enum Form {
    /// Row-major, for the `gemm` crate.
    Plain(Vec<f32>),
    Tiles(tiles::Panels),
    #[cfg(target_arch = "x86_64")]
    Bf16(bf16::Panels),
    Int8(int8::Panels),
}

impl Packed {
    /// Arranges `rhs` for products in the precision that is set ([`crate::precision`]), unless it was
    /// [`prepared`] before.
    pub(in crate::ops) fn new(rhs: Mat) -> Self {
        let format = match crate::precision() {
            Precision::F32 => WeightFormat::F32,
            Precision::Bf16 => WeightFormat::Bf16,
        };
        prepared::find(rhs).unwrap_or_else(|| Self::with_format(rhs, format))
    }

    fn with_format(rhs: Mat, format: WeightFormat) -> Self {
        let _span = span(Kind::Products);
        let mut rounds_left = false;
        let form = match format {
            WeightFormat::Int8 if rhs.rows <= int8::DEEPEST => Form::Int8(int8::Panels::pack(rhs)),
            #[cfg(target_arch = "x86_64")]
            WeightFormat::Bf16 if bf16::available() => Form::Bf16(bf16::Panels::pack(rhs)),
            WeightFormat::Bf16 => {
                rounds_left = true;
                let rounded = row_major(rhs, bf16_rounded);
                Form::f32(Mat::rows(&rounded, rhs.rows, rhs.cols, rhs.cols))
            }
            WeightFormat::F32 | WeightFormat::Int8 => Form::f32(rhs),
        };
        Self {
            k: rhs.rows,
            n: rhs.cols,
            rounds_left,
            form: form.into(),
        }
    }
}

impl Form {
    fn f32(rhs: Mat) -> Self {
        if tiles::available() {
            Self::Tiles(tiles::Panels::pack(rhs))
        } else {
            Self::Plain(row_major(rhs, |x| x))
        }
    }
}

/// Whether the processor multiplies bf16 by instructions of its own: those of AMX or AVX-512.
pub(crate) fn multiplies_bf16() -> bool {
    #[cfg(target_arch = "x86_64")]
    return bf16::available();
    #[cfg(not(target_arch = "x86_64"))]
    return false;
}

/// A function of each number, row by row.
fn row_major(mat: Mat, f: impl Fn(f32) -> f32) -> Vec<f32> {
    let mut numbers = Vec::with_capacity(mat.rows * mat.cols);
    for i in 0..mat.rows {
        numbers.extend((0..mat.cols).map(|j| f(mat.at(i, j))));
    }
    numbers
}

/// The nearest number of seven bits of mantissa.
fn bf16_rounded(x: f32) -> f32 {
    f32::from_bits(u32::from(bf16_bits(x)) << 16)
}

/// The upper half of the nearest such number, ties to even; NaN stays NaN.
#[inline(always)]
fn bf16_bits(x: f32) -> u16 {
    let bits = x.to_bits();
    if x.is_nan() {
        return ((bits >> 16) | 0x40) as u16;
    }
    ((bits + 0x7fff + ((bits >> 16) & 1)) >> 16) as u16
}

/// Bytes of the right factor that products are ahead with asking for it. With several rows the processor does
/// not look so far ahead by itself: with five of them a product out of the third cache is 1.4 times as fast
/// on Zen 4.
const AHEAD: usize = 4096;

/// What a processor reads at once: 32 pairs of bytes for bf16, or 64 numbers of 8 bits.
#[derive(Clone, Copy)]
#[repr(align(64))]
struct Line([u8; 64]);

impl Line {
    /// Asks for the line that a product comes to [`AHEAD`] bytes later.
    #[cfg(target_arch = "x86_64")]
    #[inline(always)]
    fn prefetch_later(&self) {
        use std::arch::x86_64::{_MM_HINT_T0, _mm_prefetch};
        let later = std::ptr::from_ref(self).wrapping_add(AHEAD / size_of::<Self>());
        // SAFETY: no address is wrong to ask for.
        unsafe { _mm_prefetch::<_MM_HINT_T0>(later.cast()) };
    }

    /// The four bytes that begin at `4 i`: two numbers of bf16, or four of 8 bits.
    #[cfg(target_arch = "x86_64")]
    #[inline(always)]
    fn integer(&self, i: usize) -> i32 {
        let bytes = self.0[4 * i..][..4].try_into();
        i32::from_le_bytes(bytes.expect("four bytes"))
    }
}

/// `out = lhs rhs` (or `out = onto + lhs rhs`), with `out` of `lhs.rows` rows of `rhs.n` neighbouring
/// numbers, `row_stride` apart.
pub(in crate::ops) fn product<'a>(
    out: &mut [f32],
    row_stride: usize,
    onto: impl Into<Onto<'a>>,
    lhs: Mat,
    rhs: &Packed,
    parallelism: Parallelism,
) {
    assert_fits(out, row_stride, lhs, rhs.n);
    let out = Out::new(out.as_mut_ptr(), row_stride, rhs.n, onto.into());
    // SAFETY: it fits.
    unsafe { product_into(out, lhs, rhs, parallelism) };
}

/// # Safety
///
/// `out` must have room for `lhs.rows` rows of `rhs.n`, which nobody else reads or writes meanwhile. All of
/// it is written.
unsafe fn product_into(target: Out, lhs: Mat, rhs: &Packed, parallelism: Parallelism) {
    let (m, n, k) = (lhs.rows, rhs.n, lhs.cols);
    assert_eq!(k, rhs.k, "inner sizes of a matrix product");
    if m == 0 || n == 0 {
        return;
    }
    let rounded;
    let lhs = if rhs.rounds_left {
        rounded = row_major(lhs, bf16_rounded);
        Mat::rows(&rounded, m, k, k)
    } else {
        lhs
    };
    // Forms of fewer bits are so fast that writing to memory out of the cache would keep them waiting.
    let begins = match &*rhs.form {
        Form::Plain(_) | Form::Tiles(_) => false,
        #[cfg(target_arch = "x86_64")]
        Form::Bf16(_) => target.base.is_some(),
        Form::Int8(_) => target.base.is_some(),
    };
    let target = match begins {
        // SAFETY: the caller's.
        true => unsafe { target.begun(m, n) },
        false => target,
    };
    let shared = |unit: usize, part: &(dyn Fn(Out, Range<usize>, Range<usize>) + Sync)| {
        share(m, n, k, unit, parallelism, |rows, cols| {
            let _span = span(Kind::Products);
            // SAFETY: each part is inside of it.
            part(unsafe { target.from(rows.start, cols.start) }, rows, cols);
        });
    };
    // SAFETY, of each: `out` has room, as above, and `share` gives every part of it to one call; what a
    // form needs of the processor was there when packing.
    match &*rhs.form {
        Form::Plain(data) => shared(LINE, &|out, rows, cols| unsafe {
            let rhs = Mat::rows(data, k, n, n).part(0..k, cols);
            plain(out, lhs.part(rows, 0..k), rhs);
        }),
        Form::Tiles(panels) => shared(panels.width(), &|out, rows, cols| unsafe {
            tiles::product(out, lhs.part(rows, 0..k), panels, cols);
        }),
        #[cfg(target_arch = "x86_64")]
        Form::Bf16(panels) => shared(bf16::NR, &|out, rows, cols| unsafe {
            bf16::product(out, lhs.part(rows, 0..k), panels, cols);
        }),
        Form::Int8(panels) => int8::Left::with(lhs, parallelism, |left| {
            shared(int8::NR, &|out, rows, cols| unsafe {
                int8::product(out, left, rows, panels, cols);
            });
        }),
    }
}

/// That a product fits.
fn assert_fits(out: &[f32], row_stride: usize, lhs: Mat, n: usize) {
    assert!(lhs.rows == 0 || (lhs.rows - 1) * row_stride + n <= out.len());
    assert!(
        lhs.rows <= 1 || row_stride >= n,
        "rows of the result overlap"
    );
}

/// Numbers in a cache line.
const LINE: usize = 16;

/// Gives each thread a part of the result, as near to a square as the number of threads allows;
/// parts begin at multiples of `unit`.
fn share(
    m: usize,
    n: usize,
    k: usize,
    unit: usize,
    parallelism: Parallelism,
    part: impl Fn(Range<usize>, Range<usize>) + Sync,
) {
    const WORTH_A_THREAD: usize = 1 << 19;
    let threads = match parallelism {
        Parallelism::None => 1,
        Parallelism::Rayon(_) => rayon::current_num_threads().min(m * n * k / WORTH_A_THREAD),
    };
    if threads <= 1 {
        return part(0..m, 0..n);
    }
    // What a part reads of both factors is least.
    let (height, width) = (1..=threads)
        .filter(|across| threads.is_multiple_of(*across))
        .map(|across| (m.div_ceil(threads / across), n.div_ceil(across)))
        .map(|(height, width)| (height.next_multiple_of(unit), width.next_multiple_of(unit)))
        .min_by_key(|(height, width)| height.min(&m) + width.min(&n))
        .expect("one divides every number");
    let across = n.div_ceil(width);
    (0..m.div_ceil(height) * across)
        .into_par_iter()
        .for_each(|i| {
            let (row, col) = (i / across * height, i % across * width);
            part(row..(row + height).min(m), col..(col + width).min(n));
        });
}

/// [`product`] with a right factor that is used once, or was [`prepared`]. Where the left one has a few
/// rows only, packing for bf16 would not pay: the product is f32 then, whatever is set.
pub(in crate::ops) fn matmul<'a>(
    out: &mut [f32],
    row_stride: usize,
    onto: impl Into<Onto<'a>>,
    lhs: Mat,
    rhs: Mat,
    parallelism: Parallelism,
) {
    assert_fits(out, row_stride, lhs, rhs.cols);
    let out = Out::new(out.as_mut_ptr(), row_stride, rhs.cols, onto.into());
    // SAFETY: it fits.
    unsafe { matmul_into(out, lhs, rhs, parallelism) };
}

/// [`matmul`] into memory of its own, row by row.
///
/// - `row`: what each row is added to
pub(in crate::ops) fn new_matmul(
    lhs: Mat,
    rhs: Mat,
    row: Option<&[f32]>,
    parallelism: Parallelism,
) -> Vec<f32> {
    let numbers = lhs.rows * rhs.cols;
    let mut product = Vec::with_capacity(numbers);
    let onto = row.map_or(Onto::Nothing, Onto::Row);
    let out = Out::new(product.as_mut_ptr(), rhs.cols, rhs.cols, onto);
    // SAFETY: there is room for the product, which is written whole.
    unsafe {
        matmul_into(out, lhs, rhs, parallelism);
        product.set_len(numbers);
    }
    product
}

/// # Safety
///
/// As of [`product_into`].
unsafe fn matmul_into(out: Out, lhs: Mat, rhs: Mat, parallelism: Parallelism) {
    let packed = prepared::find_for(rhs, lhs.rows).or_else(|| {
        let pays = crate::precision() == Precision::Bf16 && !few_rows::takes(lhs, rhs);
        pays.then(|| Packed::with_format(rhs, WeightFormat::Bf16))
    });
    // SAFETY: the caller's.
    unsafe {
        if let Some(rhs) = packed {
            product_into(out, lhs, &rhs, parallelism);
        } else {
            matmul_f32_into(out, lhs, rhs, parallelism);
        }
    }
}

/// [`matmul`] in f32 whatever the precision, for factors too small to be worth rounding.
pub(in crate::ops) fn matmul_f32(
    out: &mut [f32],
    row_stride: usize,
    accumulate: bool,
    lhs: Mat,
    rhs: Mat,
    parallelism: Parallelism,
) {
    assert_fits(out, row_stride, lhs, rhs.cols);
    let out = Out::new(out.as_mut_ptr(), row_stride, rhs.cols, accumulate.into());
    // SAFETY: it fits.
    unsafe { matmul_f32_into(out, lhs, rhs, parallelism) };
}

/// # Safety
///
/// As of [`product_into`].
unsafe fn matmul_f32_into(target: Out, lhs: Mat, rhs: Mat, parallelism: Parallelism) {
    let (m, n, k) = (lhs.rows, rhs.cols, lhs.cols);
    assert_eq!(k, rhs.rows, "inner sizes of a matrix product");
    share(m, n, k, LINE, parallelism, |rows, cols| {
        let _span = span(Kind::Products);
        // SAFETY: the caller's; `share` gives every part to one call.
        unsafe {
            let target = target.from(rows.start, cols.start);
            plain(target, lhs.part(rows, 0..k), rhs.part(0..k, cols));
        }
    });
}

/// Of factors where they lie.
///
/// # Safety
///
/// The inner sizes must agree, and `out` have room for `lhs.rows` rows of `rhs.cols`.
unsafe fn plain(out: Out, lhs: Mat, rhs: Mat) {
    // SAFETY: the caller's.
    unsafe {
        if few_rows::takes(lhs, rhs) {
            few_rows::product(out, lhs, rhs);
        } else {
            by_crate(out, lhs, rhs);
        }
    }
}

/// By the `gemm` crate, which packs as it goes. One thread: the crate itself shares a product out
/// less evenly than [`share`].
///
/// # Safety
///
/// The inner sizes must agree, and `out` have room for `lhs.rows` rows of `rhs.cols`.
unsafe fn by_crate(out: Out, lhs: Mat, rhs: Mat) {
    // SAFETY: the caller's for `out`, which nobody else writes to; `Mat::rows` asserted that every
    // element that the strides reach lies inside its slice.
    unsafe {
        let accumulates = out.base.is_some();
        if accumulates || lhs.cols == 0 {
            out.begun(lhs.rows, rhs.cols);
        }
        gemm::gemm(
            lhs.rows,
            rhs.cols,
            lhs.cols,
            out.data,
            1,
            out.row_stride as isize,
            accumulates,
            lhs.data.as_ptr(),
            lhs.col_stride as isize,
            lhs.row_stride as isize,
            rhs.data.as_ptr(),
            rhs.col_stride as isize,
            rhs.row_stride as isize,
            1.0,
            1.0,
            false,
            false,
            false,
            Parallelism::None,
        );
    }
}

/// How many rows of a batch one thread takes when `batch` independent rows, each of `work`
/// multiplications, are shared out: all of them where the work is too little to share.
pub(in crate::ops) fn rows_per_thread(batch: usize, work: usize) -> usize {
    const WORTH_A_THREAD: usize = 1 << 18;
    let threads = rayon::current_num_threads();
    if threads == 1 || batch * work < 2 * WORTH_A_THREAD {
        batch
    } else {
        batch.div_ceil(threads)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn numbers(n: usize, seed: u32) -> Vec<f32> {
        let mut state = seed.wrapping_mul(2_654_435_761).wrapping_add(12_345);
        let mut next = || {
            state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
            (state >> 8) as f32 / (1 << 24) as f32 - 0.5
        };
        (0..n).map(|_| next()).collect()
    }

    /// Of `lhs` and `rhs`, both rounded by `round`, in f64.
    fn by_definition(lhs: Mat, rhs: Mat, round: fn(f32) -> f32) -> Vec<f64> {
        let mut out = Vec::new();
        for i in 0..lhs.rows {
            for j in 0..rhs.cols {
                let terms = (0..lhs.cols)
                    .map(|l| f64::from(round(lhs.at(i, l))) * f64::from(round(rhs.at(l, j))));
                out.push(terms.sum());
            }
        }
        out
    }

    /// What is added to in column `j` of a matrix of ones.
    fn before(onto: Onto, j: usize) -> f64 {
        match onto {
            Onto::Nothing => 0.0,
            Onto::Itself => 1.0,
            Onto::Row(row) => row[j].into(),
        }
    }

    /// Of all ways that a product can take, and with a left factor of no columns.
    #[test]
    fn a_new_product_is_written_whole() {
        for (m, n, k) in [(1, 5, 3), (20, 40, 7), (100, 33, 64), (3, 4, 0)] {
            let (a, b, bias) = (numbers(m * k, 1), numbers(k * n, 2), numbers(n, 3));
            let (lhs, rhs) = (Mat::rows(&a, m, k, k), Mat::rows(&b, k, n, n));
            for row in [None, Some(&bias[..])] {
                let onto = row.map_or(Onto::Nothing, Onto::Row);
                let mut expected = vec![7.0; m * n];
                matmul(&mut expected, n, onto, lhs, rhs, Parallelism::None);
                let product = new_matmul(lhs, rhs, row, Parallelism::Rayon(0));
                assert_eq!(product.len(), m * n);
                for (got, want) in product.into_iter().zip(expected) {
                    assert!((got - want).abs() < 2e-5, "{m} {n} {k}");
                }
            }
        }
    }

    fn check(format: WeightFormat, round: fn(f32) -> f32) {
        let sizes = [
            (1, 1, 1),
            (3, 5, 7),
            (12, 32, 256),
            (13, 33, 257),
            (33, 70, 31),
            (65, 100, 530),
            (250, 64, 300),
            (40, 200, 2100),
        ];
        for (m, n, k) in sizes {
            let (a, b) = (numbers(m * (k + 3), 1), numbers(k * (n + 2), 2));
            for transposed in [false, true] {
                let (lhs, rhs) = if transposed {
                    let lhs = Mat::rows(&a, k, m, m).t();
                    (lhs, Mat::rows(&b, n, k, k).t())
                } else {
                    (Mat::rows(&a, m, k, k + 3), Mat::rows(&b, k, n, n + 2))
                };
                let packed = Packed::with_format(rhs, format);
                let expected = by_definition(lhs, rhs, round);
                let bias = numbers(n, 3);
                for (onto, parallelism) in [
                    (Onto::Nothing, Parallelism::None),
                    (Onto::Itself, Parallelism::Rayon(0)),
                    (Onto::Row(&bias), Parallelism::Rayon(0)),
                ] {
                    let mut out = vec![1.0; m * (n + 1)];
                    product(&mut out, n + 1, onto, lhs, &packed, parallelism);
                    for i in 0..m {
                        for j in 0..n {
                            let (got, want) = (
                                f64::from(out[i * (n + 1) + j]),
                                expected[i * n + j] + before(onto, j),
                            );
                            assert!(
                                (got - want).abs() < 2e-5,
                                "{format:?} {m} {n} {k} at {i} {j}: {got} for {want}"
                            );
                        }
                        assert_eq!(out[i * (n + 1) + n], 1.0, "written beside the result");
                    }
                }
            }
        }
    }

    #[test]
    fn products_with_few_rows_need_no_packing() {
        for m in 1..=few_rows::MOST {
            for (k, n) in [(1, 1), (7, 15), (8, 17), (64, 512), (83, 515), (200, 1100)] {
                let (a, b) = (numbers(m * k, 1), numbers(k * (n + 2), 2));
                let lhs = Mat::rows(&a, m, k, k);
                for rhs in [Mat::rows(&b, k, n, n + 2), Mat::rows(&b, n, k, k).t()] {
                    assert!(few_rows::takes(lhs, rhs));
                    let expected = by_definition(lhs, rhs, |x| x);
                    let bias = numbers(n, 3);
                    for onto in [Onto::Nothing, Onto::Itself, Onto::Row(&bias)] {
                        let mut out = vec![1.0; m * (n + 1)];
                        let threads = Parallelism::Rayon(0);
                        matmul(&mut out, n + 1, onto, lhs, rhs, threads);
                        for (i, row) in out.chunks(n + 1).enumerate() {
                            for j in 0..n {
                                let want = expected[i * n + j] + before(onto, j);
                                let got = f64::from(row[j]);
                                assert!((got - want).abs() < 2e-5, "{m} {k} {n}");
                            }
                            assert_eq!(row[n], 1.0, "written beside the result");
                        }
                    }
                }
            }
        }
    }

    #[test]
    fn products_equal_the_definition() {
        check(WeightFormat::F32, |x| x);
    }

    #[test]
    fn bf16_products_round_both_factors_and_nothing_else() {
        check(WeightFormat::Bf16, bf16_rounded);
    }

    /// The left factor is rounded by several threads here, and read by all.
    #[test]
    fn int8_products_are_the_same_bits_however_they_are_shared_out() {
        for (m, n, k) in [(300, 70, 500), (1000, 200, 140), (17, 900, 9000)] {
            let (a, b) = (numbers(m * k, 1), numbers(k * n, 2));
            let packed = Packed::with_format(Mat::rows(&b, k, n, n), WeightFormat::Int8);
            for lhs in [Mat::rows(&a, m, k, k), Mat::rows(&a, k, m, m).t()] {
                let run = |parallelism| {
                    let mut out = vec![0.0; m * n];
                    product(&mut out, n, false, lhs, &packed, parallelism);
                    out
                };
                assert_eq!(run(Parallelism::Rayon(0)), run(Parallelism::None));
            }
        }
    }

    #[test]
    fn rounding_is_to_nearest_even() {
        let one = |x| bf16_rounded(x);
        assert_eq!(one(1.0), 1.0);
        assert_eq!(one(1.0 + 1.0 / 256.0), 1.0); // half way, to even
        assert_eq!(one(1.0 + 3.0 / 256.0), 1.0 + 1.0 / 64.0);
        assert_eq!(one(f32::INFINITY), f32::INFINITY);
        assert!(one(f32::NAN).is_nan());
    }
}
