//! The commands as a person uses them, mistakes included.

mod common;

use common::{Node, TestDirectory, run, run_with_config, wait_until};
use sentinel_model::SCHEMA;
use std::{
    fs,
    io::{Read, Write},
    net::TcpListener,
    process::Stdio,
};

#[test]
fn a_mistake_in_the_configuration_is_named_with_its_line() {
    let directory = TestDirectory::new();
    let config = directory.path().join("config.toml");
    fs::write(&config, "name = \"a\"\n[cadence]\nruond = \"30s\"\n").unwrap();
    for command in [&["config", "check"][..], &["run"], &["status"]] {
        let output = run_with_config(&config, command);
        assert_eq!(output.code, 3);
        for part in ["config.toml", "line 3", "ruond", "config sample"] {
            assert!(output.stderr.contains(part), "{}", output.stderr);
        }
    }
}

#[test]
fn a_missing_configuration_is_named() {
    let output = run(&["--config", "/nowhere/config.toml", "config", "check"]);
    assert_eq!(output.code, 3);
    assert!(
        output.stderr.contains("/nowhere/config.toml") && output.stderr.contains("config sample"),
        "{}",
        output.stderr
    );
}

#[test]
fn the_sample_is_a_valid_configuration() {
    let directory = TestDirectory::new();
    let sample = run(&["config", "sample"]);
    assert_eq!(sample.code, 0);
    let config = directory.path().join("sample.toml");
    fs::write(&config, sample.stdout).unwrap();
    let output = run_with_config(&config, &["config", "check"]);
    assert_eq!((output.code, output.stderr.as_str()), (0, ""));
    assert!(output.stdout.contains("valid"), "{}", output.stdout);
}

#[test]
fn every_public_service_is_listed_and_a_misspelt_one_is_reported() {
    let directory = TestDirectory::new();
    let config = directory.path().join("config.toml");
    fs::write(&config, "[services]\nconsent = true\ndisabled = [\"google\", \"clodflare\"]\n").unwrap();
    let output = run_with_config(&config, &["config", "services"]);
    assert_eq!(output.code, 0);
    assert!(
        output.stdout.lines().any(|line| line.starts_with("off") && line.contains("8.8.8.8")),
        "{}",
        output.stdout
    );
    assert!(
        output.stdout.lines().any(|line| line.starts_with("on") && line.contains("1.1.1.1")),
        "{}",
        output.stdout
    );
    let json = run_with_config(&config, &["config", "services", "--json"]);
    let json: serde_json::Value = serde_json::from_str(&json.stdout).unwrap();
    assert!(json["schema"].is_number() && json["services"].as_array().unwrap().len() >= 15);
    let checked = run_with_config(&config, &["config", "check"]);
    assert!(checked.code == 0 && checked.stdout.contains("clodflare"), "{}", checked.stdout);
}

#[test]
fn an_address_that_others_can_reach_needs_a_token() {
    let directory = TestDirectory::new();
    let config = directory.config("open.toml", "listen = \"0.0.0.0:7466\"");
    for command in [&["run"][..], &["config", "check"]] {
        let output = run_with_config(&config, command);
        assert_eq!(output.code, 3);
        for part in ["0.0.0.0:7466", "api.token_file", "127.0.0.1:7466"] {
            assert!(output.stderr.contains(part), "{}", output.stderr);
        }
    }
    assert!(!directory.path().join("state").exists(), "the node had started already");
}

#[test]
fn a_port_in_use_is_named_before_anything_starts() {
    let taken = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = taken.local_addr().unwrap().to_string();
    let directory = TestDirectory::new();
    let output =
        run_with_config(&directory.config("taken.toml", &format!("listen = \"{address}\"")), &["run"]);
    assert_eq!(output.code, 3);
    for part in [&*address, "another program", "api.listen"] {
        assert!(output.stderr.contains(part), "{}", output.stderr);
    }
    assert!(!directory.path().join("state").exists(), "the node had started already");
}

#[test]
fn without_a_node_the_error_says_how_to_start_one() {
    let free = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    let directory = TestDirectory::new();
    let config = directory.config("none.toml", &format!("listen = \"{free}\""));
    let expected = format!(
        "No node answers at http://{free}: connection refused. Start one with `vpnsentinel-node run`."
    );
    for command in [&["status"][..], &["nodes"], &["pair", "invite"], &["history", "incidents"]] {
        let output = run_with_config(&config, command);
        assert_eq!((output.code, output.stderr.trim()), (3, &*format!("error: {expected}")), "{command:?}");
    }
    let json = run_with_config(&config, &["status", "--json"]);
    assert_eq!(json.code, 3);
    let answer: serde_json::Value = serde_json::from_str(&json.stdout).unwrap();
    assert_eq!(answer, serde_json::json!({ "schema": SCHEMA, "error": expected }));
}

#[test]
fn a_server_that_is_no_node_is_recognised() {
    let other = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = other.local_addr().unwrap();
    std::thread::spawn(move || {
        for mut stream in other.incoming().map_while(Result::ok) {
            let _ = stream.read(&mut [0; 4096]);
            let _ =
                stream.write_all(b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\nConnection: close\r\n\r\nhello");
        }
    });
    let directory = TestDirectory::new();
    let output =
        run_with_config(&directory.config("other.toml", &format!("listen = \"{address}\"")), &["status"]);
    assert_eq!(output.code, 3);
    assert!(output.stderr.contains("is not a node"), "{}", output.stderr);
}

#[test]
fn a_check_without_any_witness_is_not_a_success() {
    let free = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    let directory = TestDirectory::new();
    let config = directory.config("check.toml", &format!("listen = \"{free}\""));
    let output = run_with_config(&config, &["check"]);
    assert_eq!(output.code, 2, "{}{}", output.stdout, output.stderr);
    assert!(
        output.stdout.starts_with("Unverified. ") || output.stdout.starts_with("Off. "),
        "{}",
        output.stdout
    );
    for part in ["Exit IPv4", "Exit IPv6", "pair invite", "consent = true", "[home]"] {
        assert!(output.stdout.contains(part), "{part} is missing: {}", output.stdout);
    }
    assert!(output.stderr.contains("measures by itself"), "{}", output.stderr);
    let json = run_with_config(&config, &["check", "--json"]);
    assert_eq!((json.code, json.stderr.as_str()), (2, ""));
    let answer: serde_json::Value = serde_json::from_str(&json.stdout).unwrap();
    assert_eq!(answer["schema"], SCHEMA);
    assert_ne!(answer["verdict"]["verdict"], "Protected");
}

#[test]
fn commands_use_the_running_node_and_do_not_start_another() {
    let node = Node::start();
    let output = node.run(&["check"]);
    assert_eq!((output.code, output.stderr.as_str()), (2, ""), "{}", output.stdout);
    let status = node.run(&["status"]);
    assert_eq!(status.code, 0);
    assert!(status.stdout.contains("Exit IPv4"), "{}", status.stdout);
    let nodes = node.run(&["nodes"]);
    assert!(nodes.stdout.contains("this node") && nodes.stdout.contains("pair invite"), "{}", nodes.stdout);
    let past = node.run(&["history", "incidents"]);
    assert_eq!(past.stdout.trim(), "No incidents in the last 7 days.");
    let json = node.run(&["history", "incidents", "--json"]);
    let answer: serde_json::Value = serde_json::from_str(&json.stdout).unwrap();
    assert_eq!(answer, serde_json::json!({ "schema": SCHEMA, "incidents": [] }));
    let second = run_with_config(&node.directory.config("second.toml", "listen = \"127.0.0.1:0\""), &["run"]);
    assert_eq!(second.code, 3);
    assert!(second.stderr.contains("state_dir"), "{}", second.stderr);
    wait_until("the verdict in the log", || {
        node.log().contains("Unverified. ") || node.log().contains("Off. ")
    });
}

#[test]
fn a_garbled_invitation_is_explained_whatever_its_source() {
    let node = Node::start();
    let file = node.directory.path().join("invitation");
    fs::write(&file, "not an invitation\n").unwrap();
    let from_file = format!("@{}", file.display());
    for given in ["garbled", &from_file] {
        let output = node.run(&["pair", "accept", given]);
        assert_eq!(output.code, 3, "{}", output.stdout);
        assert!(output.stderr.to_lowercase().contains("invitation"), "{}", output.stderr);
    }
    let mut piped = common::program()
        .arg("--config")
        .arg(&node.config)
        .args(["pair", "accept", "-"])
        .stdin(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    piped.stdin.take().unwrap().write_all(b"garbled\n").unwrap();
    let ended = piped.wait_with_output().unwrap();
    assert_eq!(ended.status.code(), Some(3));
    assert!(String::from_utf8(ended.stderr).unwrap().to_lowercase().contains("invitation"));
    let missing = node.run(&["pair", "accept", "@/nowhere/invitation"]);
    assert!(missing.stderr.contains("/nowhere/invitation"), "{}", missing.stderr);
}

#[test]
fn a_script_cannot_confirm_whichever_node_is_waiting() {
    let output = run(&["pair", "confirm", "--yes"]);
    assert_eq!(output.code, 3);
    assert!(output.stderr.contains("FINGERPRINT"), "{}", output.stderr);
}

#[test]
fn confirming_without_a_waiting_node_is_explained() {
    let node = Node::start();
    let output = node.run(&["pair", "confirm"]);
    assert_eq!(output.code, 3);
    assert!(output.stderr.contains("No node is waiting"), "{}", output.stderr);
    let unknown = node.run(&["pair", "confirm", "AAAA-BBBB"]);
    assert_eq!(unknown.code, 3, "{}", unknown.stdout);
    assert!(unknown.stderr.contains("AAAA-BBBB"), "{}", unknown.stderr);
}

#[test]
fn the_home_line_is_shown_and_set_and_learned_only_when_witnesses_agree() {
    let node = Node::start();
    let unknown = node.run(&["home", "show"]);
    assert_eq!(unknown.code, 0, "{}", unknown.stderr);
    assert!(
        unknown.stdout.contains("not set yet") && unknown.stdout.contains("home learn"),
        "{}",
        unknown.stdout
    );
    let private = node.run(&["home", "set", "192.168.1.2"]);
    assert_eq!(private.code, 3);
    assert!(
        private.stderr.contains("192.168.1.2") && private.stderr.contains("home learn"),
        "{}",
        private.stderr
    );
    let wrong = node.run(&["home", "set", "example.com"]);
    assert_eq!(wrong.code, 3);
    assert!(wrong.stderr.contains("IPv4 or IPv6 address"), "{}", wrong.stderr);
    let set = node.run(&["home", "set", "9.9.9.9", "2620:fe::9"]);
    assert_eq!(set.code, 0, "{}", set.stderr);
    assert!(set.stdout.contains("9.9.9.9, 2620:fe::9"), "{}", set.stdout);
    let json = node.run(&["home", "show", "--json"]);
    let answer: serde_json::Value = serde_json::from_str(&json.stdout).unwrap();
    assert_eq!(answer["home"]["addresses"], serde_json::json!(["9.9.9.9", "2620:fe::9"]));
    // No witness sees this node, so there is nothing to learn from.
    let learned = node.run(&["home", "learn", "--yes"]);
    assert_eq!(learned.code, 3);
    assert!(
        learned.stderr.contains("Fewer than two") && learned.stderr.contains("home set"),
        "{}",
        learned.stderr
    );
}

#[test]
fn a_check_that_cannot_run_has_an_exit_code_of_its_own() {
    let directory = TestDirectory::new();
    let config = directory.path().join("config.toml");
    fs::write(&config, "nmae = \"a\"\n").unwrap();
    for arguments in [["check"].as_slice(), &["check", "--json"]] {
        let output = run_with_config(&config, arguments);
        assert_eq!(output.code, 3, "{arguments:?}");
        assert!(output.stderr.contains("nmae") || output.stdout.contains("nmae"), "{}", output.stderr);
    }
    let missing = directory.path().join("missing.toml");
    assert_eq!(run_with_config(&missing, &["check"]).code, 3);
}
