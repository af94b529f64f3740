//! `att quickstart`.

use std::fs;

use crate::support::*;

#[test]
fn the_quick_start_runs_end_to_end() {
    let folder = tempfile::tempdir().unwrap();
    let out = folder.path().join("quick");
    let found = stdout(&run(&[
        "quickstart",
        "--out",
        text(&out),
        "--max-steps",
        "2",
    ]));
    for part in [
        "word error rate",
        "Words that it has never seen",
        "attention.svg",
        "att translate",
    ] {
        assert!(found.contains(part), "'{part}' is not in: {found}");
    }
    assert!(
        fs::read_to_string(out.join("attention.svg"))
            .unwrap()
            .starts_with("<svg")
    );
    let spoken = stdout(&run_with_input(&["translate", text(&out)], b"HELLO\n"));
    assert_eq!(spoken.lines().count(), 1);
}
