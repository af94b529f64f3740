//! Weights arranged once for many products, as in decoding.

use std::fmt;
use std::str::FromStr;

use burn::tensor::Tensor;
use serde::{Deserialize, Serialize};

use crate::{Error, Result};

/// What the numbers of a weight are rounded to in products on CPU. In TOML `"bf16"`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum WeightFormat {
    /// Not rounded.
    #[default]
    F32,
    /// Seven bits of mantissa, in half the room. The other factor is rounded likewise; sums are
    /// f32. Faster where the processor has AMX, as slow as f32 elsewhere.
    Bf16,
}

impl fmt::Display for WeightFormat {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::F32 => "f32",
            Self::Bf16 => "bf16",
        })
    }
}

impl FromStr for WeightFormat {
    type Err = Error;

    fn from_str(name: &str) -> Result<Self> {
        let all = [Self::F32, Self::Bf16];
        let found = all.into_iter().find(|format| format.to_string() == name);
        found.ok_or_else(|| Error::config("weights", format!("no format '{name}': f32 or bf16")))
    }
}

/// As long as it lives, products with the weights it was made from are prepared: on the CPU backends
/// each weight is arranged once, at its first product, and not at each step.
///
/// Who decodes holds one beside the model. The weights' numbers are shared, not copied, and stay
/// as they are: an optimiser that goes on with them writes to copies. Tensors that share their
/// numbers with these weights get prepared products too. Weights that are not f32, or on a GPU,
/// are left out.
#[derive(Debug)]
pub struct PreparedWeights {
    #[cfg(feature = "cpu")]
    run: u64,
}

impl PreparedWeights {
    /// Prepares products with `weights`, `[rows, cols]` each, or with their transposes.
    pub fn new(weights: impl IntoIterator<Item = Tensor<2>>, format: WeightFormat) -> Self {
        #[cfg(feature = "cpu")]
        {
            let run = super::gemm::prepared::new_run();
            for weight in weights {
                super::host::prepare(run, weight, format);
            }
            Self { run }
        }
        #[cfg(not(feature = "cpu"))]
        {
            let _ = (weights, format);
            Self {}
        }
    }
}

#[cfg(feature = "cpu")]
impl Drop for PreparedWeights {
    fn drop(&mut self) {
        super::gemm::prepared::remove(self.run);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ops::linear;
    use crate::ops::test_support::{assert_close, cpu_devices, random_tensor};

    fn rounded(tensor: Tensor<2>) -> Tensor<2> {
        let device = tensor.device();
        let data = tensor.into_data().convert::<burn::tensor::bf16>();
        Tensor::from_data(data.convert::<f32>(), &device)
    }

    #[test]
    fn products_with_prepared_weights_are_those_of_rounded_factors() {
        for device in cpu_devices() {
            crate::random::seed(3);
            let weight = random_tensor([70, 45], &device);
            for rows in [1, 5, 40] {
                let x = random_tensor([rows, 70], &device);
                let z = random_tensor([rows, 45], &device);
                let products = || {
                    let part = weight.clone().slice([10..70, 0..45]);
                    [
                        linear(x.clone(), weight.clone(), None),
                        linear(z.clone(), weight.clone().transpose(), None),
                        linear(x.clone().narrow(1, 10, 60), part, None),
                    ]
                };
                let exact = products();
                for format in [WeightFormat::F32, WeightFormat::Bf16] {
                    let prepared = PreparedWeights::new([weight.clone()], format);
                    let (first, again) = (products(), products());
                    drop(prepared);
                    let expected = match format {
                        WeightFormat::F32 => exact.clone(),
                        WeightFormat::Bf16 => {
                            let (x, z, w) = (
                                rounded(x.clone()),
                                rounded(z.clone()),
                                rounded(weight.clone()),
                            );
                            [
                                x.clone().matmul(w.clone()),
                                z.matmul(w.clone().transpose()),
                                x.narrow(1, 10, 60).matmul(w.narrow(0, 10, 60)),
                            ]
                        }
                    };
                    for ((first, again), expected) in first.into_iter().zip(again).zip(expected) {
                        assert_eq!(first.to_data(), again.into_data());
                        assert_close(first, expected, 1e-5);
                    }
                }
                let after = products();
                for (before, after) in exact.into_iter().zip(after) {
                    assert_eq!(
                        before.into_data(),
                        after.into_data(),
                        "nothing is left behind"
                    );
                }
            }
        }
    }

    #[test]
    fn names_are_read_back() {
        for format in [WeightFormat::F32, WeightFormat::Bf16] {
            assert_eq!(format.to_string().parse::<WeightFormat>().unwrap(), format);
        }
        let error = "f16".parse::<WeightFormat>().unwrap_err().to_string();
        assert!(error.contains("f16") && error.contains("bf16"), "{error}");
    }
}
