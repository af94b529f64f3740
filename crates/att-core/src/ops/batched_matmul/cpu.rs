//! The kernel on slices, for flex and ndarray.

use burn::backend::{TensorMetadata, tensor::FloatTensor};
use burn::tensor::{DType, Shape};
use gemm::Parallelism;
use rayon::prelude::*;

use super::{BatchedMatmulOps, Transposed, generic};
use crate::ops::gemm::{Mat, matmul, rows_per_thread};
use crate::ops::host::{AsF32, HostTensor};

/// A batch of row-major matrices.
#[derive(Clone, Copy)]
struct Matrices<'a> {
    data: &'a [f32],
    rows: usize,
    cols: usize,
    /// Whether they are read with rows and columns exchanged.
    transposed: bool,
}

impl<'a> Matrices<'a> {
    fn new(data: &'a [f32], shape: &Shape, transposed: bool) -> Self {
        Self {
            data,
            rows: shape[1],
            cols: shape[2],
            transposed,
        }
    }

    fn at(self, b: usize) -> Mat<'a> {
        let size = self.rows * self.cols;
        let one = &self.data[b * size..][..size];
        let one = Mat::rows(one, self.rows, self.cols, self.cols);
        if self.transposed { one.t() } else { one }
    }

    /// Rows and columns as they are read.
    fn sizes(self) -> [usize; 2] {
        if self.transposed {
            [self.cols, self.rows]
        } else {
            [self.rows, self.cols]
        }
    }
}

/// `[batch, m, n]`
fn product(lhs: Matrices, rhs: Matrices, batch: usize) -> Vec<f32> {
    let ([m, k], [_, n]) = (lhs.sizes(), rhs.sizes());
    let mut out = vec![0.0; batch * m * n];
    let one = |b: usize, out: &mut [f32], parallelism| {
        matmul(out, n, false, lhs.at(b), rhs.at(b), parallelism);
    };
    if out.is_empty() {
    } else if batch < rayon::current_num_threads() {
        for (b, out) in out.chunks_exact_mut(m * n).enumerate() {
            one(b, out, Parallelism::Rayon(0));
        }
    } else {
        let some = rows_per_thread(batch, m * k * n);
        out.par_chunks_mut(some * m * n)
            .enumerate()
            .for_each(|(i, out)| {
                for (j, out) in out.chunks_exact_mut(m * n).enumerate() {
                    one(i * some + j, out, Parallelism::None);
                }
            });
    }
    out
}

macro_rules! impl_on_slices {
    ($backend:ty) => {
        impl BatchedMatmulOps for $backend {
            fn batched_product(
                lhs: FloatTensor<Self>,
                rhs: FloatTensor<Self>,
                transposed: Transposed,
            ) -> FloatTensor<Self> {
                if lhs.dtype_of() != DType::F32 {
                    return generic::product::<Self>(lhs, rhs, transposed);
                }
                let (lhs_shape, rhs_shape) = (lhs.shape(), rhs.shape());
                let (lhs, rhs) = (lhs.contiguous(), rhs.contiguous());
                let lhs = Matrices::new(lhs.as_f32(), &lhs_shape, transposed.lhs);
                let rhs = Matrices::new(rhs.as_f32(), &rhs_shape, transposed.rhs);
                let out = product(lhs, rhs, lhs_shape[0]);
                let shape = [lhs_shape[0], lhs.sizes()[0], rhs.sizes()[1]];
                HostTensor::from_vec(out, Shape::from(shape))
            }
        }
    };
}

#[cfg(feature = "flex")]
impl_on_slices!(burn::backend::Flex);
#[cfg(feature = "ndarray")]
impl_on_slices!(burn::backend::NdArray);
