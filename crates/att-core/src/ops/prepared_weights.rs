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
    /// f32. Faster where the processor has AMX or AVX-512 with bf16, as slow as f32 elsewhere.
    Bf16,
    /// Eight bits with a scale for each output, in a quarter of the room. The other factor is rounded to
    /// eight bits with a scale for each row; sums are exact. Faster where the processor has AMX, AVX-512
    /// VNNI or AVX2. Inner sizes above 65,536 stay f32.
    Int8,
}

impl WeightFormat {
    /// Each of them.
    pub const ALL: [Self; 3] = [Self::F32, Self::Bf16, Self::Int8];
}

impl fmt::Display for WeightFormat {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::F32 => "f32",
            Self::Bf16 => "bf16",
            Self::Int8 => "int8",
        })
    }
}

impl FromStr for WeightFormat {
    type Err = Error;

    fn from_str(name: &str) -> Result<Self> {
        let found = Self::ALL
            .into_iter()
            .find(|format| format.to_string() == name);
        found.ok_or_else(|| {
            Error::config("weights", format!("no format '{name}': f32, bf16 or int8"))
        })
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
                    [
                        linear(x.clone(), weight.clone(), None),
                        linear(z.clone(), weight.clone().transpose(), None),
                    ]
                };
                let exact = products();
                for format in WeightFormat::ALL {
                    let prepared = PreparedWeights::new([weight.clone()], format);
                    let (first, again) = (products(), products());
                    drop(prepared);
                    let expected = match format {
                        WeightFormat::F32 | WeightFormat::Int8 => exact.clone(),
                        WeightFormat::Bf16 => {
                            let (x, z, w) = (
                                rounded(x.clone()),
                                rounded(z.clone()),
                                rounded(weight.clone()),
                            );
                            [x.matmul(w.clone()), z.matmul(w.transpose())]
                        }
                    };
                    let changed = |(a, b): (&Tensor<2>, &Tensor<2>)| {
                        let difference = (a.clone() - b.clone()).abs().max();
                        difference.into_scalar::<f32>() > 1e-4
                    };
                    let rounded = first.iter().zip(&exact).all(changed);
                    assert_eq!(rounded, format != WeightFormat::F32, "{format}");
                    for ((first, again), expected) in first.into_iter().zip(again).zip(expected) {
                        assert_eq!(first.to_data(), again.into_data());
                        let tolerance = if format == WeightFormat::Int8 {
                            0.05
                        } else {
                            1e-5
                        };
                        assert_close(first, expected, tolerance);
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
        for format in WeightFormat::ALL {
            assert_eq!(format.to_string().parse::<WeightFormat>().unwrap(), format);
        }
        let error = "f16".parse::<WeightFormat>().unwrap_err().to_string();
        assert!(error.contains("f16") && error.contains("bf16"), "{error}");
    }
}
