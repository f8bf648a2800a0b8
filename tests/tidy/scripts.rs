//! The scripts of `tests/real-kubernetes` act as root on the machine of whoever runs them: what they must not touch they refuse,
//! before they touch anything.

use std::fs::Permissions;
use std::os::unix::fs::{MetadataExt as _, PermissionsExt as _};
use std::path::PathBuf;
use std::process::Command;

use crate::tree::{files, root};

/// What a cluster without nodes is made with. Nothing here gets as far as to need it.
const PROGRAMS: [&str; 8] = ["openssl", "ip", "nsenter", "unshare", "setsid", "curl", "go", "jq"];
const NO_ROOT: &str = "this needs root";

/// Copies that every user may read, beside programs that only fail.
struct Scripts {
    folder: tempfile::TempDir,
}

impl Scripts {
    fn copy() -> Self {
        // Where TMPDIR leads, other users may have no way in.
        let folder = tempfile::tempdir_in("/tmp").unwrap();
        let open = |path: PathBuf| std::fs::set_permissions(path, Permissions::from_mode(0o755)).unwrap();
        let bin = folder.path().join("bin");
        std::fs::create_dir(&bin).unwrap();
        for name in PROGRAMS {
            std::fs::write(bin.join(name), "#!/bin/sh\nexit 1\n").unwrap();
            open(bin.join(name));
        }
        open(bin);
        open(folder.path().to_owned());
        for path in files() {
            let Some(name) = path.strip_prefix("tests/real-kubernetes/").filter(|name| !name.contains('/')) else {
                continue;
            };
            let copy = folder.path().join(name);
            std::fs::copy(root().join(&path), &copy).unwrap();
            open(copy);
        }
        Self { folder }
    }

    /// The script must fail, and say this.
    fn refuses(&self, runner: &[&str], name: &str, args: &[&str], why: &str) {
        let path = std::env::var("PATH").unwrap_or_default();
        let output = Command::new(runner[0])
            .args(&runner[1..])
            .arg(self.folder.path().join(name))
            .args(args)
            .env("PATH", format!("{}:{path}", self.folder.path().join("bin").display()))
            .env_remove("CHAOS_K8S_DIR")
            .output()
            .expect("bash and setpriv are installed");
        let said = String::from_utf8_lossy(&output.stderr);
        assert_eq!(output.status.code(), Some(1), "{name} {args:?}: {said}");
        assert!(said.contains(why), "{name} {args:?}: expected {why:?}, it says: {said}");
    }
}

fn is_root() -> bool {
    std::fs::metadata("/proc/self").unwrap().uid() == 0
}

#[test]
fn scripts_refuse_what_makes_no_sense_before_they_ask_for_root() {
    let scripts = Scripts::copy();
    let refusals: [(&str, &[&str], &str); 18] = [
        ("up", &["--nodes", "4"], "--nodes wants 0, 1, 2 or 3, not 4"),
        ("up", &["--network", "10.250.0.0/16"], "--network wants two bytes"),
        ("up", &["--dir", "here"], "--dir wants an absolute path"),
        ("up", &["--dir"], "--dir wants a value"),
        ("up", &["--node", "1"], "unknown argument --node"),
        ("down", &["--all", "yes"], "unknown argument --all"),
        ("scale", &["--program", "/nowhere"], "--program wants the chaos binary"),
        ("scale", &["--bars", "--lateness", "--program", "/nowhere"], "--program wants the chaos binary"),
        ("scale", &["--program", "/bin/sh", "--pods", "1500"], "--pods wants thousands, not 1500"),
        ("scale", &["--program", "/bin/sh", "--quiet", "0"], "--quiet wants a number, not 0"),
        ("scale", &["--program", "/bin/sh", "--dir", "here"], "--dir wants an absolute path"),
        ("scale", &["--embedded", "--network", "10.252", "--program", "/bin/sh"], "--network is of the real"),
        ("lateness", &["/nowhere"], "no audit log in /nowhere"),
        ("status", &["--dir", "/nowhere"], "no cluster in /nowhere (hint: up --dir /nowhere)"),
        ("load", &["--dir", "/nowhere", "images.tar"], "no cluster in /nowhere"),
        ("stack", &["--dir", "/nowhere", "resilient"], "no cluster in /nowhere"),
        ("stack", &["--dir", "/nowhere", "postgres"], "no cluster in /nowhere"),
        ("stack", &["mysql"], "resilient|fragile|postgres"),
    ];
    for (name, args, why) in refusals {
        scripts.refuses(&["bash"], name, args, why);
    }
}

#[test]
fn scripts_do_nothing_for_a_user_without_rights() {
    let scripts = Scripts::copy();
    let nobody: &[&str] =
        if is_root() { &["setpriv", "--reuid", "65534", "--clear-groups", "bash"] } else { &["bash"] };
    let dir = scripts.folder.path().join("cluster");
    for name in ["up", "down"] {
        scripts.refuses(nobody, name, &["--dir", dir.to_str().unwrap()], NO_ROOT);
    }
    assert!(!dir.exists());
}

#[test]
fn scripts_leave_a_folder_alone_that_is_no_cluster_of_theirs() {
    let scripts = Scripts::copy();
    let dir = scripts.folder.path().join("cluster");
    let theirs = dir.join("theirs");
    std::fs::create_dir(&dir).unwrap();
    std::fs::write(&theirs, "").unwrap();
    let refuses = |name: &str, args: &[&str], why: &str| {
        let args = [&["--dir", dir.to_str().unwrap()][..], args].concat();
        scripts.refuses(&["bash"], name, &args, if is_root() { why } else { NO_ROOT });
        assert!(theirs.exists(), "{name} {args:?} removed a file of somebody else");
    };
    let small = ["--nodes", "0", "--version", "1.36.3", "--network", "10.250"];
    refuses("up", &small, "is not empty and not a cluster of this script");
    refuses("down", &[], "is not a cluster of this script");
    // What it measures with would be built before it looks at a folder.
    std::fs::write(scripts.folder.path().join("build"), "#!/bin/sh\n").unwrap();
    // The embedded cluster does not need root.
    let embedded = ["--embedded", "--program", "/bin/sh", "--dir", dir.to_str().unwrap()];
    scripts.refuses(&["bash"], "scale", &embedded, "is there already, and --embedded wants a folder of its own");
    assert!(theirs.exists());
    std::fs::write(dir.join("chaos-toolkit-cluster"), "version=1.36.3 nodes=0 network=10.250\n").unwrap();
    refuses("up", &["--nodes", "0", "--network", "10.251"], "another cluster (version=1.36.3 nodes=0 network=10.250)");
    refuses("up", &small, "holds the rest of a cluster that has ended");
    refuses("scale", &["--program", "/bin/sh"], " already (hint: down --dir ");
}

#[test]
fn two_scripts_do_not_have_one_folder_at_a_time() {
    let scripts = Scripts::copy();
    let dir = scripts.folder.path().join("cluster");
    let twice: &[&str] = &["bash", "-c", "set -e; source \"$0\"; lock \"$1\"; (exec 8>&-; lock \"$1\")"];
    scripts.refuses(twice, "lib.sh", &[dir.to_str().unwrap()], "another script uses");
    // The first one has ended, and its lock with it.
    let again: &[&str] = &["bash", "-c", "set -e; source \"$0\"; lock \"$1\"; die 'it is free'"];
    scripts.refuses(again, "lib.sh", &[dir.to_str().unwrap()], "it is free");
}
