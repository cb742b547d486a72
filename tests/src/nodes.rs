//! The real `vpnsentinel-node` on the lab's hosts: configuration, start and pairing, by its own command line.

use crate::{
    faults,
    host::Transport,
    place::Ipv6,
    plan::{self, Extra, Extras},
    process::Process,
    tunnel::INTERFACE,
    world::World,
};
use anyhow::{Context, Result, bail, ensure};
use std::{
    env, fs,
    net::{IpAddr, SocketAddr},
    path::{Path, PathBuf},
    time::Duration,
};
use toml::{Table, Value};

/// Names the node's program; otherwise it is looked for next to this one.
pub const NODE_PROGRAM: &str = "VPNSENTINEL_NODE";

/// A debug build on a busy machine opens its databases and sockets well within this.
const READY: Duration = Duration::from_secs(20);

/// The node whose swarm the others join.
const OWNER: &str = "vps";

/// A running node.
#[derive(Debug)]
pub struct Node {
    /// Its configuration file.
    pub config: PathBuf,
    process: Process,
}

impl Node {
    /// The last lines it has logged.
    pub fn log_tail(&self, lines: usize) -> String {
        self.process.log_tail(lines)
    }

    /// The program itself.
    pub fn process(&mut self) -> &mut Process {
        &mut self.process
    }
}

/// Starts the nodes the world asks for; all but the owner then join.
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
    ensure!(!world.nodes.contains_key(name), "a node runs on {name} already");
    let host = world.host(name)?.clone();
    let config = write_config(world, name)?;
    let mut command = host.command(program()?);
    command
        .arg("--config")
        .arg(&config)
        .arg("run")
        .env("SSL_CERT_FILE", world.authority()?)
        .env("NO_COLOR", "1");
    if name == "laptop" && world.spec.fake_clock {
        faults::fake_clock(&host, &mut command)?;
    }
    let mut process = host.daemon("node", command)?;
    process.listens(&host, Transport::Tcp, plan::API_PORT, READY).await?;
    world.nodes.insert(name.to_owned(), Node { config, process });
    Ok(())
}

/// Ends the node of a host the way a machine does that goes to sleep: it is asked to, and says goodbye.
pub(crate) async fn stop(world: &mut World, name: &str) -> Result<()> {
    let mut node = world.nodes.remove(name).with_context(|| format!("no node runs on {name}"))?;
    node.process.stop().await
}

pub(crate) async fn pair(world: &World, name: &str) -> Result<()> {
    let joined = async {
        let invitation = invite(world).await?;
        let said = command(world, name, &["pair", "accept", &invitation]).await?;
        let fingerprint = fingerprint(&said).with_context(|| format!("no fingerprint in: {said}"))?;
        confirm(world, fingerprint).await
    };
    joined
        .await
        .with_context(|| format!("cannot bring {name} into the swarm; the nodes logged:\n{}", world.logs(15)))
}

pub(crate) async fn invite(world: &World) -> Result<String> {
    let said = command(world, OWNER, &["pair", "invite"]).await?;
    // Whatever is said around it, the invitation is by far the longest word.
    let invitation = said.split_whitespace().max_by_key(|word| word.len());
    Ok(invitation.with_context(|| format!("no invitation in: {said}"))?.to_owned())
}

pub(crate) async fn confirm(world: &World, fingerprint: &str) -> Result<()> {
    command(world, OWNER, &["pair", "confirm", fingerprint, "--yes"]).await.map(drop)
}

async fn command(world: &World, name: &str, arguments: &[&str]) -> Result<String> {
    let config = world.nodes.get(name).with_context(|| format!("no node runs on {name}"))?.config.clone();
    let program = program()?;
    let before = ["--config".to_owned(), config.to_string_lossy().into_owned()];
    let all: Vec<&str> = before.iter().map(String::as_str).chain(arguments.iter().copied()).collect();
    world.host(name)?.output(&program.to_string_lossy(), &all, "").await
}

/// `7QK2-M9XD`, wherever it stands.
fn fingerprint(text: &str) -> Option<&str> {
    text.split(|c: char| !(c.is_ascii_alphanumeric() || c == '-')).find(|word| {
        let part = |text: &str| {
            text.len() == 4 && text.chars().all(|c| c.is_ascii_digit() || c.is_ascii_uppercase())
        };
        word.split_once('-').is_some_and(|(left, right)| part(left) && part(right))
    })
}

/// Where the node's program is.
pub fn program() -> Result<PathBuf> {
    const NAME: &str = "vpnsentinel-node";
    if let Some(path) = env::var_os(NODE_PROGRAM) {
        let path = PathBuf::from(path);
        ensure!(path.is_file(), "{NODE_PROGRAM} names {}, which is no file", path.display());
        return Ok(path);
    }
    let own = env::current_exe().context("cannot find the lab's own program")?;
    // A test program lies one directory deeper than the others.
    let found =
        own.ancestors().skip(1).take(2).map(|directory| directory.join(NAME)).find(|path| path.is_file());
    found.with_context(|| {
        format!("{NAME} is not next to {}: build it with `cargo build -p vpnsentinel-node` or name it in {NODE_PROGRAM}", own.display())
    })
}

pub(crate) fn write_config(world: &World, name: &str) -> Result<PathBuf> {
    let directory = world.host(name)?.directory();
    let with = &world.spec.with;
    let mut config: Table = toml::from_str(&common(name, directory, with))?;
    merge(&mut config, toml::from_str(&own(name, with)?)?);
    if name == "laptop" && !world.spec.fresh {
        merge(&mut config, toml::from_str(&told())?);
    }
    merge(&mut config, toml::from_str(&over_v6(name, world.spec.ipv6))?);
    if name == "laptop" {
        merge(&mut config, world.spec.config.clone());
    }
    let path = directory.join("node.toml");
    fs::write(&path, toml::to_string(&config)?)
        .with_context(|| format!("cannot write {}", path.display()))?;
    Ok(path)
}

/// Puts one table over another; tables merge, everything else is replaced.
fn merge(into: &mut Table, from: Table) {
    for (key, value) in from {
        match (into.get_mut(&key), value) {
            (Some(Value::Table(into)), Value::Table(from)) => merge(into, from),
            (_, value) => drop(into.insert(key, value)),
        }
    }
}

fn common(name: &str, directory: &Path, with: &Extras) -> String {
    let networks = plan::NETWORKS
        .map(|(prefix, asn, operator, country)| {
            format!("[[network]]\nprefix = \"{prefix}\"\nasn = {asn}\nname = \"{operator}\"\ncountry = \"{country}\"\n")
        })
        .concat();
    let port = plan::SWARM_PORT;
    format!(
        "name = \"{name}\"
state_dir = {:?}
panel = {:?}
[bogons]
ranges = {:?}
[api]
listen = \"127.0.0.1:{}\"
[swarm]
listen = [\"/ip4/0.0.0.0/tcp/{port}\", \"/ip4/0.0.0.0/udp/{port}/quic-v1\"]
stun = [\"0.0.0.0:{stun}\", \"[::]:{stun}\"]
{networks}",
        directory.join("state").to_string_lossy(),
        plan::panel(with),
        plan::BOGONS,
        plan::API_PORT,
        stun = plan::STUN_PORT,
    )
}

fn own(name: &str, with: &Extras) -> Result<String> {
    let stun = |v4: std::net::Ipv4Addr, v6: std::net::Ipv6Addr| {
        format!("stun_external = [\"{v4}:{port}\", \"[{v6}]:{port}\"]\n", port = plan::STUN_PORT)
    };
    match name {
        "laptop" => Ok(laptop(with)),
        "vps" => Ok(format!(
            "role = \"probe\"\n[swarm]\nrelay = true\nexternal = [\"/ip4/{vps}/tcp/{port}\", \"/ip4/{vps}/udp/{port}/quic-v1\"]\n{}\
             [swarm.canary]\nzone = \"{}\"\nlisten = [\"0.0.0.0:53\"]\n",
            stun(plan::VPS, plan::VPS_V6),
            plan::CANARY_ZONE,
            vps = plan::VPS,
            port = plan::SWARM_PORT,
        )),
        "home-server" => {
            Ok(format!("role = \"probe\"\n[swarm]\n{}", stun(plan::SECOND_LINE, plan::SERVER_V6)))
        }
        _ => bail!("no node is planned for {name}: it is laptop, vps or home-server"),
    }
}

/// What differs where the laptop has IPv6: another public voice, and where it has nothing else, a swarm that can be
/// reached by it.
fn over_v6(name: &str, ipv6: Ipv6) -> String {
    let port = plan::SWARM_PORT;
    let both = |v4: &str, v6: &str| {
        let of = |ip: &str| format!("\"{ip}/tcp/{port}\", \"{ip}/udp/{port}/quic-v1\"");
        format!("[{}, {}]", of(&format!("/ip4/{v4}")), of(&format!("/ip6/{v6}")))
    };
    let mut config = String::new();
    if ipv6 == Ipv6::Only {
        let listen = both("0.0.0.0", "::");
        config.extend(["[swarm]\nlisten = ", &listen, "\n"]);
        if name == "vps" {
            let external = both(&plan::VPS.to_string(), &plan::VPS_V6.to_string());
            config.extend(["external = ", &external, "\n"]);
        }
    }
    if name == "laptop" && ipv6 != Ipv6::None {
        let stun = |address: SocketAddr| {
            format!("[[services.stun]]\nname = \"stun.example\"\naddress = \"{address}\"\n")
        };
        let addresses: [IpAddr; 2] = [plan::STUN.into(), plan::STUN_V6.into()];
        config += &addresses.map(|address| stun(SocketAddr::new(address, plan::STUN_PORT))).concat();
    }
    config
}

fn laptop(with: &Extras) -> String {
    let services = services(with);
    format!("role = \"desktop\"\n[services]\nconsent = true\nreplace_defaults = true\n{services}")
}

/// What the laptop's user has said of the home line and of the VPN.
fn told() -> String {
    format!(
        "[home]
addresses = [\"{home}\"]
prefixes = [\"2001:db8:51::/56\"]
asns = [64500]
[expectation]
interface = \"{INTERFACE}\"
",
        home = plan::HOME
    )
}

/// The public services the laptop's node may ask.
fn services(with: &Extras) -> String {
    let stun = plan::stun_servers(with).into_iter().map(|(host, addresses)| {
        let address = addresses.first().map(ToString::to_string).unwrap_or_default();
        format!("[[services.stun]]\nname = \"{host}.example\"\naddress = \"{address}:{}\"\n", plan::STUN_PORT)
    });
    let echo = plan::echo_services(with).into_iter().map(|(host, _)| {
        format!("[[services.https_echo]]\nname = \"{host}.example\"\nurl = \"https://{host}.example/\"\n")
    });
    let resolvers = plan::public_resolvers(with).into_iter().map(|(host, address)| {
        let encrypted = if host == "public-dns" && with.contains(&Extra::EncryptedDns) {
            format!(
                "tls = \"{name}\"\nhttps = \"https://{name}/dns-query\"\n",
                name = plan::PUBLIC_RESOLVER_NAME
            )
        } else {
            String::new()
        };
        format!("[[services.resolver]]\nname = \"{host}\"\naddress = \"{address}:53\"\n{encrypted}")
    });
    stun.chain(echo).chain(resolvers).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_fingerprint_is_found_in_prose() {
        assert_eq!(
            fingerprint("Waiting. Compare this with what the owner sees: 7QK2-M9XD\n"),
            Some("7QK2-M9XD")
        );
        assert_eq!(fingerprint("{\"fingerprint\":\"7QK2-M9XD\"}"), Some("7QK2-M9XD"));
        assert_eq!(fingerprint("vps-fra is well-known"), None);
    }

    #[test]
    fn merging_keeps_what_is_not_mentioned() {
        let mut into: Table =
            toml::from_str("[cadence]\nbeacon = \"1s\"\nround = \"30s\"\n[home]\nasns = [1, 2]\n").unwrap();
        merge(&mut into, toml::from_str("[cadence]\nround = \"5s\"\n[home]\nasns = [3]\n").unwrap());
        let wanted: Table =
            toml::from_str("[cadence]\nbeacon = \"1s\"\nround = \"5s\"\n[home]\nasns = [3]\n").unwrap();
        assert_eq!(into, wanted);
    }

    #[test]
    fn every_planned_configuration_is_toml() {
        for name in ["laptop", "vps", "home-server"] {
            let with = Extras::from([Extra::Services, Extra::EncryptedDns]);
            let mut config: Table = toml::from_str(&common(name, Path::new("/run/lab/x"), &with)).unwrap();
            merge(&mut config, toml::from_str(&own(name, &with).unwrap()).unwrap());
            assert_eq!(config["name"].as_str(), Some(name));
            assert!(config["swarm"]["listen"].is_array());
        }
    }
}
