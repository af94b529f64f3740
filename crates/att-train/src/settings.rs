//! Settings by key, and which of them differ.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::Value;

use crate::ExperimentConfig;

/// All settings of an experiment by keys such as `training.clip_norm`, the values as JSON: that knows all seeds,
/// where a value of TOML is at most half of the greatest.
pub(crate) fn settings(config: &ExperimentConfig) -> BTreeMap<String, String> {
    let mut settings = BTreeMap::new();
    let config = serde_json::to_value(config).expect("a configuration can be JSON");
    flatten(String::new(), config, &mut settings);
    settings
}

/// The keys that have not the same value in both.
pub(crate) fn differing<'a, T: PartialEq>(
    a: &'a BTreeMap<String, T>,
    b: &'a BTreeMap<String, T>,
) -> impl Iterator<Item = &'a String> {
    let keys: BTreeSet<&String> = a.keys().chain(b.keys()).collect();
    keys.into_iter().filter(|key| a.get(*key) != b.get(*key))
}

/// A setting as text.
pub(crate) fn value<'a>(settings: &'a BTreeMap<String, String>, key: &str) -> &'a str {
    settings.get(key).map_or("not set", String::as_str)
}

/// Objects in objects become keys with dots.
fn flatten(key: String, value: Value, into: &mut BTreeMap<String, String>) {
    match value {
        Value::Null => {}
        Value::Object(object) => {
            for (name, value) in object {
                let dot = if key.is_empty() { "" } else { "." };
                flatten(format!("{key}{dot}{name}"), value, into);
            }
        }
        value => _ = into.insert(key, value.to_string()),
    }
}
