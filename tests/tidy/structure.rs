//! Rules for the shape of the workspace: who may know whom, and that the map names everything.

use std::process::Command;

use crate::tree::{read, root};

#[test]
fn core_has_no_runtime_no_client_and_no_tls() {
    let tree = cargo_tree("chaos-core");
    assert!(tree.contains("chaos-core"), "{tree}");
    for banned in ["tokio", "hyper", "reqwest", "rustls", "ring", "kube-client", "axum"] {
        let found = tree.lines().any(|line| line.split_whitespace().next() == Some(banned));
        assert!(!found, "chaos-core must not depend on {banned}:\n{tree}");
    }
}

#[test]
fn the_stand_in_and_the_example_know_nothing_of_chaos() {
    for package in ["local-cluster", "dispatch-stack"] {
        let tree = cargo_tree(package);
        let ours =
            tree.lines().filter_map(|line| line.split_whitespace().next()).filter(|name| name.starts_with("chaos-"));
        assert_eq!(ours.count(), 0, "{package} must not depend on a chaos crate:\n{tree}");
    }
}

#[test]
fn dependencies_point_towards_the_core() {
    for (package, banned) in [
        ("chaos-engine", vec!["chaos-operator", "chaos-cli", "local-cluster", "dispatch-stack"]),
        ("chaos-operator", vec!["chaos-cli", "local-cluster", "dispatch-stack"]),
    ] {
        let tree = cargo_tree(package);
        for name in banned {
            let found = tree.lines().any(|line| line.split_whitespace().next() == Some(name));
            assert!(!found, "{package} must not depend on {name}");
        }
    }
}

#[test]
fn the_map_names_every_member() {
    let manifest = read("Cargo.toml".into()).text;
    let members = manifest
        .lines()
        .skip_while(|line| !line.starts_with("members"))
        .skip(1)
        .take_while(|line| !line.starts_with(']'));
    let map = read("ARCHITECTURE.md".into()).text;
    for member in members.map(|line| line.trim().trim_matches([',', '"'])) {
        assert!(map.contains(&format!("{member}/")), "ARCHITECTURE.md does not name {member}/");
    }
}

#[test]
fn every_link_of_the_documents_leads_somewhere() {
    let documents = crate::tree::files().into_iter().filter(|path| path.ends_with(".md"));
    let broken: Vec<String> = documents
        .map(read)
        .flat_map(|document| {
            let folder = document.path.rsplit_once('/').map_or(String::new(), |(folder, _)| format!("{folder}/"));
            let targets: Vec<String> = document
                .text
                .split("](")
                .skip(1)
                .filter_map(|rest| rest.split(')').next())
                .map(str::to_owned)
                .collect();
            let local = targets
                .into_iter()
                .filter(|target| !target.contains("://") && !target.starts_with('#') && !target.contains(' '));
            local
                .map(|target| target.split('#').next().unwrap_or_default().to_owned())
                .filter(|target| !root().join(&folder).join(target).exists())
                .map(|target| format!("{}: {target}", document.path))
                .collect::<Vec<_>>()
        })
        .collect();
    assert!(broken.is_empty(), "links that lead nowhere: {broken:#?}");
}

/// The names of everything a package links, as `cargo tree` prints them.
fn cargo_tree(package: &str) -> String {
    let output = Command::new(env!("CARGO"))
        .args(["tree", "--offline", "--locked", "--prefix", "none", "--edges", "normal", "--package", package])
        .current_dir(root())
        .output()
        .expect("cargo runs");
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout).expect("cargo prints text")
}
