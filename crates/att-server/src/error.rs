use std::io;
use std::net::SocketAddr;

/// Why a server cannot start, or has to stop. What a request gets wrong is an answer to that request.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// A setting that does not fit.
    #[error("{key}: {reason}")]
    Config {
        /// Which.
        key: String,
        /// What is wrong and what to do.
        reason: String,
    },
    /// A model that can't be loaded.
    #[error("model '{name}': {source}")]
    Model {
        /// What requests call it.
        name: String,
        /// Why.
        source: att_model::Error,
    },
    /// A model whose files change while they are read.
    #[error("model '{name}': its files change while they are read; try again when they are whole")]
    Changing {
        /// What requests call it.
        name: String,
    },
    /// A model that is larger than all models may be.
    #[error(
        "model '{name}' takes about {bytes} bytes, more than the {max} of max_memory: raise it, or leave the model out"
    )]
    TooLarge {
        /// What requests call it.
        name: String,
        /// About what it takes.
        bytes: u64,
        /// What all may take.
        max: u64,
    },
    /// An address that can't be listened at.
    #[error("cannot listen at {address}: {source}")]
    Listen {
        /// The address.
        address: SocketAddr,
        /// Why.
        source: io::Error,
    },
    /// Threads that can't be started.
    #[error("cannot start a thread: {0}")]
    Thread(#[source] io::Error),
    /// A device that is not there.
    #[error(transparent)]
    Device(#[from] att_core::Error),
}

impl Error {
    /// A setting that does not fit.
    pub(crate) fn config(key: impl Into<String>, reason: impl Into<String>) -> Self {
        Self::Config {
            key: key.into(),
            reason: reason.into(),
        }
    }
}

/// A result with this crate's [`Error`].
pub type Result<T, E = Error> = std::result::Result<T, E>;
