use std::fmt;
use std::net::SocketAddr;
use std::str::FromStr;

#[cfg(feature = "cpu")]
use burn::backend::DispatchDevice;
use burn::tensor::Device;
#[cfg(feature = "wgpu")]
use burn::tensor::DeviceKind;
#[cfg(any(feature = "wgpu", feature = "cuda"))]
use burn::tensor::DeviceType;

use crate::{Error, Result};

/// A device by name: `flex`, `ndarray`, `wgpu`, `wgpu:1`, `cuda`, `cuda:0`, `remote:10.0.0.2:4000`.
///
/// burn panics when it is asked for a backend that is not compiled in or for a GPU that is not
/// there; [`DeviceSpec::init`] answers with an error that lists what is.
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
    /// What another process lends at this address (`att lend`), as burn's remote device.
    Remote(SocketAddr),
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
        if cfg!(feature = "remote") {
            names.push("remote:IP:PORT");
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
    /// [`Error::DeviceNotCompiled`] where this program was built without the backend,
    /// [`Error::DeviceNotFound`] where this machine has no such GPU, [`Error::DeviceNotReached`] where nobody
    /// lends a device at the address: where it refuses, for some fifteen seconds.
    pub fn init(self) -> Result<Device> {
        match self {
            #[cfg(feature = "flex")]
            Self::Flex => Ok(Device::flex()),
            #[cfg(feature = "ndarray")]
            #[allow(deprecated)] // burn prefers flex; both are supported here
            Self::NdArray => Ok(Device::ndarray()),
            #[cfg(feature = "wgpu")]
            Self::Wgpu(index) => {
                self.check_found(&Self::found())?;
                Ok(Device::wgpu(match index {
                    Some(n) => DeviceKind::DiscreteGpu(n),
                    None => DeviceKind::DefaultDevice,
                }))
            }
            #[cfg(feature = "cuda")]
            Self::Cuda(n) => {
                self.check_found(&Self::found())?;
                Ok(Device::cuda(n))
            }
            #[cfg(feature = "remote")]
            Self::Remote(address) => crate::remote::connect(address),
            #[allow(unreachable_patterns)] // reachable unless every backend is compiled in
            other => Err(Error::DeviceNotCompiled {
                given: other.to_string(),
                feature: other.feature(),
                available: Self::available(),
            }),
        }
    }

    /// Devices that take parts of the same work: of one kind, and remote ones behind them, each GPU and each
    /// remote device once. A CPU may be named again; its kernels then share the threads.
    ///
    /// # Errors
    ///
    /// As of [`init`](Self::init), and where they do not fit each other.
    pub fn init_all(devices: &[Self]) -> Result<Vec<Device>> {
        for (i, device) in devices.iter().enumerate() {
            let refused = |reason: String| Err(Error::config("device", reason));
            let is_remote = matches!(device, Self::Remote(_));
            if is_remote && i == 0 {
                return refused(format!(
                    "{device} can take a part beside a device of this machine, which comes first"
                ));
            }
            let differs = std::mem::discriminant(device) != std::mem::discriminant(&devices[0]);
            if differs && !is_remote {
                return refused(format!("{} and {device} are of two kinds", devices[0]));
            }
            let is_cpu = matches!(device, Self::Flex | Self::NdArray);
            if !is_cpu && devices[..i].contains(device) {
                return refused(format!("{device} is named twice"));
            }
        }
        devices.iter().map(|device| device.init()).collect()
    }

    /// The devices of this machine that this program can compute on.
    #[cfg(any(feature = "wgpu", feature = "cuda"))]
    fn found() -> Vec<Self> {
        let mut found: Vec<Self> = Vec::new();
        if cfg!(feature = "flex") {
            found.push(Self::Flex);
        }
        if cfg!(feature = "ndarray") {
            found.push(Self::NdArray);
        }
        #[cfg(feature = "wgpu")]
        {
            let adapters = Device::enumerate(DeviceType::Wgpu).into_vec();
            if !adapters.is_empty() {
                found.push(Self::Wgpu(None));
            }
            // Integrated and software ones have no number here.
            let is_there =
                |&n: &usize| adapters.contains(&Device::wgpu(DeviceKind::DiscreteGpu(n)));
            let discrete = (0..adapters.len()).filter(is_there);
            found.extend(discrete.map(|n| Self::Wgpu(Some(n))));
        }
        #[cfg(feature = "cuda")]
        {
            let gpus = Device::enumerate(DeviceType::Cuda).into_vec();
            found.extend((0..gpus.len()).map(Self::Cuda));
        }
        found
    }

    /// burn would panic at the first tensor instead.
    #[cfg(any(feature = "wgpu", feature = "cuda", test))]
    fn check_found(self, found: &[Self]) -> Result<()> {
        if found.contains(&self) {
            return Ok(());
        }
        let names: Vec<String> = found.iter().map(Self::to_string).collect();
        Err(Error::DeviceNotFound {
            given: self.to_string(),
            found: if names.is_empty() {
                "(none)".into()
            } else {
                names.join(", ")
            },
        })
    }

    fn feature(self) -> &'static str {
        match self {
            Self::Flex => "flex",
            Self::NdArray => "ndarray",
            Self::Wgpu(_) => "wgpu",
            Self::Cuda(_) => "cuda",
            Self::Remote(_) => "remote",
        }
    }
}

/// Whether it is a CPU backend whose kernels are this crate's, with or without gradients.
pub fn is_cpu(device: &Device) -> bool {
    #[cfg(not(feature = "cpu"))]
    let _ = device;
    #[cfg(not(feature = "cpu"))]
    return false;
    #[cfg(feature = "cpu")]
    match device.clone().inner().as_dispatch() {
        #[cfg(feature = "flex")]
        DispatchDevice::Flex(_) => true,
        #[cfg(feature = "ndarray")]
        DispatchDevice::NdArray(_) => true,
        #[allow(unreachable_patterns)] // as of `init`
        _ => false,
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
        if let Some(address) = given.strip_prefix("remote:") {
            return address.parse().map(Self::Remote).map_err(|_| unknown());
        }
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
            Self::Remote(address) => write!(f, "remote:{address}"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn devices_that_work_together_are_of_one_kind_and_gpus_are_named_once() {
        use DeviceSpec::{Cuda, Flex, NdArray, Remote};
        let remote = Remote("10.0.0.2:4000".parse().unwrap());
        let refused = |devices: &[DeviceSpec], expected: &str| {
            let error = DeviceSpec::init_all(devices).unwrap_err().to_string();
            assert!(error.contains(expected), "{error}");
        };
        refused(&[Flex, NdArray], "flex and ndarray are of two kinds");
        refused(&[Cuda(0), Cuda(1), Cuda(0)], "cuda:0 is named twice");
        refused(&[remote, Flex], "comes first");
        refused(
            &[Flex, remote, remote],
            "remote:10.0.0.2:4000 is named twice",
        );
        if cfg!(feature = "flex") {
            assert_eq!(DeviceSpec::init_all(&[Flex, Flex]).unwrap().len(), 2);
        }
    }

    #[test]
    fn names_round_trip() {
        for name in [
            "flex",
            "ndarray",
            "wgpu",
            "wgpu:1",
            "cuda:2",
            "remote:10.0.0.2:4000",
            "remote:[::1]:4000",
        ] {
            assert_eq!(name.parse::<DeviceSpec>().unwrap().to_string(), name);
        }
    }

    #[test]
    fn unknown_names_list_what_is_compiled_in() {
        for name in [
            "",
            "gpu",
            "flex:0",
            "wgpu:x",
            "cuda:-1",
            "wgpu:",
            "remote",
            "remote:4000",
        ] {
            let message = name.parse::<DeviceSpec>().unwrap_err().to_string();
            assert!(message.contains("flex, ndarray"), "{message}");
        }
    }

    #[test]
    fn a_gpu_that_is_not_there_is_an_error_that_lists_those_that_are() {
        use DeviceSpec::{Cuda, Flex, Wgpu};
        let found = [Flex, Wgpu(None), Wgpu(Some(0)), Cuda(0)];
        assert!(found.iter().all(|spec| spec.check_found(&found).is_ok()));
        let message = Wgpu(Some(7)).check_found(&found).unwrap_err().to_string();
        assert_eq!(
            message,
            "device 'wgpu:7' is not on this machine: use one of flex, wgpu, wgpu:0, cuda:0"
        );
        assert!(Cuda(1).check_found(&found).is_err());
        assert!(Wgpu(None).check_found(&[Flex]).is_err());
    }

    #[cfg(feature = "wgpu")]
    #[test]
    fn init_refuses_a_wgpu_device_that_is_not_there() {
        let message = DeviceSpec::Wgpu(Some(99)).init().unwrap_err().to_string();
        assert!(message.contains("'wgpu:99'"), "{message}");
        assert!(message.contains("use one of flex"), "{message}");
    }

    #[cfg(feature = "cuda")]
    #[test]
    fn init_refuses_a_cuda_device_that_is_not_there() {
        let message = DeviceSpec::Cuda(99).init().unwrap_err().to_string();
        assert!(message.contains("'cuda:99'"), "{message}");
        assert!(message.contains("use one of flex"), "{message}");
    }

    #[cfg(not(feature = "cuda"))]
    #[test]
    fn a_backend_that_is_not_compiled_in_is_an_error() {
        let message = DeviceSpec::Cuda(0).init().unwrap_err().to_string();
        assert!(message.contains("--features cuda"), "{message}");
        assert!(message.contains("flex"), "{message}");
    }
}
