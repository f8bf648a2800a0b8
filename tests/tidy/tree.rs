//! Walks the checkout: which files there are, and what stands in them.

use std::path::{Path, PathBuf};

/// A text file of the checkout.
pub(crate) struct Source {
    /// Path from the root of the checkout.
    pub(crate) path: String,
    pub(crate) text: String,
}

/// The root of the checkout.
pub(crate) fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().expect("tests/ stands in the checkout").to_path_buf()
}

/// Every Rust source of the workspace.
pub(crate) fn rust_sources() -> Vec<Source> {
    let sources = files().into_iter().filter(|path| path.ends_with(".rs")).map(read).collect::<Vec<_>>();
    assert!(sources.len() > 50, "the walk finds the sources");
    sources
}

/// Every file that git would know of, from the root, without build output.
pub(crate) fn files() -> Vec<String> {
    let mut found = Vec::new();
    walk(&root(), &mut found);
    found.sort();
    found
}

pub(crate) fn read(path: String) -> Source {
    let text = std::fs::read_to_string(root().join(&path)).unwrap_or_else(|error| panic!("{path}: {error}"));
    Source { path, text }
}

fn walk(folder: &Path, found: &mut Vec<String>) {
    for entry in std::fs::read_dir(folder).expect("a folder of the checkout").map(Result::unwrap) {
        let (path, name) = (entry.path(), entry.file_name().to_string_lossy().into_owned());
        if path.is_dir() {
            if !matches!(name.as_str(), "target" | ".git" | "node_modules" | "chaos-out" | ".mirror") {
                walk(&path, found);
            }
        } else {
            let relative = path.strip_prefix(root()).expect("inside the checkout");
            found.push(relative.to_string_lossy().replace('\\', "/"));
        }
    }
}
