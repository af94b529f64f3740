//! A module's weights as a safetensors file: little-endian, named by their place in the module, such
//! as `encoder.Recurrent.layers.0.forward.Lstm.recurrent` (a variant of an enum is a part of the
//! name). f32; or matrices in bf16, or in eight bits with an f32 `<name>.scales` beside each.

mod header;
mod stored;

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;

use att_core::ops::WeightFormat;
use burn::module::{Module, ModuleMapper, ModuleVisitor, Param, ParamId};
use burn::tensor::{Tensor, TensorData};
use safetensors::tensor::{SafeTensors, serialize};

use crate::{Error, Result};
pub(crate) use header::Header;
use stored::{Stored, Weight};

/// The name and shape of each weight, in the order of the names.
pub fn shapes<M: Module>(module: &M) -> BTreeMap<String, Vec<usize>> {
    let named = named(module).into_iter();
    named.map(|(name, weight)| (name, weight.shape)).collect()
}

/// A weight of a module, as far as it is no matter of numbers.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Named {
    /// By which optimisers know it; another one in each process.
    pub id: ParamId,
    /// Its shape.
    pub shape: Vec<usize>,
}

/// Each weight by its name.
pub fn named<M: Module>(module: &M) -> BTreeMap<String, Named> {
    struct Names {
        path: Vec<String>,
        named: BTreeMap<String, Named>,
    }
    impl ModuleVisitor for Names {
        fn enter_module(&mut self, name: &str, _container: &str) {
            self.path.push(name.into());
        }
        fn exit_module(&mut self, _name: &str, _container: &str) {
            self.path.pop();
        }
        fn visit_float<const D: usize>(&mut self, param: &Param<Tensor<D>>) {
            let (id, shape) = (param.id, param.val().dims().to_vec());
            self.named.insert(self.path.join("."), Named { id, shape });
        }
    }
    let mut visitor = Names {
        path: Vec::new(),
        named: BTreeMap::new(),
    };
    module.visit(&mut visitor);
    visitor.named
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
    load_edited(module, path, |_, _, _| {})
}

/// The same, but each weight of the file is first changed by `edit`, given its name, shape and elements: for a
/// model that differs from the file's in some sizes.
///
/// # Errors
///
/// As of [`load`], after the changes.
pub fn load_edited<M: Module>(
    module: M,
    path: &Path,
    mut edit: impl FnMut(&str, &mut Vec<usize>, &mut Vec<f32>),
) -> Result<M> {
    let bytes = fs::read(path).map_err(|source| Error::Read {
        path: path.into(),
        source,
    })?;
    let load = || -> Result<M, String> {
        let file = parse(&bytes)?;
        let mut weights = stored::read(&file, "")?;
        for (name, Weight { shape, data }) in &mut weights {
            edit(name, shape, data);
        }
        replace(module, weights)
    };
    load().map_err(|reason| Error::Weights {
        path: path.into(),
        reason,
    })
}

fn parse(bytes: &[u8]) -> Result<SafeTensors<'_>, String> {
    SafeTensors::deserialize(bytes)
        .map_err(|error| format!("it is truncated or no safetensors file ({error})"))
}

/// Replaces all weights of a module by those in the bytes of a file.
///
/// # Errors
///
/// A sentence that says what does not fit.
pub fn from_bytes<M: Module>(module: M, bytes: &[u8]) -> Result<M, String> {
    from_part(module, &parse(bytes)?, "")
}

/// Replaces all weights of a module by those in a file whose names begin with `prefix`, which is no
/// part of the weights' names.
///
/// # Errors
///
/// A sentence that says what does not fit.
pub fn from_part<M: Module>(module: M, file: &SafeTensors, prefix: &str) -> Result<M, String> {
    replace(module, stored::read(file, prefix)?)
}

/// Replaces all weights of a module by these.
fn replace<M: Module>(module: M, weights: BTreeMap<String, Weight>) -> Result<M, String> {
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

/// The mean of several models' weights, element by element:
///
/// ```text
/// w = (w_1 + ... + w_n) / n
/// ```
///
/// summed in f64 (Vaswani et al. 2017, section 6.1, for the last checkpoints of a run). A file holds a
/// model's weights, or is a training run's checkpoint; of that count the averaged weights, if it has
/// any.
///
/// # Errors
///
/// [`Error::Read`] and [`Error::Weights`] for a file that can't be used or is of another model than
/// the first.
///
/// # Panics
///
/// If there is no file.
pub fn mean<M: Module>(module: M, files: &[impl AsRef<Path>]) -> Result<M> {
    let mut sums: BTreeMap<String, (Vec<usize>, Vec<f64>)> = BTreeMap::new();
    for (n, path) in files.iter().enumerate() {
        let path = path.as_ref();
        let refuse = |reason: String| Error::Weights {
            path: path.into(),
            reason,
        };
        let bytes = fs::read(path).map_err(|source| Error::Read {
            path: path.into(),
            source,
        })?;
        let file = parse(&bytes).map_err(refuse)?;
        let has = |prefix: &str| file.names().iter().any(|name| name.starts_with(prefix));
        let prefix = CHECKPOINT_PARTS.into_iter().find(|part| has(part));
        let weights = stored::read(&file, prefix.unwrap_or("")).map_err(refuse)?;
        if n > 0 && !weights.keys().eq(sums.keys()) {
            return Err(refuse(
                "its weights have other names than those of the first".into(),
            ));
        }
        for (name, Weight { shape, data }) in weights {
            let zeros = || (shape.clone(), vec![0.0; data.len()]);
            let (expected, sum) = sums.entry(name.clone()).or_insert_with(zeros);
            if shape != *expected {
                let reason =
                    format!("'{name}' has shape {shape:?}, that of the first {expected:?}");
                return Err(refuse(reason));
            }
            for (sum, x) in sum.iter_mut().zip(data) {
                *sum += f64::from(x);
            }
        }
    }
    let first = files.first().expect("at least one file").as_ref();
    let n = files.len() as f64;
    let means = sums.into_iter().map(|(name, (shape, sum))| {
        let data = sum.into_iter().map(|sum| (sum / n) as f32).collect();
        (name, Weight { shape, data })
    });
    replace(module, means.collect()).map_err(|reason| Error::Weights {
        path: first.into(),
        reason,
    })
}

/// Where a training run's checkpoint has the weights that the model would be saved with: their mean
/// over time where there is one, else the last.
const CHECKPOINT_PARTS: [&str; 2] = ["average.", "model."];

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
    fn the_mean_of_weights_is_that_of_each_number() {
        let device = Device::flex();
        let folder = tempfile::tempdir().unwrap();
        let file = |name: &str| folder.path().join(name);
        let layers = [1, 2, 3].map(|seed| {
            att_core::random::seed(seed);
            linear(3, 2, true, &device)
        });
        let numbers = |layer: &_| {
            let bytes = to_bytes(layer);
            let file = SafeTensors::deserialize(&bytes).unwrap();
            stored::read(&file, "").unwrap()["weight"].data.clone()
        };
        let [a, b, c] = ["a", "b", "c"].map(file);
        for (layer, path) in layers.iter().zip([&a, &b]) {
            fs::write(path, to_bytes(layer)).unwrap();
        }
        // A checkpoint, whose mean counts.
        let views = |prefix: &str, bytes: &'static [u8]| {
            let views = SafeTensors::deserialize(bytes)
                .unwrap()
                .tensors()
                .into_iter();
            views
                .map(|(name, view)| (format!("{prefix}.{name}"), view))
                .collect::<Vec<_>>()
        };
        let [first, third]: [&'static [u8]; 2] =
            [&layers[0], &layers[2]].map(|layer| &*to_bytes(layer).leak());
        let checkpoint = [views("model", first), views("average", third)].concat();
        fs::write(&c, serialize(checkpoint, None).unwrap()).unwrap();

        let fresh = || linear(3, 2, true, &device);
        let found = numbers(&mean(fresh(), &[&a, &b, &c]).unwrap());
        let [x, y, z] = layers.each_ref().map(numbers);
        for (i, found) in found.into_iter().enumerate() {
            assert!((found - (x[i] + y[i] + z[i]) / 3.0).abs() < 1e-6);
        }
        assert_eq!(numbers(&mean(fresh(), &[&a, &a, &a]).unwrap()), x);

        fs::write(&b, to_bytes(&linear(2, 3, true, &device))).unwrap();
        let error = mean(fresh(), &[&a, &b]).unwrap_err().to_string();
        assert!(
            error.contains("shape [2, 3]") || error.contains("shape [3]"),
            "{error}"
        );
        fs::write(&b, to_bytes(&linear(3, 2, false, &device))).unwrap();
        let error = mean(fresh(), &[&a, &b]).unwrap_err().to_string();
        assert!(
            error.contains("/b ") && error.contains("other names"),
            "{error}"
        );
    }

    #[test]
    fn matrices_are_stored_in_fewer_bits_and_read_back_rounded_once() {
        let device = Device::flex();
        let layer = linear(30, 20, true, &device);
        let whole = to_bytes(&layer);
        let numbers = |bytes: &[u8]| {
            let file = SafeTensors::deserialize(bytes).unwrap();
            stored::read(&file, "").unwrap()
        };
        for (given, tolerance) in [
            (WeightFormat::Bf16, 1.0 / 256.0),
            (WeightFormat::Int8, 0.5 / 127.0),
        ] {
            let bytes = to_bytes_as(&layer, given);
            assert!(bytes.len() < whole.len() - 600, "{given}: {}", bytes.len());
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
