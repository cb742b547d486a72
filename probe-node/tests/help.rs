//! The exact text of `--help`, the first thing that people read.

mod common;

use common::run;
use insta::assert_snapshot;

#[test]
fn every_command_has_help() {
    for command in [
        "",
        "run",
        "check",
        "status",
        "pair",
        "pair invite",
        "pair accept",
        "pair confirm",
        "nodes",
        "home",
        "home learn",
        "home show",
        "home set",
        "config",
        "config sample",
        "config check",
        "config services",
        "history",
        "history incidents",
    ] {
        let arguments: Vec<_> = command.split_whitespace().chain(["--help"]).collect();
        let output = run(&arguments);
        assert_eq!((output.code, output.stderr.as_str()), (0, ""), "{command}");
        let name = if command.is_empty() { "vpnsentinel-node".to_owned() } else { command.replace(' ', "-") };
        assert_snapshot!(name, output.stdout);
    }
}

#[test]
fn wrong_usage_is_an_error_and_not_a_verdict() {
    for arguments in [&[][..], &["chekc"], &["check", "--jsn"], &["history", "incidents", "--days", "0"]] {
        let output = run(arguments);
        assert_eq!(output.code, 3, "{arguments:?}");
        assert!(
            output.stdout.is_empty() && output.stderr.contains("--help"),
            "{arguments:?}: {}",
            output.stderr
        );
    }
}
