//! Container images without a container engine: one static program becomes an archive of images that share one layer. Pure but
//! for the writer it is given. The archive is an OCI image layout that `docker load` and `kind load image-archive` read as
//! well, and it is the same byte for byte for the same program.

mod elf;

use std::io::{self, Write};

use chaos_core::digest::sha256_hex;
use flate2::Compression;
use flate2::write::GzEncoder;
use serde_json::{Value, json};

pub(crate) use elf::{Machine, machine_of_static};

/// Whoever runs in a container has no rights there: no name, no group, no home.
const USER: &str = "65532:65532";
/// The program in the image.
const PROGRAM: &str = "chaos";

/// One image of the archive.
pub(crate) struct Image<'a> {
    /// Its name with registry and tag.
    pub(crate) name: &'a str,
    /// What follows the program in the entrypoint.
    pub(crate) arguments: &'a [&'a str],
}

/// What was written.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Written {
    /// Size of the layer as it travels, in bytes.
    pub(crate) compressed: u64,
}

/// Writes images of `program`, which must be static, to `out`.
///
/// # Errors
/// The writer fails.
pub(crate) fn write(out: impl Write, program: &[u8], machine: Machine, images: &[Image<'_>]) -> io::Result<Written> {
    let layer = layer(program)?;
    let mut compressed = GzEncoder::new(Vec::new(), Compression::best());
    compressed.write_all(&layer)?;
    let layer = Layer { diff_id: digest(&layer), blob: Blob::new(compressed.finish()?) };

    let mut archive = Archive { tar: tar::Builder::new(out) };
    archive.file("oci-layout", &json_bytes(&json!({"imageLayoutVersion": "1.0.0"})))?;
    archive.folder("blobs/")?;
    archive.folder("blobs/sha256/")?;
    archive.blob(&layer.blob)?;
    let (mut index, mut docker) = (Vec::new(), Vec::new());
    for image in images {
        let config = Blob::new(json_bytes(&config(image, machine, &layer.diff_id)));
        let manifest = Blob::new(json_bytes(&manifest(&config, &layer.blob)));
        archive.blob(&config)?;
        archive.blob(&manifest)?;
        let name = tagged(image.name);
        index.push(entry(&name, machine, &manifest));
        docker.push(json!({"Config": config.path(), "RepoTags": [name], "Layers": [layer.blob.path()]}));
    }
    let media_type = "application/vnd.oci.image.index.v1+json";
    let index = json!({"schemaVersion": 2, "mediaType": media_type, "manifests": index});
    archive.file("index.json", &json_bytes(&index))?;
    archive.file("manifest.json", &json_bytes(&Value::Array(docker)))?;
    archive.tar.into_inner()?.flush()?;
    Ok(Written { compressed: layer.blob.bytes.len() as u64 })
}

struct Layer {
    /// Digest of the layer before compression.
    diff_id: String,
    blob: Blob,
}

/// Content that is named by its digest.
struct Blob {
    digest: String,
    bytes: Vec<u8>,
}

impl Blob {
    fn new(bytes: Vec<u8>) -> Self {
        Self { digest: digest(&bytes), bytes }
    }

    fn path(&self) -> String {
        format!("blobs/{}", self.digest.replace(':', "/"))
    }

    fn descriptor(&self, media_type: &str) -> Value {
        json!({"mediaType": media_type, "digest": self.digest, "size": self.bytes.len()})
    }
}

/// The files of the image: the program, and a folder for temporary files.
fn layer(program: &[u8]) -> io::Result<Vec<u8>> {
    let mut files = Archive { tar: tar::Builder::new(Vec::new()) };
    files.append("tmp/", tar::EntryType::Directory, 0o1777, &[])?;
    files.append(PROGRAM, tar::EntryType::Regular, 0o755, program)?;
    files.tar.into_inner()
}

fn config(image: &Image<'_>, machine: Machine, diff_id: &str) -> Value {
    let program = format!("/{PROGRAM}");
    let entrypoint: Vec<_> = std::iter::once(program.as_str()).chain(image.arguments.iter().copied()).collect();
    json!({
        "created": "1970-01-01T00:00:00Z", "architecture": machine.as_oci(), "os": "linux",
        "config": {"User": USER, "WorkingDir": "/", "Env": ["PATH=/"], "Entrypoint": entrypoint},
        "rootfs": {"type": "layers", "diff_ids": [diff_id]},
        "history": [{"created": "1970-01-01T00:00:00Z", "created_by": "chaos image"}],
    })
}

fn manifest(config: &Blob, layer: &Blob) -> Value {
    json!({
        "schemaVersion": 2, "mediaType": "application/vnd.oci.image.manifest.v1+json",
        "config": config.descriptor("application/vnd.oci.image.config.v1+json"),
        "layers": [layer.descriptor("application/vnd.oci.image.layer.v1.tar+gzip")],
    })
}

/// The tag of a name. What follows the colon in `registry:5000/image` is a port.
fn tag(name: &str) -> Option<&str> {
    let last = name.rsplit('/').next()?;
    last.split_once(':').map(|(_, tag)| tag)
}

/// A name with its tag: engines take none without, and nodes look for `latest` where a manifest says nothing.
fn tagged(name: &str) -> String {
    if tag(name).is_some() { name.to_owned() } else { format!("{name}:latest") }
}

/// The line of an image in the index. containerd reads the whole name, others only the tag.
fn entry(name: &str, machine: Machine, manifest: &Blob) -> Value {
    let mut entry = manifest.descriptor("application/vnd.oci.image.manifest.v1+json");
    entry["platform"] = json!({"architecture": machine.as_oci(), "os": "linux"});
    entry["annotations"] = json!({"io.containerd.image.name": name, "org.opencontainers.image.ref.name": tag(name)});
    entry
}

/// A tar archive whose entries differ in nothing but name, mode and content.
struct Archive<W: Write> {
    tar: tar::Builder<W>,
}

impl<W: Write> Archive<W> {
    fn append(&mut self, path: &str, kind: tar::EntryType, mode: u32, content: &[u8]) -> io::Result<()> {
        let mut header = tar::Header::new_ustar();
        header.set_entry_type(kind);
        header.set_mode(mode);
        header.set_size(content.len() as u64);
        header.set_uid(0);
        header.set_gid(0);
        header.set_mtime(0);
        self.tar.append_data(&mut header, path, content)
    }

    fn file(&mut self, path: &str, content: &[u8]) -> io::Result<()> {
        self.append(path, tar::EntryType::Regular, 0o644, content)
    }

    fn folder(&mut self, path: &str) -> io::Result<()> {
        self.append(path, tar::EntryType::Directory, 0o755, &[])
    }

    fn blob(&mut self, blob: &Blob) -> io::Result<()> {
        self.file(&blob.path(), &blob.bytes)
    }
}

fn digest(bytes: &[u8]) -> String {
    format!("sha256:{}", sha256_hex(bytes))
}

/// Values of ours always have a JSON form: all keys are strings.
fn json_bytes(value: &Value) -> Vec<u8> {
    value.to_string().into_bytes()
}

#[cfg(test)]
mod tests;
