//! The command line: arguments, subcommands and their help. What each command does is in
//! `commands`.

use clap::{Args, Parser, Subcommand};
use std::{net::IpAddr, path::PathBuf};

const EXIT_CODES: &str = "Exit codes:
  0  done; for `check`: protected
  1  `check` only: exposed, your real address or your DNS queries are visible
  2  `check` only: unverified; the VPN is off, or protection could not be confirmed
  3  something went wrong, or the check could not be run; the message says what, and what to do";

const CONFIGURATION: &str =
    "The configuration is the file given with --config, else the one named in the environment variable
VPNSENTINEL_CONFIG, else vpnsentinel/config.toml in your configuration directory, if it exists.";

const START_HERE: &str = "Start here:
  vpnsentinel-node config sample > config.toml    a configuration with every key explained
  vpnsentinel-node --config config.toml run       start the node
  vpnsentinel-node check                          am I protected right now?";

/// Tells you within seconds, and with proof, when your VPN stops protecting you.
#[derive(Debug, Parser)]
#[command(name = "vpnsentinel-node", bin_name = "vpnsentinel-node", version, arg_required_else_help = true)]
#[command(after_help = format!("{START_HERE}\n\n{CONFIGURATION}\n\n{EXIT_CODES}"), disable_help_subcommand = true)]
pub(crate) struct Cli {
    /// The configuration file to use instead of the default
    #[arg(long, short, global = true, env = "VPNSENTINEL_CONFIG", hide_env = true, value_name = "FILE")]
    pub(crate) config: Option<PathBuf>,

    #[command(subcommand)]
    pub(crate) action: Action,
}

/// The subcommands.
#[derive(Debug, Subcommand)]
pub(crate) enum Action {
    /// Start the node; it runs until it is stopped with Ctrl+C or SIGTERM
    Run,
    /// Run every check now and report whether the VPN protects you
    #[command(
        long_about = "Run every check now and report whether the VPN protects you.\n\nIf a node is running, it runs the \
                      checks. Otherwise this command starts a node for one round of checks.",
        after_help = EXIT_CODES
    )]
    Check(OutputOptions),
    /// Show the current state of the running node, without a new measurement
    Status(OutputOptions),
    /// Pair your nodes with one another
    #[command(subcommand, disable_help_subcommand = true)]
    Pair(PairAction),
    /// List your nodes and the state of each
    Nodes(OutputOptions),
    /// Show or set your home line: the connection that must not be visible while the VPN is on
    #[command(subcommand, disable_help_subcommand = true)]
    Home(HomeAction),
    /// Show a sample configuration, or check yours
    #[command(subcommand, disable_help_subcommand = true)]
    Config(ConfigAction),
    /// Show past events
    #[command(subcommand, disable_help_subcommand = true)]
    History(HistoryAction),
}

/// How a command prints its result.
#[derive(Args, Clone, Copy, Debug)]
pub(crate) struct OutputOptions {
    /// Print JSON; the field `schema` holds the version of the format
    #[arg(long)]
    pub(crate) json: bool,
}

/// The steps of pairing: invite on a node of yours, accept on the new one, confirm on the first.
#[derive(Debug, Subcommand)]
pub(crate) enum PairAction {
    /// Create an invitation for a new node; standard output holds nothing but the invitation
    Invite(OutputOptions),
    /// Accept an invitation on the new node
    Accept {
        /// The invitation, or `-` to read it from standard input, or `@FILE` to read it from a file
        #[arg(allow_hyphen_values = true)]
        invitation: String,
        #[command(flatten)]
        output: OutputOptions,
    },
    /// Admit the node that accepted your invitation, after comparing fingerprints
    Confirm {
        /// The fingerprint that the new node shows, such as 7QK2-M9XD; without it, you are asked
        fingerprint: Option<String>,
        /// Ask nothing, for scripts; the fingerprint is then required
        #[arg(long, short, requires = "fingerprint")]
        yes: bool,
        #[command(flatten)]
        output: OutputOptions,
    },
}

/// What can be done with the home line.
#[derive(Debug, Subcommand)]
pub(crate) enum HomeAction {
    /// Learn the home line from the addresses that are visible now; turn the VPN off first
    Learn {
        /// Do not ask whether the VPN is off, even if a tunnel seems to be up
        #[arg(long, short)]
        yes: bool,
        #[command(flatten)]
        output: OutputOptions,
    },
    /// Show the addresses, operators and resolvers of the home line
    Show(OutputOptions),
    /// Set the public addresses that you have without the VPN
    Set {
        /// The addresses; they replace what was learned before, and an IPv6 address covers its /56
        #[arg(required = true, value_name = "ADDRESS", value_parser = parse_address)]
        addresses: Vec<IpAddr>,
        #[command(flatten)]
        output: OutputOptions,
    },
}

/// What can be done with the configuration.
#[derive(Debug, Subcommand)]
pub(crate) enum ConfigAction {
    /// Print a configuration with every key explained
    Sample,
    /// Check that the node can start with your configuration
    Check,
    /// List every public service, and whether it may be used
    Services(OutputOptions),
}

/// What the history can be queried for.
#[derive(Debug, Subcommand)]
pub(crate) enum HistoryAction {
    /// List incidents, newest first
    Incidents {
        /// How many days to look back
        #[arg(long, default_value_t = 7, value_name = "DAYS", value_parser = clap::value_parser!(u16).range(1..=3650))]
        days: u16,
        /// The largest number of incidents to list
        #[arg(long, default_value_t = 50, value_name = "N", value_parser = clap::value_parser!(u32).range(1..=1000))]
        limit: u32,
        #[command(flatten)]
        output: OutputOptions,
    },
}

impl Action {
    /// Returns true if the result and any error are to be printed as JSON.
    pub(crate) fn wants_json(&self) -> bool {
        match self {
            Self::Check(output)
            | Self::Status(output)
            | Self::Nodes(output)
            | Self::Pair(
                PairAction::Invite(output)
                | PairAction::Accept { output, .. }
                | PairAction::Confirm { output, .. },
            )
            | Self::Home(
                HomeAction::Learn { output, .. } | HomeAction::Show(output) | HomeAction::Set { output, .. },
            )
            | Self::Config(ConfigAction::Services(output))
            | Self::History(HistoryAction::Incidents { output, .. }) => output.json,
            Self::Run | Self::Config(ConfigAction::Sample | ConfigAction::Check) => false,
        }
    }
}

fn parse_address(text: &str) -> Result<IpAddr, String> {
    text.parse().map_err(|_| "an IPv4 or IPv6 address is needed, such as 198.51.100.7".to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;
    use clap::CommandFactory;

    #[test]
    fn the_command_line_is_well_formed() {
        Cli::command().debug_assert();
    }
}
