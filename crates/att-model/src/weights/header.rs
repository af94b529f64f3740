use std::fs::File;
use std::io::{self, Read};
use std::path::Path;

use att_core::ops::WeightFormat;
use safetensors::tensor::{Dtype, Metadata, SafeTensors};

use super::stored::SCALES;
use crate::{Error, Result};

/// The bytes before a header: its length.
const LENGTH: u64 = 8;

/// What a file of weights says before their numbers: which there are, their shapes and formats.
pub(crate) struct Header(Metadata);

impl Header {
    /// Reads the header of a file, and nothing of the numbers behind it.
    ///
    /// # Errors
    ///
    /// If the file cannot be read, is no file of weights, or has not the length that its header asks for.
    pub(crate) fn read(path: &Path) -> Result<Self> {
        let unreadable = |source| Error::Read {
            path: path.into(),
            source,
        };
        let mut file = File::open(path).map_err(unreadable)?;
        let len = file.metadata().map_err(unreadable)?.len();
        let header = Self::parse(&mut file, len).map_err(unreadable)?;
        header.ok_or_else(|| Error::Weights {
            path: path.into(),
            reason: "it is truncated or no file of weights".into(),
        })
    }

    /// None of what is no whole file of weights. What is no such file may tell any length.
    fn parse(file: &mut File, len: u64) -> io::Result<Option<Self>> {
        let Some(rest) = len.checked_sub(LENGTH) else {
            return Ok(None);
        };
        let mut length = [0; LENGTH as usize];
        file.read_exact(&mut length)?;
        let Some(numbers) = rest.checked_sub(u64::from_le_bytes(length)) else {
            return Ok(None);
        };
        let mut json = Vec::new();
        file.take(rest - numbers).read_to_end(&mut json)?;
        let header = serde_json::from_slice(&json).ok().map(Self);
        Ok(header.filter(|Self(found)| found.data_len() as u64 == numbers))
    }

    /// Of the bytes of a whole file; none if they are no weights.
    pub(crate) fn of(bytes: &[u8]) -> Option<Self> {
        let (_, header) = SafeTensors::read_metadata(bytes).ok()?;
        Some(Self(header))
    }

    /// What most of the matrices are stored in.
    pub(crate) fn format(&self) -> WeightFormat {
        let tensors = self.0.tensors();
        let has = |dtype: Dtype| tensors.values().any(|tensor| tensor.dtype == dtype);
        if has(Dtype::I8) {
            WeightFormat::Int8
        } else if has(Dtype::BF16) {
            WeightFormat::Bf16
        } else {
            WeightFormat::F32
        }
    }

    /// How many bytes the weights take where products with them are prepared in a format: each number as f32, and
    /// those of matrices a second time, arranged.
    pub(crate) fn loaded_size(&self, format: WeightFormat) -> u64 {
        let arranged: u64 = match format {
            WeightFormat::F32 => 4,
            WeightFormat::Bf16 => 2,
            WeightFormat::Int8 => 1,
        };
        let tensors = self.0.tensors();
        // They are read with the matrix beside them.
        let is_scales = |name: &str| {
            let of = name.strip_suffix(SCALES).and_then(|of| tensors.get(of));
            of.is_some_and(|of| of.dtype == Dtype::I8)
        };
        let sizes = tensors.iter().map(|(name, tensor)| {
            let numbers: usize = tensor.shape.iter().product();
            let each = match tensor.shape[..] {
                _ if is_scales(name) => 0,
                [_, _] => 4 + arranged,
                _ => 4,
            };
            numbers as u64 * each
        });
        sizes.sum()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::weights::{to_bytes, to_bytes_as};
    use att_layers::init::linear;
    use burn::tensor::Device;
    use std::fs;

    #[test]
    fn a_header_tells_the_format_and_the_size_in_memory() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("weights.safetensors");
        let layer = linear(30, 20, true, &Device::flex());
        for (given, arranged) in [
            (WeightFormat::F32, 4),
            (WeightFormat::Bf16, 2),
            (WeightFormat::Int8, 1),
        ] {
            let bytes = to_bytes_as(&layer, given);
            fs::write(&path, &bytes).unwrap();
            let expected = 30 * 20 * (4 + arranged) + 20 * 4;
            for header in [Header::read(&path).unwrap(), Header::of(&bytes).unwrap()] {
                assert_eq!(header.format(), given);
                assert_eq!(header.loaded_size(given), expected, "{given}");
            }
        }
    }

    /// A file without blocks: who read it would never be done.
    #[cfg(target_os = "linux")]
    #[test]
    fn numbers_are_not_read() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("weights.safetensors");
        let bytes: u64 = 1 << 40;
        let json = format!(
            r#"{{"w":{{"dtype":"F32","shape":[1048576,262144],"data_offsets":[0,{bytes}]}}}}"#
        );
        let start = [&(json.len() as u64).to_le_bytes(), json.as_bytes()].concat();
        fs::write(&path, &start).unwrap();
        let file = File::options().write(true).open(&path).unwrap();
        file.set_len(start.len() as u64 + bytes).unwrap();
        let header = Header::read(&path).unwrap();
        assert_eq!(header.loaded_size(WeightFormat::F32), 2 * bytes);
    }

    #[test]
    fn what_is_no_whole_file_is_refused() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("weights.safetensors");
        assert!(matches!(Header::read(&path), Err(Error::Read { .. })));
        let whole = to_bytes(&linear(3, 2, true, &Device::flex()));
        let longer = [&whole[..], b"more"].concat();
        let parts = [0, 7, 8, 20, whole.len() - 1].map(|n| &whole[..n]);
        for bytes in parts
            .into_iter()
            .chain([&longer[..], b"not weights at all"])
        {
            fs::write(&path, bytes).unwrap();
            let error = Header::read(&path).err().unwrap();
            assert!(matches!(error, Error::Weights { .. }), "{error}");
            assert!(Header::of(bytes).is_none());
        }
    }
}
