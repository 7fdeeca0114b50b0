//! `scripts/image`: archives that container runtimes take, equal for equal binaries.

use std::fs;
use std::path::Path;
use std::process::{Command, Output};

use serde_json::Value;

fn image(binary: &Path, name: &str, out: &Path) -> Output {
    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("../scripts/image");
    Command::new(script).arg(binary).arg(name).arg(out).output().expect("the script runs")
}

fn json(file: &Path) -> Value {
    serde_json::from_slice(&fs::read(file).expect("there")).expect("JSON")
}

/// The blob a descriptor points to, once its size and digest are what it says.
fn blob(layout: &Path, descriptor: &Value) -> std::path::PathBuf {
    let digest = descriptor["digest"].as_str().expect("a digest").strip_prefix("sha256:").expect("sha256");
    let file = layout.join("blobs/sha256").join(digest);
    assert_eq!(descriptor["size"].as_u64(), Some(fs::metadata(&file).expect("there").len()));
    let sum = Command::new("sha256sum").arg(&file).output().expect("sha256sum").stdout;
    assert!(sum.starts_with(digest.as_bytes()), "{digest}");
    file
}

#[test]
fn an_image_holds_together_and_is_reproducible() {
    let folder = tempfile::tempdir().expect("a folder");
    let at = |name: &str| folder.path().join(name);
    fs::write(at("corallite-cell"), "not really a binary").expect("written");
    for out in ["one.tar", "two.tar"] {
        let made = image(&at("corallite-cell"), "corallite/cell:test", &at(out));
        assert!(made.status.success(), "{}", String::from_utf8_lossy(&made.stderr));
        // Another time on the file, the same bytes in the archive.
        let touched = Command::new("touch").args(["-d", "2001-01-01"]).arg(at("corallite-cell")).status();
        assert!(touched.expect("touch").success());
    }
    assert_eq!(fs::read(at("one.tar")).expect("read"), fs::read(at("two.tar")).expect("read"));

    let layout = at("layout");
    fs::create_dir(&layout).expect("made");
    let unpacked = Command::new("tar").arg("-xf").arg(at("one.tar")).arg("-C").arg(&layout).status();
    assert!(unpacked.expect("tar").success());
    let index = json(&layout.join("index.json"));
    let entry = &index["manifests"][0];
    assert_eq!(entry["annotations"]["io.containerd.image.name"], "docker.io/corallite/cell:test");
    let manifest = json(&blob(&layout, entry));
    let config = json(&blob(&layout, &manifest["config"]));
    assert_eq!(config["config"]["User"], "65532:65532");
    assert_eq!(config["config"]["Entrypoint"][0], "/corallite-cell");
    assert_eq!(config["rootfs"]["diff_ids"][0], manifest["layers"][0]["digest"]);
    let layer = blob(&layout, &manifest["layers"][0]);
    let listed = Command::new("tar").arg("-tvf").arg(layer).output().expect("tar").stdout;
    let listed = String::from_utf8(listed).expect("text");
    assert!(
        listed.starts_with("-rwxr-xr-x 0/0") && listed.trim_end().ends_with(" corallite-cell"),
        "{listed}"
    );
    let docker = json(&layout.join("manifest.json"));
    assert_eq!(docker[0]["RepoTags"][0], "corallite/cell:test");
    assert!(layout.join(docker[0]["Config"].as_str().expect("a path")).is_file());
}

#[test]
fn what_would_not_run_is_refused() {
    let folder = tempfile::tempdir().expect("a folder");
    let out = folder.path().join("out.tar");
    let refused = |binary: &str, name: &str| {
        let made = image(Path::new(binary), name, &out);
        assert!(!made.status.success() && !out.exists());
        String::from_utf8(made.stderr).expect("text")
    };
    // This test's own binary needs the system's libraries.
    let own = env!("CARGO_BIN_EXE_corallite-cell");
    assert!(refused(own, "corallite/cell:test").contains("crt-static"));
    assert!(refused("/nowhere", "corallite/cell:test").contains("/nowhere"));
    assert!(refused(own, "no tag").contains("NAME:TAG"));
}
