//! What stands under `deploy/` is what the code generates. `CHAOS_WRITE=1` writes it.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::missing_panics_doc,
    clippy::case_sensitive_file_extension_comparisons,
    reason = "a test fails by panicking, and knows the names of its files"
)]

use std::path::Path;

#[test]
fn deploy_is_what_the_code_generates() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("../deploy");
    let write = std::env::var_os("CHAOS_WRITE").is_some();
    for (name, wanted) in chaos_operator::manifests::files() {
        let path = root.join(&name);
        if write {
            std::fs::create_dir_all(path.parent().unwrap()).unwrap();
            std::fs::write(&path, &wanted).unwrap();
        }
        let found = std::fs::read_to_string(&path).unwrap_or_default();
        assert!(
            found == wanted,
            "deploy/{name} is not what the code generates; hint: CHAOS_WRITE=1 cargo test -p chaos-operator --test deploy"
        );
    }
}
