//! Config folders that a cell does not start with.

use crate::pod::{Pod, counter};

#[track_caller]
fn refused(pod: &Pod) -> String {
    let mut command = pod.command();
    command.arg("--tls").arg(pod.tls.path());
    let (status, line, sentence) = pod.fails(command);
    assert_eq!((status.code(), line["level"].as_str()), (Some(1), Some("ERROR")), "{line}");
    assert_eq!(line["message"], *sentence);
    assert!(!sentence.is_empty() && !sentence.contains('\n'), "{sentence}");
    sentence
}

#[test]
fn the_sentence_names_file_and_field() {
    let mut pod = Pod::new();
    pod.render_shard("hash-1", "buckets: 8", "buckets: 8000");
    let sentence = refused(&pod);
    assert!(sentence.contains("shard.yaml") && sentence.contains("spec.buckets"), "{sentence}");

    pod.config.replace(&[("hash", "hash-2")]);
    let sentence = refused(&pod);
    assert!(sentence.contains("shard.yaml") && sentence.contains("--config"), "{sentence}");

    pod.render("hash-3", "export default {\n  commands: { add( }\n};");
    let sentence = refused(&pod);
    assert!(sentence.contains("Counter: counter.js:2: "), "{sentence}");

    let blocked = pod.folder.path().join("data");
    std::fs::remove_dir_all(&blocked).expect("removed");
    std::fs::write(&blocked, "a file where a folder belongs").expect("written");
    pod.render("hash-4", &counter("one"));
    let sentence = refused(&pod);
    assert!(sentence.contains(&*blocked.to_string_lossy()), "{sentence}");
}
