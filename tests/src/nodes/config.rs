//! The configuration of the nodes.

use crate::{
    access_network::Ipv6,
    plan::{self, Extra, Extras},
    vpn::INTERFACE,
    world::World,
};
use anyhow::{Context, Result, bail};
use std::{
    fs,
    net::{IpAddr, SocketAddr},
    path::{Path, PathBuf},
};
use toml::{Table, Value};

impl World {
    /// Writes the configuration of a host's node and returns its path.
    pub fn write_node_config(&self, host: &str) -> Result<PathBuf> {
        write_config(self, host)
    }
}

pub(super) fn write_config(world: &World, name: &str) -> Result<PathBuf> {
    let directory = world.host(name)?.directory();
    let with = &world.spec.with;
    let mut config: Table = toml::from_str(&common_settings(name, directory, with))?;
    merge(&mut config, toml::from_str(&own_settings(name, with)?)?);
    if name == "laptop" && !world.spec.fresh {
        merge(&mut config, toml::from_str(&home_settings())?);
    }
    merge(&mut config, toml::from_str(&ipv6_settings(name, world.spec.ipv6))?);
    if name == "laptop" {
        merge(&mut config, world.spec.config.clone());
    }
    let path = directory.join("node.toml");
    fs::write(&path, toml::to_string(&config)?)
        .with_context(|| format!("cannot write {}", path.display()))?;
    Ok(path)
}

/// Merges one table into another. Values other than tables are replaced.
fn merge(into: &mut Table, from: Table) {
    for (key, value) in from {
        match (into.get_mut(&key), value) {
            (Some(Value::Table(into)), Value::Table(from)) => merge(into, from),
            (_, value) => drop(into.insert(key, value)),
        }
    }
}

/// Returns the settings that all nodes have in common.
fn common_settings(name: &str, directory: &Path, with: &Extras) -> String {
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

/// Returns the settings of one node in particular.
fn own_settings(name: &str, with: &Extras) -> Result<String> {
    let stun = |v4: std::net::Ipv4Addr, v6: std::net::Ipv6Addr| {
        format!("stun_external = [\"{v4}:{port}\", \"[{v6}]:{port}\"]\n", port = plan::STUN_PORT)
    };
    match name {
        "laptop" => Ok(laptop_settings(with)),
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
        _ => bail!("no node is planned for {name}; the nodes are laptop, vps and home-server"),
    }
}

/// Returns the settings for worlds in which the laptop has IPv6.
///
/// The laptop's node gets a further public voice. Where the laptop has only IPv6, the swarm can be
/// reached over IPv6.
fn ipv6_settings(name: &str, ipv6: Ipv6) -> String {
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

fn laptop_settings(with: &Extras) -> String {
    let services = service_settings(with);
    format!("role = \"desktop\"\n[services]\nconsent = true\nreplace_defaults = true\n{services}")
}

/// Returns the user's settings for the home line and the VPN.
fn home_settings() -> String {
    format!(
        "[home]
addresses = [\"{home}\"]
prefixes = [\"2001:db8:51::/56\"]
asns = [64500]
[expectation]
interface = \"{INTERFACE}\"
excluded_programs = {probes:?}
",
        home = plan::HOME,
        probes = own_programs()
    )
}

/// Returns the names of the lab's own programs, whose observations leave outside the tunnel.
fn own_programs() -> Vec<String> {
    let own = std::env::current_exe().ok();
    own.and_then(|path| Some(path.file_name()?.to_string_lossy().into_owned())).into_iter().collect()
}

/// Returns the public services that the laptop's node may use.
fn service_settings(with: &Extras) -> String {
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
    fn merging_keeps_settings_that_only_one_table_has() {
        let mut into: Table =
            toml::from_str("[cadence]\nbeacon = \"1s\"\nround = \"30s\"\n[home]\nasns = [1, 2]\n").unwrap();
        merge(&mut into, toml::from_str("[cadence]\nround = \"5s\"\n[home]\nasns = [3]\n").unwrap());
        let wanted: Table =
            toml::from_str("[cadence]\nbeacon = \"1s\"\nround = \"5s\"\n[home]\nasns = [3]\n").unwrap();
        assert_eq!(into, wanted);
    }

    #[test]
    fn every_planned_configuration_is_valid_toml() {
        for name in ["laptop", "vps", "home-server"] {
            let with = Extras::from([Extra::Services, Extra::EncryptedDns]);
            let mut config: Table =
                toml::from_str(&common_settings(name, Path::new("/run/lab/x"), &with)).unwrap();
            merge(&mut config, toml::from_str(&own_settings(name, &with).unwrap()).unwrap());
            assert_eq!(config["name"].as_str(), Some(name));
            assert!(config["swarm"]["listen"].is_array());
        }
    }
}
