//! Faults of public services: STUN servers, HTTPS echo services and public resolvers.

use crate::{
    host::Host,
    internet::{Conditions, Direction},
    plan,
    services::web::answers_of,
    world::{World, millis},
};
use anyhow::{Context, Result, ensure};
use serde::Deserialize;
use std::{fs, net::Ipv4Addr, path::PathBuf};

/// What an echo service answers instead of an address.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Babble {
    /// A page.
    Html,
    /// Zeros without end, or near enough: a tebibyte.
    Endless,
}

/// Longer than anybody reads. The file has no content on the disk.
const ENDLESS: u64 = 1 << 40;

const PAGE: &str =
    "<!doctype html><title>Sold</title><p>This domain is for sale. Your IP is 198.51.100.142.</p>\n";

pub(super) fn down(world: &World, service: &str) -> Result<()> {
    known(world, service)?;
    world.internet.set(service, Direction::Both, |conditions| conditions.silent = true)
}

pub(super) fn slow(world: &World, service: &str, ms: f64) -> Result<()> {
    known(world, service)?;
    delay(world, service, ms)
}

/// Makes the round trips of an attached host longer than they are planned.
pub(super) fn delay(world: &World, attachment: &str, ms: f64) -> Result<()> {
    let more = millis(ms)? / 2;
    let planned = planned(world, attachment)?.delay;
    world.internet.set(attachment, Direction::Both, |conditions| conditions.delay = planned + more)
}

/// The conditions of an attached host's link at the beginning.
pub(super) fn planned(world: &World, attachment: &str) -> Result<Conditions> {
    if let Some(link) = world.spec.links.get(attachment) {
        return link.conditions();
    }
    let all = plan::attachments(&world.spec.with);
    let found = all.into_iter().find(|planned| planned.host == attachment);
    Ok(found.with_context(|| format!("{attachment} is not attached to the Internet"))?.conditions)
}

/// A STUN server sees what its own host makes of the sender's address; an echo service says what is written in a file.
pub(super) async fn lie(world: &World, service: &str, address: Ipv4Addr) -> Result<()> {
    known(world, service)?;
    if service.starts_with("echo") {
        return say(world, service, "said.txt", &format!("{address}\n"));
    }
    ensure!(service.starts_with("stun"), "{service} tells nobody an address");
    falsify_source(world.host(service)?, "input", "", address).await
}

/// Gives STUN requests another source address at this hook; replies find back to the real one.
pub(super) async fn falsify_source(host: &Host, hook: &str, which: &str, source: Ipv4Addr) -> Result<()> {
    let rules = format!(
        "table ip falsified {{
            chain {hook} {{
                type nat hook {hook} priority 95
                {which} udp dport {port} counter snat to {source}
            }}
        }}",
        port = plan::STUN_PORT
    );
    host.output("nft", &["-f", "-"], &rules).await.map(drop)
}

/// Undoes [`falsify_source`], if it was done.
pub(super) async fn restore_source(host: &Host) -> Result<()> {
    let rules = "table ip falsified {}\ndelete table ip falsified\n";
    host.output("nft", &["-f", "-"], rules).await.map(drop)
}

pub(super) fn refuse(world: &World, service: &str) -> Result<()> {
    say(world, service, "refuse", "")
}

pub(super) fn babble(world: &World, service: &str, what: Babble) -> Result<()> {
    say(world, service, "said.html", PAGE)?;
    if what == Babble::Endless {
        let path = echo(world, service)?.join("said.html");
        fs::File::options()
            .write(true)
            .open(&path)
            .and_then(|file| file.set_len(ENDLESS))
            .with_context(|| format!("cannot stretch {}", path.display()))?;
    }
    Ok(())
}

pub(super) async fn back(world: &World, service: &str) -> Result<()> {
    known(world, service)?;
    let planned = planned(world, service)?;
    world.internet.set(service, Direction::Both, |conditions| *conditions = planned)?;
    if service.starts_with("stun") {
        restore_source(world.host(service)?).await?;
    }
    if service.starts_with("echo") {
        let answers = echo(world, service)?;
        for file in ["refuse", "said.txt", "said.html"] {
            // Only what was done is there to be undone.
            let _ = fs::remove_file(answers.join(file));
        }
    }
    Ok(())
}

fn say(world: &World, service: &str, file: &str, text: &str) -> Result<()> {
    let path = echo(world, service)?.join(file);
    fs::write(&path, text).with_context(|| format!("cannot write {}", path.display()))
}

/// Where an echo service takes its answers from.
fn echo(world: &World, service: &str) -> Result<PathBuf> {
    known(world, service)?;
    ensure!(service.starts_with("echo"), "{service} is no echo service");
    Ok(answers_of(world.host(service)?))
}

/// # Errors
/// The host is no public service of this world.
fn known(world: &World, service: &str) -> Result<()> {
    let with = &world.spec.with;
    let address_services = plan::stun_servers(with).into_iter().chain(plan::echo_services(with));
    let resolvers = plan::public_resolvers(with).into_iter().map(|(host, _)| host);
    let all: Vec<_> = address_services.map(|(host, _)| host).chain(resolvers).collect();
    ensure!(all.contains(&service), "there is no public service {service}; these are: {}", all.join(", "));
    Ok(())
}
