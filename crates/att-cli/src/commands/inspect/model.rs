use std::collections::BTreeMap;
use std::io::{self, Write};
use std::path::Path;

use att_core::DeviceSpec;
use att_decoder::search::SearchConfig;
use att_inspect::visible;
use att_model::{ModelConfig, ModelDirectory, weights};
use serde::Serialize;

use crate::commands::{CommandResult, Outcome};

/// Prints what a model is made of; with `list` each of its weights.
pub fn describe(path: &Path, list: bool) -> CommandResult {
    let mut out = io::stdout().lock();
    let directory = ModelDirectory::open(path)?;
    let model = directory.load_weights(&DeviceSpec::default().init()?)?;
    let shapes = weights::shapes(&model);
    let size = |shape: &[usize]| shape.iter().product::<usize>();
    let total: usize = shapes.values().map(|shape| size(shape)).sum();

    writeln!(out, "model      {}", path.display())?;
    writeln!(
        out,
        "weights    {total} ({:.1} MB as f32)",
        total as f64 * 4e-6
    )?;
    let mut parts: BTreeMap<String, usize> = BTreeMap::new();
    for (name, shape) in &shapes {
        *parts.entry(part(name)).or_default() += size(shape);
    }
    for (part, weights) in parts {
        let share = 100.0 * weights as f64 / total as f64;
        writeln!(out, "  {part:<28} {weights:>10}  {share:>5.1} %")?;
    }
    let sides = [
        ("source", &directory.src_tokenizer),
        ("target", &directory.tgt_tokenizer),
    ];
    for (side, tokenizer) in sides {
        let n_special = att_data::special::NAMES.len() as u32;
        let some: Vec<&str> = (n_special..n_special + 12)
            .filter_map(|id| tokenizer.id_to_token(id))
            .collect();
        writeln!(
            out,
            "{side:<10} {} tokens: {} ...",
            tokenizer.vocab_size(),
            visible(&some.join(" "))
        )?;
    }
    if list {
        writeln!(out, "\nweights:")?;
        for (name, shape) in &shapes {
            writeln!(out, "  {name}  {shape:?}")?;
        }
    }
    let settings = Settings {
        search: &directory.search,
        model: &directory.model,
    };
    writeln!(out, "\n{}", toml::to_string(&settings)?)?;
    Ok(Outcome::Done)
}

/// As they stand in the model's own file.
#[derive(Serialize)]
struct Settings<'a> {
    search: &'a SearchConfig,
    model: &'a ModelConfig,
}

/// The part of the model that a weight belongs to: the first names of its path, without variants.
pub fn part(name: &str) -> String {
    let names: Vec<&str> = name
        .split('.')
        .filter(|name| name.starts_with(char::is_lowercase))
        .collect();
    names[..names.len().min(2)].join(".")
}
