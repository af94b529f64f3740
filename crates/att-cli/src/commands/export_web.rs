use std::error::Error;
use std::path::PathBuf;

use att_server::ModelSpec;
use att_wasm::{BUILD, MODULE, SiteModel, write_site};
use clap::Args;

use super::{CommandResult, Outcome};
use crate::options::not_there_yet;

#[derive(Args)]
pub struct Options {
    /// Models: a directory, or NAME=DIR
    #[arg(required = true, value_name = "MODEL")]
    models: Vec<ModelSpec>,
    /// The folder to write; it must be empty, or not there yet
    #[arg(value_name = "OUT")]
    out: PathBuf,
    /// The studio compiled to WebAssembly [default: att_wasm.wasm beside this program]
    #[arg(long, value_name = "FILE")]
    module: Option<PathBuf>,
}

pub fn run(options: &Options) -> CommandResult {
    not_there_yet(&options.out)?;
    let models: Result<Vec<_>, _> = options.models.iter().map(site_model).collect();
    write_site(&options.out, &module(options)?, &models?)?;
    let out = options.out.display();
    println!("{out}: the studio as a static site; any server of files can serve it, such as");
    println!("python3 -m http.server --directory {out}");
    Ok(Outcome::Done)
}

fn site_model(spec: &ModelSpec) -> Result<SiteModel, String> {
    let [directory] = &spec.paths[..] else {
        let name = &spec.name;
        return Err(format!(
            "model '{name}': the page has no ensembles; name each model on its own"
        ));
    };
    Ok(SiteModel {
        name: spec.name.clone(),
        directory: directory.clone(),
    })
}

fn module(options: &Options) -> Result<PathBuf, Box<dyn Error>> {
    if let Some(module) = &options.module {
        return Ok(module.clone());
    }
    let beside = std::env::current_exe()?.with_file_name(MODULE);
    if beside.is_file() {
        return Ok(beside);
    }
    let reason = format!(
        "there is no {}: in the sources of this program, {BUILD}; then --module target/wasm32-wasip1/wasm/{MODULE}",
        beside.display()
    );
    Err(reason.into())
}
