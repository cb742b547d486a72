//! What a world can contain beyond the standard one.

use serde::Deserialize;
use std::collections::BTreeSet;

/// Hosts and services that a scenario can add to the standard world: `with = ["services"]`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Extra {
    /// Two more STUN servers and two more HTTPS echo services, each in a network of its own.
    Services,
    /// A TLS server with a valid certificate at every address of the
    /// [panel](crate::plan::PANEL), and [another one](crate::plan::IMPOSTOR) without.
    Websites,
    /// A second public resolver, run by another operator, which the home server uses.
    SecondResolver,
    /// The public resolver supports DNS over TLS and HTTPS, and the laptop's node is configured so.
    EncryptedDns,
    /// Names of a content network, which every resolver resolves to a different server.
    ContentNetwork,
    /// A public resolver that queries from another operator's network in another country.
    AnycastResolver,
    /// Example VPN's resolver queries from an AS other than that of its exits.
    SplitProvider,
    /// A second routing table on the laptop with a route outside the tunnel, used by no rule.
    SecondTable,
    /// A connection of a program on the laptop from before the tunnel was up, which keeps trying.
    EarlyConnection,
}

/// The set of extras of one world.
pub type Extras = BTreeSet<Extra>;
