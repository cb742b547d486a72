//! Faults of public services: STUN servers, HTTPS echo services and public resolvers.

use super::parameters::MalformedBody;
use crate::{
    host::Host,
    internet::{Conditions, Direction},
    plan,
    services::answer_directory,
    world::{World, parse_millis},
};
use anyhow::{Context, Result, ensure};
use std::{fs, net::Ipv4Addr, path::PathBuf};

/// Size in bytes of an endless body: a tebibyte. The file is sparse and occupies no disk space.
const ENDLESS: u64 = 1 << 40;

const PAGE: &str =
    "<!doctype html><title>Sold</title><p>This domain is for sale. Your IP is 198.51.100.142.</p>\n";

/// Drops every packet to and from a service.
pub(super) fn take_down(world: &World, service: &str) -> Result<()> {
    require_service(world, service)?;
    world.internet.change_link(service, Direction::Both, |conditions| conditions.silent = true)
}

/// Delays the answers of a service.
pub(super) fn slow_down(world: &World, service: &str, ms: f64) -> Result<()> {
    require_service(world, service)?;
    add_delay(world, service, ms)
}

/// Extends the round trips of an attached host by `ms` milliseconds over the plan.
pub(super) fn add_delay(world: &World, attachment: &str, ms: f64) -> Result<()> {
    let more = parse_millis(ms)? / 2;
    let planned = planned_conditions(world, attachment)?.delay;
    world.internet.change_link(attachment, Direction::Both, |conditions| conditions.delay = planned + more)
}

/// Returns the initial conditions of an attached host's link.
pub(super) fn planned_conditions(world: &World, attachment: &str) -> Result<Conditions> {
    if let Some(link) = world.spec.links.get(attachment) {
        return link.conditions();
    }
    let all = plan::attachments(&world.spec.with);
    let found = all.into_iter().find(|planned| planned.host == attachment);
    Ok(found.with_context(|| format!("{attachment} is not attached to the Internet"))?.conditions)
}

/// Makes a service report one address to every caller.
///
/// The host of a STUN server rewrites the source of incoming requests. An echo service returns the
/// content of a file.
pub(super) async fn falsify_address(world: &World, service: &str, address: Ipv4Addr) -> Result<()> {
    require_service(world, service)?;
    if service.starts_with("echo") {
        return write_answer(world, service, "answer.txt", &format!("{address}\n"));
    }
    ensure!(service.starts_with("stun"), "{service} does not report addresses");
    falsify_source(world.host(service)?, "input", "", address).await
}

/// Rewrites the source address of STUN requests at a netfilter hook.
///
/// Replies go to the real source. `which` limits the requests, as an nft expression.
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

/// Reverses [`falsify_source`]; has no effect if the source is not falsified.
pub(super) async fn restore_source(host: &Host) -> Result<()> {
    let rules = "table ip falsified {}\ndelete table ip falsified\n";
    host.output("nft", &["-f", "-"], rules).await.map(drop)
}

/// Makes an echo service answer with status 429.
pub(super) fn refuse(world: &World, service: &str) -> Result<()> {
    write_answer(world, service, "refuse", "")
}

/// Makes an echo service answer with something other than an address.
pub(super) fn malform(world: &World, service: &str, body: MalformedBody) -> Result<()> {
    write_answer(world, service, "answer.html", PAGE)?;
    if body == MalformedBody::Endless {
        let path = answers_of(world, service)?.join("answer.html");
        fs::File::options()
            .write(true)
            .open(&path)
            .and_then(|file| file.set_len(ENDLESS))
            .with_context(|| format!("cannot extend {}", path.display()))?;
    }
    Ok(())
}

/// Ends all faults of a service.
pub(super) async fn restore(world: &World, service: &str) -> Result<()> {
    require_service(world, service)?;
    let planned = planned_conditions(world, service)?;
    world.internet.change_link(service, Direction::Both, |conditions| *conditions = planned)?;
    if service.starts_with("stun") {
        restore_source(world.host(service)?).await?;
    }
    if service.starts_with("echo") {
        let answers = answers_of(world, service)?;
        for file in ["refuse", "answer.txt", "answer.html"] {
            // Only the files of active faults exist.
            let _ = fs::remove_file(answers.join(file));
        }
    }
    Ok(())
}

/// Writes a file that replaces an echo service's answer.
fn write_answer(world: &World, service: &str, file: &str, text: &str) -> Result<()> {
    let path = answers_of(world, service)?.join(file);
    fs::write(&path, text).with_context(|| format!("cannot write {}", path.display()))
}

/// Returns the directory with files that replace an echo service's answer.
fn answers_of(world: &World, service: &str) -> Result<PathBuf> {
    require_service(world, service)?;
    ensure!(service.starts_with("echo"), "{service} is not an echo service");
    Ok(answer_directory(world.host(service)?))
}

/// Checks that a host is a public service of this world.
///
/// # Errors
/// Fails if it is not.
fn require_service(world: &World, service: &str) -> Result<()> {
    let with = &world.spec.with;
    let address_services = plan::stun_servers(with).into_iter().chain(plan::echo_services(with));
    let resolvers = plan::public_resolvers(with).into_iter().map(|(host, _)| host);
    let all: Vec<_> = address_services.map(|(host, _)| host).chain(resolvers).collect();
    ensure!(
        all.contains(&service),
        "there is no public service {service}; the services are {}",
        all.join(", ")
    );
    Ok(())
}
