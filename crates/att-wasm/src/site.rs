use std::fs;
use std::path::{Path, PathBuf};

use att_core::{DeviceSpec, Error as CoreError};
use att_data::write_atomic;
use att_decoder::search::SearchConfig;
use att_model::ModelDirectory;
use att_studio::{Error, FILES, PageFile, Result};
use serde::Serialize;

use crate::pack;

/// The name of the module beside the page, and that of the file that a build of this crate leaves.
pub const MODULE: &str = "att_wasm.wasm";

/// The command that makes the module, in a checkout of this workspace.
pub const BUILD: &str = "rustup target add wasm32-wasip1 && cargo wasm";

/// What a browser may do with the page: as with the server's, and run WebAssembly in a worker. In the page itself,
/// since its host knows nothing of it; who may frame it is for the host alone to say.
const CONTENT_SECURITY_POLICY: &str = "default-src 'none'; script-src 'self' 'wasm-unsafe-eval'; worker-src 'self'; \
    style-src 'self'; img-src 'self'; connect-src 'self'; base-uri 'none'; form-action 'none'";

macro_rules! files {
    ($($name:literal)*) => {
        &[$(($name, include_str!(concat!("../page/", $name)))),*]
    };
}

/// The page's files that are others than the server's, or more.
const OWN: &[(&str, &str)] = files! { "backend.js" "open.js" "worker.js" "wasi.js" "pack.js" };

/// A model of a site.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SiteModel {
    /// What the page calls it; a part of a file's name.
    pub name: String,
    /// Its directory.
    pub directory: PathBuf,
}

/// A model in `models.json`, which begins as `GET /v1/models` does.
#[derive(Serialize)]
struct Listed<'a> {
    name: &'a str,
    search: &'a SearchConfig,
    file: String,
}

/// Writes the studio as a static site: what any server of files can serve, and what asks nothing of others.
///
/// | file | what |
/// | --- | --- |
/// | `index.html` and what it names | the page, with a worker in the place of a server |
/// | `att_wasm.wasm` | the `module` |
/// | `models.json` | the models by name, with their search and file |
/// | `models/NAME.att` | a model, [packed](pack()) |
///
/// `index.html` is written last.
///
/// # Errors
///
/// If `module` is not this crate's, a model can't be loaded, a name is there twice, or a file cannot be written.
pub fn write_site(out: &Path, module: &Path, models: &[SiteModel]) -> Result<()> {
    let bytes = read_module(module)?;
    let device = DeviceSpec::default().init()?;
    let mut searches = Vec::new();
    for (place, SiteModel { name, directory }) in models.iter().enumerate() {
        if models[..place].iter().any(|other| other.name == *name) {
            let reason = "two models have this name: write NAME=DIR with another name";
            return Err(CoreError::config(format!("model '{name}'"), reason).into());
        }
        let directory = ModelDirectory::open(directory)?;
        directory.load_weights(&device)?;
        searches.push(directory.search);
    }

    let folder = out.join("models");
    fs::create_dir_all(&folder).map_err(|source| Error::Write {
        path: folder.clone(),
        source,
    })?;
    let mut listed = Vec::new();
    for (SiteModel { name, directory }, search) in models.iter().zip(&searches) {
        pack(directory, &folder.join(format!("{name}.att")))?;
        let file = format!("models/{name}.att");
        listed.push(Listed { name, search, file });
    }
    let listed = serde_json::json!({ "models": listed }).to_string();
    write_atomic(out.join("models.json"), listed.as_bytes())?;
    write_atomic(out.join(MODULE), &bytes)?;
    let [index, others @ ..] = FILES else {
        unreachable!("the page has files");
    };
    let is_own = |file: &&PageFile| OWN.iter().any(|(name, _)| *name == file.name);
    for file in others.iter().filter(|file| !is_own(file)) {
        write_atomic(out.join(file.name), file.text.as_bytes())?;
    }
    for (name, text) in OWN {
        write_atomic(out.join(name), text.as_bytes())?;
    }
    Ok(write_atomic(
        out.join(index.name),
        page(index.text).as_bytes(),
    )?)
}

fn read_module(module: &Path) -> Result<Vec<u8>> {
    let bytes = fs::read(module).map_err(|source| Error::Read {
        path: module.into(),
        source,
    })?;
    let exports = |name: &[u8]| bytes.windows(name.len()).any(|part| part == name);
    if !bytes.starts_with(b"\0asm") || !exports(b"att_explain") {
        let reason = format!("this is not the studio's module: {BUILD} makes it");
        return Err(CoreError::config(module.display().to_string(), reason).into());
    }
    Ok(bytes)
}

/// The page with its policy, and with what opens models.
fn page(of_server: &str) -> String {
    const CHARSET: &str = "<meta charset=\"utf-8\">\n";
    const END: &str = "</head>\n";
    let policy = format!(
        "{CHARSET}<meta http-equiv=\"Content-Security-Policy\" content=\"{CONTENT_SECURITY_POLICY}\">\n"
    );
    let script = format!("<script type=\"module\" src=\"open.js\"></script>\n{END}");
    of_server
        .replacen(CHARSET, &policy, 1)
        .replacen(END, &script, 1)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::test_support::model;

    fn site(folder: &Path, models: &[(&str, &Path)]) -> Result<()> {
        let module = folder.join(MODULE);
        fs::write(&module, b"\0asm and att_explain").unwrap();
        let model = |(name, directory): &(&str, &Path)| SiteModel {
            name: (*name).into(),
            directory: (*directory).into(),
        };
        let models: Vec<_> = models.iter().map(model).collect();
        write_site(&folder.join("site"), &module, &models)
    }

    #[test]
    fn a_site_has_all_that_its_files_name() {
        let folder = tempfile::tempdir().unwrap();
        let directory = folder.path().join("model");
        model(&directory);
        site(folder.path(), &[("a", &directory), ("b", &directory)]).unwrap();
        let out = folder.path().join("site");
        let page = fs::read_to_string(out.join("index.html")).unwrap();
        for part in [
            CONTENT_SECURITY_POLICY,
            "src=\"studio.js\"",
            "src=\"open.js\"",
        ] {
            assert!(page.contains(part), "{page}");
        }
        let mut names = Vec::new();
        for entry in fs::read_dir(&out).unwrap() {
            let path = entry.unwrap().path();
            let name = path.file_name().unwrap().to_str().unwrap().to_string();
            if name.ends_with(".js") || name.ends_with(".html") {
                let text = fs::read_to_string(&path).unwrap();
                for start in [
                    "src=\"",
                    "href=\"",
                    " from \"./",
                    "Worker(\"",
                    "fetched(\"",
                    "fetch(\"",
                ] {
                    for rest in text.split(start).skip(1) {
                        let named = rest.split('"').next().unwrap();
                        let is_there = named.starts_with('#') || out.join(named).is_file();
                        assert!(is_there, "{name}: {named}");
                    }
                }
                assert!(
                    !text.replace("://www.w3.org/2000/svg", "").contains("://"),
                    "{name}"
                );
            }
            names.push(name);
        }
        for (own, _) in OWN {
            assert!(names.iter().any(|name| name == own), "{own}");
        }
        let models = fs::read_to_string(out.join("models.json")).unwrap();
        let models: serde_json::Value = serde_json::from_str(&models).unwrap();
        for (place, name) in ["a", "b"].into_iter().enumerate() {
            let model = &models["models"][place];
            assert_eq!(model["name"], name);
            assert_eq!(model["search"]["beam_size"], 4);
            assert!(out.join(model["file"].as_str().unwrap()).is_file());
        }
    }

    /// Beside what WebAssembly needs, and what only a header can say.
    #[test]
    fn the_policy_is_the_servers() {
        let own = CONTENT_SECURITY_POLICY.replace(" 'wasm-unsafe-eval'; worker-src 'self'", "");
        assert_eq!(
            own + "; frame-ancestors 'none'",
            att_studio::CONTENT_SECURITY_POLICY
        );
    }

    #[test]
    fn nothing_is_written_of_what_can_not_be() {
        let folder = tempfile::tempdir().unwrap();
        let directory = folder.path().join("model");
        model(&directory);
        let refused = |models: &[(&str, &Path)], expected: &str| {
            let error = site(folder.path(), models).unwrap_err().to_string();
            assert!(error.contains(expected), "{error}");
            assert!(!folder.path().join("site").exists());
        };
        refused(&[("a", &directory), ("a", &directory)], "'a': two models");
        refused(&[("a", folder.path())], "is not a model directory");
        fs::write(directory.join("model.safetensors"), b"damaged").unwrap();
        refused(&[("a", &directory)], "model.safetensors");
    }

    #[test]
    fn another_file_is_no_module() {
        let folder = tempfile::tempdir().unwrap();
        let module = folder.path().join("other.wasm");
        let refused = |expected: &str| {
            let error = write_site(&folder.path().join("site"), &module, &[]).unwrap_err();
            assert!(error.to_string().contains(expected), "{error}");
        };
        refused("other.wasm");
        for other in [&b"\0asm"[..], b"att_explain"] {
            fs::write(&module, other).unwrap();
            refused("cargo wasm");
        }
    }
}
