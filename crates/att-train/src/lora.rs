use std::collections::HashMap;

use att_core::{Error, Result, check, random};
use att_model::weights;
use burn::module::{Module, ModuleMapper, Param, ParamId};
use burn::optim::GradientsParams;
use burn::tensor::{Tensor, TensorData};
use serde::{Deserialize, Serialize};

use crate::freeze::is_in;

/// Low-rank adaptation (LoRA, Hu et al. 2022): matrices change by products of two small ones, and nothing else
/// does; in TOML `lora = { rank = 8 }`.
///
/// ```text
/// W = W_0 + alpha/rank A B        A [d_in, rank], normal at first; B [rank, d_out], zero at first
/// ```
///
/// The gradients of A and B follow from that of W, so no layer knows of them: any matrix of a model can be
/// adapted. The saved model has W and is one like any other. Memory and checkpoints have optimiser state for A
/// and B alone.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct LoraConfig {
    /// The rank; 8 unless told.
    pub rank: usize,
    /// The scale, times the rank; 16 unless told.
    pub alpha: f64,
    /// Which matrices, by parts of their names as in [`TrainingConfig::freeze`](crate::TrainingConfig). None, as
    /// unless told, are all but the tables of tokens and the output layer.
    pub weights: Vec<String>,
    /// Weights that are trained whole beside them, likewise; none unless told.
    pub train: Vec<String>,
}

impl Default for LoraConfig {
    fn default() -> Self {
        Self {
            rank: 8,
            alpha: 16.0,
            weights: Vec::new(),
            train: Vec::new(),
        }
    }
}

impl LoraConfig {
    /// # Errors
    ///
    /// If a value is out of its range.
    pub fn validate(&self) -> Result<()> {
        check::size("rank", self.rank)?;
        check::positive("alpha", self.alpha)
    }

    fn adapts(&self, name: &str, shape: &[usize]) -> bool {
        let named = match &self.weights[..] {
            [] => !is_in(name, "embeddings") && !name.contains(".output.linear."),
            parts => parts.iter().any(|part| is_in(name, part)),
        };
        named && shape.len() == 2 && !self.trains(name)
    }

    fn trains(&self, name: &str) -> bool {
        self.train.iter().any(|part| is_in(name, part))
    }
}

/// The matrices that are adapted, and their factors.
#[derive(Debug)]
pub(crate) struct Lora {
    scale: f64,
    targets: Vec<Target>,
    /// A and B of each.
    pub(crate) factors: Factors,
}

#[derive(Debug)]
struct Target {
    id: ParamId,
    /// `W_0`, `[d_in, d_out]`, on a device without autodiff.
    first: Tensor<2>,
}

/// A and B of some matrices.
#[derive(Module, Debug, Default)]
pub(crate) struct Factors {
    a: Vec<Param<Tensor<2>>>,
    b: Vec<Param<Tensor<2>>>,
}

impl Lora {
    /// Adapts a model as it begins; what is neither adapted nor trained beside is frozen in it.
    ///
    /// # Errors
    ///
    /// If a part that is told is in no name, or nothing is adapted.
    pub(crate) fn new<M: Module>(config: &LoraConfig, model: M, seed: u64) -> Result<(Self, M)> {
        struct Take<'a> {
            config: &'a LoraConfig,
            names: HashMap<ParamId, String>,
            targets: Vec<Target>,
        }
        impl ModuleMapper for Take<'_> {
            fn map_float<const D: usize>(&mut self, param: Param<Tensor<D>>) -> Param<Tensor<D>> {
                let (name, weight) = (&self.names[&param.id], param.val());
                let frozen = !weight.is_require_grad();
                if !frozen && self.config.adapts(name, &weight.dims()) {
                    let [d_in, d_out] = [weight.dims()[0], weight.dims()[1]];
                    self.targets.push(Target {
                        id: param.id,
                        first: weight.inner().reshape([d_in, d_out]) * 1.0,
                    });
                    return param;
                }
                let trains = !frozen && self.config.trains(name);
                param.set_require_grad(trains)
            }
        }
        let named = weights::named(&model);
        for (key, parts) in [("weights", &config.weights), ("train", &config.train)] {
            let unknown = |part: &&String| !named.keys().any(|name| is_in(name, part));
            if let Some(part) = parts.iter().find(unknown) {
                let reason = format!(
                    "no weight's name has the part '{part}': `att inspect --weights` lists the names"
                );
                return Err(Error::config(format!("training.lora.{key}"), reason));
            }
        }
        let mut take = Take {
            config,
            names: named
                .into_iter()
                .map(|(name, weight)| (weight.id, name))
                .collect(),
            targets: Vec::new(),
        };
        let model = model.map(&mut take);
        let targets = take.targets;
        if targets.is_empty() {
            let reason = "there is no such matrix that is not frozen";
            return Err(Error::config("training.lora.weights", reason));
        }
        random::seed(random::mix(seed, SEED));
        let rank = config.rank;
        let factor = |numbers: Vec<f32>, shape: [usize; 2], device| {
            Param::from_tensor(Tensor::from_data(TensorData::new(numbers, shape), device))
        };
        let device = targets[0].first.device().autodiff();
        let (mut a, mut b) = (Vec::new(), Vec::new());
        for target in &targets {
            let [d_in, d_out] = target.first.dims();
            let std = 1.0 / (d_in as f32).sqrt();
            a.push(factor(
                random::normal(d_in * rank, std),
                [d_in, rank],
                &device,
            ));
            b.push(factor(vec![0.0; rank * d_out], [rank, d_out], &device));
        }
        let lora = Self {
            scale: config.alpha / rank as f64,
            targets,
            factors: Factors { a, b },
        };
        Ok((lora, model))
    }

    /// Takes the gradients of the adapted matrices and gives those of their factors.
    ///
    /// ```text
    /// dA = alpha/rank dW B^T        dB = alpha/rank A^T dW
    /// ```
    pub(crate) fn gradients(&self, of_model: &mut GradientsParams) -> GradientsParams {
        let mut found = GradientsParams::new();
        let Factors { a, b } = &self.factors;
        for (target, (a, b)) in self.targets.iter().zip(a.iter().zip(b)) {
            // A matrix may take no part in a step.
            if let Some(gradient) = of_model.remove::<2>(target.id) {
                let gradient = gradient * self.scale;
                let of_a = gradient.clone().matmul(b.val().inner().transpose());
                let of_b = a.val().inner().transpose().matmul(gradient);
                found.register(a.id, of_a);
                found.register(b.id, of_b);
            }
        }
        found
    }

    /// The model with the adapted matrices as the factors say.
    pub(crate) fn merge<M: Module>(&self, model: M) -> M {
        struct Merge<'a>(HashMap<ParamId, (&'a Target, Tensor<2>)>);
        impl ModuleMapper for Merge<'_> {
            fn map_float<const D: usize>(&mut self, param: Param<Tensor<D>>) -> Param<Tensor<D>> {
                let Some((target, change)) = self.0.remove(&param.id) else {
                    return param;
                };
                let merged = target.first.clone() + change;
                param.map(|old| Tensor::from_inner(merged.reshape(old.dims())).require_grad())
            }
        }
        let Factors { a, b } = &self.factors;
        let changes = self.targets.iter().zip(a.iter().zip(b));
        let changes = changes.map(|(target, (a, b))| {
            let change = a.val().inner().matmul(b.val().inner()) * self.scale;
            (target.id, (target, change))
        });
        model.map(&mut Merge(changes.collect()))
    }
}

/// What makes the numbers of A others than those of a step's dropout.
const SEED: u64 = u64::MAX;

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{TrainStep, TrainingConfig};
    use att_core::host_vec;
    use att_data::{Batch, Example};
    use att_layers::init::linear;
    use att_model::ModelConfig;
    use burn::tensor::Device;

    fn config(rank: usize) -> LoraConfig {
        LoraConfig {
            rank,
            alpha: 3.0,
            ..Default::default()
        }
    }

    #[test]
    fn the_gradients_of_the_factors_are_those_of_the_merged_matrix() {
        let device = Device::flex().autodiff();
        random::seed(2);
        let layer = linear(4, 3, true, &device);
        let (mut lora, layer) = Lora::new(&config(2), layer, 7).unwrap();
        let first = host_vec(layer.weight.val().inner());
        let layer = lora.merge(layer);
        assert_eq!(
            host_vec(layer.weight.val().inner()),
            first,
            "B is zero at first"
        );
        // Another B, so that A has a gradient too.
        let b = Tensor::from_data(TensorData::new(random::normal(6, 1.0), [2, 3]), &device);
        lora.factors.b[0] = Param::from_tensor(b);
        let layer = lora.merge(layer);
        let input = Tensor::<2>::from_data([[1.0, -2.0, 0.5, 3.0]], &device);
        let mix = Tensor::<2>::from_data([[0.3, -1.0, 2.0]], &device);
        let loss = (layer.forward(input.clone()) * mix.clone()).sum();
        let mut of_model = GradientsParams::from_grads(loss.backward(), &layer);
        let found = lora.gradients(&mut of_model);
        assert_eq!(of_model.len(), 0, "the bias is frozen");

        let Factors { a, b } = &lora.factors;
        let w =
            Tensor::from_inner(lora.targets[0].first.clone()) + a[0].val().matmul(b[0].val()) * 1.5;
        let grads = (input.matmul(w) * mix).sum().backward();
        for param in [&a[0], &b[0]] {
            let expected = host_vec(param.val().grad(&grads).unwrap());
            let found = host_vec(found.get::<2>(param.id).unwrap());
            for (found, expected) in found.iter().zip(&expected) {
                assert!((found - expected).abs() < 1e-4, "{found} {expected}");
            }
        }
    }

    #[test]
    fn matrices_change_by_their_rank_and_all_else_stays() {
        let model = ModelConfig::from_toml(
            "src_embedding = { d_embed = 6, dropout = 0.0 }\n\
             tgt_embedding = { d_embed = 6, dropout = 0.0 }\n\
             encoder = { kind = 'recurrent', d_hidden = 5 }\n\
             decoder = { kind = 'bahdanau', d_output = 6, recurrent = { d_hidden = 7 } }",
        )
        .unwrap();
        let device = Device::flex().autodiff();
        let example = Example {
            src: vec![5, 6, 7],
            tgt: vec![8, 9],
            ..Default::default()
        };
        let batch = Batch::new(&[example], &[0]);
        let after = |lora: LoraConfig| {
            let model = model.init_seeded(12, 11, 3, &device).unwrap();
            let before = matrices(&model);
            let training = TrainingConfig {
                lora: Some(lora),
                ..Default::default()
            };
            let mut stepper = TrainStep::new(model, &training, 1)
                .adapted(&training)
                .unwrap();
            for step in 1..4 {
                stepper.step(step, 0.1, &batch).unwrap();
            }
            let after = matrices(stepper.model());
            let changes = before.into_iter().map(|(name, was)| {
                let change: Vec<f32> = after[&name]
                    .1
                    .iter()
                    .zip(&was.1)
                    .map(|(a, b)| a - b)
                    .collect();
                (name, (was.0, change))
            });
            changes.collect::<std::collections::BTreeMap<_, _>>()
        };
        let changes = after(LoraConfig {
            train: vec!["src_embedding".into()],
            ..config(1)
        });
        let mut adapted = 0;
        for (name, (shape, change)) in &changes {
            let changed = change.iter().any(|x| *x != 0.0);
            if name.starts_with("src_embedding") {
                assert!(changed);
            } else if let ([_, d], false) = (&shape[..], is_in(name, "embeddings")) {
                let expected = !name.contains(".output.linear.");
                assert_eq!(changed, expected, "{name}");
                adapted += usize::from(changed);
                // Of rank one: rows are multiples of each other.
                for rows in change.chunks(*d).collect::<Vec<_>>().windows(2) {
                    for i in 1..*d {
                        let minor = rows[0][0] * rows[1][i] - rows[0][i] * rows[1][0];
                        assert!(minor.abs() < 1e-6, "{name}");
                    }
                }
            } else {
                assert!(!changed, "{name}");
            }
        }
        assert!(adapted > 5);
        let some = after(LoraConfig {
            weights: vec!["encoder".into()],
            ..config(2)
        });
        for (name, (_, change)) in some {
            let changed = change.iter().any(|x| *x != 0.0);
            assert!(!changed || name.starts_with("encoder."), "{name}");
        }

        let refused = |lora: LoraConfig, expected: &str| {
            let layer = linear(4, 3, true, &device);
            let message = Lora::new(&lora, layer, 1).unwrap_err().to_string();
            assert!(message.contains(expected), "{message}");
        };
        let parts = |part: &str| vec![part.to_string()];
        refused(
            LoraConfig {
                weights: parts("wieght"),
                ..config(1)
            },
            "training.lora.weights: no weight's name has the part 'wieght'",
        );
        refused(
            LoraConfig {
                weights: parts("bias"),
                ..config(1)
            },
            "training.lora.weights: there is no such matrix",
        );
    }

    fn matrices<M: Module>(
        model: &M,
    ) -> std::collections::BTreeMap<String, (Vec<usize>, Vec<f32>)> {
        let bytes = weights::to_bytes(model);
        let file = safetensors::SafeTensors::deserialize(&bytes).unwrap();
        let numbers = |data: &[u8]| {
            let numbers = data.as_chunks::<4>().0.iter();
            numbers.map(|x| f32::from_le_bytes(*x)).collect()
        };
        file.iter()
            .map(|(name, view)| (name.into(), (view.shape().to_vec(), numbers(view.data()))))
            .collect()
    }
}
