//! The one configuration file, parsed strictly: an unknown key or a bad value is refused, naming its line.
//!
//! Everything has a default, so an empty file is a valid configuration. `config.sample.toml` beside this crate's manifest
//! documents every key; a test keeps it in step with these types.

use crate::error::ConfigError;
use jiff::SignedDuration;
use sentinel_checks::PastTunnel;
use sentinel_model::{Asn, Expectation, Home, IpNet, Millis, NodeRole, Owner, Rule};
use sentinel_swarm::Multiaddr;
use serde::Deserialize;
use std::{
    fs, io,
    net::SocketAddr,
    path::{Path, PathBuf},
};

const SAMPLE: &str = include_str!("../config.sample.toml");

/// Everything a node can be told.
#[derive(Clone, Debug, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Config {
    /// What the other nodes call this one.
    pub name: String,
    /// What this node is for.
    pub role: NodeRole,
    /// Where identity, membership and history are kept.
    pub state_dir: PathBuf,
    /// What identifies the unprotected connection.
    pub home: Home,
    /// What protected means.
    pub expectation: Expectation,
    /// How often things are measured.
    pub cadence: Cadence,
    /// Deviations that count.
    pub thresholds: Thresholds,
    /// Rules replacing the built-in ones of the same name.
    pub rule: Vec<Rule>,
    /// What may be sent past a tunnel that is up.
    pub past_tunnel: PastTunnel,
    /// Names whose answers are compared.
    pub panel: Vec<String>,
    /// Who operates which addresses.
    pub network: Vec<Network>,
    /// What else says who operates which addresses.
    pub ownership: Ownership,
    /// Third-party services.
    pub services: Services,
    /// The user's other nodes.
    pub swarm: Swarm,
    /// The HTTP API and dashboard.
    pub api: Api,
    /// What does not count as a public address.
    pub bogons: Bogons,
}

impl Default for Config {
    fn default() -> Self {
        Self {
            name: host_name(),
            role: NodeRole::Probe,
            state_dir: default_state_dir(),
            home: Home::default(),
            expectation: Expectation::default(),
            cadence: Cadence::default(),
            thresholds: Thresholds::default(),
            rule: Vec::new(),
            past_tunnel: PastTunnel::default(),
            panel: sentinel_checks::default_panel(),
            network: Vec::new(),
            ownership: Ownership::default(),
            services: Services::default(),
            swarm: Swarm::default(),
            api: Api::default(),
            bogons: Bogons::default(),
        }
    }
}

/// How often things are measured.
#[derive(Clone, Copy, Debug, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Cadence {
    /// Between two beacons.
    pub beacon: Interval,
    /// Between two full rounds.
    pub round: Interval,
    /// What one check may take.
    pub timeout: Interval,
}

impl Default for Cadence {
    fn default() -> Self {
        Self {
            beacon: Interval(Millis::secs(1)),
            round: Interval(Millis::secs(30)),
            // Two lost packets and a retransmission on a slow path still fit; a slower answer says little.
            timeout: Interval(Millis::secs(3)),
        }
    }
}

/// A time between 100 ms and one day, written `1s`, `500ms`, `2min`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(try_from = "SignedDuration")]
pub struct Interval(pub Millis);

impl TryFrom<SignedDuration> for Interval {
    type Error = String;

    fn try_from(duration: SignedDuration) -> Result<Self, String> {
        match u64::try_from(duration.as_millis()) {
            Ok(millis @ 100..=86_400_000) => Ok(Self(Millis(millis))),
            _ => Err(format!("{duration:#} is outside 100ms to 24h")),
        }
    }
}

/// Deviations that count.
#[derive(Clone, Copy, Debug, Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Thresholds {
    /// How far latency must fall below its baseline to count, in percent; 20 unless told.
    pub latency_drop_percent: Option<Percent>,
    /// How many names must resolve wrongly to count; 2 unless told.
    pub dns_mismatch_names: Option<std::num::NonZeroU8>,
    /// What a moved exit means.
    pub exit_change: ExitChange,
}

/// What a moved exit means, where no exit is expected.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ExitChange {
    /// Nothing.
    Ignore,
    /// Worth knowing; another operator is a warning.
    #[default]
    Inform,
    /// Another operator is critical, another address a warning.
    Alarm,
}

/// What does not count as a public address.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Bogons {
    /// The ranges, replacing the built-in table of special-purpose addresses.
    pub ranges: Option<Vec<IpNet>>,
}

/// A share between 1 and 99 percent.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(try_from = "u8")]
pub struct Percent(u8);

impl Percent {
    /// As a fraction of one.
    pub fn fraction(self) -> f64 {
        f64::from(self.0) / 100.0
    }
}

impl TryFrom<u8> for Percent {
    type Error = String;

    fn try_from(value: u8) -> Result<Self, String> {
        if (1..=99).contains(&value) {
            Ok(Self(value))
        } else {
            Err(format!("{value} is outside 1 to 99 percent"))
        }
    }
}

/// Who operates an address range.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Network {
    /// The range.
    pub prefix: IpNet,
    /// Its origin AS.
    pub asn: Option<Asn>,
    /// Its operator.
    pub name: String,
    /// Its country.
    pub country: Option<String>,
}

impl Network {
    /// The owner this entry names.
    pub fn owner(&self) -> Owner {
        Owner { asn: self.asn, name: self.name.clone(), country: self.country.clone() }
    }
}

/// What else than the table says who operates which addresses.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Ownership {
    /// A MaxMind DB file on this machine.
    pub file: Option<PathBuf>,
}

/// Third-party services. None is contacted before `consent` is true.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Services {
    /// Whether public services may be asked at all.
    pub consent: bool,
    /// Whether the built-in list is left out, so that only the entries below count.
    pub replace_defaults: bool,
    /// Built-in services, by name, that must not be asked.
    pub disabled: Vec<String>,
    /// STUN servers.
    pub stun: Vec<AddressService>,
    /// HTTPS services that answer with the caller's address.
    pub https_echo: Vec<UrlService>,
    /// Public resolvers.
    pub resolver: Vec<ResolverService>,
    /// Names whose authoritative servers report who asked.
    pub whoami: Vec<ZoneService>,
    /// Zones that tell who operates an address, in Team Cymru's form.
    pub ownership: Vec<ZoneService>,
    /// Services that show a captive portal.
    pub portal: Vec<PortalService>,
}

/// A service reached at an address, `host:port`.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct AddressService {
    /// Its name in evidence and messages.
    pub name: String,
    /// Where it is.
    pub address: String,
}

/// A public resolver.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ResolverService {
    /// Its name in evidence and messages.
    pub name: String,
    /// Its address, with or without a port.
    pub address: String,
    /// The name its certificate is for, with or without a port, where it speaks DNS over TLS.
    pub tls: Option<String>,
    /// Its URL, where it speaks DNS over HTTPS.
    pub https: Option<String>,
}

/// A service reached at a URL.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct UrlService {
    /// Its name in evidence and messages.
    pub name: String,
    /// Where it is.
    pub url: String,
}

/// A service whose answer over plain HTTP is known beforehand.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct PortalService {
    /// Its name in messages.
    pub name: String,
    /// Where it is: `http://host/path`.
    pub url: String,
    /// The status it answers with; 200 unless told.
    pub status: Option<u16>,
    /// What its answer says; anything, if absent.
    pub body: Option<String>,
}

/// A DNS zone that reports who asked.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ZoneService {
    /// Its name in evidence and messages.
    pub name: String,
    /// Whoami: the name to ask, or `*.zone` if every name under the zone is answered; a never-used one is asked then.
    /// Ownership: the zone.
    pub zone: String,
}

/// The user's other nodes.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Swarm {
    /// Where to listen for the other nodes.
    pub listen: Vec<Multiaddr>,
    /// Where the other nodes reach this one, if it is reachable.
    pub external: Vec<Multiaddr>,
    /// Where the STUN responder listens.
    pub stun: Vec<SocketAddr>,
    /// Where the other nodes reach the STUN responder; empty if they cannot.
    pub stun_external: Vec<SocketAddr>,
    /// Whether this node relays between members that cannot reach each other.
    pub relay: bool,
    /// A DNS zone served by this node that reports who asks.
    pub canary: Option<Canary>,
    /// A file with an invitation to accept at start, for containers.
    pub invitation_file: Option<PathBuf>,
}

/// A DNS zone served by this node.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Canary {
    /// The zone delegated to this node.
    pub zone: String,
    /// Where to answer, UDP and TCP.
    pub listen: Vec<SocketAddr>,
}

/// The HTTP API and dashboard.
#[derive(Clone, Debug, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Api {
    /// Where it listens.
    pub listen: SocketAddr,
    /// The file with the token every request must carry; required beyond loopback.
    pub token_file: Option<PathBuf>,
}

impl Default for Api {
    fn default() -> Self {
        Self { listen: SocketAddr::from(([127, 0, 0, 1], 7466)), token_file: None }
    }
}

impl Config {
    /// The fully commented sample.
    pub fn sample() -> &'static str {
        SAMPLE
    }

    /// Where the configuration is looked for unless told otherwise.
    pub fn default_path() -> PathBuf {
        dirs::config_dir().unwrap_or_else(|| PathBuf::from("/etc")).join("vpnsentinel").join("config.toml")
    }

    /// Reads a file; one that does not exist is an error.
    pub fn load(path: &Path) -> Result<Self, ConfigError> {
        let text = fs::read_to_string(path)
            .map_err(|cause| ConfigError::Unreadable { path: path.to_owned(), cause })?;
        Self::parse(&text)
            .map_err(|cause| ConfigError::Invalid { path: path.to_owned(), cause: Box::new(cause) })
    }

    /// Reads a file, or takes the defaults if there is none at the default place.
    pub fn load_or_default(path: Option<&Path>) -> Result<Self, ConfigError> {
        if let Some(path) = path {
            return Self::load(path);
        }
        match Self::load(&Self::default_path()) {
            Err(ConfigError::Unreadable { cause, .. }) if cause.kind() == io::ErrorKind::NotFound => {
                Ok(Self::default())
            }
            loaded => loaded,
        }
    }

    /// Parses the text of a configuration file.
    pub fn parse(text: &str) -> Result<Self, toml::de::Error> {
        toml::from_str(text)
    }
}

/// The name the machine calls itself.
fn host_name() -> String {
    let name = gethostname::gethostname();
    let name = name.to_string_lossy();
    let name = name.trim();
    if name.is_empty() { "this machine".to_owned() } else { name.to_owned() }
}

fn default_state_dir() -> PathBuf {
    dirs::data_local_dir().unwrap_or_else(|| PathBuf::from("/var/lib")).join("vpnsentinel")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_sample_is_valid_and_changes_nothing_until_edited() {
        let sample = Config::parse(SAMPLE).unwrap();
        let default = Config::default();
        assert_eq!(sample.cadence.beacon, default.cadence.beacon);
        assert_eq!(sample.api.listen, default.api.listen);
        assert_eq!(sample.past_tunnel, default.past_tunnel);
        assert!(!sample.services.consent);
        assert!(sample.home.is_unknown());
    }

    #[test]
    fn every_commented_key_of_the_sample_is_a_real_key() {
        let uncommented: String = SAMPLE
            .lines()
            .map(|line| line.strip_prefix("#: ").unwrap_or(line))
            .fold(String::new(), |text, line| text + line + "\n");
        let config = Config::parse(&uncommented).unwrap();
        assert!(config.swarm.canary.is_some() && !config.network.is_empty() && !config.rule.is_empty());
    }

    #[test]
    fn a_plain_resolver_needs_no_more_than_an_address() {
        let config =
            Config::parse("[[services.resolver]]\nname = \"r\"\naddress = \"192.0.2.1:53\"\n").unwrap();
        let resolver = &config.services.resolver[0];
        assert_eq!((&resolver.tls, &resolver.https), (&None, &None));
        assert_eq!(config.past_tunnel, PastTunnel::Quiet);
    }

    #[test]
    fn mistakes_are_refused_naming_the_line() {
        for (text, line, word) in [
            ("name = \"a\"\nnmae = \"b\"\n", "line 2", "nmae"),
            ("[cadence]\nbeacon = \"1ms\"\n", "line 2", "100ms"),
            ("past_tunnel = \"loud\"\n", "line 1", "quiet"),
            ("[cadence]\n\nround = \"soon\"\n", "line 3", "soon"),
            ("[home]\naddresses = [\"300.1.1.1\"]\n", "line 2", "IP address"),
            ("[thresholds]\nlatency_drop_percent = 0\n", "line 2", "percent"),
            ("[thresholds]\nexit_change = \"shout\"\n", "line 2", "alarm"),
            ("[swarm]\nlisten = [\"tcp:7467\"]\n", "line 2", ""),
        ] {
            let message = Config::parse(text).unwrap_err().to_string();
            assert!(message.contains(line) && message.contains(word), "{text:?} gave {message}");
        }
    }
}
