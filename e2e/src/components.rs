//! The binary of all Kubernetes components: built once from `e2e/controlplane`, then taken from the
//! cache.
//!
//! The cache is `${CORALLITE_CACHE:-${XDG_CACHE_HOME:-$HOME/.cache}/corallite}/controlplane/<hash>`,
//! with the hash of the Go module's files. Old hashes are not removed. Two builds of one hash at the
//! same time wait for each other.

use std::collections::BTreeSet;
use std::fs::{self, File};
use std::io::{BufRead, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use xxhash_rust::xxh3::Xxh3;

use crate::error::{Context, Error};
use crate::process::run;
use crate::say;

/// The Kubernetes release that `go.mod` pins.
pub const KUBERNETES_VERSION: &str = "v1.35.4";

/// How often a line of progress is printed during the build.
const PROGRESS_EVERY: Duration = Duration::from_secs(15);

/// The binary, built if the cache does not have it. Blocks, for many minutes at the first time.
///
/// # Errors
/// When Go is missing, the module proxy cannot be reached, or the build fails.
pub fn ensure() -> Result<PathBuf, Error> {
    let module = Path::new(env!("CARGO_MANIFEST_DIR")).join("controlplane");
    let dir = cache()?.join("controlplane").join(hash(&module)?);
    let binary = dir.join("controlplane");
    if binary.exists() {
        return Ok(binary);
    }
    fs::create_dir_all(&dir).context(|| format!("creating {}", dir.display()))?;
    let lock = File::create(dir.join("lock")).context(|| format!("locking {}", dir.display()))?;
    lock.lock().context(|| format!("locking {}", dir.display()))?;
    if !binary.exists() {
        build(&module, &binary)?;
    }
    Ok(binary)
}

/// Where things that outlive a run are kept.
pub(crate) fn cache() -> Result<PathBuf, Error> {
    let set = |name: &str| std::env::var_os(name).filter(|value| !value.is_empty()).map(PathBuf::from);
    set("CORALLITE_CACHE")
        .or_else(|| set("XDG_CACHE_HOME").map(|dir| dir.join("corallite")))
        .or_else(|| set("HOME").map(|dir| dir.join(".cache/corallite")))
        .ok_or_else(|| Error::Other("no place for the cache; set CORALLITE_CACHE or HOME".into()))
}

fn hash(module: &Path) -> Result<String, Error> {
    let mut hash = Xxh3::new();
    for name in ["go.mod", "go.sum", "main.go"] {
        let file = module.join(name);
        let text = fs::read(&file).context(|| format!("reading {}", file.display()))?;
        hash.update(&(text.len() as u64).to_le_bytes());
        hash.update(&text);
    }
    Ok(format!("{KUBERNETES_VERSION}-{:032x}", hash.digest128()))
}

fn build(module: &Path, binary: &Path) -> Result<(), Error> {
    let started = Instant::now();
    say(&format!("building Kubernetes {KUBERNETES_VERSION} from source, once; it takes many minutes"));
    let packages = run(go(module).args(["list", "-deps", "."]))?.lines().count();
    let partial = binary.with_extension("partial");
    let mut child = go(module)
        .args(["build", "-v", "-mod=readonly", "-buildvcs=false", "-trimpath", "-gcflags=all=-dwarf=false"])
        .args(["-ldflags", &linker_flags(), "-o"])
        .args([partial.as_os_str(), ".".as_ref()])
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::piped())
        .spawn()
        .context(|| "starting go".into())?;
    let said_by_go = child.stderr.take().ok_or_else(|| Error::Other("go has no pipe".into()))?;
    let mut compiled = 0;
    let mut printed = started;
    let mut said = Vec::new();
    // With -v Go prints the name of each package as it compiles it; anything with a space is a complaint.
    for line in BufReader::new(said_by_go).lines() {
        let line = line.context(|| "reading what go says".into())?;
        if line.contains(' ') {
            said.push(line);
        } else {
            compiled += 1;
        }
        if printed.elapsed() >= PROGRESS_EVERY {
            printed = Instant::now();
            say(&format!(
                "compiled {compiled} of at most {packages} packages after {} s",
                started.elapsed().as_secs()
            ));
        }
    }
    let status = child.wait().context(|| "waiting for go".into())?;
    if !status.success() {
        let distinct: BTreeSet<_> = said.iter().rev().take(40).collect();
        let output = distinct.into_iter().cloned().collect::<Vec<_>>().join("\n");
        return Err(Error::Command { command: "go build in e2e/controlplane".into(), status, output });
    }
    fs::rename(&partial, binary).context(|| format!("moving {}", partial.display()))?;
    say(&format!("built in {} s: {}", started.elapsed().as_secs(), binary.display()));
    Ok(())
}

fn go(module: &Path) -> Command {
    let mut command = Command::new("nice");
    // GOFLAGS and GOWORK of the user would change what is built.
    command.args(["-n", "10", "go"]).current_dir(module);
    command.env("CGO_ENABLED", "0").env("GOFLAGS", "").env("GOWORK", "off");
    command
}

/// Stamps the version in, as the release's own build does; the API server reports it, and kubectl
/// and the kubelet compare it.
fn linker_flags() -> String {
    let mut parts = KUBERNETES_VERSION.trim_start_matches('v').split('.');
    let (major, minor) = (parts.next().unwrap_or_default(), parts.next().unwrap_or_default());
    let mut flags = "-s -w".to_owned();
    for package in ["k8s.io/component-base/version", "k8s.io/client-go/pkg/version"] {
        for (name, value) in [
            ("gitVersion", KUBERNETES_VERSION),
            ("gitMajor", major),
            ("gitMinor", minor),
            ("gitTreeState", "clean"),
        ] {
            flags.push_str(&format!(" -X {package}.{name}={value}"));
        }
    }
    flags
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_version_is_the_one_that_go_mod_pins() {
        let module = Path::new(env!("CARGO_MANIFEST_DIR")).join("controlplane/go.mod");
        let text = fs::read_to_string(module).expect("go.mod");
        assert!(
            text.contains(&format!("k8s.io/kubernetes {KUBERNETES_VERSION}\n")),
            "KUBERNETES_VERSION is stale"
        );
        let staging = KUBERNETES_VERSION.replacen("v1.", "v0.", 1);
        let stale: Vec<_> =
            text.lines().filter(|line| line.contains("=>") && !line.ends_with(&staging)).collect();
        assert!(stale.is_empty(), "not {staging}: {stale:?}");
    }
}
