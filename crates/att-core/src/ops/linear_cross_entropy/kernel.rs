//! The kernel on slices: some hundred tokens at a time, so that their scores stay in the caches.

use gemm::Parallelism;
use rayon::prelude::*;

use crate::ops::gemm::{Mat, Packed, matmul, product};
use crate::ops::rows::add_rows;
use crate::ops::simd::{exp, vectorise};
use crate::ops::work::{Kind, span};
use crate::{Precision, precision};

/// Tokens at a time. Each chunk reads and writes the whole gradient of W, so that fewer are slower;
/// the scores of more leave the second cache. With 512 features and 8000 tokens of vocabulary all
/// of 128 to 512 are within the noise of each other.
const CHUNK: usize = 256;

const THREADS: Parallelism = Parallelism::Rayon(0);

/// Of [`linear_cross_entropy`](super::linear_cross_entropy()).
pub(super) struct Arguments<'a> {
    pub features: &'a [f32],
    /// `[d, vocab]`
    pub weight: Mat<'a>,
    pub bias: &'a [f32],
    pub gold: &'a [u32],
    pub smoothing: f64,
}

pub(super) struct Losses {
    pub loss: f64,
    pub nll: f64,
}

/// A right factor that each chunk uses.
struct Factor<'a> {
    mat: Mat<'a>,
    /// In bf16, where arranging the factor is a good part of a product. In f32 the products of the
    /// `gemm` crate are the faster ones with as many rows as here.
    packed: Option<Packed>,
}

impl<'a> Factor<'a> {
    fn new(mat: Mat<'a>) -> Self {
        let packed = (precision() == Precision::Bf16).then(|| Packed::new(mat));
        Self { mat, packed }
    }

    /// `out = lhs self`
    fn product(&self, out: &mut [f32], lhs: Mat) {
        let [_, cols] = self.mat.sizes();
        match &self.packed {
            Some(packed) => product(out, cols, false, lhs, packed, THREADS),
            None => matmul(out, cols, false, lhs, self.mat, THREADS),
        }
    }
}

/// Of the loss.
pub(super) struct Gradients {
    pub features: Vec<f32>,
    /// Laid out as W.
    pub weight: Vec<f32>,
    pub bias: Vec<f32>,
}

/// A token's terms of the loss.
#[derive(Clone, Copy, Default)]
struct Token {
    /// `-log p[gold]`
    nll: f64,
    /// `-mean_v log p[v]`
    uniform: f64,
}

fn means(tokens: &[Token], smoothing: f64) -> Losses {
    // In the order of the tokens, whatever the threads did.
    let mean = |of: fn(&Token) -> f64| tokens.iter().map(of).sum::<f64>() / tokens.len() as f64;
    let nll = mean(|token| token.nll);
    Losses {
        loss: (1.0 - smoothing) * nll + smoothing * mean(|token| token.uniform),
        nll,
    }
}

pub(super) fn losses(arguments: Arguments) -> Losses {
    let Arguments {
        features,
        weight,
        bias,
        gold,
        smoothing,
    } = arguments;
    let [d, vocab] = weight.sizes();
    let mut tokens = vec![Token::default(); gold.len()];
    let forward = Factor::new(weight);
    let mut logits = vec![0.0; gold.len().min(CHUNK) * vocab];
    for ((tokens, gold), x) in tokens
        .chunks_mut(CHUNK)
        .zip(gold.chunks(CHUNK))
        .zip(features.chunks(CHUNK * d))
    {
        let logits = &mut logits[..gold.len() * vocab];
        let x = Mat::rows(x, gold.len(), d, d);
        forward.product(logits, x);
        each_row(
            logits,
            tokens,
            gold,
            #[inline(always)]
            |row, token, gold| *token = exponentials(row, bias, gold).0,
        );
    }
    means(&tokens, smoothing)
}

pub(super) fn gradients(arguments: Arguments) -> (Losses, Gradients) {
    let Arguments {
        features,
        weight,
        bias,
        gold,
        smoothing,
    } = arguments;
    let [d, vocab] = weight.sizes();
    let n = gold.len();
    let mut tokens = vec![Token::default(); n];
    let mut d_features = vec![0.0; n * d];
    let mut d_weight = vec![0.0; d * vocab];
    let mut d_bias = vec![0.0; vocab];
    let forward = Factor::new(weight);
    let backward = Factor::new(weight.t());
    let mut logits = vec![0.0; n.min(CHUNK) * vocab];
    for (i, (((tokens, gold), x), d_x)) in tokens
        .chunks_mut(CHUNK)
        .zip(gold.chunks(CHUNK))
        .zip(features.chunks(CHUNK * d))
        .zip(d_features.chunks_mut(CHUNK * d))
        .enumerate()
    {
        let rows = gold.len();
        let logits = &mut logits[..rows * vocab];
        let x = Mat::rows(x, rows, d, d);
        forward.product(logits, x);
        each_row(
            logits,
            tokens,
            gold,
            #[inline(always)]
            |row, token, gold| {
                let (terms, sum) = exponentials(row, bias, gold);
                *token = terms;
                let factor = (1.0 / (sum * n as f64)) as f32;
                let uniform = (smoothing / (vocab * n) as f64) as f32;
                for e in row.iter_mut() {
                    *e = *e * factor - uniform;
                }
                row[gold] -= ((1.0 - smoothing) / n as f64) as f32;
            },
        );

        let d_logits = Mat::rows(logits, rows, vocab, vocab);
        backward.product(d_x, d_logits);
        let accumulate = i > 0;
        if !weight.is_row_major() {
            matmul(&mut d_weight, d, accumulate, d_logits.t(), x, THREADS);
        } else {
            matmul(&mut d_weight, vocab, accumulate, x.t(), d_logits, THREADS);
        }
        add_rows(&mut d_bias, logits);
    }
    let gradients = Gradients {
        features: d_features,
        weight: d_weight,
        bias: d_bias,
    };
    (means(&tokens, smoothing), gradients)
}

/// Calls `f` for each row of scores, its token's terms and its gold token; threads share the rows.
/// A closure that is not inlined always is not compiled for the vectors' instructions.
fn each_row(
    logits: &mut [f32],
    tokens: &mut [Token],
    gold: &[u32],
    f: impl Fn(&mut [f32], &mut Token, usize) + Sync,
) {
    let vocab = logits.len() / gold.len();
    logits
        .par_chunks_exact_mut(vocab)
        .zip(tokens)
        .zip(gold)
        .for_each(|((row, token), &gold)| {
            let _span = span(Kind::Loss);
            vectorise(
                #[inline(always)]
                || f(row, token, gold as usize),
            );
        });
}

/// Numbers in a vector of sums: those of the widest vectors.
const LANES: usize = 16;

/// Makes `exp(s - max)` of a row of scores without bias, where `s` are those with it, and returns
/// the token's terms and the sum of the row.
#[inline(always)]
fn exponentials(row: &mut [f32], bias: &[f32], gold: usize) -> (Token, f64) {
    let bias = &bias[..row.len()];
    let mut max = [f32::NEG_INFINITY; LANES];
    let mut rows = row.chunks_exact_mut(LANES);
    let mut biases = bias.chunks_exact(LANES);
    for (s, b) in (&mut rows).zip(&mut biases) {
        for j in 0..LANES {
            s[j] += b[j];
            // NaN is less than nothing here; the sum below still has it.
            max[j] = if s[j] > max[j] { s[j] } else { max[j] };
        }
    }
    let mut max = max.into_iter().fold(f32::NEG_INFINITY, f32::max);
    for (s, b) in rows.into_remainder().iter_mut().zip(biases.remainder()) {
        *s += b;
        max = max.max(*s);
    }

    let of_gold = f64::from(row[gold] - max);
    // Of the exponentials, and of the scores below the largest.
    let (mut sums, mut below) = ([0.0; LANES], [0.0; LANES]);
    let mut rows = row.chunks_exact_mut(LANES);
    for s in &mut rows {
        for j in 0..LANES {
            let x = s[j] - max;
            s[j] = exp(x);
            sums[j] += s[j];
            below[j] += x;
        }
    }
    for (j, s) in rows.into_remainder().iter_mut().enumerate() {
        let x = *s - max;
        *s = exp(x);
        sums[j] += *s;
        below[j] += x;
    }
    let total = |lanes: [f32; LANES]| lanes.into_iter().map(f64::from).sum::<f64>();
    let sum = total(sums);
    let log_sum = sum.ln();
    let terms = Token {
        nll: log_sum - of_gold,
        uniform: log_sum - total(below) / row.len() as f64,
    };
    (terms, sum)
}
