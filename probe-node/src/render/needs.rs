//! What the node lacks, and how the person can provide it.

use sentinel_model::Need;

/// The heading above what is missing.
pub(super) const HEADING: &str = "What is missing";

/// Returns the lines that say what is missing and how to provide it, indented.
pub(super) fn need(need: Need) -> &'static str {
    match need {
        Need::Home => concat!(
            "  Your home line: without it, a leak cannot be distinguished from your VPN. Turn the VPN off and run\n",
            "  `vpnsentinel-node home learn`, or put the address you have without the VPN under [home] in the\n",
            "  configuration."
        ),
        Need::Witness => concat!(
            "  A node of your own on another network (a server, a friend's computer) that sees you from outside. To\n",
            "  pair it, run `vpnsentinel-node pair invite` there, where you can reach it, and then\n",
            "  `vpnsentinel-node pair accept` here."
        ),
        Need::Consent => concat!(
            "  A witness to ask: a node of your own, or public services, which you allow with `consent = true`\n",
            "  under [services] in the configuration."
        ),
    }
}
