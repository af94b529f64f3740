//! How the CPU kernels reach the numbers of a flex or an ndarray tensor.

use burn::tensor::{DType, Shape};

/// A tensor in host memory.
pub(super) trait HostTensor: Sized {
    /// The same numbers, contiguous and row-major.
    type Contiguous: AsF32 + Send + Sync;

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
}

/// A row-major view of f32 numbers.
pub(super) trait AsF32 {
    fn as_f32(&self) -> &[f32];
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
    }
}

#[cfg(feature = "ndarray")]
mod ndarray_tensor {
    use super::*;
    use burn::backend::TensorMetadata;
    use burn_ndarray::NdArrayTensor;
    use ndarray::{ArcArray, ArrayD, IxDyn};

    impl AsF32 for ArcArray<f32, IxDyn> {
        fn as_f32(&self) -> &[f32] {
            self.as_slice().expect("made contiguous before")
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
    }
}
