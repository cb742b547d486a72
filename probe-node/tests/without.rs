//! `check` where something is missing: the network, IPv6, any witness, any answer.
//!
//! Each test runs in a network namespace of its own, which no packet leaves. `check` must end soon,
//! with a message that helps and the right exit code.
#![cfg(target_os = "linux")]
#![allow(clippy::unwrap_used, clippy::expect_used, reason = "a test ends at its first failure")]

mod common;

use common::{CommandOutput, TestDirectory};
use std::{
    path::Path,
    process::{Command, Stdio},
    time::{Duration, Instant},
};

/// The longest time that `check` may take.
const TIME_LIMIT: Duration = Duration::from_secs(8);

/// A link to another namespace in which nothing answers: every packet is sent and lost there.
const LINK: &str = "ip link set lo up && ip link add net0 type veth peer name net1 && ip link set net0 up \
                     && { unshare --net sleep 20 >/dev/null 2>&1 & } \
                     && while ip link show net1 >/dev/null 2>&1; do ip link set net1 netns $!; done \
                     && nsenter --target $! --net ip link set net1 up";
const DROPS_V4: &str = "ip address add 192.168.1.2/24 dev net0 && ip route add default via 192.168.1.1 dev net0 \
                        && ip neighbour add 192.168.1.1 lladdr 02:00:00:00:00:01 dev net0";
const DROPS_V6: &str = "ip address add fd00:1::2/64 dev net0 nodad && ip route add default via fd00:1::1 dev net0 \
                           && ip neighbour add fd00:1::1 lladdr 02:00:00:00:00:01 dev net0";

/// Runs `check` in a fresh namespace, after these shell commands.
fn check(setup: &str, config: &Path, json: bool) -> CommandOutput {
    let json = if json { "--json" } else { "" };
    let line = format!("{setup} || exit 99; exec \"$0\" --config \"$1\" check {json}");
    let began = Instant::now();
    let output = Command::new("unshare")
        .args(["--map-root-user", "--net", "sh", "-c", &line, env!("CARGO_BIN_EXE_vpnsentinel-node")])
        .arg(config)
        .env_remove("VPNSENTINEL_CONFIG")
        .env_remove("RUST_LOG")
        .stdin(Stdio::null())
        .output()
        .expect("`unshare` (Debian: util-linux) is needed");
    let output = CommandOutput::from(output);
    // If the kernel refuses namespaces to this user, the test fails rather than being skipped.
    assert_eq!(output.code, 2, "{}{}", output.stdout, output.stderr);
    assert!(began.elapsed() < TIME_LIMIT, "it took {:?}: {}", began.elapsed(), output.stdout);
    output
}

fn config(consent: bool) -> (TestDirectory, std::path::PathBuf) {
    let directory = TestDirectory::new();
    let path = directory.path().join("config.toml");
    let state = directory.path().join("state");
    let text = format!(
        "name = \"test\"\nstate_dir = {:?}\n[home]\naddresses = [\"198.51.100.7\"]\n[services]\nconsent = {consent}\n",
        state.display().to_string()
    );
    std::fs::write(&path, text).unwrap();
    (directory, path)
}

fn assert_prints(output: &CommandOutput, parts: &[&str]) {
    for part in parts {
        assert!(output.stdout.contains(part), "{part:?} is missing: {}", output.stdout);
    }
    for never in ["Next full check", "Protected", "panicked"] {
        assert!(
            !output.stdout.contains(never) && !output.stderr.contains(never),
            "{never:?}: {}{}",
            output.stdout,
            output.stderr
        );
    }
}

#[test]
fn without_any_network() {
    let (_directory, config) = config(true);
    let output = check("true", &config, false);
    assert!(output.stdout.starts_with("Unverified. There is no network"), "{}", output.stdout);
    assert_prints(&output, &["Connect to a network"]);
    let json: serde_json::Value = serde_json::from_str(&check("true", &config, true).stdout).unwrap();
    assert_eq!(
        (&json["verdict"]["verdict"], &json["connectivity"]),
        (&"Unverified".into(), &"offline".into()),
        "{json}"
    );
}

#[test]
fn without_ipv6() {
    let (_directory, config) = config(true);
    let output = check(&format!("{LINK} && {DROPS_V4}"), &config, false);
    assert!(output.stdout.starts_with("Unverified. "), "{}", output.stdout);
    assert_prints(&output, &["nobody answered", "Exit IPv4", "Exit IPv6"]);
}

#[test]
fn without_anybody_to_ask() {
    let (_directory, config) = config(false);
    let output = check(&format!("{LINK} && {DROPS_V4}"), &config, false);
    assert!(output.stdout.starts_with("Unverified. There is nobody to ask"), "{}", output.stdout);
    assert_prints(&output, &["pair invite", "pair accept", "consent = true"]);
}

#[test]
fn without_any_answer() {
    let (_directory, config) = config(true);
    let output = check(&format!("{LINK} && {DROPS_V4} && {DROPS_V6}"), &config, false);
    assert!(output.stdout.starts_with("Unverified. "), "{}", output.stdout);
    assert_prints(&output, &["nobody answered", "firewall", "no answer from", "stun.cloudflare.com"]);
}
