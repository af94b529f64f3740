//! How the numbers of a weight are stored.

use std::collections::BTreeMap;

use att_core::ops::WeightFormat;
use burn::tensor::bf16;
use safetensors::tensor::{Dtype, SafeTensors, TensorView};

/// Of a matrix in eight bits the factors stand beside it, under its name with this behind.
pub(super) const SCALES: &str = ".scales";

/// The bytes of a tensor, and what they are.
pub(super) struct Stored {
    dtype: Dtype,
    shape: Vec<usize>,
    bytes: Vec<u8>,
}

impl Stored {
    pub(super) fn view(&self) -> TensorView<'_> {
        TensorView::new(self.dtype, self.shape.clone(), &self.bytes)
            .expect("as many bytes as the shape asks for")
    }

    fn f32(shape: Vec<usize>, data: &[f32]) -> Self {
        Self {
            dtype: Dtype::F32,
            shape,
            bytes: data.iter().flat_map(|x| x.to_le_bytes()).collect(),
        }
    }
}

/// Stores a weight, matrices in this format and everything else in f32.
///
/// In eight bits each output of a matrix has a scale: each column of `[d_in, d_out]`, and each row of a
/// table, which is the output of its token where it is tied.
///
/// ```text
/// w ~ scale p        p in -127..=127        scale = max |w| / 127
/// ```
pub(super) fn store(
    into: &mut BTreeMap<String, Stored>,
    name: String,
    shape: Vec<usize>,
    data: &[f32],
    format: WeightFormat,
) {
    let stored = match (format, &shape[..]) {
        (WeightFormat::Bf16, [_, _]) => Stored {
            dtype: Dtype::BF16,
            bytes: data
                .iter()
                .flat_map(|&x| bf16::from_f32(x).to_le_bytes())
                .collect(),
            shape,
        },
        (WeightFormat::Int8, &[rows, cols]) => {
            let output = outputs(&name, cols);
            let n_outputs = if is_table(&name) { rows } else { cols };
            let mut scales = vec![0.0f32; n_outputs];
            for (i, x) in data.iter().enumerate() {
                let scale = &mut scales[output(i)];
                *scale = scale.max(x.abs() / 127.0);
            }
            let rounded = |(i, x): (usize, &f32)| match scales[output(i)] {
                0.0 => 0,
                scale => (x / scale).round_ties_even() as i8 as u8,
            };
            let stored = Stored {
                dtype: Dtype::I8,
                bytes: data.iter().enumerate().map(rounded).collect(),
                shape,
            };
            let scales = Stored::f32(vec![n_outputs], &scales);
            into.insert(format!("{name}{SCALES}"), scales);
            stored
        }
        _ => Stored::f32(shape, data),
    };
    into.insert(name, stored);
}

/// Which output the number at an index belongs to.
fn outputs(name: &str, cols: usize) -> impl Fn(usize) -> usize + use<> {
    let table = is_table(name);
    move |i| if table { i / cols } else { i % cols }
}

/// Tables of tokens have a vector a row.
fn is_table(name: &str) -> bool {
    name.ends_with("embedding.weight")
}

/// A weight as it was read.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Weight {
    pub(super) shape: Vec<usize>,
    pub(super) data: Vec<f32>,
}

/// The weights of a file whose names begin with `prefix`, by the rest of the name, whatever they are
/// stored in.
///
/// # Errors
///
/// A sentence that says what is wrong.
pub(super) fn read(file: &SafeTensors, prefix: &str) -> Result<BTreeMap<String, Weight>, String> {
    let mut weights = BTreeMap::new();
    for (name, view) in file.iter() {
        let Some(short) = name.strip_prefix(prefix) else {
            continue;
        };
        if is_scales(file, name) {
            continue;
        }
        let data = numbers(file, name, &view)?;
        if data.iter().any(|x| !x.is_finite()) {
            return Err(format!("'{name}' has numbers that are not finite"));
        }
        let shape = view.shape().to_vec();
        weights.insert(short.to_string(), Weight { shape, data });
    }
    Ok(weights)
}

fn numbers(file: &SafeTensors, name: &str, view: &TensorView) -> Result<Vec<f32>, String> {
    match view.dtype() {
        Dtype::F32 => Ok(floats(view.data())),
        Dtype::BF16 => {
            let numbers = view.data().as_chunks::<2>().0.iter();
            Ok(numbers.map(|&x| bf16::from_le_bytes(x).to_f32()).collect())
        }
        Dtype::I8 => {
            let &[rows, cols] = view.shape() else {
                return Err(format!("'{name}' is of type I8 and no matrix"));
            };
            let scales = format!("{name}{SCALES}");
            let n_outputs = if is_table(name) { rows } else { cols };
            let scales = match file.tensor(&scales) {
                Ok(found) if found.dtype() == Dtype::F32 && found.shape() == [n_outputs] => {
                    floats(found.data())
                }
                _ => return Err(format!("'{scales}' is missing or not {n_outputs} of F32")),
            };
            let output = outputs(name, cols);
            let numbers = view.data().iter().enumerate();
            Ok(numbers
                .map(|(i, &p)| f32::from(p as i8) * scales[output(i)])
                .collect())
        }
        other => Err(format!(
            "'{name}' is of type {other:?}, not F32, BF16 or I8"
        )),
    }
}

fn floats(bytes: &[u8]) -> Vec<f32> {
    let numbers = bytes.as_chunks::<4>().0.iter();
    numbers.map(|&x| f32::from_le_bytes(x)).collect()
}

/// Whether a tensor is read with the matrix beside it.
fn is_scales(file: &SafeTensors, name: &str) -> bool {
    let of = name.strip_suffix(SCALES);
    of.is_some_and(|of| file.tensor(of).is_ok_and(|of| of.dtype() == Dtype::I8))
}
