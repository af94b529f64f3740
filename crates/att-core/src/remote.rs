//! Devices of other processes, on this machine or others, as burn's remote backend has them: tensor
//! operations go there by WebSocket, one by one, and numbers come back when they are asked for.
//!
//! Who has a device lends it ([`Lender`]; `att lend` on the command line), and who wants it names its address
//! ([`DeviceSpec::Remote`]). The lender runs burn's own float operations; the fused operations of
//! [`ops`](crate::ops) are composed of these there.
//!
//! What goes over the wire is not encrypted, and who can connect can compute: a token keeps strangers on a
//! trusted network away, not those who read the traffic.

use std::any::Any;
use std::cell::Cell;
use std::env::VarError;
use std::net::{SocketAddr, TcpListener};
use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};
use std::sync::{Mutex, Once, PoisonError};

use burn::backend::DispatchDevice;
use burn::remote::{ConnectError, RemoteHost};
use burn::server::{RemoteServer, TokenAuthorizer, WebSocketTransport};
use burn::tensor::Device;

use crate::{DeviceSpec, Error, Result};

/// The environment variable that holds the token of the lenders whose devices this process uses.
pub const TOKEN_VARIABLE: &str = "ATT_DEVICE_TOKEN";

/// The device that is lent at an address, with the token of [`TOKEN_VARIABLE`] if it is set.
pub(crate) fn connect(address: SocketAddr) -> Result<Device> {
    let mut host = RemoteHost::websocket(&format!("ws://{address}"));
    let not_reached = |reason| Error::DeviceNotReached {
        given: DeviceSpec::Remote(address).to_string(),
        reason,
    };
    match std::env::var(TOKEN_VARIABLE) {
        Ok(token) => host = host.with_credential(token.trim()),
        Err(VarError::NotPresent) => (),
        Err(VarError::NotUnicode(_)) => {
            return Err(not_reached(format!("{TOKEN_VARIABLE} is not Unicode")));
        }
    }
    let device = Device::remote_options(&host).init();
    let device = device.map_err(|error| {
        not_reached(match error {
            ConnectError::Unauthorized => format!(
                "its lender asks for another token: set {TOKEN_VARIABLE} to what its --token-file holds"
            ),
            ConnectError::Unreachable { reason } => {
                format!("nobody lends a device there: start `att lend` there, with this address ({reason})")
            }
            other => other.to_string(),
        })
    })?;
    let mut connected = CONNECTED.lock().unwrap_or_else(PoisonError::into_inner);
    connected.push((device.clone(), DeviceSpec::Remote(address)));
    Ok(device)
}

/// The devices that were [connected](connect), which do not say their addresses.
static CONNECTED: Mutex<Vec<(Device, DeviceSpec)>> = Mutex::new(Vec::new());

/// What a device of another process is called; none of others.
pub fn name_of(device: &Device) -> Option<String> {
    let device = device.clone().inner();
    if !matches!(device.as_dispatch(), DispatchDevice::Remote(_)) {
        return None;
    }
    let connected = CONNECTED.lock().unwrap_or_else(PoisonError::into_inner);
    let found = connected.iter().find(|(other, _)| *other == device);
    Some(found.map_or("a remote device".into(), |(_, spec)| spec.to_string()))
}

/// A device that this process lends to others.
#[derive(Debug)]
pub struct Lender {
    device: DeviceSpec,
    listener: TcpListener,
    token: Option<String>,
}

impl Lender {
    /// To lend `device` at `address`; port 0 is any free one. With a token, to those alone who have it.
    ///
    /// # Errors
    ///
    /// If the device is not there, or is itself another process's, the address is taken, or the token empty.
    pub fn new(device: DeviceSpec, address: SocketAddr, token: Option<String>) -> Result<Self> {
        if let DeviceSpec::Remote(_) = device {
            return Err(refused(device, "it is not of this process"));
        }
        device.init()?;
        if token.as_ref().is_some_and(|token| token.trim().is_empty()) {
            return Err(refused(device, "the token is empty"));
        }
        let listener = TcpListener::bind(address);
        let listener = listener
            .map_err(|error| refused(device, format!("cannot listen at {address}: {error}")))?;
        Ok(Self {
            device,
            listener,
            token: token.map(|token| token.trim().to_string()),
        })
    }

    /// The device as others name it; where it listens at all addresses of this machine, they put one of these
    /// in the place of `0.0.0.0` or `[::]`.
    ///
    /// # Errors
    ///
    /// If the system does not tell the address.
    pub fn name(&self) -> Result<DeviceSpec> {
        let address = self.listener.local_addr();
        let address = address.map_err(|error| refused(self.device, error.to_string()))?;
        Ok(DeviceSpec::Remote(address))
    }

    /// Lends it until the process is asked to end, by SIGTERM or Ctrl-C. burn's server logs by `tracing`, to
    /// standard output unless a subscriber is set.
    ///
    /// # Errors
    ///
    /// If the listener fails.
    pub fn serve(self) -> Result<()> {
        let mut server = RemoteServer::new([self.device.init()?]);
        if let Some(token) = self.token {
            let authorizer = TokenAuthorizer::new(token.as_str());
            let authorizer = authorizer.map_err(|error| refused(self.device, error.to_string()))?;
            server = server.with_authorizer(authorizer);
        }
        let transport = WebSocketTransport::from_listener(self.listener);
        let served = server.serve(transport);
        served.map_err(|error| refused(self.device, error.to_string()))
    }
}

fn refused(device: DeviceSpec, reason: impl Into<String>) -> Error {
    Error::Lend {
        device: device.to_string(),
        reason: reason.into(),
    }
}

thread_local! {
    /// Whether this thread is within [`guarded`].
    static GUARDED: Cell<bool> = const { Cell::new(false) };
}

/// Runs what computes on a remote device. burn panics where that no longer answers: here it is an error, with
/// nothing printed. Other panics go on.
///
/// The first call puts a hook before the process's panic hook, for good.
///
/// # Errors
///
/// What burn says of why.
pub fn guarded<T>(run: impl FnOnce() -> T) -> Result<T, String> {
    static HOOK: Once = Once::new();
    HOOK.call_once(|| {
        let before = std::panic::take_hook();
        std::panic::set_hook(Box::new(move |panic| {
            if !GUARDED.get() || loss(panic.payload()).is_none() {
                before(panic);
            }
        }));
    });
    let outer = GUARDED.replace(true);
    let result = catch_unwind(AssertUnwindSafe(run));
    GUARDED.set(outer);
    result.map_err(|panic| loss(&*panic).unwrap_or_else(|| resume_unwind(panic)))
}

/// What burn's remote backend says where a device no longer answers; none of another panic.
fn loss(panic: &(dyn Any + Send)) -> Option<String> {
    const LOSSES: [&str; 3] = [
        "Failed to read tensor",
        "response channel closed",
        "Service call failed",
    ];
    let text = panic.downcast_ref::<String>().map(String::as_str);
    let text = text.or_else(|| panic.downcast_ref::<&str>().copied())?;
    let mut lines = text.lines().map(str::trim);
    let line = lines.find(|line| LOSSES.iter().any(|loss| line.contains(loss)))?;
    Some(line.to_string())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_loss_within_is_an_error_and_other_panics_go_on() {
        assert_eq!(guarded(|| 3), Ok(3));
        let lost = guarded(|| panic!("burn:\n  Failed to read tensor: {}", "closed"));
        let reason = "Failed to read tensor: closed".to_string();
        assert_eq!(lost, Err::<(), _>(reason));
        let other = std::panic::catch_unwind(|| guarded(|| panic!("a mistake")));
        assert!(other.is_err(), "goes on");
    }

    #[test]
    fn what_cannot_be_lent_is_named() {
        let address = "127.0.0.1:0".parse().unwrap();
        let error = |device: DeviceSpec, address, token: Option<&str>| {
            let lender = Lender::new(device, address, token.map(String::from));
            lender.unwrap_err().to_string()
        };
        let remote = DeviceSpec::Remote("127.0.0.1:9".parse().unwrap());
        assert!(error(remote, address, None).contains("not of this process"));
        assert!(error(DeviceSpec::Flex, address, Some(" ")).contains("token is empty"));
        let taken = Lender::new(DeviceSpec::Flex, address, None).unwrap();
        let DeviceSpec::Remote(taken_address) = taken.name().unwrap() else {
            panic!("as others name it");
        };
        let error = error(DeviceSpec::Flex, taken_address, None);
        assert!(error.contains(&taken_address.to_string()), "{error}");
    }
}
