//! `att export-web`. The page itself is used by `scripts/studio/test_web.py`.

use std::fs;

use crate::support::*;

#[test]
fn a_site_has_its_models() {
    let folder = Folder::new();
    folder.write("att_wasm.wasm", "\0asm att_explain");
    let (module, out) = (folder.path("att_wasm.wasm"), folder.path("site"));
    let (one, two) = (format!("one={}", model()), format!("two={}", model()));
    let arguments = [
        "export-web",
        &one,
        &two,
        text(&out),
        "--module",
        text(&module),
    ];
    let told = stdout(&run(&arguments));
    assert!(told.contains("http.server"), "{told}");
    for file in [
        "index.html",
        "models.json",
        "models/one.att",
        "models/two.att",
    ] {
        assert!(out.join(file).is_file(), "{file}");
    }
    refused(&run(&arguments), &["is not empty"]);
}

#[test]
fn what_can_not_be_exported_is_said() {
    let folder = Folder::new();
    folder.write("other.wasm", "text");
    let (other, out) = (folder.path("other.wasm"), folder.path("site"));
    let refuse = |model: &str, module: &[&str], expected: &str| {
        let arguments = [&["export-web", model, text(&out)], module].concat();
        refused(&run(&arguments), &[expected]);
        assert!(fs::metadata(&out).is_err(), "nothing is written");
    };
    // Tests run beside no module.
    refuse(model(), &[], "cargo wasm");
    refuse(
        model(),
        &["--module", text(&other)],
        "not the studio's module",
    );
    let missing = folder.path("nothing");
    let missing = ["--module", text(&missing)];
    refuse(model(), &missing, "nothing");
    let ensemble = format!("both={},{}", model(), model());
    refuse(&ensemble, &missing, "ensembles");
}
