use burn::tensor::{Bool, Int, Tensor, assert_shape};

/// What a memory is read with in the place of the weights that attention computed, to see what they
/// matter: "what if it had looked there?" (Jain and Wallace 2019; Wiegreffe and Pinter 2019). It stands
/// behind the normaliser and before the context, which is that of the new weights; so are the weights that
/// are reported, and those that a history remembers. The head of a monotonic kind goes on from where it
/// stood by itself, a window no longer bounds what is read, and there is no dropout on new weights.
///
/// Weights are zero at padding, whatever is asked for, and each row is divided by its sum; under attention
/// whose own weights may sum to less than one, only where it is more than one. A row without any stays
/// without.
///
/// It is of one step, or of all steps at once of attention that attends so: a row is a query, and the
/// queries of a source stand side by side.
///
/// ```
/// use att_attention::{AttentionConfig, Intervention};
/// use att_core::{EncoderOutput, host_vec, mask::src_pad_mask};
/// use burn::tensor::{Device, Tensor};
///
/// let device = Device::flex();
/// let attention = AttentionConfig::default().init(2, 2, &device);
/// let source = EncoderOutput {
///     memory: Tensor::from_data([[[8.0, 0.0], [0.0, 8.0], [0.0, 0.0]]], &device),
///     src_pad_mask: src_pad_mask(&[2], 3, &device),
///     final_states: vec![],
/// };
/// let mut memory = attention.prepare(&source);
/// let weights = Tensor::from_data([[[1.0, 3.0, 4.0]]], &device); // the last is padding
/// memory.intervention = Some(Intervention::Given(weights));
/// let output = attention.forward(Tensor::ones([1, 1, 2], &device), &memory);
/// assert_eq!(host_vec(output.weights), [0.25, 0.75, 0.0]);
/// assert_eq!(host_vec(output.context), [2.0, 6.0]);
/// ```
#[derive(Clone, Debug)]
pub enum Intervention {
    /// The same weight for each state that is not padding.
    Uniform,
    /// The computed weights in another order: state `s` has that of state `order[row, s]`. The order of each
    /// row, `[rows, src_len]`, the same for all heads.
    Permuted(Tensor<2, Int>),
    /// These weights, none negative, `[rows, n_heads, src_len]`; those of one head are for all.
    Given(Tensor<3>),
}

impl Intervention {
    /// What queries read with, `[batch, n_heads, n, src_len]`.
    ///
    /// - `computed`: by attention, `[batch, n_heads, n, src_len]`
    /// - `mask`: true at padding, `[batch, src_len]`
    /// - `sums_to_one`: whether the weights that attention computes do
    ///
    /// # Panics
    ///
    /// If the shapes disagree.
    pub(crate) fn weights(
        &self,
        computed: Tensor<4>,
        mask: &Tensor<2, Bool>,
        sums_to_one: bool,
    ) -> Tensor<4> {
        let shape = computed.dims();
        let [batch, n_heads, n, src_len] = shape;
        let real = mask.clone().bool_not().float();
        let real = real.reshape([batch, 1, 1, src_len]);
        let weights = match self {
            Self::Uniform => real.clone().expand(shape),
            Self::Permuted(order) => {
                assert_shape!(order, [batch * n, src_len]);
                let order = order.clone().reshape([batch, 1, n, src_len]);
                computed.gather(3, order.repeat_dim(1, n_heads))
            }
            Self::Given(weights) => {
                let [_, heads, _] = weights.dims();
                assert_shape!(weights, [batch * n, heads, src_len]);
                let weights = weights.clone().reshape([batch, n, heads, src_len]);
                weights.swap_dims(1, 2).expand(shape)
            }
        };
        let weights = weights * real;
        let sum = weights.clone().sum_dim(3);
        let least = if sums_to_one { f32::MIN_POSITIVE } else { 1.0 };
        weights / sum.clamp_min(least)
    }

    /// That of the rows of the sources named by `indices`, out of `batch`.
    pub(crate) fn select(self, batch: usize, indices: Tensor<1, Int>) -> Self {
        let [kept] = indices.dims();
        match self {
            Self::Uniform => Self::Uniform,
            Self::Permuted(order) => {
                let [rows, src_len] = order.dims();
                let beam = rows / batch;
                let order = order.reshape([batch, beam * src_len]).select(0, indices);
                Self::Permuted(order.reshape([kept * beam, src_len]))
            }
            Self::Given(weights) => {
                let [rows, heads, src_len] = weights.dims();
                let beam = rows / batch;
                let weights = weights.reshape([batch, beam * heads * src_len]);
                let weights = weights.select(0, indices);
                Self::Given(weights.reshape([kept * beam, heads, src_len]))
            }
        }
    }
}
