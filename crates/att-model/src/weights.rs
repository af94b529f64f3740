//! A module's weights as a safetensors file: f32, little-endian, named by their place in the
//! module, such as `encoder.Recurrent.layers.0.forward.Lstm.recurrent` (a variant of an enum is a
//! part of the name).

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;

use burn::module::{Module, ModuleMapper, ModuleVisitor, Param};
use burn::tensor::{Tensor, TensorData};
use safetensors::tensor::{Dtype, SafeTensors, TensorView, serialize};

use crate::{Error, Result};

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

/// All weights of a module as the bytes of a safetensors file; the same weights give the same
/// bytes.
pub fn to_bytes<M: Module>(module: &M) -> Vec<u8> {
    struct Collect {
        path: Vec<String>,
        weights: BTreeMap<String, (Vec<usize>, Vec<u8>)>,
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
            let data = value.into_data();
            let bytes = data.iter::<f32>().flat_map(f32::to_le_bytes).collect();
            self.weights.insert(self.path.join("."), (shape, bytes));
        }
    }
    let mut collect = Collect {
        path: Vec::new(),
        weights: BTreeMap::new(),
    };
    module.visit(&mut collect);
    let views = collect.weights.iter().map(|(name, (shape, bytes))| {
        let view = TensorView::new(Dtype::F32, shape.clone(), bytes)
            .expect("as many bytes as the shape asks for");
        (name, view)
    });
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
        weights: BTreeMap<String, (Vec<usize>, Vec<f32>)>,
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
            let Some((shape, data)) = self.weights.remove(&name) else {
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
    let mut weights = BTreeMap::new();
    for (name, view) in file.iter() {
        if view.dtype() != Dtype::F32 {
            return Err(format!("'{name}' is of type {:?}, not F32", view.dtype()));
        }
        let numbers = view.data().as_chunks::<4>().0;
        let data: Vec<f32> = numbers
            .iter()
            .map(|&bytes| f32::from_le_bytes(bytes))
            .collect();
        if data.iter().any(|x| !x.is_finite()) {
            return Err(format!("'{name}' has numbers that are not finite"));
        }
        weights.insert(name.to_string(), (view.shape().to_vec(), data));
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
}
