/// What can go wrong in this crate.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
#[non_exhaustive]
pub enum Error {
    /// The word does not name a device.
    #[error("unknown device '{given}': use one of {available}")]
    UnknownDevice {
        /// What was asked for.
        given: String,
        /// The devices compiled into this program.
        available: String,
    },
    /// The word names a device that this program was built without.
    #[error(
        "device '{given}' is not compiled in: use one of {available}, or build with `--features {feature}`"
    )]
    DeviceNotCompiled {
        /// What was asked for.
        given: String,
        /// The Cargo feature that adds it.
        feature: &'static str,
        /// The devices compiled into this program.
        available: String,
    },
}

/// A result with this crate's [`Error`].
pub type Result<T, E = Error> = std::result::Result<T, E>;
