//! Weights arranged once for many products, as in decoding.

use std::fmt;
use std::str::FromStr;

use burn::tensor::{Int, Tensor, TensorData};
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

    /// Columns of a weight, `[rows, columns.len()]`; where products with it are prepared, so are those with
    /// its columns, in the same format. Then a transposed copy of the weight is made at first, and kept
    /// with what is prepared: columns that lie together are found sooner.
    ///
    /// # Panics
    ///
    /// If a column is not there.
    pub fn columns(weight: Tensor<2>, columns: &[u32]) -> (Tensor<2>, Option<Self>) {
        #[cfg(feature = "cpu")]
        if let Some((numbers, format)) = super::host::prepared_columns(weight.clone(), columns) {
            let [rows, _] = weight.dims();
            let numbers = TensorData::new(numbers, [columns.len(), rows]);
            let found = Tensor::<2>::from_data(numbers, &weight.device()).transpose();
            let prepared = Self::new([found.clone()], format);
            return (found, Some(prepared));
        }
        let columns: Vec<i64> = columns.iter().map(|&column| i64::from(column)).collect();
        let columns = Tensor::<1, Int>::from_data(columns.as_slice(), &weight.device());
        (weight.select(1, columns), None)
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
    fn columns_have_the_format_of_the_whole() {
        for device in cpu_devices() {
            crate::random::seed(4);
            let (x, whole) = (
                random_tensor([5, 70], &device),
                random_tensor([70, 45], &device),
            );
            let columns = Tensor::<1, Int>::from_data([44, 3, 20], &device);
            let expected = whole.clone().select(1, columns.clone());
            let (found, prepared) = PreparedWeights::columns(whole.clone(), &[44, 3, 20]);
            assert!(prepared.is_none());
            assert_eq!(found.into_data(), expected.to_data());
            for format in WeightFormat::ALL {
                let _whole = PreparedWeights::new([whole.clone()], format);
                let (found, prepared) = PreparedWeights::columns(whole.clone(), &[44, 3, 20]);
                assert!(prepared.is_some());
                assert_eq!(found.to_data(), expected.to_data());
                let of_whole = linear(x.clone(), whole.clone(), None).select(1, columns.clone());
                let of_columns = linear(x.clone(), found, None);
                assert_close(of_columns.clone(), of_whole, 1e-6);
                let exact = linear(x.clone(), expected.clone(), None);
                let same = of_columns.into_data() == exact.into_data();
                assert!(format == WeightFormat::F32 || !same, "{format}");
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
