//! A module's weights as a safetensors file: little-endian, named by their place in the module, such
//! as `encoder.Recurrent.layers.0.forward.Lstm.recurrent` (a variant of an enum is a part of the
//! name). f32; or matrices in bf16, or in eight bits with an f32 `<name>.scales` beside each.

mod stored;

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;

use att_core::ops::WeightFormat;
use burn::module::{Module, ModuleMapper, ModuleVisitor, Param};
use burn::tensor::{Tensor, TensorData};
use safetensors::tensor::{SafeTensors, serialize};

use crate::{Error, Result};
use stored::{Stored, Weight};

/// The name, shape and size of each weight, in the order of the names.
pub fn shapes<M: Module>(module: &M) -> BTreeMap<String, Vec<usize>> {
    struct Shapes {
        path: Vec<String>,
        shapes: BTreeMap<String, Vec<usize>>,
    }
    impl ModuleVisitor for Shapes {
        fn enter_module(&mut self, name: &str, _container: &str) {
            self.path.push(name.into());
        }
        fn exit_module(&mut self, _name: &str, _container: &str) {
            self.path.pop();
        }
        fn visit_float<const D: usize>(&mut self, param: &Param<Tensor<D>>) {
            let dims = param.val().dims().to_vec();
            self.shapes.insert(self.path.join("."), dims);
        }
    }
    let mut visitor = Shapes {
        path: Vec::new(),
        shapes: BTreeMap::new(),
    };
    module.visit(&mut visitor);
    visitor.shapes
}

/// All weights of a module as the bytes of a safetensors file, in f32; the same weights give the same
/// bytes.
pub fn to_bytes<M: Module>(module: &M) -> Vec<u8> {
    to_bytes_as(module, WeightFormat::F32)
}

/// The same with the matrices in another format: half or a quarter of the size, rounded. Vectors, such
/// as biases, stay in f32.
pub fn to_bytes_as<M: Module>(module: &M, format: WeightFormat) -> Vec<u8> {
    struct Collect {
        path: Vec<String>,
        format: WeightFormat,
        weights: BTreeMap<String, Stored>,
    }
    impl ModuleVisitor for Collect {
        fn enter_module(&mut self, name: &str, _container: &str) {
            self.path.push(name.into());
        }
        fn exit_module(&mut self, _name: &str, _container: &str) {
            self.path.pop();
        }
        fn visit_float<const D: usize>(&mut self, param: &Param<Tensor<D>>) {
            let value = param.val();
            let shape = value.dims().to_vec();
            let data: Vec<f32> = value.into_data().iter().collect();
            let name = self.path.join(".");
            stored::store(&mut self.weights, name, shape, &data, self.format);
        }
    }
    let mut collect = Collect {
        path: Vec::new(),
        format,
        weights: BTreeMap::new(),
    };
    module.visit(&mut collect);
    let views = collect
        .weights
        .iter()
        .map(|(name, stored)| (name, stored.view()));
    serialize(views, None).expect("named tensors can be serialised")
}

/// Replaces all weights of a module by those in a file.
///
/// # Errors
///
/// If the file cannot be read, is damaged, or lacks, adds or reshapes a weight.
pub fn load<M: Module>(module: M, path: &Path) -> Result<M> {
    let bytes = fs::read(path).map_err(|source| Error::Read {
        path: path.into(),
        source,
    })?;
    from_bytes(module, &bytes).map_err(|reason| Error::Weights {
        path: path.into(),
        reason,
    })
}

/// Replaces all weights of a module by those in the bytes of a file.
///
/// # Errors
///
/// A sentence that says what does not fit.
pub fn from_bytes<M: Module>(module: M, bytes: &[u8]) -> Result<M, String> {
    struct Replace {
        path: Vec<String>,
        weights: BTreeMap<String, Weight>,
        problem: Option<String>,
    }
    impl ModuleMapper for Replace {
        fn enter_module(&mut self, name: &str, _container: &str) {
            self.path.push(name.into());
        }
        fn exit_module(&mut self, _name: &str, _container: &str) {
            self.path.pop();
        }
        fn map_float<const D: usize>(&mut self, param: Param<Tensor<D>>) -> Param<Tensor<D>> {
            let name = self.path.join(".");
            let Some(Weight { shape, data }) = self.weights.remove(&name) else {
                self.problem.get_or_insert(format!("'{name}' is missing"));
                return param;
            };
            let expected = param.val().dims();
            if shape != expected {
                let problem = format!("'{name}' has shape {shape:?}, the model's is {expected:?}");
                self.problem.get_or_insert(problem);
                return param;
            }
            param.map(|old| {
                let new = Tensor::from_data(TensorData::new(data, shape), &old.device());
                new.set_require_grad(old.is_require_grad())
            })
        }
    }

    let file = SafeTensors::deserialize(bytes)
        .map_err(|error| format!("it is truncated or no safetensors file ({error})"))?;
    let weights = stored::read(&file)?;
    let mut replace = Replace {
        path: Vec::new(),
        weights,
        problem: None,
    };
    let module = module.map(&mut replace);
    if let Some(problem) = replace.problem {
        return Err(problem);
    }
    match replace.weights.into_keys().next() {
        Some(name) => Err(format!("'{name}' is not part of this model")),
        None => Ok(module),
    }
}

/// What the matrices in the bytes of a file are stored in; f32 if they are no weights.
pub(crate) fn format(bytes: &[u8]) -> WeightFormat {
    SafeTensors::deserialize(bytes).map_or(WeightFormat::F32, |file| stored::format(&file))
}

#[cfg(test)]
mod tests {
    use super::*;
    use att_layers::init::linear;
    use burn::tensor::Device;

    #[test]
    fn weights_survive_the_file_and_foreign_ones_are_refused() {
        let device = Device::flex();
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("weights.safetensors");
        let layer = linear(3, 2, true, &device);
        let bytes = to_bytes(&layer);
        fs::write(&path, &bytes).unwrap();
        let back = load(linear(3, 2, true, &device), &path).unwrap();
        assert_eq!(to_bytes(&back), bytes);
        assert_eq!(shapes(&layer)["weight"], [3, 2]);

        let message = |module| load(module, &path).unwrap_err().to_string();
        assert!(message(linear(3, 4, true, &device)).contains("[3, 2]"));
        assert!(message(linear(3, 2, false, &device)).contains("'bias' is not part"));
        fs::write(&path, &bytes[..bytes.len() - 5]).unwrap();
        let truncated = message(linear(3, 2, true, &device));
        assert!(truncated.contains("truncated") && truncated.contains("weights.safetensors"));
        fs::write(&path, to_bytes(&linear(3, 2, false, &device))).unwrap();
        assert!(message(linear(3, 2, true, &device)).contains("'bias' is missing"));
        fs::write(&path, b"not weights at all").unwrap();
        assert!(load(linear(3, 2, true, &device), &path).is_err());
    }

    #[test]
    fn matrices_are_stored_in_fewer_bits_and_read_back_rounded_once() {
        let device = Device::flex();
        let layer = linear(30, 20, true, &device);
        let whole = to_bytes(&layer);
        let numbers = |bytes: &[u8]| {
            let file = SafeTensors::deserialize(bytes).unwrap();
            stored::read(&file).unwrap()
        };
        for (given, tolerance) in [
            (WeightFormat::Bf16, 1.0 / 256.0),
            (WeightFormat::Int8, 0.5 / 127.0),
        ] {
            let bytes = to_bytes_as(&layer, given);
            assert!(bytes.len() < whole.len() - 600, "{given}: {}", bytes.len());
            assert_eq!(format(&bytes), given);
            let (exact, rounded) = (numbers(&whole), numbers(&bytes));
            assert_eq!(exact["bias"], rounded["bias"]);
            let largest = exact["weight"]
                .data
                .iter()
                .fold(0.0f32, |max, x| max.max(x.abs()));
            for (a, b) in exact["weight"].data.iter().zip(&rounded["weight"].data) {
                assert!(
                    (a - b).abs() <= 1.01 * tolerance * largest,
                    "{given}: {a} {b}"
                );
            }
            assert_ne!(exact["weight"], rounded["weight"]);
            let back = from_bytes(linear(30, 20, true, &device), &bytes).unwrap();
            assert_eq!(numbers(&to_bytes_as(&back, given)), rounded, "{given}");
        }
        assert_eq!(format(&whole), WeightFormat::F32);
    }

    #[test]
    fn eight_bits_without_their_scales_are_refused() {
        let device = Device::flex();
        let bytes = to_bytes_as(&linear(3, 2, false, &device), WeightFormat::Int8);
        // As long a name, so that the file stays whole.
        let at = bytes
            .windows(13)
            .position(|name| name == b"weight.scales")
            .unwrap();
        let mut damaged = bytes.clone();
        damaged[at..at + 13].copy_from_slice(b"weight.shales");
        let problem = from_bytes(linear(3, 2, false, &device), &damaged).unwrap_err();
        assert!(problem.contains("'weight.scales' is missing"), "{problem}");
    }
}
