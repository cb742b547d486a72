//! What `--help` says, word for word: it is the first thing people read.

mod common;

use common::say;
use insta::assert_snapshot;

#[test]
fn every_command_explains_itself() {
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
        let said = say(&arguments);
        assert_eq!((said.code, said.err.as_str()), (0, ""), "{command}");
        let name = if command.is_empty() { "vpnsentinel-node".to_owned() } else { command.replace(' ', "-") };
        assert_snapshot!(name, said.out);
    }
}

#[test]
fn wrong_usage_is_an_error_and_not_a_verdict() {
    for arguments in [&[][..], &["chekc"], &["check", "--jsn"], &["history", "incidents", "--days", "0"]] {
        let said = say(arguments);
        assert_eq!(said.code, 3, "{arguments:?}");
        assert!(said.out.is_empty() && said.err.contains("--help"), "{arguments:?}: {}", said.err);
    }
}
