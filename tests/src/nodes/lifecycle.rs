//! Starting, stopping and pairing the nodes, through their own command line.

use super::{
    config::write_config,
    node::{Node, find_node_program},
};
use crate::{faults::fake_clock, host::Transport, plan, world::World};
use anyhow::{Context, Result, ensure};
use std::time::Duration;

/// Longest time a node may take to open its databases and sockets; a debug build on a busy machine
/// needs far less.
const READY: Duration = Duration::from_secs(20);

/// The host of the node that owns the swarm.
const OWNER: &str = "vps";

impl World {
    /// Starts the node of a host and waits for its API. The node is not paired yet.
    pub async fn start_node(&mut self, host: &str) -> Result<()> {
        start(self, host).await
    }

    /// Adds the node of a host to the VPS node's swarm, through the commands a user would enter.
    pub async fn pair(&mut self, host: &str) -> Result<()> {
        pair(self, host).await
    }

    /// Creates an invitation of the VPS node, for a program that embeds its own node.
    pub async fn create_invitation(&self) -> Result<String> {
        create_invitation(self).await
    }

    /// Confirms a node that has accepted an invitation, at the VPS node.
    pub async fn confirm(&self, fingerprint: &str) -> Result<()> {
        confirm(self, fingerprint).await
    }
}

/// Starts the nodes of the world's specification; all but the owner then join its swarm.
pub(crate) async fn start_all(world: &mut World) -> Result<()> {
    let names = world.spec.nodes.clone();
    for name in &names {
        start(world, name).await?;
    }
    if names.iter().any(|name| name == OWNER) {
        for name in names.iter().filter(|name| *name != OWNER) {
            pair(world, name).await?;
        }
    }
    Ok(())
}

pub(crate) async fn start(world: &mut World, name: &str) -> Result<()> {
    ensure!(!world.nodes.contains_key(name), "a node already runs on {name}");
    let host = world.host(name)?.clone();
    let config = write_config(world, name)?;
    let mut command = host.command(find_node_program()?);
    command
        .arg("--config")
        .arg(&config)
        .arg("run")
        .env("SSL_CERT_FILE", world.authority()?)
        .env("NO_COLOR", "1");
    if name == "laptop" && world.spec.fake_clock {
        fake_clock(&host, &mut command)?;
    }
    let mut process = host.start_daemon("node", command)?;
    host.wait_for_server(&mut process, Transport::Tcp, plan::API_PORT, READY).await?;
    world.nodes.insert(name.to_owned(), Node { config, process });
    Ok(())
}

/// Stops the node of a host as when its machine goes to sleep: it gets SIGTERM and announces its
/// end.
pub(crate) async fn stop(world: &mut World, name: &str) -> Result<()> {
    let mut node = world.nodes.remove(name).with_context(|| format!("no node runs on {name}"))?;
    node.process.stop().await
}

async fn pair(world: &World, name: &str) -> Result<()> {
    let joined = async {
        let invitation = create_invitation(world).await?;
        let output = run_command(world, name, &["pair", "accept", &invitation]).await?;
        let fingerprint =
            find_fingerprint(&output).with_context(|| format!("no fingerprint in: {output}"))?;
        confirm(world, fingerprint).await
    };
    joined.await.with_context(|| {
        format!("cannot add {name} to the swarm; the ends of the nodes' logs:\n{}", world.logs(15))
    })
}

async fn create_invitation(world: &World) -> Result<String> {
    let output = run_command(world, OWNER, &["pair", "invite"]).await?;
    // The invitation is by far the longest word of the output.
    let invitation = output.split_whitespace().max_by_key(|word| word.len());
    Ok(invitation.with_context(|| format!("no invitation in: {output}"))?.to_owned())
}

async fn confirm(world: &World, fingerprint: &str) -> Result<()> {
    run_command(world, OWNER, &["pair", "confirm", fingerprint, "--yes"]).await.map(drop)
}

/// Runs a subcommand of the node's program on a node's host, with that node's configuration.
async fn run_command(world: &World, name: &str, arguments: &[&str]) -> Result<String> {
    let config = world.nodes.get(name).with_context(|| format!("no node runs on {name}"))?.config.clone();
    let program = find_node_program()?;
    let before = ["--config".to_owned(), config.to_string_lossy().into_owned()];
    let all: Vec<&str> = before.iter().map(String::as_str).chain(arguments.iter().copied()).collect();
    world.host(name)?.output(&program.to_string_lossy(), &all, "").await
}

/// Finds the first word of a text that has the form of a fingerprint, such as `7QK2-M9XD`.
fn find_fingerprint(text: &str) -> Option<&str> {
    text.split(|c: char| !(c.is_ascii_alphanumeric() || c == '-')).find(|word| {
        let part = |text: &str| {
            text.len() == 4 && text.chars().all(|c| c.is_ascii_digit() || c.is_ascii_uppercase())
        };
        word.split_once('-').is_some_and(|(left, right)| part(left) && part(right))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_fingerprint_is_found_in_a_message() {
        assert_eq!(
            find_fingerprint("Waiting. Compare this with what the owner sees: 7QK2-M9XD\n"),
            Some("7QK2-M9XD")
        );
        assert_eq!(find_fingerprint("{\"fingerprint\":\"7QK2-M9XD\"}"), Some("7QK2-M9XD"));
        assert_eq!(find_fingerprint("vps-fra is well-known"), None);
    }
}
