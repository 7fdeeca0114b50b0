//! Arguments that cannot be meant: exit code 1, nothing sent, and a sentence that says what to write.

mod support;

use support::{Ended, corallite};

fn run(arguments: &[&str]) -> Ended {
    corallite(arguments).output().expect("the binary starts").into()
}

#[test]
fn wrong_arguments_are_named_and_exit_with_1() {
    let cases: &[(&[&str], &str)] = &[
        (&["call", "Order", "place"], "write Type/id"),
        (&["call", "Order/", "place"], "actor id is empty"),
        (&["call", "Order/a/b", "place"], "'/'"),
        (&["call", "Order/o-1", "pl ace"], "command has the character"),
        (&["call", "Order/o-1", "place", "{oops"], "not JSON"),
        (&["call", "Order/o-1", "place", "--id", "a b"], "command id"),
        (&["call", "Order/o-1", "place", "--wait", "5s"], "--until"),
        (&["call", "Order/o-1", "place", "--timeout", "5"], "as in 10s"),
        (&["get", "Order/o-1", "--server", "127.0.0.1:7070"], "http://127.0.0.1:7070"),
        (&["get", "Order/o-1", "--server", "https://127.0.0.1:7070"], "only http://"),
        (&["get", "Order/o-1", "--at-seq", "0"], "at-seq"),
        (&["events", "Order/o-1", "--limit", "0"], "limit"),
        (&["dead"], "Usage"),
        (&["dev"], "PATH"),
        (&["dev", "x", "--data", "d", "--ephemeral"], "cannot be used with"),
        (&["dev", "x", "--lanes", "0"], "1 to 1024"),
        (&["dev", "no-such-folder"], "no-such-folder"),
        (&["bench", "--in-flight", "0"], "1 to 65536"),
        (&["bench", "--sweep", "1,2", "--in-flight", "3"], "cannot be used with"),
        (&["bench", "--type", "Order"], "--command"),
        (&["bench", "--type", "A", "--command", "b", "--payload", "{{nope}}"], "{{nope}}"),
        (&["bench", "--zipf-exponent", "NaN"], "0 to 10"),
        (&["bench", "--http", "localhost:7080"], "http://"),
        (&["no-such-command"], "no-such-command"),
        (&[], "Usage"),
    ];
    for (arguments, expected) in cases {
        let ended = run(arguments);
        assert_eq!(ended.code, 1, "{arguments:?}: {ended:?}");
        assert!(ended.stderr.contains(expected), "{arguments:?} says {expected:?}: {}", ended.stderr);
        assert!(ended.stdout.is_empty(), "{arguments:?}");
    }
}

#[test]
fn help_teaches_and_is_no_error() {
    for command in ["dev", "call", "get", "events", "query", "feed", "dead", "bench"] {
        let ended = run(&[command, "--help"]);
        assert_eq!(ended.code, 0, "{command}");
        assert!(ended.stdout.contains("Examples:"), "{command}: {}", ended.stdout);
        assert!(ended.stdout.contains(&format!("corallite {command}")), "{command}: {}", ended.stdout);
    }
    let ended = run(&["--help"]);
    assert!(ended.stdout.contains("4  unknown"), "exit codes are documented: {}", ended.stdout);
    assert_eq!(run(&["--version"]).code, 0);
}
