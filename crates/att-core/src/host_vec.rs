use burn::tensor::Tensor;

/// The numbers of a tensor, row-major, in host memory; not copied where they are f32 there already.
///
/// # Panics
///
/// If the device fails.
pub fn host_vec<const D: usize>(tensor: Tensor<D>) -> Vec<f32> {
    let data = tensor.into_data().convert::<f32>();
    data.try_into_vec().expect("converted to f32")
}
