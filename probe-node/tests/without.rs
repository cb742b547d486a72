//! `check` where something is missing: the network, IPv6, anybody to ask, any answer. Each runs in a network namespace
//! of its own, where nothing can get out, and each must end soon, with words that help and the right exit code.
#![cfg(target_os = "linux")]
#![allow(clippy::unwrap_used, clippy::expect_used, reason = "a test ends at the first thing that fails")]

mod common;

use common::{Place, Said};
use std::{
    path::Path,
    process::{Command, Stdio},
    time::{Duration, Instant},
};

/// How long a person waits for an answer.
const PATIENCE: Duration = Duration::from_secs(8);

/// A cable that leads to nobody: every packet is sent and none arrives. The same for both families.
const CABLE: &str = "ip link set lo up && ip link add net0 type veth peer name net1 && ip link set net0 up \
                     && ip link set net1 up";
const SWALLOWS: &str = "ip address add 192.168.1.2/24 dev net0 && ip route add default via 192.168.1.1 dev net0 \
                        && ip neighbour add 192.168.1.1 lladdr 02:00:00:00:00:01 dev net0";
const SWALLOWS_V6: &str = "ip address add fd00:1::2/64 dev net0 nodad && ip route add default via fd00:1::1 dev net0 \
                           && ip neighbour add fd00:1::1 lladdr 02:00:00:00:00:01 dev net0";

/// Runs `check` in a fresh namespace, after these shell commands.
fn check(setup: &str, config: &Path, json: bool) -> Said {
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
    let said = Said::from(output);
    // Also where the kernel refuses namespaces to this user: that is then a failure, not a test left out.
    assert_eq!(said.code, 2, "{}{}", said.out, said.err);
    assert!(began.elapsed() < PATIENCE, "it took {:?}: {}", began.elapsed(), said.out);
    said
}

fn config(consent: bool) -> (Place, std::path::PathBuf) {
    let place = Place::new();
    let path = place.dir.path().join("config.toml");
    let state = place.dir.path().join("state");
    let text = format!(
        "name = \"test\"\nstate_dir = {:?}\n[home]\naddresses = [\"198.51.100.7\"]\n[services]\nconsent = {consent}\n",
        state.display().to_string()
    );
    std::fs::write(&path, text).unwrap();
    (place, path)
}

fn assert_says(said: &Said, parts: &[&str]) {
    for part in parts {
        assert!(said.out.contains(part), "{part:?} is missing: {}", said.out);
    }
    for never in ["Next full check", "Protected", "panicked"] {
        assert!(
            !said.out.contains(never) && !said.err.contains(never),
            "{never:?}: {}{}",
            said.out,
            said.err
        );
    }
}

#[test]
fn without_any_network() {
    let (_place, config) = config(true);
    let said = check("true", &config, false);
    assert!(said.out.starts_with("Unverified. There is no network"), "{}", said.out);
    assert_says(&said, &["Connect to a network"]);
    let json: serde_json::Value = serde_json::from_str(&check("true", &config, true).out).unwrap();
    assert_eq!(
        (&json["verdict"]["verdict"], &json["connectivity"]),
        (&"Unverified".into(), &"offline".into()),
        "{json}"
    );
}

#[test]
fn without_ipv6() {
    let (_place, config) = config(true);
    let said = check(&format!("{CABLE} && {SWALLOWS}"), &config, false);
    assert!(said.out.starts_with("Unverified. "), "{}", said.out);
    assert_says(&said, &["nobody answered", "Exit IPv4", "Exit IPv6"]);
}

#[test]
fn without_anybody_to_ask() {
    let (_place, config) = config(false);
    let said = check(&format!("{CABLE} && {SWALLOWS}"), &config, false);
    assert!(said.out.starts_with("Unverified. There is nobody to ask"), "{}", said.out);
    assert_says(&said, &["pair invite", "pair accept", "consent = true"]);
}

#[test]
fn without_any_answer() {
    let (_place, config) = config(true);
    let said = check(&format!("{CABLE} && {SWALLOWS} && {SWALLOWS_V6}"), &config, false);
    assert!(said.out.starts_with("Unverified. "), "{}", said.out);
    assert_says(&said, &["nobody answered", "firewall", "no answer from", "stun.cloudflare.com"]);
}
