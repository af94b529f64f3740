use std::time::Duration;

use crate::{Error, Result};

/// How a server works; each field has a default that serves a small machine.
#[derive(Clone, Debug, PartialEq)]
pub struct ServerConfig {
    /// What a request may ask for.
    pub limits: Limits,
    /// How many lines of one model and the same settings are decoded together, at most, whichever requests
    /// they are from; 32 unless told. 1 decodes each line alone. Changes speed, not results.
    pub batch_size: usize,
    /// Whether a line may join those that are being decoded, in the place of one that is done, and does not wait
    /// for a thread; `None`, as unless told, is on a GPU alone, where a step takes as long with more lines.
    /// On a CPU it lets short lines pass long ones, which take longer, and all together take more time.
    pub continuous_batching: Option<bool>,
    /// How many lines may wait; 1024 unless told. What does not fit is answered with 429.
    pub queue_lines: usize,
    /// Threads that decode; `None`, as unless told, is one a core, and one on a GPU.
    pub threads: Option<usize>,
    /// How long a request may take from its body to its answer; 60 s unless told.
    pub request_timeout: Duration,
    /// How long a client may take for the head of a request, and again for its body; 10 s unless told.
    pub read_timeout: Duration,
    /// How long a client may take nothing of an answer or a stream that is there for it; 60 s unless told.
    pub write_timeout: Duration,
    /// How long the requests that were accepted may take once the server is told to stop; 30 s unless told.
    pub shutdown_timeout: Duration,
    /// How many connections may be open; 1024 unless told. Others wait for one to close.
    pub connections: usize,
    /// How often the files of loaded models are looked at, to load them again when they have changed; every
    /// 2 s unless told. `None` is never.
    pub reload_every: Option<Duration>,
    /// How many bytes the weights of loaded models may take; `None`, as unless told, is any number.
    pub max_memory: Option<u64>,
    /// What a request has to bear as `Authorization: Bearer`; `None`, as unless told, is nothing.
    pub token: Option<String>,
}

/// What a request may ask for; more is an error of its own.
#[derive(Clone, Debug, PartialEq)]
pub struct Limits {
    /// Bytes of a body; 1 MiB unless told.
    pub body_bytes: usize,
    /// Texts of a request; 128 unless told.
    pub texts: usize,
    /// Characters of a request: those of its texts, prefixes and phrases; 20,000 unless told.
    pub chars: usize,
    /// Source tokens of a text; 512 unless told.
    pub tokens: usize,
    /// The widest beam, and the greatest number of hypotheses or samples; 16 unless told. A model's own is
    /// not limited.
    pub beam_size: usize,
    /// The greatest `max_len`; 512 unless told. A model's own is not limited.
    pub max_len: usize,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            body_bytes: 1 << 20,
            texts: 128,
            chars: 20_000,
            tokens: 512,
            beam_size: 16,
            max_len: 512,
        }
    }
}

impl Default for ServerConfig {
    fn default() -> Self {
        Self {
            limits: Limits::default(),
            batch_size: 32,
            continuous_batching: None,
            queue_lines: 1024,
            threads: None,
            request_timeout: Duration::from_secs(60),
            read_timeout: Duration::from_secs(10),
            write_timeout: Duration::from_secs(60),
            shutdown_timeout: Duration::from_secs(30),
            connections: 1024,
            reload_every: Some(Duration::from_secs(2)),
            max_memory: None,
            token: None,
        }
    }
}

impl ServerConfig {
    /// # Errors
    ///
    /// If a value is out of its range; the error names the field.
    pub fn validate(&self) -> Result<()> {
        let Limits {
            body_bytes,
            texts,
            chars,
            tokens,
            beam_size,
            max_len,
        } = self.limits;
        let sizes = [
            ("max_body", body_bytes),
            ("max_texts", texts),
            ("max_chars", chars),
            ("max_tokens", tokens),
            ("max_beam_size", beam_size),
            ("max_len", max_len),
            ("batch_size", self.batch_size),
            ("queue", self.queue_lines),
            ("threads", self.threads.unwrap_or(1)),
            ("max_connections", self.connections),
        ];
        if let Some((key, _)) = sizes.into_iter().find(|(_, size)| *size == 0) {
            return Err(Error::config(key, "0 is too few"));
        }
        if texts > self.queue_lines {
            let reason = format!(
                "a request of {texts} texts would never fit into a queue of {}: raise queue, or lower max_texts",
                self.queue_lines
            );
            return Err(Error::config("queue", reason));
        }
        for (key, duration) in [
            ("timeout", self.request_timeout),
            ("read_timeout", self.read_timeout),
            ("write_timeout", self.write_timeout),
            ("reload_every", self.reload_every.unwrap_or(Duration::MAX)),
        ] {
            if duration.is_zero() {
                return Err(Error::config(key, "it must be above 0"));
            }
        }
        let bad = |c: char| !c.is_ascii_graphic();
        if let Some(token) = &self.token
            && (token.is_empty() || token.contains(bad))
        {
            let reason = "it must be one word of ASCII characters, and not empty";
            return Err(Error::config("token", reason));
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_makes_no_sense_is_refused() {
        ServerConfig::default().validate().unwrap();
        let refused = |change: fn(&mut ServerConfig), key: &str| {
            let mut config = ServerConfig::default();
            change(&mut config);
            let message = config.validate().unwrap_err().to_string();
            assert!(message.starts_with(key), "{message}");
        };
        refused(|config| config.batch_size = 0, "batch_size");
        refused(|config| config.limits.texts = 0, "max_texts");
        refused(|config| config.queue_lines = 127, "queue");
        refused(|config| config.request_timeout = Duration::ZERO, "timeout");
        refused(
            |config| config.write_timeout = Duration::ZERO,
            "write_timeout",
        );
        refused(|config| config.threads = Some(0), "threads");
        refused(|config| config.token = Some(String::new()), "token");
        refused(|config| config.token = Some("two words".into()), "token");
    }
}
