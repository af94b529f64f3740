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
use std::net::{SocketAddr, TcpListener};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Once;

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
    if let Ok(token) = std::env::var(TOKEN_VARIABLE) {
        host = host.with_credential(token.trim());
    }
    let connected = Device::remote_options(&host).init();
    connected.map_err(|error| Error::DeviceNotReached {
        given: DeviceSpec::Remote(address).to_string(),
        reason: match error {
            ConnectError::Unauthorized => format!(
                "its lender asks for another token: set {TOKEN_VARIABLE} to what its --token-file holds"
            ),
            ConnectError::Unreachable { .. } => {
                "nobody lends a device there: start `att lend` there, with this address".into()
            }
            other => other.to_string(),
        },
    })
}

/// Whether it is a device of another process.
pub fn is_remote(device: &Device) -> bool {
    matches!(
        device.clone().inner().as_dispatch(),
        DispatchDevice::Remote(_)
    )
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

    /// The device as others name it.
    ///
    /// # Errors
    ///
    /// If the system does not tell the address.
    pub fn name(&self) -> Result<DeviceSpec> {
        let address = self.listener.local_addr();
        let address = address.map_err(|error| refused(self.device, error.to_string()))?;
        Ok(DeviceSpec::Remote(address))
    }

    /// Lends it until the process is asked to end, by SIGTERM or Ctrl-C. Messages of burn's server go to
    /// standard error.
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
/// nothing printed.
///
/// # Errors
///
/// What the panic said.
pub fn guarded<T>(run: impl FnOnce() -> T) -> Result<T, String> {
    static HOOK: Once = Once::new();
    HOOK.call_once(|| {
        let before = std::panic::take_hook();
        std::panic::set_hook(Box::new(move |panic| {
            if !GUARDED.get() {
                before(panic);
            }
        }));
    });
    let outer = GUARDED.replace(true);
    let result = catch_unwind(AssertUnwindSafe(run));
    GUARDED.set(outer);
    result.map_err(said)
}

fn said(panic: Box<dyn Any + Send>) -> String {
    let text = panic.downcast_ref::<String>().map(String::as_str);
    let text = text.or_else(|| panic.downcast_ref::<&str>().copied());
    text.unwrap_or("no reason given").to_string()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_panics_within_is_an_error() {
        assert_eq!(guarded(|| 3), Ok(3));
        assert_eq!(guarded(|| panic!("gone")), Err::<(), _>("gone".into()));
        let number = 4;
        assert_eq!(
            guarded(|| panic!("{number}")),
            Err::<(), _>("4".to_string())
        );
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
