//! What the linker is told of the program. Where this is not sure it tells nothing, and the program is only larger.

use std::process::Command;

/// The first glibc that starts a program whose relocations are packed.
const PACKED_SINCE: (u32, u32) = (2, 36);

fn main() {
    println!("cargo::rerun-if-changed=build.rs");
    // Relocations of a position-independent program are a fifteenth of it unless they are packed. A static one brings the glibc
    // that reads them; any other would not start on a system with an older one. Linkers that do not know the word pass over it.
    if is_static_and_built_on_its_own_system() && glibc() >= Some(PACKED_SINCE) {
        println!("cargo::rustc-link-arg-bins=-Wl,-z,pack-relative-relocs");
    }
}

fn is_static_and_built_on_its_own_system() -> bool {
    let cargo = |name: &str| std::env::var(name).unwrap_or_default();
    cargo("CARGO_CFG_TARGET_OS") == "linux"
        && cargo("CARGO_CFG_TARGET_ENV") == "gnu"
        && cargo("CARGO_CFG_TARGET_FEATURE").split(',').any(|feature| feature == "crt-static")
        && cargo("TARGET") == cargo("HOST")
}

/// The version of this system's glibc.
fn glibc() -> Option<(u32, u32)> {
    let output = Command::new("getconf").arg("GNU_LIBC_VERSION").output().ok()?;
    let said = String::from_utf8(output.stdout).ok()?;
    let (major, minor) = said.trim().strip_prefix("glibc ")?.split_once('.')?;
    Some((major.parse().ok()?, minor.parse().ok()?))
}
