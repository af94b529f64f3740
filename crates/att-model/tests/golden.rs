//! Whole models against PyTorch: states, attention weights, logits, loss, and the gradient of
//! every weight, on each CPU backend.
//!
//! `scripts/golden/torch_golden.py` says what a case's files hold, and makes them.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

use att_core::DeviceSpec;
use att_data::{Batch, Padded};
use att_model::{ModelConfig, Seq2Seq, weights};
use burn::module::{Module, ModuleVisitor, Param};
use burn::tensor::{Gradients, Tensor, activation::softmax};
use safetensors::tensor::{Dtype, SafeTensors};

const TOLERANCE: f32 = 1e-4;
const LABEL_SMOOTHING: f64 = 0.1;

/// A test for each case, and one that there are no others.
macro_rules! cases {
    ($($case:ident)*) => {
        $(
            #[test]
            fn $case() {
                equals_pytorch(stringify!($case));
            }
        )*

        #[test]
        fn every_folder_is_a_case() {
            let folders = fs::read_dir(folder("")).expect("the golden files are there");
            let mut folders: Vec<String> = folders
                .map(|entry| entry.unwrap().file_name().into_string().unwrap())
                .collect();
            folders.sort();
            assert_eq!(folders, [$(stringify!($case)),*]);
        }
    };
}

cases! {
    bahdanau_additive
    bahdanau_chunked
    bahdanau_concat
    bahdanau_coverage
    bahdanau_dot
    bahdanau_general
    bahdanau_scaled_dot
    bahdanau_sparsemax
    conditional_gru
    conditional_gru_local_p
    conditional_gru_tied
    convolutional
    convolutional_decoder
    convolutional_decoder_coverage
    copy_bahdanau_tied
    copy_conditional_gru
    copy_convolutional
    copy_luong_coverage
    copy_luong_feed
    copy_transformer
    gnmt_bahdanau
    gnmt_luong
    luong_additive
    luong_bilinear
    luong_cosine
    luong_dot
    luong_entmax15
    luong_feed_additive
    luong_feed_concat
    luong_feed_dot
    luong_feed_general
    luong_feed_local_p
    luong_feed_location_sensitive
    luong_feed_mocha
    luong_feed_scaled_dot
    luong_general
    luong_local_m
    luong_location
    luong_monotonic
    luong_scaled_dot
    luong_temperature
    pyramidal_gru
    pyramidal_lstm
    summary_copy
    summary_feed_final
    summary_feed_zeros
    summary_mean
    summary_shallow
    transformer_learned_gelu
    transformer_on_recurrent
    transformer_post_norm
    transformer_rotary_swiglu
    transformer_under_luong
}

fn equals_pytorch(case: &str) {
    for spec in [DeviceSpec::Flex, DeviceSpec::NdArray] {
        let device = spec.init().unwrap().autodiff();
        let mut golden = Golden::read(&folder(case).join("expected.safetensors"));
        let text = fs::read_to_string(folder(case).join("model.toml")).unwrap();
        let vocab = golden.ids("vocab");
        let model = ModelConfig::from_toml(&text)
            .unwrap()
            .init(vocab[0] as usize, vocab[1] as usize, &device)
            .unwrap();
        let model = weights::load(model, &folder(case).join("weights.safetensors")).unwrap();
        let batch = Batch {
            src: golden.padded("src"),
            tgt: golden.padded("tgt"),
            copy_ids: golden
                .ids
                .contains_key("copy_ids")
                .then(|| golden.padded("copy_ids")),
            indices: Vec::new(),
        };

        let source = model.encode(&batch.src);
        golden.compare("memory", source.memory);
        for (layer, state) in source.final_states.into_iter().enumerate() {
            golden.compare(&format!("final.{layer}.hidden"), state.hidden);
            if let Some(cell) = state.cell {
                golden.compare(&format!("final.{layer}.cell"), cell);
            }
        }

        let output = model.forward(&batch);
        assert_eq!(output.gold, golden.ids("gold"), "{case}");
        let logits = model.logits(&output);
        if batch.copy_ids.is_some() {
            golden.compare("probabilities", softmax(logits, 1));
        } else {
            golden.compare("logits", logits);
        }
        if let Some(weights) = output.weights.clone() {
            golden.compare("weights", at_real_steps(weights, &batch.tgt));
        }
        for (layer, weights) in output.head_weights.iter().enumerate() {
            let weights = weights.clone().swap_dims(1, 2).flatten(2, 3);
            let name = format!("head_weights.{layer}");
            golden.compare(&name, at_real_steps(weights, &batch.tgt));
        }

        let mut loss = model.cross_entropy(&output, LABEL_SMOOTHING).loss;
        if let Some(auxiliary) = output.auxiliary_loss {
            loss = loss + auxiliary;
        }
        golden.compare("loss", loss.clone());
        compare_gradients(&model, loss.backward(), &mut golden);
        golden.finish(case, spec);
    }
}

fn folder(case: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("tests/golden")
        .join(case)
}

/// The rows of `[batch, tgt_len, d]` where there is a token to predict, `[n, d]`.
fn at_real_steps(tensor: Tensor<3>, tgt: &Padded) -> Tensor<2> {
    let rows = tgt.lengths.iter().enumerate().map(|(row, length)| {
        let steps = tensor.clone().narrow(0, row, 1).narrow(1, 0, length - 1);
        steps.squeeze_dim::<2>(0)
    });
    Tensor::cat(rows.collect(), 0)
}

/// Compares the gradient of each weight with `grad.<name>`.
fn compare_gradients(model: &Seq2Seq, gradients: Gradients, golden: &mut Golden) {
    struct Visitor<'a> {
        path: Vec<String>,
        gradients: Gradients,
        golden: &'a mut Golden,
    }
    impl ModuleVisitor for Visitor<'_> {
        fn enter_module(&mut self, name: &str, _container: &str) {
            self.path.push(name.into());
        }
        fn exit_module(&mut self, _name: &str, _container: &str) {
            self.path.pop();
        }
        fn visit_float<const D: usize>(&mut self, param: &Param<Tensor<D>>) {
            let name = format!("grad.{}", self.path.join("."));
            match param.val().grad(&self.gradients) {
                Some(gradient) => self.golden.compare(&name, gradient),
                None => self.golden.problems.push(format!("there is no {name}")),
            }
        }
    }
    model.visit(&mut Visitor {
        path: Vec::new(),
        gradients,
        golden,
    });
}

/// What PyTorch computed. Each tensor leaves when it is used, so that none is forgotten.
struct Golden {
    ids: BTreeMap<String, Vec<u32>>,
    expected: BTreeMap<String, (Vec<usize>, Vec<f32>)>,
    problems: Vec<String>,
}

impl Golden {
    fn read(path: &Path) -> Self {
        let bytes = fs::read(path).unwrap();
        let mut golden = Self {
            ids: BTreeMap::new(),
            expected: BTreeMap::new(),
            problems: Vec::new(),
        };
        for (name, view) in SafeTensors::deserialize(&bytes).unwrap().iter() {
            if view.dtype() == Dtype::I64 {
                let ids = view.data().as_chunks().0.iter();
                let ids = ids.map(|&id| i64::from_le_bytes(id) as u32).collect();
                golden.ids.insert(name.into(), ids);
            } else {
                assert_eq!(view.dtype(), Dtype::F32, "{name}");
                let numbers = view.data().as_chunks().0.iter();
                let numbers = numbers.map(|&number| f32::from_le_bytes(number)).collect();
                let expected = (view.shape().to_vec(), numbers);
                golden.expected.insert(name.into(), expected);
            }
        }
        golden
    }

    fn ids(&mut self, name: &str) -> Vec<u32> {
        self.ids
            .remove(name)
            .unwrap_or_else(|| panic!("'{name}' is missing"))
    }

    fn padded(&mut self, name: &str) -> Padded {
        let ids = self.ids(name);
        let lengths = self.ids(&format!("{name}_lengths"));
        Padded {
            rows: lengths.len(),
            cols: ids.len() / lengths.len(),
            lengths: lengths.into_iter().map(|length| length as usize).collect(),
            ids,
        }
    }

    /// Each number within the tolerance of what is expected, or of 1 where that is less; and
    /// stricter where the whole tensor is small, lest small gradients equal anything.
    fn compare<const D: usize>(&mut self, name: &str, actual: Tensor<D>) {
        let Some((shape, expected)) = self.expected.remove(name) else {
            self.problems.push(format!("PyTorch has no {name}"));
            return;
        };
        let dims = actual.dims();
        if shape != dims {
            self.problems
                .push(format!("{name} is {dims:?}, not {shape:?}"));
            return;
        }
        let largest = expected.iter().fold(0f32, |max, x| max.max(x.abs()));
        let actual = actual.into_data();
        for (i, (actual, expected)) in actual.iter::<f32>().zip(expected).enumerate() {
            let allowed = TOLERANCE * expected.abs().max(1.0) * largest.min(1.0);
            let is_close = (actual - expected).abs() <= allowed; // false for NaN
            if !is_close {
                self.problems
                    .push(format!("{name}, element {i}: {actual}, not {expected}"));
                return;
            }
        }
    }

    fn finish(mut self, case: &str, device: DeviceSpec) {
        let unused = self.expected.keys().chain(self.ids.keys());
        self.problems
            .extend(unused.map(|name| format!("{name} was not compared")));
        let problems = self.problems.join("\n  ");
        assert!(problems.is_empty(), "{case} on {device}:\n  {problems}");
    }
}
