//! `corallite dead` on a real cell: a message that always fails, until its behavior is mended.

mod support;

use std::fs;
use std::time::{Duration, Instant};

use support::dev::{Dev, Shard};
use support::{Ended, corallite, http};

const PATIENCE: Duration = Duration::from_secs(60);

const MANIFEST: &str = "\
apiVersion: v1
kind: ConfigMap
metadata: { name: code }
data:
  bell.js: |
    export default {
      initial: 0,
      commands: { ring(n, to, ctx) { ctx.emit(\"Rung\", null); ctx.tell(to, \"hear\", { loud: true }); } },
      internal: { hear(n, { loud }, ctx) { BODY } },
      events: { Rung: (n) => n + 1, Heard: (n) => n + 100 },
    };
---
apiVersion: corallite.dev/v1alpha1
kind: ActorShard
metadata: { name: bells }
spec:
  buckets: 16
  store: { embedded: {} }
  actors:
    - type: Bell
      behavior: { configMapKeyRef: { name: code, key: bell.js } }
";

/// Runs `corallite dead …` against a cell.
fn dead(dev: &Dev, arguments: &[&str]) -> Ended {
    let server = format!("http://{}", dev.grpc);
    let arguments = [&["dead", "--server", &server], arguments].concat();
    corallite(&arguments).output().expect("the binary starts").into()
}

/// The letters that are listed, once there are this many.
fn letters(dev: &Dev, count: usize) -> Vec<serde_json::Value> {
    let started = Instant::now();
    loop {
        let ended = dead(dev, &["list"]);
        assert_eq!(ended.code, 0, "{ended:?}");
        let found: Vec<_> =
            ended.stdout.lines().map(|line| serde_json::from_str(line).expect("a letter a line")).collect();
        if found.len() == count {
            return found;
        }
        assert!(started.elapsed() < PATIENCE, "{ended:?}");
        std::thread::sleep(Duration::from_millis(50));
    }
}

fn state_is(dev: &Dev, actor: &str, wanted: u64) {
    let started = Instant::now();
    loop {
        let answer = http::get(dev.http, &format!("/v1/actors/{actor}")).expect("an answer");
        if answer.status == 200 && answer.json()["state"] == wanted {
            return;
        }
        assert!(started.elapsed() < PATIENCE, "{answer:?}");
        std::thread::sleep(Duration::from_millis(20));
    }
}

#[test]
fn letters_are_listed_shown_mended_replayed_and_dropped() {
    let folder = tempfile::tempdir().expect("temporary folder");
    let path = folder.path().join("bells.yaml");
    fs::write(&path, MANIFEST.replace("BODY", "throw new Error(\"too loud\");")).expect("write");
    let shard = Shard::new(&[&path]).with(&["--ephemeral"]);
    let dev = shard.start();
    for (id, to) in [("k-1", "\"Bell/b\""), ("k-2", "\"Bell/c\"")] {
        let rung = http::command(dev.http, "Bell/a", "ring", id, to).expect("an answer");
        assert_eq!(rung.status, 200, "{rung:?}");
    }
    let found = letters(&dev, 2);
    let to = |target: &str| found.iter().find(|letter| letter["target"] == target).expect("a letter to both");
    let (b, c) = (to("Bell/b"), to("Bell/c"));
    assert_eq!((&b["source"], &b["command"]), (&"Bell/a".into(), &"hear".into()));
    assert_eq!((&b["code"], &b["payload"]["loud"]), (&"ScriptThrew".into(), &true.into()));
    assert!(
        b["message"].as_str().is_some_and(|said| said.contains("bell.js:4") && said.contains("too loud")),
        "{b}"
    );
    let name = |letter: &serde_json::Value| letter["position"].as_str().expect("text").to_owned();
    let shown = dead(&dev, &["show", &name(b)]);
    assert_eq!((shown.code, &shown.json()), (0, b));
    assert_eq!(dead(&dev, &["drop", &name(c)]).code, 0);
    assert_eq!(letters(&dev, 1), std::slice::from_ref(b));
    // Nothing of that name is there any more, and the exit code says so.
    let gone = dead(&dev, &["drop", &name(c)]);
    assert!(gone.code != 0 && gone.stderr.contains("no dead letter"), "{gone:?}");

    fs::write(&path, MANIFEST.replace("BODY", "ctx.emit(\"Heard\", null);")).expect("write");
    dev.wait_for("Bell: version 2 taken", 1);
    let replayed = dead(&dev, &["replay", &name(b)]);
    assert_eq!(replayed.code, 0, "{replayed:?}");
    state_is(&dev, "Bell/b", 100);
    letters(&dev, 0);
    assert_eq!(http::get(dev.http, "/v1/actors/Bell/c").expect("an answer").status, 404, "dropped");
    assert!(dev.stop("TERM").0.success());
}
