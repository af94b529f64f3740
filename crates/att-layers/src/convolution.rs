use att_core::ops::{embedding, tanh, with_zero_row};
use burn::module::Module;
use burn::tensor::{Device, Int, Tensor, TensorData};

use crate::{Linear, init};

/// Which positions a convolution reads around each position of a batch; made once, read by each
/// layer.
///
/// The batch is packed ([`att_core::ops::pack`]): there is no padding. What a window would read
/// outside of its own row is zero.
#[derive(Clone, Debug)]
pub struct Windows {
    /// `[n, width]`, as ids of packed positions; n is the row of zeros behind them.
    ids: Tensor<2, Int>,
}

impl Windows {
    /// Position t reads from `t - width / 2`, `width` positions: as many on either side where
    /// `width` is odd.
    ///
    /// - `lengths`: of the rows of the batch, not all 0
    pub fn centred(lengths: &[usize], width: usize, device: &Device) -> Self {
        Self::new(lengths, width, width / 2, device)
    }

    /// Position t reads up to itself, `width` positions.
    ///
    /// - `lengths`: of the rows of the batch, not all 0
    pub fn causal(lengths: &[usize], width: usize, device: &Device) -> Self {
        Self::new(lengths, width, width - 1, device)
    }

    /// Position t reads from `t - before`.
    fn new(lengths: &[usize], width: usize, before: usize, device: &Device) -> Self {
        let n: usize = lengths.iter().sum();
        let mut ids = Vec::with_capacity(n * width);
        let mut first = 0;
        for &length in lengths {
            for t in 0..length {
                ids.extend((t..t + width).map(|shifted| {
                    let read = shifted.checked_sub(before).filter(|&read| read < length);
                    read.map_or(n, |read| first + read) as i64
                }));
            }
            first += length;
        }
        Self {
            ids: Tensor::from_data(TensorData::new(ids, [n, width]), device),
        }
    }

    /// What each position reads, side by side: `[n, d]` to `[n, width * d]`.
    fn unfold(&self, states: Tensor<2>) -> Tensor<2> {
        let [_, d] = states.dims();
        let [n, width] = self.ids.dims();
        embedding(with_zero_row(states), self.ids.clone()).reshape([n, width * d])
    }
}

/// A convolution with a gated linear unit (Dauphin et al. 2017, eq. 1), where `x[t]` is what the
/// window of a position reads, side by side:
///
/// ```text
/// y[t] = (x[t] V + b) * sigmoid(x[t] G + c)
/// ```
///
/// The products are those of [`Linear`], over windows that are gathered first.
#[derive(Module, Debug)]
pub struct GatedConvolution {
    /// V and b, `[width * d_input, d_output]`.
    pub value: Linear,
    /// G and c, `[width * d_input, d_output]`.
    pub gate: Linear,
}

impl GatedConvolution {
    /// Weights normal with deviation `sqrt(4 keep / (width * d_input))`, which keeps the variance of
    /// an input of which dropout keeps that share (Gehring et al. 2017, sec. 3.5); biases zero.
    pub fn new(d_input: usize, d_output: usize, width: usize, keep: f64, device: &Device) -> Self {
        let fan_in = width * d_input;
        let linear = || Linear {
            weight: init::normal(
                [fan_in, d_output],
                (4.0 * keep / fan_in as f64).sqrt(),
                device,
            ),
            bias: Some(init::constant([d_output], 0.0, device)),
        };
        Self {
            value: linear(),
            gate: linear(),
        }
    }

    /// `[n, d_input]`, packed as `windows` are, to `[n, d_output]`.
    ///
    /// # Panics
    ///
    /// If `windows` are those of another batch or width.
    pub fn forward(&self, states: Tensor<2>, windows: &Windows) -> Tensor<2> {
        self.read(windows.unfold(states))
    }

    /// What [`forward`](Self::forward) makes of windows at hand, `[n, width * d_input]`.
    ///
    /// # Panics
    ///
    /// If the last dimension is another.
    pub fn read(&self, windows: Tensor<2>) -> Tensor<2> {
        let gate = sigmoid(self.gate.forward(windows.clone()));
        self.value.forward(windows) * gate
    }
}

/// `1 / (1 + exp(-x)) = (1 + tanh(x / 2)) / 2`: our tanh is vectorised.
fn sigmoid(x: Tensor<2>) -> Tensor<2> {
    tanh(x * 0.5) * 0.5 + 0.5
}

#[cfg(test)]
mod tests {
    use super::*;
    use att_core::{ops, random};

    fn tensor<const N: usize>(shape: [usize; N], device: &Device) -> Tensor<N> {
        let data = random::normal(shape.iter().product(), 1.0);
        Tensor::from_data(TensorData::new(data, shape), device)
    }

    #[test]
    fn windows_end_where_their_row_does() {
        let device = Device::flex();
        let states = || Tensor::<2>::from_data([[1.0], [2.0], [3.0], [4.0], [5.0]], &device);
        let read = |windows: Windows| -> Vec<f32> {
            windows.unfold(states()).into_data().iter().collect()
        };
        assert_eq!(
            read(Windows::centred(&[3, 2], 3, &device)),
            [
                [0.0, 1.0, 2.0],
                [1.0, 2.0, 3.0],
                [2.0, 3.0, 0.0],
                [0.0, 4.0, 5.0],
                [4.0, 5.0, 0.0]
            ]
            .concat()
        );
        assert_eq!(
            read(Windows::causal(&[3, 2], 2, &device)),
            [0.0, 1.0, 1.0, 2.0, 2.0, 3.0, 0.0, 4.0, 4.0, 5.0]
        );
    }

    #[test]
    fn it_is_the_convolution_of_burn_with_a_glu() {
        use burn::tensor::activation::glu;
        use burn::tensor::module::conv1d;
        use burn::tensor::ops::ConvOptions;
        let device = Device::flex();
        random::seed(4);
        let (width, d, d_output) = (3, 4, 5);
        let layer = GatedConvolution::new(d, d_output, width, 1.0, &device);
        let input = tensor([2, 6, d], &device);
        let windows = Windows::centred(&[6, 6], width, &device);
        let ours = layer.forward(ops::pack(input.clone(), &[6, 6]), &windows);

        // [width * d, d_output] to [d_output, d, width].
        let kernel = |linear: &Linear| {
            let weight = linear.weight.val().reshape([width, d, d_output]);
            weight.permute([2, 1, 0])
        };
        let kernel = Tensor::cat(vec![kernel(&layer.value), kernel(&layer.gate)], 0);
        let options = ConvOptions::new([1], [width / 2], [1], 1);
        let burns = conv1d(input.swap_dims(1, 2), kernel, None, options);
        let burns = glu(burns, 1).swap_dims(1, 2);
        assert!(ops::unpack(ours, &[6, 6], 6).all_close(burns, Some(1e-5), Some(1e-5)));
    }
}
