//! The state of a run on disk, from which it goes on as if nothing had happened.
//!
//! A checkpoint is one safetensors file, `checkpoint-00001200.safetensors` after 1,200 steps:
//!
//! | where | what |
//! | --- | --- |
//! | `model.<name>` | the weights in f32, by the names of [`att_model::weights`] |
//! | `moment_1.<name>`, `moment_2.<name>` | the optimiser's moments of each weight that it has changed, `[n]` |
//! | `average.<name>` | the mean of the weights over time, where one is kept |
//! | metadata `state` | everything else, as JSON ([`State`]) |
//! | metadata `crc32` | the checksum of the state and of the tensors with their names and shapes |
//!
//! It is written whole or not at all, so one that is there is whole unless it was damaged later.

use std::borrow::Cow;
use std::collections::{BTreeMap, HashMap};
use std::fs;
use std::path::{Path, PathBuf};

use att_core::host_vec;
use att_data::write_atomic;
use burn::tensor::{Device, Tensor, TensorData};
use crc32fast::Hasher;
use safetensors::tensor::{Dtype, SafeTensors, View, serialize};
use serde::{Deserialize, Serialize};

use crate::identity::Identity;
use crate::progress::Progress;
use crate::step::StepState;
use crate::{Error, Result};

const FORMAT_VERSION: u32 = 1;
const PREFIX: &str = "checkpoint-";
const SUFFIX: &str = ".safetensors";

/// All of a run's state but its tensors.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct State {
    format_version: u32,
    pub(crate) identity: Identity,
    pub(crate) progress: Progress,
    pub(crate) step: StepState,
}

impl State {
    pub(crate) fn new(identity: Identity, progress: Progress, step: StepState) -> Self {
        Self {
            format_version: FORMAT_VERSION,
            identity,
            progress,
            step,
        }
    }
}

/// The numbers of a tensor as a file has them: f32, little-endian, row-major.
#[derive(Debug)]
pub(crate) struct Numbers {
    shape: Vec<usize>,
    bytes: Vec<u8>,
}

/// Tensors by name.
pub(crate) type Tensors = BTreeMap<String, Numbers>;

impl Numbers {
    pub(crate) fn of<const D: usize>(tensor: Tensor<D>) -> Self {
        let shape = tensor.dims().to_vec();
        let data = host_vec(tensor);
        let mut bytes = vec![0; 4 * data.len()];
        for (place, x) in bytes.as_chunks_mut::<4>().0.iter_mut().zip(data) {
            *place = x.to_le_bytes();
        }
        Self { shape, bytes }
    }

    pub(crate) fn is_finite(&self) -> bool {
        let mut numbers = self.bytes.as_chunks::<4>().0.iter();
        numbers.all(|&x| f32::from_le_bytes(x).is_finite())
    }
}

impl View for &Numbers {
    fn dtype(&self) -> Dtype {
        Dtype::F32
    }
    fn shape(&self) -> &[usize] {
        &self.shape
    }
    fn data(&self) -> Cow<'_, [u8]> {
        (&self.bytes).into()
    }
    fn data_len(&self) -> usize {
        self.bytes.len()
    }
}

/// Writes the checkpoint of a state, then removes all but the last `keep` of the run.
///
/// # Errors
///
/// If a file can't be written or removed; where the new one can't be written, the old ones stay.
pub(crate) fn write(run: &Path, state: &State, tensors: &Tensors, keep: usize) -> Result<()> {
    let text = serde_json::to_string(state).expect("a state can be JSON");
    let views = tensors.iter().map(|(name, numbers)| {
        let Numbers { shape, bytes } = numbers;
        (name.as_str(), shape.as_slice(), bytes.as_slice())
    });
    let crc32 = checksum(&text, views);
    let metadata = [("state".into(), text), ("crc32".into(), crc32)];
    let bytes =
        serialize(tensors, Some(HashMap::from(metadata))).expect("named tensors can be serialised");
    let name = format!("{PREFIX}{:08}{SUFFIX}", state.progress.step);
    write_atomic(run.join(name), &bytes)?;
    let mut old = list(run)?;
    old.truncate(old.len().saturating_sub(keep));
    old.iter().try_for_each(|path| remove(path))
}

/// Of the state and of tensors in the order of their names.
fn checksum<'a>(
    state: &str,
    tensors: impl Iterator<Item = (&'a str, &'a [usize], &'a [u8])>,
) -> String {
    let mut hasher = Hasher::new();
    hasher.update(state.as_bytes());
    for (name, shape, bytes) in tensors {
        hasher.update(format!("\n{name} {shape:?}\n").as_bytes());
        hasher.update(bytes);
    }
    format!("{:08x}", hasher.finalize())
}

/// The checkpoints of a run, the last one last; none where there is no run.
///
/// # Errors
///
/// If the directory can't be read.
pub(crate) fn list(run: &Path) -> Result<Vec<PathBuf>> {
    let read = |source| Error::Read {
        path: run.into(),
        source,
    };
    let entries = match fs::read_dir(run) {
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(Vec::new()),
        entries => entries.map_err(read)?,
    };
    let mut found = Vec::new();
    for entry in entries {
        let path = entry.map_err(read)?.path();
        found.extend(step_of(&path).map(|step| (step, path)));
    }
    found.sort();
    Ok(found.into_iter().map(|(_, path)| path).collect())
}

/// The step in the name of a checkpoint's file.
pub(crate) fn step_of(path: &Path) -> Option<usize> {
    let name = path.file_name()?.to_str()?;
    name.strip_prefix(PREFIX)?
        .strip_suffix(SUFFIX)?
        .parse()
        .ok()
}

pub(crate) fn remove(path: &Path) -> Result<()> {
    fs::remove_file(path).map_err(|source| Error::Write {
        path: path.into(),
        source,
    })
}

/// A checkpoint that was read and is sound.
#[derive(Debug)]
pub(crate) struct Checkpoint {
    pub(crate) path: PathBuf,
    pub(crate) state: State,
    bytes: Vec<u8>,
}

impl Checkpoint {
    /// # Errors
    ///
    /// [`Error::Read`]; [`Error::Checkpoint`] if the file is damaged or of another format.
    pub(crate) fn read(path: &Path) -> Result<Self> {
        let bytes = fs::read(path).map_err(|source| Error::Read {
            path: path.into(),
            source,
        })?;
        let state = Self::check(&bytes).map_err(|reason| Error::Checkpoint {
            path: path.into(),
            reason,
        })?;
        Ok(Self {
            path: path.into(),
            state,
            bytes,
        })
    }

    fn check(bytes: &[u8]) -> Result<State, String> {
        let broken = |error| format!("it is truncated or no safetensors file ({error})");
        let (_, header) = SafeTensors::read_metadata(bytes).map_err(broken)?;
        let file = SafeTensors::deserialize(bytes).map_err(broken)?;
        let metadata = header.metadata().as_ref();
        let text = |key: &str| {
            let found = metadata.and_then(|metadata| metadata.get(key));
            found.ok_or_else(|| format!("it has no '{key}', so no run wrote it"))
        };
        let (state, crc32) = (text("state")?, text("crc32")?);
        let tensors: BTreeMap<_, _> = file.iter().collect();
        let views = tensors
            .iter()
            .map(|(name, view)| (*name, view.shape(), view.data()));
        if checksum(state, views) != *crc32 {
            return Err("its checksum is wrong: it has changed since it was written".into());
        }
        // The version first: another one may have other keys.
        #[derive(Deserialize)]
        struct Version {
            format_version: u32,
        }
        let json = |error: serde_json::Error| format!("its state can't be read ({error})");
        let Version { format_version } = serde_json::from_str(state).map_err(json)?;
        if format_version != FORMAT_VERSION {
            return Err(format!(
                "it has format version {format_version}, this program reads {FORMAT_VERSION}"
            ));
        }
        serde_json::from_str(state).map_err(json)
    }

    /// Its tensors.
    pub(crate) fn tensors(&self) -> SafeTensors<'_> {
        SafeTensors::deserialize(&self.bytes).expect("checked when it was read")
    }

    /// It holds another run's tensors.
    pub(crate) fn refuse(&self, reason: String) -> Error {
        Error::Checkpoint {
            path: self.path.clone(),
            reason,
        }
    }
}

/// The tensor of a name, `[len]`.
///
/// # Errors
///
/// A sentence that says what does not fit.
pub(crate) fn tensor(
    file: &SafeTensors,
    name: &str,
    len: usize,
    device: &Device,
) -> Result<Tensor<1>, String> {
    let view = file
        .tensor(name)
        .map_err(|_| format!("'{name}' is missing"))?;
    let (numbers, rest) = view.data().as_chunks::<4>();
    if view.dtype() != Dtype::F32 || numbers.len() != len || !rest.is_empty() {
        return Err(format!("'{name}' is not {len} numbers of F32"));
    }
    let data = numbers.iter().map(|&x| f32::from_le_bytes(x)).collect();
    Ok(Tensor::from_data(
        TensorData::new::<f32, _>(data, [len]),
        device,
    ))
}

/// Numbers as text: JSON has no NaN, and its parser may round to a neighbour.
pub(crate) mod exact {
    use serde::{Deserialize, Deserializer, Serializer, de::Error};

    pub fn serialize<S: Serializer>(number: &f64, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(&format!("{number:?}"))
    }

    pub fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<f64, D::Error> {
        let text = String::deserialize(deserializer)?;
        text.parse().map_err(D::Error::custom)
    }
}
