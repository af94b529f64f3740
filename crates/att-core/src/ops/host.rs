//! How the CPU kernels reach the numbers of a flex or an ndarray tensor.

use burn::backend::{BackendTensor, DispatchTensorKind};
use burn::tensor::{DType, Shape, Tensor};

use super::gemm::{Mat, prepared};
use crate::ops::WeightFormat;

/// A tensor in host memory.
pub(super) trait HostTensor: Clone {
    /// The same numbers, contiguous and row-major.
    type Contiguous: AsF32 + Into<Self> + Send + Sync;

    fn dtype_of(&self) -> DType;

    /// # Panics
    ///
    /// If the numbers are not f32.
    fn contiguous(self) -> Self::Contiguous;

    /// The same numbers, row-major, without a copy where nobody else holds them.
    ///
    /// # Panics
    ///
    /// If the numbers are not f32.
    fn into_vec(self) -> Vec<f32>;

    /// Without a copy.
    fn from_vec(data: Vec<f32>, shape: Shape) -> Self;

    /// A tensor of two dimensions with rows and columns exchanged; nothing is copied.
    fn swapped(self) -> Self;

    /// Whether [`contiguous`](Self::contiguous) would not copy.
    fn is_row_major(&self) -> bool;

    /// The sizes of a tensor of two dimensions.
    fn sizes(&self) -> [usize; 2];

    /// A tensor of two dimensions. The transpose of a row-major one is taken as it is.
    ///
    /// # Panics
    ///
    /// If the numbers are not f32.
    fn matrix(self) -> Matrix<Self::Contiguous> {
        let transposed = self.clone().swapped();
        if !self.is_row_major() && transposed.is_row_major() {
            let [cols, rows] = transposed.sizes();
            let data = transposed.contiguous();
            return Matrix {
                data,
                rows,
                cols,
                transposed: true,
            };
        }
        let [rows, cols] = self.sizes();
        Matrix {
            data: self.contiguous(),
            rows,
            cols,
            transposed: false,
        }
    }

    /// A tensor of `[rows, cols]` whose numbers lie row by row, or column by column where
    /// `transposed`.
    fn from_matrix(data: Vec<f32>, rows: usize, cols: usize, transposed: bool) -> Self {
        if transposed {
            Self::from_vec(data, Shape::from([cols, rows])).swapped()
        } else {
            Self::from_vec(data, Shape::from([rows, cols]))
        }
    }
}

/// A tensor of two dimensions, `[rows, cols]`.
pub(super) struct Matrix<C> {
    data: C,
    pub(super) rows: usize,
    pub(super) cols: usize,
    /// Whether the numbers lie column by column.
    pub(super) transposed: bool,
}

impl<C: AsF32> Matrix<C> {
    pub(super) fn as_mat(&self) -> Mat<'_> {
        let data = self.data.as_f32();
        if self.transposed {
            Mat::rows(data, self.cols, self.rows, self.rows).t()
        } else {
            Mat::rows(data, self.rows, self.cols, self.cols)
        }
    }
}

/// A row-major view of f32 numbers.
pub(super) trait AsF32 {
    fn as_f32(&self) -> &[f32];

    /// To write to; copied before if any other tensor shares the numbers.
    fn as_f32_mut(&mut self) -> &mut [f32];
}

/// [Prepares](prepared::add) products with a weight, if it is f32 and in host memory.
pub(super) fn prepare(run: u64, weight: Tensor<2>, format: WeightFormat) {
    fn of<T: HostTensor>(run: u64, weight: T, format: WeightFormat)
    where
        T::Contiguous: 'static,
    {
        if weight.dtype_of() == DType::F32 {
            let matrix = weight.matrix();
            let numbers = matrix.data.as_f32().as_ptr_range();
            prepared::add(run, numbers, Box::new(matrix.data), format);
        }
    }
    match weight.inner().into_dispatch().kind {
        #[cfg(feature = "flex")]
        DispatchTensorKind::Flex(BackendTensor::Float(weight)) => of(run, weight, format),
        #[cfg(feature = "ndarray")]
        DispatchTensorKind::NdArray(BackendTensor::Float(weight)) => of(run, weight, format),
        _ => (),
    }
}

/// Columns of a weight that was [prepared](prepare), one after the other, and in which format; none of one
/// that was not.
pub(super) fn prepared_columns(
    weight: Tensor<2>,
    columns: &[u32],
) -> Option<(Vec<f32>, WeightFormat)> {
    fn of<T: HostTensor>(weight: T, columns: &[u32]) -> Option<(Vec<f32>, WeightFormat)> {
        if weight.dtype_of() != DType::F32 {
            return None;
        }
        prepared::columns(weight.matrix().as_mat(), columns)
    }
    match weight.inner().into_dispatch().kind {
        #[cfg(feature = "flex")]
        DispatchTensorKind::Flex(BackendTensor::Float(weight)) => of(weight, columns),
        #[cfg(feature = "ndarray")]
        DispatchTensorKind::NdArray(BackendTensor::Float(weight)) => of(weight, columns),
        _ => None,
    }
}

#[cfg(feature = "flex")]
mod flex {
    use super::*;
    use burn::tensor::TensorData;
    use burn_flex::FlexTensor;

    impl AsF32 for FlexTensor {
        fn as_f32(&self) -> &[f32] {
            let (start, end) = self
                .layout()
                .contiguous_offsets()
                .expect("made contiguous before");
            &self.storage::<f32>()[start..end]
        }

        fn as_f32_mut(&mut self) -> &mut [f32] {
            let (start, end) = self
                .layout()
                .contiguous_offsets()
                .expect("made contiguous before");
            &mut self.storage_mut::<f32>()[start..end]
        }
    }

    impl HostTensor for FlexTensor {
        type Contiguous = FlexTensor;

        fn dtype_of(&self) -> DType {
            self.dtype()
        }

        fn contiguous(self) -> FlexTensor {
            if self.is_contiguous() {
                self
            } else {
                self.to_contiguous()
            }
        }

        fn into_vec(self) -> Vec<f32> {
            self.into_data()
                .try_into_vec()
                .expect("the CPU kernels take f32 tensors")
        }

        fn from_vec(data: Vec<f32>, shape: Shape) -> Self {
            FlexTensor::from_data(TensorData::new(data, shape))
        }

        fn swapped(self) -> Self {
            self.transpose(0, 1)
        }

        fn is_row_major(&self) -> bool {
            self.is_contiguous()
        }

        fn sizes(&self) -> [usize; 2] {
            let shape = self.layout().shape();
            [shape[0], shape[1]]
        }
    }
}

#[cfg(feature = "ndarray")]
mod ndarray_tensor {
    use super::*;
    use burn::backend::ops::FloatTensorOps;
    use burn::backend::{NdArray, TensorMetadata};
    use burn_ndarray::NdArrayTensor;
    use ndarray::{ArcArray, ArrayD, IxDyn};

    impl AsF32 for ArcArray<f32, IxDyn> {
        fn as_f32(&self) -> &[f32] {
            self.as_slice().expect("made contiguous before")
        }

        fn as_f32_mut(&mut self) -> &mut [f32] {
            self.as_slice_mut().expect("made contiguous before")
        }
    }

    impl HostTensor for NdArrayTensor {
        type Contiguous = ArcArray<f32, IxDyn>;

        fn dtype_of(&self) -> DType {
            TensorMetadata::dtype(self)
        }

        fn contiguous(self) -> ArcArray<f32, IxDyn> {
            let NdArrayTensor::F32(storage) = self else {
                panic!("the CPU kernels take f32 tensors");
            };
            let array = storage.into_shared();
            if array.is_standard_layout() {
                array
            } else {
                array.as_standard_layout().into_owned().into_shared()
            }
        }

        fn into_vec(self) -> Vec<f32> {
            let array = self.contiguous();
            let len = array.len();
            let (mut data, offset) = array.into_owned().into_raw_vec_and_offset();
            // Of a part of a larger tensor.
            data.drain(..offset.unwrap_or(0));
            data.truncate(len);
            data
        }

        fn from_vec(data: Vec<f32>, shape: Shape) -> Self {
            let dims: Vec<usize> = (0..shape.num_dims()).map(|axis| shape[axis]).collect();
            ArrayD::from_shape_vec(IxDyn(&dims), data)
                .expect("as many numbers as the shape asks for")
                .into_shared()
                .into()
        }

        fn swapped(self) -> Self {
            // Shares the numbers and exchanges the strides.
            NdArray::float_transpose(self)
        }

        fn is_row_major(&self) -> bool {
            match self {
                NdArrayTensor::F32(storage) => storage.view().is_standard_layout(),
                _ => panic!("the CPU kernels take f32 tensors"),
            }
        }

        fn sizes(&self) -> [usize; 2] {
            let shape = TensorMetadata::shape(self);
            [shape[0], shape[1]]
        }
    }
}
