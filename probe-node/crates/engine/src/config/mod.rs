//! The configuration file.
//!
//! It is parsed strictly: an unknown key or a bad value is refused, and the error names its line.
//! Every key has a default, so an empty file is a valid configuration. `config.sample.toml` beside
//! this crate's manifest documents every key; a test checks it against these types.
//!
//! Where a value means something to one part of the node only, it is parsed into that part's own
//! type (`ExitChange`, `PastTunnel`, `ResolverService`, `PortalService`, `CanaryConfig`).

mod measuring;
mod ownership;
mod services;
mod swarm;

pub use measuring::{CadenceConfig, Interval, Percent, ThresholdsConfig};
pub use ownership::{BogonsConfig, NetworkConfig, OwnershipConfig};
pub use services::{AddressService, ServicesConfig, UrlService, ZoneService};
pub use swarm::{ApiConfig, SwarmConfig};

use crate::error::ConfigError;
use sentinel_checks::PastTunnel;
use sentinel_model::{Expectation, Home, NodeRole, Rule};
use serde::Deserialize;
use std::{
    fs, io,
    path::{Path, PathBuf},
};

const SAMPLE: &str = include_str!("../../config.sample.toml");

/// The whole configuration of a node.
#[derive(Clone, Debug, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Config {
    /// The name of this node, as the other nodes show it.
    pub name: String,
    /// The purpose of this node.
    pub role: NodeRole,
    /// The directory that holds identity, membership and history.
    pub state_dir: PathBuf,
    /// What identifies the unprotected connection.
    pub home: Home,
    /// What protected means.
    pub expectation: Expectation,
    /// How often things are measured.
    pub cadence: CadenceConfig,
    /// Which deviations count.
    pub thresholds: ThresholdsConfig,
    /// Rules that replace the built-in ones with the same id.
    pub rule: Vec<Rule>,
    /// What may be sent outside a tunnel that is up.
    pub past_tunnel: PastTunnel,
    /// The names whose answers are compared between resolvers.
    pub panel: Vec<String>,
    /// Who operates which addresses.
    pub network: Vec<NetworkConfig>,
    /// Where to look up the operators of other addresses.
    pub ownership: OwnershipConfig,
    /// Third-party services.
    pub services: ServicesConfig,
    /// The user's other nodes.
    pub swarm: SwarmConfig,
    /// The HTTP API and dashboard.
    pub api: ApiConfig,
    /// The addresses that do not count as public.
    pub bogons: BogonsConfig,
}

impl Default for Config {
    fn default() -> Self {
        Self {
            name: host_name(),
            role: NodeRole::Probe,
            state_dir: default_state_dir(),
            home: Home::default(),
            expectation: Expectation::default(),
            cadence: CadenceConfig::default(),
            thresholds: ThresholdsConfig::default(),
            rule: Vec::new(),
            past_tunnel: PastTunnel::default(),
            panel: sentinel_checks::default_panel(),
            network: Vec::new(),
            ownership: OwnershipConfig::default(),
            services: ServicesConfig::default(),
            swarm: SwarmConfig::default(),
            api: ApiConfig::default(),
            bogons: BogonsConfig::default(),
        }
    }
}

impl Config {
    /// Returns the sample file, which documents every key.
    pub fn sample() -> &'static str {
        SAMPLE
    }

    /// Returns the path of the configuration file when none is given.
    pub fn default_path() -> PathBuf {
        dirs::config_dir().unwrap_or_else(|| PathBuf::from("/etc")).join("vpnsentinel").join("config.toml")
    }

    /// Reads a configuration file. A missing file is an error.
    pub fn load(path: &Path) -> Result<Self, ConfigError> {
        let text = fs::read_to_string(path)
            .map_err(|cause| ConfigError::Unreadable { path: path.to_owned(), cause })?;
        Self::parse(&text)
            .map_err(|cause| ConfigError::Invalid { path: path.to_owned(), cause: Box::new(cause) })
    }

    /// Reads the given file, or else the one at the default path, or else takes the defaults.
    ///
    /// A file that is given must exist; the one at the default path may be missing.
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

/// Returns the host name of this machine.
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

    /// The header of every section; the first is the top level.
    const SECTIONS: [&str; 19] = [
        "",
        "[home]",
        "[expectation]",
        "[cadence]",
        "[thresholds]",
        "[[rule]]",
        "[[network]]",
        "[ownership]",
        "[services]",
        "[[services.stun]]",
        "[[services.https_echo]]",
        "[[services.resolver]]",
        "[[services.whoami]]",
        "[[services.ownership]]",
        "[[services.portal]]",
        "[swarm]",
        "[swarm.canary]",
        "[api]",
        "[bogons]",
    ];

    /// The sample with its examples in effect.
    fn uncommented_sample() -> String {
        let lines = SAMPLE.lines().map(|line| line.strip_prefix("#: ").unwrap_or(line));
        lines.fold(String::new(), |text, line| text + line + "\n")
    }

    /// The table under a header, or the first one if there are several.
    fn section<'a>(sample: &'a toml::Table, header: &str) -> &'a toml::Table {
        let names = header.trim_matches(['[', ']']).split('.').filter(|name| !name.is_empty());
        names.fold(sample, |table, name| match &table[name] {
            toml::Value::Array(tables) => tables[0].as_table().unwrap(),
            value => value.as_table().unwrap(),
        })
    }

    #[test]
    fn the_sample_is_valid_and_changes_nothing_until_edited() {
        let sample = Config::parse(SAMPLE).unwrap();
        assert_eq!(format!("{sample:?}"), format!("{:?}", Config::default()));
    }

    #[test]
    fn every_commented_key_of_the_sample_is_a_real_key() {
        let config = Config::parse(&uncommented_sample()).unwrap();
        assert!(config.swarm.canary.is_some() && !config.network.is_empty() && !config.rule.is_empty());
    }

    #[test]
    fn a_plain_resolver_needs_only_a_name_and_an_address() {
        let config =
            Config::parse("[[services.resolver]]\nname = \"r\"\naddress = \"192.0.2.1:53\"\n").unwrap();
        let resolver = &config.services.resolver[0];
        assert_eq!((&resolver.tls, &resolver.https), (&None, &None));
        assert_eq!(config.past_tunnel, PastTunnel::Quiet);
    }

    #[test]
    fn the_sample_shows_every_key_of_every_section() {
        let sample: toml::Table = uncommented_sample().parse().unwrap();
        for header in SECTIONS {
            let message = Config::parse(&format!("{header}\nbogus = 1\n")).unwrap_err().to_string();
            let (_, expected) = message.split_once("expected ").unwrap();
            let keys = expected.split('`').skip(1).step_by(2);
            let shown = section(&sample, header);
            let missing: Vec<_> = keys.filter(|key| !shown.contains_key(*key)).collect();
            assert!(missing.is_empty(), "the sample lacks {missing:?} under {header:?}");
        }
    }

    #[test]
    fn mistakes_are_refused_and_the_line_is_named() {
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
