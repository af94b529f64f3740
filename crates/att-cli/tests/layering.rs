//! Which crate of the workspace may depend on which; the reasons are in `docs/architecture.md`.

use std::process::Command;

use serde_json::Value;

/// Each crate, low to high, and the crates that it may depend on (all of them `att-*`).
#[rustfmt::skip]
const ALLOWED: [(&str, &str); 16] = [
    ("core",      ""),
    ("layers",    "core"),
    ("attention", "core layers"),
    ("encoder",   "core layers attention"),
    ("decoder",   "core layers attention"),
    ("data",      ""),
    ("eval",      ""),
    ("model",     "core layers attention encoder decoder data eval"),
    ("train",     "core layers attention encoder decoder data eval model"),
    ("inspect",   "core layers attention encoder decoder data eval model"),
    ("faithful",  "core layers attention encoder decoder data eval model inspect"),
    ("studio",    "core layers attention encoder decoder data eval model inspect faithful"),
    ("wasm",      "core layers attention encoder decoder data eval model inspect faithful studio"),
    ("server",    "core layers attention encoder decoder data eval model inspect faithful studio"),
    ("cli",       "core layers attention encoder decoder data eval model train inspect faithful studio wasm server"),
    ("bench",     "core layers attention encoder decoder inspect"),
];

#[test]
fn each_crate_depends_only_on_what_lies_below_it() {
    let mut wrong = Vec::new();
    for package in packages() {
        let Some(name) = att_name(&package) else {
            continue;
        };
        let Some((_, allowed)) = ALLOWED.iter().find(|(row, _)| *row == name) else {
            wrong.push(format!("att-{name} has no row in {}", file!()));
            continue;
        };
        for dependency in array(&package, "dependencies") {
            let is_normal = dependency["kind"].is_null();
            match att_name(dependency) {
                Some(other) if is_normal && !allowed.split(' ').any(|one| one == other) => {
                    wrong.push(format!("att-{name} may not depend on att-{other}"));
                }
                _ => {}
            }
        }
    }
    assert!(
        wrong.is_empty(),
        "{}\nread docs/architecture.md: it says where a crate stands and why",
        wrong.join("\n")
    );
}

/// The packages of this workspace, as cargo describes them.
fn packages() -> Vec<Value> {
    let output = Command::new(env!("CARGO"))
        .args(["metadata", "--format-version", "1", "--no-deps"])
        .output()
        .expect("cargo runs");
    let error = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "cargo metadata failed: {error}");
    let metadata = serde_json::from_slice(&output.stdout).expect("cargo writes JSON");
    array(&metadata, "packages").clone()
}

fn array<'a>(value: &'a Value, key: &str) -> &'a Vec<Value> {
    value[key]
        .as_array()
        .unwrap_or_else(|| panic!("cargo metadata has no list '{key}'"))
}

/// `core` of a package or dependency named `att-core`; none where it is not ours.
fn att_name(package: &Value) -> Option<&str> {
    package["name"].as_str()?.strip_prefix("att-")
}
