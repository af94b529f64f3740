//! Several tensors as one argument of an operation.

use burn::backend::{
    Backend, BackendTensor, Dispatch, DispatchAutodiffContext, DispatchTensor, DispatchTensorKind,
    ExtensionType, tensor::FloatTensor,
};

/// Float tensors in an order that the operation knows: for operations that take many.
pub struct TensorList<B: Backend>(pub(super) Vec<FloatTensor<B>>);

impl<B: Backend> TensorList<B> {
    /// # Panics
    ///
    /// If there are not `N`.
    pub(super) fn into_array<const N: usize>(self) -> [FloatTensor<B>; N] {
        let found = self.0.len();
        let array = self.0.try_into().ok();
        array.unwrap_or_else(|| panic!("{found} tensors for an operation on {N}"))
    }
}

impl<B: Backend> ExtensionType<B> for TensorList<B> {
    type Target = TensorList<Dispatch>;

    fn map_to_dispatch<F>(self, map_kind: F, autodiff: DispatchAutodiffContext) -> Self::Target
    where
        F: Fn(BackendTensor<B>) -> DispatchTensorKind,
    {
        let wrap = |tensor| DispatchTensor {
            kind: map_kind(BackendTensor::Float(tensor)),
            autodiff,
        };
        TensorList(self.0.into_iter().map(wrap).collect())
    }

    fn map_from_dispatch<F>(target: Self::Target, unwrap_kind: F) -> Self
    where
        F: Fn(DispatchTensor) -> BackendTensor<B>,
    {
        let unwrap = |tensor| unwrap_kind(tensor).float();
        Self(target.0.into_iter().map(unwrap).collect())
    }

    fn routing_tensor(target: &Self::Target) -> Option<&DispatchTensor> {
        target.0.first()
    }

    fn routing_float_tensor(target: &Self::Target) -> Option<&DispatchTensor> {
        target.0.first()
    }

    fn autodiff_context(target: &Self::Target) -> DispatchAutodiffContext {
        let disabled = DispatchAutodiffContext::Disabled;
        let contexts = target.0.iter().map(|tensor| tensor.autodiff);
        contexts.fold(disabled, DispatchAutodiffContext::merge)
    }
}
