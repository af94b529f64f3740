use att_core::Error;
use att_model::weights;
use burn::module::{Module, ModuleMapper, Param};
use burn::tensor::Tensor;

/// Freezes weights: they get no gradient, so training leaves them as they are.
///
/// - `parts`: each a part of weights' names between dots, or several with the dots between them, such as
///   `encoder`, `attention` or `encoder.Recurrent.layers.0`; `embeddings` are all tables of tokens
///
/// # Errors
///
/// [`Error::Config`] with the key `freeze` if no weight has such a part, or if all weights are frozen.
pub(crate) fn freeze<M: Module>(model: M, parts: &[String]) -> att_core::Result<M> {
    struct Freeze<'a> {
        path: Vec<String>,
        parts: &'a [String],
    }
    impl ModuleMapper for Freeze<'_> {
        fn enter_module(&mut self, name: &str, _container: &str) {
            self.path.push(name.into());
        }
        fn exit_module(&mut self, _name: &str, _container: &str) {
            self.path.pop();
        }
        fn map_float<const D: usize>(&mut self, param: Param<Tensor<D>>) -> Param<Tensor<D>> {
            let name = self.path.join(".");
            if self.parts.iter().any(|part| is_in(&name, part)) {
                return param.set_require_grad(false);
            }
            param
        }
    }
    if parts.is_empty() {
        return Ok(model);
    }
    let names: Vec<String> = weights::named(&model).into_keys().collect();
    if let Some(part) = parts
        .iter()
        .find(|part| !names.iter().any(|name| is_in(name, part)))
    {
        let reason = format!(
            "no weight's name has the part '{part}': use `embeddings`, or parts of the names that \
             `att inspect --weights` lists, such as {}",
            names[0]
        );
        return Err(Error::config("training.freeze", reason));
    }
    if names
        .iter()
        .all(|name| parts.iter().any(|part| is_in(name, part)))
    {
        return Err(Error::config("training.freeze", "nothing is left to train"));
    }
    Ok(model.map(&mut Freeze {
        path: Vec::new(),
        parts,
    }))
}

/// Whether a weight's name has this part; see [`freeze`].
pub(crate) fn is_in(name: &str, part: &str) -> bool {
    match part {
        "embeddings" => name.ends_with("embedding.weight"),
        _ => format!(".{name}.").contains(&format!(".{part}.")),
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::*;
    use crate::{TrainStep, TrainingConfig};
    use att_data::{Batch, Example};
    use att_model::ModelConfig;
    use burn::tensor::Device;
    use safetensors::SafeTensors;

    #[test]
    fn parts_are_whole_words_of_names() {
        let name = "encoder.Recurrent.layers.0.weight";
        for part in ["encoder", "layers.0", "encoder.Recurrent", name] {
            assert!(is_in(name, part), "{part}");
        }
        for part in ["enc", "layers.1", "Recurrent.0", "embeddings"] {
            assert!(!is_in(name, part), "{part}");
        }
        assert!(is_in("src_embedding.weight", "embeddings"));
    }

    #[test]
    fn frozen_weights_stay_and_the_others_move_as_before() {
        let config = ModelConfig::from_toml(
            "src_embedding = { d_embed = 6 }\ntgt_embedding = { d_embed = 6 }\n\
             encoder = { kind = 'recurrent', d_hidden = 5 }\n\
             decoder = { kind = 'bahdanau', d_output = 6, recurrent = { d_hidden = 7 } }",
        )
        .unwrap();
        let device = Device::flex().autodiff();
        let model = || config.init_seeded(12, 11, 3, &device).unwrap();
        let example = Example {
            src: vec![5, 6, 7],
            tgt: vec![8, 9],
            ..Default::default()
        };
        let batch = Batch::new(&[example], &[0]);
        // Without a common norm a weight's first step is its own.
        let training = TrainingConfig {
            clip_norm: 0.0,
            ..Default::default()
        };
        let step = |parts: &[&str]| {
            let parts: Vec<String> = parts.iter().map(|part| part.to_string()).collect();
            let model = freeze(model(), &parts).unwrap();
            let mut stepper = TrainStep::new(model, &training, 1);
            stepper.step(1, 0.1, &batch).unwrap();
            tensors(&stepper)
        };
        let before = tensors(&TrainStep::new(model(), &training, 1));
        let all = step(&[]);
        for parts in [
            &["encoder"][..],
            &["embeddings"],
            &["encoder", "embeddings"],
            &["attention"],
            &["decoder"],
        ] {
            let some = step(parts);
            for (name, weight) in &some {
                let frozen = parts.iter().any(|part| is_in(name, part));
                let expected = if frozen { &before[name] } else { &all[name] };
                assert!(weight == expected, "{parts:?}: {name}");
            }
        }
        let error = |parts: &[&str]| {
            let parts: Vec<String> = parts.iter().map(|part| part.to_string()).collect();
            freeze(model(), &parts).unwrap_err().to_string()
        };
        assert!(error(&["encodr"]).contains("'encodr'"));
        assert!(error(&["encoder", "decoder", "embeddings"]).contains("nothing is left"));
    }

    /// The bytes of the weights by name.
    fn tensors(stepper: &TrainStep) -> BTreeMap<String, Vec<u8>> {
        let bytes = weights::to_bytes(stepper.model());
        let file = SafeTensors::deserialize(&bytes).unwrap();
        let tensors = file.iter();
        tensors
            .map(|(name, view)| (name.into(), view.data().into()))
            .collect()
    }
}
