use std::fs;
use std::path::Path;

use att_data::AtomicFile;
use att_model::ModelDirectory;
use att_studio::{Error, Result};
use serde::Serialize;

/// What a packed model begins with.
const MAGIC: &[u8] = b"ATTPACK1";

#[derive(Serialize)]
struct Index<'a> {
    files: Vec<Entry<'a>>,
}

#[derive(Serialize)]
struct Entry<'a> {
    name: &'a str,
    len: usize,
    crc32: u32,
}

/// Packs the files of a model directory into one, for a page to fetch:
///
/// | bytes | what |
/// | --- | --- |
/// | 8 | `ATTPACK1` |
/// | 4 | the length of the index, little-endian |
/// | so many | the index, JSON: `{"files":[{"name":"config.toml","len":1333,"crc32":305419896},...]}` |
/// | the rest | the files one after the other, in the index's order |
///
/// `crc32` is that of gzip and PNG. `page/pack.js` reads it.
///
/// # Errors
///
/// If a file cannot be read, or `to` not be written; then nothing is there.
pub fn pack(model: &Path, to: &Path) -> Result<()> {
    let mut contents = Vec::new();
    for name in ModelDirectory::FILES {
        let path = model.join(name);
        let content = fs::read(&path).map_err(|source| Error::Read { path, source })?;
        contents.push((name, content));
    }
    let entry = |(name, content): &(&'static str, Vec<u8>)| Entry {
        name,
        len: content.len(),
        crc32: crc32fast::hash(content),
    };
    let files = contents.iter().map(entry).collect();
    let index = serde_json::to_vec(&Index { files }).expect("the index has string keys");
    let mut packed = AtomicFile::create(to)?;
    packed.write(MAGIC)?;
    packed.write(&(index.len() as u32).to_le_bytes())?;
    packed.write(&index)?;
    for (_, content) in &contents {
        packed.write(content)?;
    }
    Ok(packed.commit()?)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn files_stand_where_the_index_says() {
        let folder = tempfile::tempdir().unwrap();
        for (place, name) in ModelDirectory::FILES.iter().enumerate() {
            fs::write(folder.path().join(name), name.repeat(place)).unwrap();
        }
        let to = folder.path().join("packed.att");
        pack(folder.path(), &to).unwrap();
        let packed = fs::read(&to).unwrap();
        let (magic, rest) = packed.split_at(8);
        assert_eq!(magic, MAGIC);
        let (length, rest) = rest.split_first_chunk().unwrap();
        let (index, mut rest) = rest.split_at(u32::from_le_bytes(*length) as usize);
        let index: serde_json::Value = serde_json::from_slice(index).unwrap();
        for (place, name) in ModelDirectory::FILES.iter().enumerate() {
            let entry = &index["files"][place];
            let (content, after) = rest.split_at(entry["len"].as_u64().unwrap() as usize);
            rest = after;
            assert_eq!(entry["name"], **name);
            assert_eq!(content, name.repeat(place).as_bytes());
            assert_eq!(entry["crc32"], crc32fast::hash(content));
        }
        assert!(rest.is_empty());
    }

    #[test]
    fn what_is_missing_is_named_and_nothing_is_written() {
        let folder = tempfile::tempdir().unwrap();
        let to = folder.path().join("packed.att");
        let error = pack(folder.path(), &to).unwrap_err().to_string();
        assert!(error.contains("config.toml"), "{error}");
        assert!(!to.exists());
    }
}
