use std::fmt;
use std::str::FromStr;

use burn::tensor::Device;

use crate::{Error, Result};

/// A device by name: `flex`, `ndarray`, `wgpu`, `wgpu:1`, `cuda`, `cuda:0`.
///
/// burn panics when a backend is asked for that is not compiled in; [`DeviceSpec::init`]
/// answers with an error that lists what is.
///
/// ```
/// use att_core::DeviceSpec;
/// assert_eq!("wgpu:1".parse::<DeviceSpec>()?, DeviceSpec::Wgpu(Some(1)));
/// assert!("gpu".parse::<DeviceSpec>().is_err());
/// # Ok::<(), att_core::Error>(())
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum DeviceSpec {
    /// burn's pure-Rust CPU backend.
    Flex,
    /// The ndarray CPU backend.
    NdArray,
    /// A GPU through wgpu: the n-th discrete one, or the best that there is.
    Wgpu(Option<usize>),
    /// The n-th NVIDIA GPU.
    Cuda(usize),
}

impl DeviceSpec {
    /// The names of the devices compiled into this program, such as `flex, ndarray`.
    pub fn available() -> String {
        let mut names: Vec<&str> = Vec::new();
        if cfg!(feature = "flex") {
            names.push("flex");
        }
        if cfg!(feature = "ndarray") {
            names.push("ndarray");
        }
        if cfg!(feature = "wgpu") {
            names.push("wgpu[:n]");
        }
        if cfg!(feature = "cuda") {
            names.push("cuda[:n]");
        }
        if names.is_empty() {
            "(none)".into()
        } else {
            names.join(", ")
        }
    }

    /// The device, ready for tensors.
    ///
    /// # Errors
    ///
    /// [`Error::DeviceNotCompiled`] where this program was built without the backend.
    pub fn init(self) -> Result<Device> {
        match self {
            #[cfg(feature = "flex")]
            Self::Flex => Ok(Device::flex()),
            #[cfg(feature = "ndarray")]
            #[allow(deprecated)] // burn prefers flex; both are supported here
            Self::NdArray => Ok(Device::ndarray()),
            #[cfg(feature = "wgpu")]
            Self::Wgpu(index) => {
                use burn::tensor::DeviceKind;
                Ok(Device::wgpu(match index {
                    Some(n) => DeviceKind::DiscreteGpu(n),
                    None => DeviceKind::DefaultDevice,
                }))
            }
            #[cfg(feature = "cuda")]
            Self::Cuda(n) => Ok(Device::cuda(n)),
            #[allow(unreachable_patterns)] // reachable unless every backend is compiled in
            other => Err(Error::DeviceNotCompiled {
                given: other.to_string(),
                feature: other.feature(),
                available: Self::available(),
            }),
        }
    }

    fn feature(self) -> &'static str {
        match self {
            Self::Flex => "flex",
            Self::NdArray => "ndarray",
            Self::Wgpu(_) => "wgpu",
            Self::Cuda(_) => "cuda",
        }
    }
}

impl Default for DeviceSpec {
    /// The first of flex, ndarray, wgpu and cuda that is compiled in (flex if none is).
    fn default() -> Self {
        if cfg!(feature = "flex") {
            Self::Flex
        } else if cfg!(feature = "ndarray") {
            Self::NdArray
        } else if cfg!(feature = "wgpu") {
            Self::Wgpu(None)
        } else if cfg!(feature = "cuda") {
            Self::Cuda(0)
        } else {
            Self::Flex
        }
    }
}

impl FromStr for DeviceSpec {
    type Err = Error;

    fn from_str(given: &str) -> Result<Self> {
        let unknown = || Error::UnknownDevice {
            given: given.into(),
            available: Self::available(),
        };
        let (name, index) = match given.split_once(':') {
            Some((name, index)) => (name, Some(index.parse().map_err(|_| unknown())?)),
            None => (given, None),
        };
        match (name, index) {
            ("flex", None) => Ok(Self::Flex),
            ("ndarray", None) => Ok(Self::NdArray),
            ("wgpu", index) => Ok(Self::Wgpu(index)),
            ("cuda", index) => Ok(Self::Cuda(index.unwrap_or(0))),
            _ => Err(unknown()),
        }
    }
}

impl fmt::Display for DeviceSpec {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Flex => f.write_str("flex"),
            Self::NdArray => f.write_str("ndarray"),
            Self::Wgpu(None) => f.write_str("wgpu"),
            Self::Wgpu(Some(n)) => write!(f, "wgpu:{n}"),
            Self::Cuda(n) => write!(f, "cuda:{n}"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_round_trip() {
        for name in ["flex", "ndarray", "wgpu", "wgpu:1", "cuda:2"] {
            assert_eq!(name.parse::<DeviceSpec>().unwrap().to_string(), name);
        }
    }

    #[test]
    fn unknown_names_list_what_is_compiled_in() {
        for name in ["", "gpu", "flex:0", "wgpu:x", "cuda:-1", "wgpu:"] {
            let message = name.parse::<DeviceSpec>().unwrap_err().to_string();
            assert!(message.contains("flex, ndarray"), "{message}");
        }
    }

    #[cfg(not(feature = "cuda"))]
    #[test]
    fn a_backend_that_is_not_compiled_in_is_an_error() {
        let message = DeviceSpec::Cuda(0).init().unwrap_err().to_string();
        assert!(message.contains("--features cuda"), "{message}");
        assert!(message.contains("flex"), "{message}");
    }
}
