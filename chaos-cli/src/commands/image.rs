//! `chaos image`: the container images of the operator and of the bundled dispatch stack, written by the very program that runs
//! in them. It talks to no registry and no engine.

use std::fs::File;
use std::io::BufWriter;

use anyhow::Context as _;

use crate::cli::ImageArgs;
use crate::exit::{Exit, Failure};
use crate::image::{self, Image, machine_of_static};
use crate::output;

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
    let failed = || format!("failed to write {}", args.output.display());
    let file = File::create(&args.output).with_context(failed)?;
    let written = image::write(BufWriter::new(file), &program, machine, &images).with_context(failed)?;
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
