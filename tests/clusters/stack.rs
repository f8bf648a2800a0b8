//! The dispatch stack's rendered manifests are what its overlays say.

use std::process::Command;

use crate::cluster::root;

#[test]
#[ignore = "takes kubectl, which a machine for `cargo test` need not have"]
fn what_is_rendered_of_the_stack_is_what_its_overlays_say() {
    let deploy = root().join("examples/dispatch-stack/deploy");
    for overlay in std::fs::read_dir(deploy.join("overlays")).unwrap().map(|entry| entry.unwrap().path()) {
        let output = Command::new("kubectl").arg("kustomize").arg(&overlay).output().expect("kubectl is installed");
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        let name = overlay.file_name().unwrap().to_string_lossy();
        let rendered = std::fs::read_to_string(deploy.join(format!("{name}.yaml"))).unwrap_or_default();
        let hint = format!("hint: kubectl kustomize deploy/overlays/{name} > deploy/{name}.yaml");
        assert!(
            rendered == String::from_utf8_lossy(&output.stdout),
            "{name}.yaml is not what its overlay says; {hint}"
        );
    }
}
