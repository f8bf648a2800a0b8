//! Tests of the archive: what other programs will read in it.

use std::collections::BTreeMap;
use std::io::Read as _;

use serde_json::{Value, json};

use super::elf::NotStatic;
use super::*;

/// The head of a program for amd64 with one program header of that type.
fn program(header: u32) -> Vec<u8> {
    let mut bytes = vec![0; 64 + 56];
    bytes[..6].copy_from_slice(b"\x7fELF\x02\x01");
    bytes[18..20].copy_from_slice(&62_u16.to_le_bytes());
    bytes[32..40].copy_from_slice(&64_u64.to_le_bytes());
    bytes[54..56].copy_from_slice(&56_u16.to_le_bytes());
    bytes[56..58].copy_from_slice(&1_u16.to_le_bytes());
    bytes[64..68].copy_from_slice(&header.to_le_bytes());
    bytes
}

fn archive() -> Vec<u8> {
    let images = [
        Image { name: "a.example/chaos:1", arguments: &[] },
        Image { name: "b.example/stack:2", arguments: &["dispatch"] },
    ];
    let mut out = Vec::new();
    write(&mut out, &program(1), Machine::Amd64, &images).unwrap();
    out
}

fn entries(archive: &[u8]) -> BTreeMap<String, (u32, Vec<u8>)> {
    let mut found = BTreeMap::new();
    for entry in tar::Archive::new(archive).entries().unwrap() {
        let mut entry = entry.unwrap();
        let header = entry.header();
        assert_eq!((header.uid().unwrap(), header.gid().unwrap(), header.mtime().unwrap()), (0, 0, 0));
        let (path, mode) = (entry.path().unwrap().to_string_lossy().into_owned(), header.mode().unwrap());
        let mut bytes = Vec::new();
        entry.read_to_end(&mut bytes).unwrap();
        assert!(found.insert(path, (mode, bytes)).is_none(), "an entry occurs once");
    }
    found
}

fn blob<'a>(entries: &'a BTreeMap<String, (u32, Vec<u8>)>, descriptor: &Value) -> &'a [u8] {
    let named = descriptor["digest"].as_str().unwrap();
    let bytes = &entries[&format!("blobs/{}", named.replace(':', "/"))].1;
    assert_eq!(digest(bytes), named);
    assert_eq!(descriptor["size"], bytes.len());
    bytes
}

#[test]
fn an_image_layout_leads_to_the_program_by_digests() {
    let entries = entries(&archive());
    let json = |bytes: &[u8]| serde_json::from_slice::<Value>(bytes).unwrap();
    assert_eq!(json(&entries["oci-layout"].1), json!({"imageLayoutVersion": "1.0.0"}));
    let index = json(&entries["index.json"].1);
    let names: Vec<_> =
        index["manifests"].as_array().unwrap().iter().map(|m| &m["annotations"]["io.containerd.image.name"]).collect();
    assert_eq!(names, ["a.example/chaos:1", "b.example/stack:2"]);
    for (entry, entrypoint) in
        index["manifests"].as_array().unwrap().iter().zip([json!(["/chaos"]), json!(["/chaos", "dispatch"])])
    {
        let manifest = json(blob(&entries, entry));
        let config = json(blob(&entries, &manifest["config"]));
        assert_eq!(config["config"]["Entrypoint"], entrypoint);
        assert_eq!(config["config"]["User"], "65532:65532", "never root");
        let mut layer = Vec::new();
        flate2::read::GzDecoder::new(blob(&entries, &manifest["layers"][0])).read_to_end(&mut layer).unwrap();
        assert_eq!(config["rootfs"]["diff_ids"], json!([digest(&layer)]));
        let files = self::entries(&layer);
        assert_eq!(files["chaos"], (0o755, program(1)));
        assert_eq!(files["tmp/"].0, 0o1777);
    }
}

#[test]
fn the_older_form_of_docker_is_there_as_well() {
    let entries = entries(&archive());
    let images: Value = serde_json::from_slice(&entries["manifest.json"].1).unwrap();
    assert_eq!(images[1]["RepoTags"], json!(["b.example/stack:2"]));
    for image in images.as_array().unwrap() {
        for path in image["Layers"].as_array().unwrap().iter().chain([&image["Config"]]) {
            assert!(entries.contains_key(path.as_str().unwrap()), "{path}");
        }
    }
}

#[test]
fn the_same_program_gives_the_same_archive() {
    assert_eq!(archive(), archive());
}

#[test]
fn only_a_static_program_can_be_alone_in_an_image() {
    assert_eq!(machine_of_static(&program(1)), Ok(Machine::Amd64));
    assert_eq!(machine_of_static(&program(3)), Err(NotStatic::Dynamic));
    assert_eq!(machine_of_static(b"#!/bin/sh\n"), Err(NotStatic::NoProgram));
    for end in 0..program(1).len() - 52 {
        assert_eq!(machine_of_static(&program(1)[..end]), Err(NotStatic::NoProgram), "cut after {end} bytes");
    }
    let mut endless = program(1);
    endless[32..40].fill(0xff);
    assert_eq!(machine_of_static(&endless), Err(NotStatic::NoProgram));
}

#[test]
fn a_name_without_a_tag_means_the_latest_and_a_port_is_no_tag() {
    for (name, whole, its_tag) in [
        ("chaos", "chaos:latest", "latest"),
        ("registry:5000/chaos", "registry:5000/chaos:latest", "latest"),
        ("registry:5000/chaos:1", "registry:5000/chaos:1", "1"),
        ("a.example/chaos:dev", "a.example/chaos:dev", "dev"),
    ] {
        assert_eq!((tagged(name).as_str(), tag(&tagged(name))), (whole, Some(its_tag)));
    }
}
