//! What a person meets on the command line, the mistakes first.

mod common;

use common::{Node, Place, say, say_with, until};
use std::{
    fs,
    io::{Read, Write},
    net::TcpListener,
    process::Stdio,
};

#[test]
fn a_mistake_in_the_configuration_is_named_with_its_line() {
    let place = Place::new();
    let config = place.dir.path().join("config.toml");
    fs::write(&config, "name = \"a\"\n[cadence]\nruond = \"30s\"\n").unwrap();
    for command in [&["config", "check"][..], &["run"], &["status"]] {
        let said = say_with(&config, command);
        assert_eq!(said.code, 3);
        for part in ["config.toml", "line 3", "ruond", "config sample"] {
            assert!(said.err.contains(part), "{}", said.err);
        }
    }
}

#[test]
fn a_configuration_that_is_not_there_is_named() {
    let said = say(&["--config", "/nowhere/config.toml", "config", "check"]);
    assert_eq!(said.code, 3);
    assert!(said.err.contains("/nowhere/config.toml") && said.err.contains("config sample"), "{}", said.err);
}

#[test]
fn the_sample_is_a_configuration() {
    let place = Place::new();
    let sample = say(&["config", "sample"]);
    assert_eq!(sample.code, 0);
    let config = place.dir.path().join("sample.toml");
    fs::write(&config, sample.out).unwrap();
    let said = say_with(&config, &["config", "check"]);
    assert_eq!((said.code, said.err.as_str()), (0, ""));
    assert!(said.out.contains("fine"), "{}", said.out);
}

#[test]
fn every_public_service_can_be_seen_and_a_misspelt_one_is_pointed_out() {
    let place = Place::new();
    let config = place.dir.path().join("config.toml");
    fs::write(&config, "[services]\nconsent = true\ndisabled = [\"google\", \"clodflare\"]\n").unwrap();
    let said = say_with(&config, &["config", "services"]);
    assert_eq!(said.code, 0);
    assert!(said.out.lines().any(|line| line.starts_with("off") && line.contains("8.8.8.8")), "{}", said.out);
    assert!(said.out.lines().any(|line| line.starts_with("on") && line.contains("1.1.1.1")), "{}", said.out);
    let json = say_with(&config, &["config", "services", "--json"]);
    let json: serde_json::Value = serde_json::from_str(&json.out).unwrap();
    assert!(json["schema"].is_number() && json["services"].as_array().unwrap().len() >= 15);
    let checked = say_with(&config, &["config", "check"]);
    assert!(checked.code == 0 && checked.out.contains("clodflare"), "{}", checked.out);
}

#[test]
fn an_address_that_others_can_reach_needs_a_token() {
    let place = Place::new();
    let config = place.config("open.toml", "listen = \"0.0.0.0:7466\"");
    for command in [&["run"][..], &["config", "check"]] {
        let said = say_with(&config, command);
        assert_eq!(said.code, 3);
        for part in ["0.0.0.0:7466", "api.token_file", "127.0.0.1:7466"] {
            assert!(said.err.contains(part), "{}", said.err);
        }
    }
    assert!(!place.dir.path().join("state").exists(), "it had started already");
}

#[test]
fn a_port_in_use_is_named_before_anything_starts() {
    let taken = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = taken.local_addr().unwrap().to_string();
    let place = Place::new();
    let said = say_with(&place.config("taken.toml", &format!("listen = \"{address}\"")), &["run"]);
    assert_eq!(said.code, 3);
    for part in [&*address, "another program", "api.listen"] {
        assert!(said.err.contains(part), "{}", said.err);
    }
    assert!(!place.dir.path().join("state").exists(), "it had started already");
}

#[test]
fn without_a_node_it_is_said_how_to_start_one() {
    let free = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    let place = Place::new();
    let config = place.config("none.toml", &format!("listen = \"{free}\""));
    let expected = format!(
        "No node answers at http://{free}: connection refused. Start one with `vpnsentinel-node run`."
    );
    for command in [&["status"][..], &["nodes"], &["pair", "invite"], &["history", "incidents"]] {
        let said = say_with(&config, command);
        assert_eq!((said.code, said.err.trim()), (3, &*format!("error: {expected}")), "{command:?}");
    }
    let json = say_with(&config, &["status", "--json"]);
    assert_eq!(json.code, 3);
    let answer: serde_json::Value = serde_json::from_str(&json.out).unwrap();
    assert_eq!(answer, serde_json::json!({ "schema": 1, "error": expected }));
}

#[test]
fn what_answers_but_is_no_node_is_told_apart() {
    let other = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = other.local_addr().unwrap();
    std::thread::spawn(move || {
        for mut stream in other.incoming().map_while(Result::ok) {
            let _ = stream.read(&mut [0; 4096]);
            let _ =
                stream.write_all(b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\nConnection: close\r\n\r\nhello");
        }
    });
    let place = Place::new();
    let said = say_with(&place.config("other.toml", &format!("listen = \"{address}\"")), &["status"]);
    assert_eq!(said.code, 3);
    assert!(said.err.contains("is not a node"), "{}", said.err);
}

#[test]
fn a_check_that_nobody_can_answer_is_not_a_success() {
    let free = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    let place = Place::new();
    let config = place.config("check.toml", &format!("listen = \"{free}\""));
    let said = say_with(&config, &["check"]);
    assert_eq!(said.code, 2, "{}{}", said.out, said.err);
    assert!(said.out.starts_with("Unverified. ") || said.out.starts_with("Off. "), "{}", said.out);
    for part in ["Exit IPv4", "Exit IPv6", "pair invite", "consent = true", "[home]"] {
        assert!(said.out.contains(part), "{part} is missing: {}", said.out);
    }
    assert!(said.err.contains("measures by itself"), "{}", said.err);
    let json = say_with(&config, &["check", "--json"]);
    assert_eq!((json.code, json.err.as_str()), (2, ""));
    let answer: serde_json::Value = serde_json::from_str(&json.out).unwrap();
    assert_eq!(answer["schema"], 1);
    assert_ne!(answer["verdict"]["verdict"], "Protected");
}

#[test]
fn a_running_node_is_asked_rather_than_replaced() {
    let node = Node::start();
    let said = node.say(&["check"]);
    assert_eq!((said.code, said.err.as_str()), (2, ""), "{}", said.out);
    let status = node.say(&["status"]);
    assert_eq!(status.code, 0);
    assert!(status.out.contains("Exit IPv4"), "{}", status.out);
    let nodes = node.say(&["nodes"]);
    assert!(nodes.out.contains("this node") && nodes.out.contains("pair invite"), "{}", nodes.out);
    let past = node.say(&["history", "incidents"]);
    assert_eq!(past.out.trim(), "Nothing happened in the last 7 days.");
    let json = node.say(&["history", "incidents", "--json"]);
    let answer: serde_json::Value = serde_json::from_str(&json.out).unwrap();
    assert_eq!(answer, serde_json::json!({ "schema": 1, "incidents": [] }));
    let second = say_with(&node.place.config("second.toml", "listen = \"127.0.0.1:0\""), &["run"]);
    assert_eq!(second.code, 3);
    assert!(second.err.contains("state_dir"), "{}", second.err);
    until("the verdict in the log", || node.log().contains("Unverified. ") || node.log().contains("Off. "));
}

#[test]
fn a_garbled_invitation_is_explained_however_it_is_given() {
    let node = Node::start();
    let file = node.place.dir.path().join("invitation");
    fs::write(&file, "not an invitation\n").unwrap();
    let from_file = format!("@{}", file.display());
    for given in ["garbled", &from_file] {
        let said = node.say(&["pair", "accept", given]);
        assert_eq!(said.code, 3, "{}", said.out);
        assert!(said.err.to_lowercase().contains("invitation"), "{}", said.err);
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
    let missing = node.say(&["pair", "accept", "@/nowhere/invitation"]);
    assert!(missing.err.contains("/nowhere/invitation"), "{}", missing.err);
}

#[test]
fn confirming_nobody_is_explained() {
    let node = Node::start();
    let said = node.say(&["pair", "confirm"]);
    assert_eq!(said.code, 3);
    assert!(said.err.contains("No node is waiting"), "{}", said.err);
    let unknown = node.say(&["pair", "confirm", "AAAA-BBBB"]);
    assert_eq!(unknown.code, 3, "{}", unknown.out);
    assert!(unknown.err.contains("AAAA-BBBB"), "{}", unknown.err);
}

#[test]
fn the_home_line_is_shown_set_and_learned_only_where_that_makes_sense() {
    let node = Node::start();
    let unknown = node.say(&["home", "show"]);
    assert_eq!(unknown.code, 0, "{}", unknown.err);
    assert!(
        unknown.out.contains("Nothing is known") && unknown.out.contains("home learn"),
        "{}",
        unknown.out
    );
    let private = node.say(&["home", "set", "192.168.1.2"]);
    assert_eq!(private.code, 3);
    assert!(private.err.contains("192.168.1.2") && private.err.contains("home learn"), "{}", private.err);
    let wrong = node.say(&["home", "set", "example.com"]);
    assert_eq!(wrong.code, 3);
    assert!(wrong.err.contains("IPv4 or IPv6 address"), "{}", wrong.err);
    let set = node.say(&["home", "set", "9.9.9.9", "2620:fe::9"]);
    assert_eq!(set.code, 0, "{}", set.err);
    assert!(set.out.contains("9.9.9.9, 2620:fe::9"), "{}", set.out);
    let json = node.say(&["home", "show", "--json"]);
    let answer: serde_json::Value = serde_json::from_str(&json.out).unwrap();
    assert_eq!(answer["home"]["addresses"], serde_json::json!(["9.9.9.9", "2620:fe::9"]));
    // Nobody sees this node, so there is nothing to learn from.
    let learned = node.say(&["home", "learn", "--yes"]);
    assert_eq!(learned.code, 3);
    assert!(learned.err.contains("Fewer than two") && learned.err.contains("home set"), "{}", learned.err);
}

#[test]
fn a_check_that_fails_is_not_taken_for_protection() {
    let place = Place::new();
    let config = place.dir.path().join("config.toml");
    fs::write(&config, "nmae = \"a\"\n").unwrap();
    let said = say_with(&config, &["check"]);
    assert_eq!(said.code, 2);
    assert!(said.err.contains("nmae"), "{}", said.err);
}
