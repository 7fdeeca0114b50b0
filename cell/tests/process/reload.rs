//! Config folders that change under a running cell.

use crate::pod::{Pod, counter};

#[tokio::test]
async fn a_changed_behavior_is_taken_without_a_restart() {
    let mut pod = Pod::new();
    let run = pod.start().await;
    assert_eq!(run.add("a").await, "one");
    let first = pod.status(&run).await;
    assert_eq!((first.behaviors.len(), first.behaviors[0].ordinal), (1, 1));

    pod.render("hash-2", &counter("two"));
    let second = pod.status_where(&run, |status| status.config_hash == "hash-2").await;
    assert_eq!(second.behaviors[0].ordinal, 2);
    assert_ne!(second.behaviors[0].content, first.behaviors[0].content);
    assert_eq!((second.behaviors[0].content.len(), second.config_error.as_str()), (32, ""));
    assert_eq!((run.add("a").await.as_str(), second.session == first.session), ("two", true));
    assert_eq!(run.state("a").await["n"], 2);
    let (_, metrics) = run.admin("/metrics").await;
    assert!(metrics.contains("corallite_behavior_version{type=\"Counter\"} 2\n"), "{metrics}");
}

#[tokio::test]
async fn a_behavior_that_does_not_compile_is_refused_with_its_line_and_the_old_one_goes_on() {
    let mut pod = Pod::new();
    let run = pod.start().await;
    assert_eq!(run.add("a").await, "one");

    pod.render("hash-2", "export default {\n  commands: { add( }\n};\n");
    let status = pod.status_where(&run, |status| status.config_hash == "hash-2").await;
    let [behavior] = &status.behaviors[..] else { panic!("{status:?}") };
    let refused = behavior.refused.as_ref().expect("refused");
    assert!(refused.message.starts_with("counter.js:2: "), "{refused:?}");
    assert_eq!((behavior.ordinal, &*refused.file, refused.line), (1, "counter.js", 2));
    assert_eq!(run.add("a").await, "one");
    let gauge = "corallite_behavior_refused{type=\"Counter\"}";
    let (_, metrics) = run.admin("/metrics").await;
    assert!(metrics.contains(&format!("{gauge} 1\n")), "{metrics}");
    assert_eq!(run.admin("/readyz").await.0, 200, "a refused behavior is no reason to take no traffic");

    // An event that was declared must stay readable.
    pod.render("hash-3", "export default { initial: {}, commands: {}, events: {} };");
    let status = pod.status_where(&run, |status| status.config_hash == "hash-3").await;
    let refused = status.behaviors[0].refused.as_ref().expect("refused");
    assert!(refused.message.contains("Added"), "{refused:?}");

    pod.render("hash-4", &counter("four"));
    let status = pod.status_where(&run, |status| status.config_hash == "hash-4").await;
    assert_eq!((status.behaviors[0].ordinal, &status.behaviors[0].refused), (2, &None));
    assert_eq!(run.add("a").await, "four");
    let (_, metrics) = run.admin("/metrics").await;
    assert!(metrics.contains(&format!("{gauge} 0\n")), "{metrics}");
}

#[tokio::test]
async fn what_a_running_cell_cannot_take_is_said() {
    let mut pod = Pod::new();
    let run = pod.start().await;
    pod.render_shard("hash-2", "buckets: 8", "buckets: 16");
    let status = pod.status_where(&run, |status| status.config_hash == "hash-2").await;
    assert!(status.config_error.contains("buckets"), "{status:?}");

    pod.config.replace(&[("shard.yaml", "kind: Pod"), ("hash", "hash-3")]);
    let status = pod.status_where(&run, |status| status.config_hash == "hash-3").await;
    assert!(
        status.config_error.contains("shard.yaml") && status.config_error.contains("apiVersion"),
        "{status:?}"
    );

    pod.render("hash-4", &counter("four"));
    let status = pod.status_where(&run, |status| status.config_hash == "hash-4").await;
    assert_eq!((&*status.config_error, status.behaviors[0].ordinal), ("", 2));
    assert_eq!(run.add("a").await, "four");
}

/// The next start meets a config that is refused: what is stored is served, and it is said.
#[tokio::test]
async fn a_cell_starts_with_what_is_stored_when_its_config_is_refused() {
    let mut pod = Pod::new();
    let run = pod.start().await;
    assert_eq!(run.add("a").await, "one");
    run.signal("TERM");
    assert!(run.ended().await.0.success());
    pod.render("hash-2", "export default 1 +");
    let run = pod.start().await;
    let status = pod.status(&run).await;
    assert_eq!((&*status.config_hash, status.behaviors[0].ordinal), ("hash-2", 1));
    assert!(status.behaviors[0].refused.is_some(), "{status:?}");
    assert_eq!(run.add("a").await, "one");
}
