//! The HTTP API of a running node.

mod common;

use common::{Node, wait_until};
use sentinel_model::{SCHEMA, Snapshot, Verdict};
use std::io::{BufRead, BufReader};

#[test]
fn the_snapshot_is_complete_and_must_not_be_cached() {
    let node = Node::start();
    let answer = node.get("/api/v1/snapshot", "");
    assert_eq!(answer.status, 200);
    let snapshot: Snapshot = serde_json::from_str(&answer.body).unwrap();
    assert_eq!((snapshot.schema, snapshot.name.as_str()), (SCHEMA, "test"));
    assert_ne!(snapshot.shown.verdict.verdict, Verdict::Protected, "no witness was asked");
    assert_eq!(answer.header("cache-control"), Some("no-store"));
    assert_eq!(answer.header("x-content-type-options"), Some("nosniff"));
    assert_eq!(answer.header("access-control-allow-origin"), None);
}

#[test]
fn events_begin_with_the_current_snapshot_and_continue() {
    let node = Node::start();
    let request = format!("GET /api/v1/events HTTP/1.1\r\nHost: {}\r\n\r\n", node.address);
    let lines = BufReader::new(node.connect(&request)).lines();
    let mut sequences = lines.map_while(Result::ok).filter_map(|line| {
        let snapshot: Snapshot = serde_json::from_str(line.strip_prefix("data: ")?).unwrap();
        Some(snapshot.sequence)
    });
    let first = sequences.next().unwrap();
    assert!(sequences.next().unwrap() > first);
}

#[test]
fn the_number_of_event_streams_is_limited_and_a_closed_one_makes_room() {
    let node = Node::start();
    let request = format!("GET /api/v1/events HTTP/1.1\r\nHost: {}\r\n\r\n", node.address);
    let open = || {
        let mut stream = BufReader::new(node.connect(&request));
        let mut status = String::new();
        stream.read_line(&mut status).unwrap();
        (status.contains("200"), stream)
    };
    let mut viewers: Vec<_> = (0..32).map(|_| open()).collect();
    assert!(viewers.iter().all(|(accepted, _)| *accepted));
    assert!(!open().0);
    viewers.pop();
    wait_until("room for another stream", || open().0);
}

#[test]
fn a_command_is_carried_out_and_an_invalid_one_is_explained() {
    let node = Node::start();
    let done = node.post("/api/v1/command", "", r#"{"command":"check_now"}"#);
    assert_eq!((done.status, done.body.as_str()), (200, r#"{"ok":{"reply":"done"}}"#));
    let unknown = node.post("/api/v1/command", "", r#"{"command":"fly"}"#);
    assert_eq!(unknown.status, 422);
    assert!(unknown.error().contains("fly"), "{}", unknown.error());
    let refused = node.post("/api/v1/command", "", r#"{"command":"acknowledge","incident":"none-such"}"#);
    assert_eq!(refused.status, 409);
    assert!(refused.error().contains("none-such"), "{}", refused.error());
    let form = node.send(&format!(
        "POST /api/v1/command HTTP/1.1\r\nHost: {}\r\nContent-Type: text/plain\r\nContent-Length: 23\r\nConnection: close\r\n\r\n{{\"command\":\"check_now\"}}",
        node.address
    ));
    assert_eq!(form.status, 415, "a form of another site can send this");
    let huge = node.post("/api/v1/command", "", &format!("{{\"command\":\"{}\"}}", "x".repeat(100_000)));
    assert_eq!(huge.status, 413);
}

#[test]
fn a_wrong_method_is_explained_at_every_address() {
    let node = Node::start();
    for path in ["/api/v1/snapshot", "/api/v1/events", "/healthz", "/"] {
        let refused = node.post(path, "", "{}");
        assert_eq!(refused.status, 405, "{path}");
        assert!(refused.error().contains("does not support that method"), "{path}: {}", refused.error());
    }
    assert_eq!(node.get("/api/v1/command", "").status, 405);
}

#[test]
fn other_host_names_and_sites_are_refused() {
    let node = Node::start();
    let rebound =
        node.send("GET /api/v1/snapshot HTTP/1.1\r\nHost: evil.example\r\nConnection: close\r\n\r\n");
    assert_eq!(rebound.status, 403);
    assert!(rebound.error().contains("evil.example"), "{}", rebound.error());
    let cross_site =
        node.post("/api/v1/command", "Origin: https://evil.example\r\n", r#"{"command":"resume"}"#);
    assert_eq!(cross_site.status, 403);
    let own = format!("Origin: http://{}\r\n", node.address);
    assert_eq!(node.post("/api/v1/command", &own, r#"{"command":"resume"}"#).status, 200);
}

#[test]
fn the_node_is_healthy_once_a_round_has_finished() {
    let node = Node::start();
    wait_until("the first round", || node.get("/healthz", "").status == 200);
    let snapshot: Snapshot = serde_json::from_str(&node.get("/api/v1/snapshot", "").body).unwrap();
    assert!(snapshot.schedule.last_round.is_some());
}

#[test]
fn the_dashboard_is_served_under_a_strict_policy() {
    let node = Node::start();
    let page = node.get("/", "");
    assert_eq!(page.status, 200);
    assert!(page.body.contains("VPNSentinel"));
    let policy = page.header("content-security-policy").unwrap();
    assert!(policy.contains("default-src 'none'") && policy.contains("'wasm-unsafe-eval'"), "{policy}");
    assert!(!policy.contains("unsafe-inline") && !policy.contains("'unsafe-eval'"), "{policy}");
    let etag = page.header("etag").unwrap();
    assert_eq!(node.get("/", &format!("If-None-Match: {etag}\r\n")).status, 304);
    assert_eq!(node.get("/incidents", "").body, page.body);
    assert_eq!(node.get("/api/v1/nothing", "").status, 404);
    assert_eq!(node.post("/", "", "{}").status, 405);
}

#[test]
fn the_dashboard_is_compressed_for_clients_that_accept_it() {
    let node = Node::start();
    let page = node.get("/", "");
    // A program built without the dashboard has only a placeholder page, which is not compressed.
    let compressed = node.get_bytes("/", "Accept-Encoding: br, gzip\r\n");
    let (head, body) = compressed;
    if page.header("vary").is_none() {
        assert!(!head.to_lowercase().contains("content-encoding") && body == page.body.as_bytes());
        return;
    }
    assert_eq!(page.header("content-encoding"), None, "the client did not ask for it");
    assert!(head.to_lowercase().contains("content-encoding: gzip"), "{head}");
    assert!(body.starts_with(&[0x1f, 0x8b]) && body.len() < page.body.len());
}

#[test]
fn the_history_can_be_queried() {
    let node = Node::start();
    let incidents = node.get("/api/v1/history/incidents?since=0&limit=5", "").json();
    assert_eq!(incidents["incidents"], serde_json::json!([]));
    let spans = node.get("/api/v1/history/intervals?fact=verdict", "").json();
    assert_eq!(spans["intervals"].as_array().unwrap().len(), 1, "{spans}");
    let points = node.get("/api/v1/history/series?target=nobody&family=v4", "").json();
    assert_eq!(points["points"], serde_json::json!([]));
    let wrong = node.get("/api/v1/history/series?target=nobody&family=v5", "");
    assert_eq!(wrong.status, 400);
    assert!(wrong.error().contains("v5"), "{}", wrong.error());
}

#[test]
fn an_unknown_fact_is_refused_with_the_list_of_known_ones() {
    let node = Node::start();
    for fact in ["verdict", "exit/v4", "exit%2Fv6", "resolvers"] {
        assert_eq!(node.get(&format!("/api/v1/history/intervals?fact={fact}"), "").status, 200, "{fact}");
    }
    let wrong = node.get("/api/v1/history/intervals?fact=exit", "");
    assert_eq!(wrong.status, 400);
    for part in ["`exit`", "verdict, exit/v4, exit/v6 and resolvers", "?fact=verdict"] {
        assert!(wrong.error().contains(part), "{}", wrong.error());
    }
    assert_eq!(node.get("/api/v1/history/intervals", "").status, 400);
}

#[test]
fn a_token_opens_the_api_and_nothing_else_does() {
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("token");
    std::fs::write(&file, "0123456789abcdef0123456789abcdef\n").unwrap();
    let node =
        Node::start_with(&format!("listen = \"0.0.0.0:0\"\ntoken_file = {:?}", file.display().to_string()));
    let closed = node.get("/api/v1/snapshot", "");
    assert_eq!(closed.status, 401);
    assert!(closed.header("www-authenticate").unwrap().starts_with("Basic"));
    assert_eq!(node.get("/", "").status, 401);
    assert_eq!(
        node.get("/api/v1/snapshot", "Authorization: Bearer 0123456789abcdef0123456789abcdee\r\n").status,
        401
    );
    assert_eq!(
        node.get("/api/v1/snapshot", "Authorization: Bearer 0123456789abcdef0123456789abcdef\r\n").status,
        200
    );
    let output = node.run(&["status"]);
    assert_eq!(output.code, 0, "{}", output.stderr);
}

#[cfg(unix)]
#[test]
fn the_node_stops_in_time_although_a_stream_is_open() {
    use std::io::Read;
    let mut node = Node::start();
    let request = format!("GET /api/v1/events HTTP/1.1\r\nHost: {}\r\n\r\n", node.address);
    let mut viewer = BufReader::new(node.connect(&request));
    let mut line = String::new();
    viewer.read_line(&mut line).unwrap();
    let (took, succeeded) = node.stop();
    assert!(succeeded, "{}", node.log());
    assert!(took.as_secs() < 5, "it took {took:?}");
    let mut rest = String::new();
    viewer.read_to_string(&mut rest).unwrap();
    assert!(rest.ends_with("0\r\n\r\n"), "the stream was cut instead of ended");
    for left in ["history.db-wal", "ledger.db-wal"] {
        assert!(!node.directory.path().join("state").join(left).exists(), "{left} still exists");
    }
}
