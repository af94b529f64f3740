use std::fmt;
use std::fs::File;
use std::io::Read;
use std::path::Path;

use crate::{Error, Result};

/// A number made of bytes that come bit by bit: FNV-1a with 64 bits (Fowler, Noll, Vo;
/// <http://www.isthe.com/chongo/tech/comp/fnv/>), printed in hexadecimal. It tells data that have changed,
/// not those of someone who means to deceive.
///
/// ```
/// use att_data::Digest;
///
/// let mut digest = Digest::new();
/// digest.text("ab");
/// assert_eq!(digest.to_string(), "e7202e190542452f");
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Digest(u64);

impl Default for Digest {
    fn default() -> Self {
        Self::new()
    }
}

impl Digest {
    /// Of nothing.
    pub fn new() -> Self {
        Self(0xcbf2_9ce4_8422_2325)
    }

    /// Of a file's bytes, as they lie on the disk.
    ///
    /// # Errors
    ///
    /// [`Error::Read`].
    pub fn of_file(path: impl AsRef<Path>) -> Result<Self> {
        let path = path.as_ref();
        let read = |source| Error::Read {
            path: path.into(),
            source,
        };
        let mut file = File::open(path).map_err(read)?;
        let mut buffer = vec![0; 1 << 16];
        let mut digest = Self::new();
        loop {
            match file.read(&mut buffer).map_err(read)? {
                0 => return Ok(digest),
                n => digest.update(&buffer[..n]),
            }
        }
    }

    /// Adds bytes.
    pub fn update(&mut self, bytes: &[u8]) {
        self.0 = bytes.iter().fold(self.0, |hash, &byte| {
            (hash ^ u64::from(byte)).wrapping_mul(0x0000_0100_0000_01b3)
        });
    }

    /// Adds a text and its end: a byte that is in no UTF-8 text.
    pub fn text(&mut self, text: &str) {
        self.update(text.as_bytes());
        self.update(&[0xff]);
    }

    /// The number.
    pub fn value(self) -> u64 {
        self.0
    }
}

impl fmt::Display for Digest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:016x}", self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::lines::tests::folder;

    #[test]
    fn it_gives_the_published_values() {
        for (bytes, value) in [
            (&b""[..], 0xcbf2_9ce4_8422_2325),
            (b"a", 0xaf63_dc4c_8601_ec8c),
            (b"foobar", 0x8594_4171_f739_67e8),
        ] {
            let mut digest = Digest::new();
            digest.update(bytes);
            assert_eq!(digest.value(), value);
            let folder = folder(&[("file", bytes)]);
            assert_eq!(Digest::of_file(folder.path().join("file")).unwrap(), digest);
        }
    }

    #[test]
    fn a_text_has_an_end() {
        let of = |texts: [&str; 2]| {
            let mut digest = Digest::new();
            texts.iter().for_each(|text| digest.text(text));
            digest
        };
        assert_ne!(of(["ab", "c"]), of(["a", "bc"]));
        let missing = Digest::of_file("/no/such/file").unwrap_err().to_string();
        assert!(missing.contains("/no/such/file"), "{missing}");
    }
}
