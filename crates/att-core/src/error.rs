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
    /// The word names a GPU that this machine does not have.
    #[error("device '{given}' is not on this machine: use one of {found}")]
    DeviceNotFound {
        /// What was asked for.
        given: String,
        /// The devices that are there.
        found: String,
    },
    /// The word names a device of another process that can't be reached.
    #[error("device '{given}': {reason}")]
    DeviceNotReached {
        /// What was asked for.
        given: String,
        /// Why not, and what to do.
        reason: String,
    },
    /// A device can't be lent to other processes.
    #[error("cannot lend {device}: {reason}")]
    Lend {
        /// Which.
        device: String,
        /// Why not.
        reason: String,
    },
    /// A setting of a configuration does not fit.
    #[error("{key}: {reason}")]
    Config {
        /// Where the setting stands, such as `decoder.attention.scorer`.
        key: String,
        /// What is wrong and what to do.
        reason: String,
    },
}

impl Error {
    /// A setting that does not fit.
    pub fn config(key: impl Into<String>, reason: impl Into<String>) -> Self {
        Self::Config {
            key: key.into(),
            reason: reason.into(),
        }
    }

    /// The same error one table further out: `scorer.d_attn` becomes `attention.scorer.d_attn`.
    #[must_use]
    pub fn within(self, table: &str) -> Self {
        match self {
            Self::Config { key, reason } => Self::Config {
                key: format!("{table}.{key}"),
                reason,
            },
            other => other,
        }
    }
}

/// A result with this crate's [`Error`].
pub type Result<T, E = Error> = std::result::Result<T, E>;
