//! Container images without a container tool: an archive with one layer, made from a program.
//!
//! A program that was linked dynamically gets the libraries it names beside it, at the paths where
//! this machine has them; so what `cargo build` made runs in a pod as it is, and nothing is compiled
//! a second time. The images hold nothing else: no shell, no users, no certificates.

use std::fs::{self, File};
use std::io::Write;
use std::path::{Path, PathBuf};

use aws_lc_rs::digest::{SHA256, digest};
use serde_json::json;
use tempfile::TempDir;
use xxhash_rust::xxh3::xxh3_128;

use crate::components::cache;
use crate::error::{Context, Error};
use crate::process::{command, run};

/// The user and group that images run as, unless their pod says otherwise.
pub const USER: u32 = 65_532;

/// What the containers of this platform run on; the value is fixed because nothing else was tried.
const ARCHITECTURE: &str = if cfg!(target_arch = "aarch64") { "arm64" } else { "amd64" };

/// An image in a file, which goes when this is dropped.
#[derive(Debug)]
pub struct Image {
    reference: String,
    archive: PathBuf,
    _dir: TempDir,
}

impl Image {
    /// An image named `reference` (such as `corallite/cell:e2e`) whose entry point is `program`, at
    /// `path` (such as `/corallite-cell`).
    ///
    /// # Errors
    /// When the program or one of its libraries cannot be read, or there is no room for the archive.
    pub fn of_program(reference: &str, path: &str, program: &Path) -> Result<Self, Error> {
        let mut files = vec![(path.to_owned(), program.to_owned())];
        files.extend(libraries(program)?.into_iter().map(|library| (library.display().to_string(), library)));
        Self::of_files(reference, path, &files)
    }

    /// As [`of_program`](Self::of_program), from a Rust file without dependencies that is compiled
    /// first, linked statically. The compiled program is kept in the cache.
    ///
    /// # Errors
    /// When it does not compile.
    pub fn of_source(reference: &str, path: &str, source: &Path) -> Result<Self, Error> {
        Self::of_files(reference, path, &[(path.to_owned(), compile(source)?)])
    }

    /// The name that pods ask for.
    #[must_use]
    pub fn reference(&self) -> &str {
        &self.reference
    }

    /// The archive, in the format of `docker save`.
    #[must_use]
    pub fn archive(&self) -> &Path {
        &self.archive
    }

    fn of_files(reference: &str, entry: &str, files: &[(String, PathBuf)]) -> Result<Self, Error> {
        let layer = layer(files)?;
        let config = json!({
            "architecture": ARCHITECTURE,
            "os": "linux",
            "config": { "User": format!("{USER}:{USER}"), "Entrypoint": [entry], "WorkingDir": "/" },
            "rootfs": { "type": "layers", "diff_ids": [format!("sha256:{}", sha256(&layer))] },
        })
        .to_string();
        let manifest = json!([{ "Config": "config.json", "RepoTags": [reference], "Layers": ["layer.tar"] }])
            .to_string();
        let dir = TempDir::new().context(|| "making a temporary folder".into())?;
        let archive = dir.path().join("image.tar");
        let file = File::create(&archive).context(|| format!("creating {}", archive.display()))?;
        let mut tar = tar::Builder::new(file);
        for (name, bytes) in [
            ("config.json", config.as_bytes()),
            ("layer.tar", &layer),
            ("manifest.json", manifest.as_bytes()),
        ] {
            append(&mut tar, name, 0o644, bytes)?;
        }
        tar.finish().context(|| format!("writing {}", archive.display()))?;
        Ok(Self { reference: reference.to_owned(), archive, _dir: dir })
    }
}

/// A tar with these files (path in the image, file here), executable by all, and an empty `/tmp`.
fn layer(files: &[(String, PathBuf)]) -> Result<Vec<u8>, Error> {
    let mut tar = tar::Builder::new(Vec::new());
    for (path, file) in files {
        let bytes = fs::read(file).context(|| format!("reading {}", file.display()))?;
        append(&mut tar, path.trim_start_matches('/'), 0o755, &bytes)?;
    }
    let mut header = tar::Header::new_gnu();
    header.set_entry_type(tar::EntryType::Directory);
    header.set_mode(0o1777);
    header.set_size(0);
    tar.append_data(&mut header, "tmp/", std::io::empty()).context(|| "making a layer".into())?;
    tar.into_inner().context(|| "making a layer".into())
}

fn append<W: Write>(tar: &mut tar::Builder<W>, path: &str, mode: u32, bytes: &[u8]) -> Result<(), Error> {
    let mut header = tar::Header::new_gnu();
    header.set_mode(mode);
    header.set_size(bytes.len() as u64);
    tar.append_data(&mut header, path, bytes).context(|| format!("adding {path} to an archive"))
}

/// The libraries that a program is linked with, the loader included; none for a static one.
fn libraries(program: &Path) -> Result<Vec<PathBuf>, Error> {
    let listed = match run(&mut command("ldd", [program])) {
        Ok(listed) => listed,
        Err(Error::Command { output, .. }) if output.contains("not a dynamic executable") => {
            return Ok(Vec::new());
        }
        Err(error) => return Err(error),
    };
    if let Some(missing) = listed.lines().find(|line| line.contains("not found")) {
        return Err(Error::Other(format!(
            "{} needs a library that is missing: {missing}",
            program.display()
        )));
    }
    // "libm.so.6 => /lib/libm.so.6 (0x…)", or "/lib64/ld-linux-x86-64.so.2 (0x…)" for the loader.
    let paths = listed.lines().filter_map(|line| {
        let path = line.split("=>").last()?.split_whitespace().next()?;
        path.starts_with('/').then(|| PathBuf::from(path))
    });
    Ok(paths.collect())
}

fn compile(source: &Path) -> Result<PathBuf, Error> {
    let text = fs::read(source).context(|| format!("reading {}", source.display()))?;
    let dir = cache()?.join("programs");
    fs::create_dir_all(&dir).context(|| format!("creating {}", dir.display()))?;
    let program = dir.join(format!("{:032x}", xxh3_128(&text)));
    if !program.exists() {
        let partial = dir.join(format!("partial-{}", std::process::id()));
        let compiler = std::env::var_os("RUSTC").unwrap_or_else(|| "rustc".into());
        let mut rustc = command(compiler, ["--edition", "2024", "-C", "opt-level=2", "-C", "panic=abort"]);
        rustc.args(["-C", "strip=symbols", "-C", "target-feature=+crt-static", "-o"]);
        run(rustc.arg(&partial).arg(source))?;
        fs::rename(&partial, &program).context(|| format!("moving {}", partial.display()))?;
    }
    Ok(program)
}

fn sha256(bytes: &[u8]) -> String {
    digest(&SHA256, bytes).as_ref().iter().map(|byte| format!("{byte:02x}")).collect()
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;
    use std::io::Read;

    use super::*;

    fn entries(archive: impl Read) -> BTreeMap<String, Vec<u8>> {
        let mut archive = tar::Archive::new(archive);
        let entries = archive.entries().expect("a tar").map(|entry| {
            let mut entry = entry.expect("an entry");
            let mut bytes = Vec::new();
            entry.read_to_end(&mut bytes).expect("its bytes");
            (entry.path().expect("its path").display().to_string(), bytes)
        });
        entries.collect()
    }

    #[test]
    fn an_image_of_a_program_has_its_libraries() {
        let program = std::env::current_exe().expect("this test");
        let image = Image::of_program("corallite/x:1", "/x", &program).expect("an image");
        let archive = entries(File::open(image.archive()).expect("the archive"));
        let config: serde_json::Value = serde_json::from_slice(&archive["config.json"]).expect("json");
        assert_eq!(config["rootfs"]["diff_ids"][0], format!("sha256:{}", sha256(&archive["layer.tar"])));
        let files = entries(&archive["layer.tar"][..]);
        assert_eq!(files["x"], fs::read(&program).expect("the program"));
        assert!(files.keys().any(|file| file.contains("libc.so")), "{:?}", files.keys());
    }
}
