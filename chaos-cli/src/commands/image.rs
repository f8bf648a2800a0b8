//! `chaos image`: the container images of the operator and of the bundled dispatch stack, written by the very program that runs
//! in them. It talks to no registry and no engine.

use anyhow::Context as _;

use crate::cli::ImageArgs;
use crate::exit::{Exit, Failure};
use crate::image::{self, Image, machine_of_static};
use crate::{files, output};

pub(super) fn image(args: &ImageArgs) -> Result<Exit, Failure> {
    let path = match &args.program {
        Some(path) => path.clone(),
        None => std::env::current_exe().context("failed to find this program's own file")?,
    };
    let program = std::fs::read(&path).with_context(|| format!("failed to read {}", path.display()))?;
    let machine = machine_of_static(&program).map_err(|why| {
        Failure::invalid(anyhow::anyhow!(
            "{} cannot be alone in an image: {why}; hint: RUSTFLAGS='-C target-feature=+crt-static' cargo build \
             --release --target x86_64-unknown-linux-gnu, and run that, or name it with --program",
            path.display()
        ))
    })?;
    let images = images(args);
    let written = files::write_by(&args.output, |out| image::write(out, &program, machine, &images))?;
    for image in &images {
        output::say(&format!("image {}", image.name));
    }
    output::say(&format!(
        "{} ({}, {:.1} MB compressed); next: `ctr -n k8s.io image import`, `kind load image-archive` or `docker load -i`",
        args.output.display(),
        machine.as_oci(),
        written.compressed as f64 / 1e6
    ));
    Ok(Exit::OK)
}

#[cfg(feature = "bundled")]
fn images(args: &ImageArgs) -> Vec<Image<'_>> {
    let stack = Image { name: &args.stack_name, arguments: &[super::bundled::DISPATCH] };
    vec![Image { name: &args.name, arguments: &[] }, stack]
}

#[cfg(not(feature = "bundled"))]
fn images(args: &ImageArgs) -> Vec<Image<'_>> {
    vec![Image { name: &args.name, arguments: &[] }]
}

#[cfg(test)]
mod tests {
    use clap::Parser as _;

    use super::*;
    use crate::cli::{Cli, Command};

    #[test]
    fn an_archive_is_never_written_over_another_one() {
        let folder = tempfile::tempdir().unwrap();
        let path = |name: &str| folder.path().join(name);
        let (program, archive, before) = (path("program"), path("images.tar"), path("before.tar"));
        // The head of a static program for amd64.
        let mut head = vec![0; 64];
        head[..6].copy_from_slice(b"\x7fELF\x02\x01");
        head[18] = 62;
        std::fs::write(&program, head).unwrap();
        std::fs::write(&archive, "old").unwrap();
        // Whoever reads the old one goes on reading that.
        std::fs::hard_link(&archive, &before).unwrap();
        let line = ["chaos", "image", "--program", program.to_str().unwrap(), "-o", archive.to_str().unwrap()];
        let Command::Image(args) = Cli::try_parse_from(line).unwrap().command else { panic!("another command") };
        assert!(image(&args).is_ok());
        assert_eq!(std::fs::read_to_string(&before).unwrap(), "old");
        assert!(std::fs::metadata(&archive).unwrap().len() > 1_000);
        assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 3, "nothing else is left there");
    }
}
