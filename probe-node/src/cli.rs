//! What can be typed, and what each command comes to.

use crate::{api, check, client::Client, history, home, logging, pair, print, run};
use anyhow::Result;
use clap::{Args, Parser, Subcommand};
use sentinel_engine::Config;
use sentinel_model::Verdict;
use std::{net::IpAddr, path::PathBuf, process::ExitCode};

/// The exit code for anything that went wrong, wrong usage included.
pub(crate) const ERROR: u8 = 3;

/// The exit code of a check that came to no verdict: whoever asked must not take it for protection.
const UNVERIFIED: u8 = 2;

const EXIT_CODES: &str = "Exit codes:
  0  done; for `check`: protected
  1  `check` only: exposed, your real address or your DNS queries are visible
  2  `check` only: unverified; nobody can tell for sure, it is off, or the check itself failed
  3  something else went wrong; the message says what, and what to do";

const CONFIGURATION: &str =
    "The configuration is the file given with --config, else the one named in the environment variable
VPNSENTINEL_CONFIG, else vpnsentinel/config.toml in your configuration directory, if it exists.";

const START_HERE: &str = "Start here:
  vpnsentinel-node config sample > config.toml    a configuration with every key explained
  vpnsentinel-node --config config.toml run       start the node
  vpnsentinel-node check                          am I protected, right now?";

/// Tells you within seconds, and with proof, when your VPN stops protecting you.
#[derive(Debug, Parser)]
#[command(name = "vpnsentinel-node", bin_name = "vpnsentinel-node", version, arg_required_else_help = true)]
#[command(after_help = format!("{START_HERE}\n\n{CONFIGURATION}\n\n{EXIT_CODES}"), disable_help_subcommand = true)]
pub(crate) struct Cli {
    /// The configuration file, instead of the usual one
    #[arg(long, short, global = true, env = "VPNSENTINEL_CONFIG", hide_env = true, value_name = "FILE")]
    config: Option<PathBuf>,

    #[command(subcommand)]
    action: Action,
}

#[derive(Debug, Subcommand)]
enum Action {
    /// Start the node; it watches until it is stopped with Ctrl+C or SIGTERM
    Run,
    /// Run every check now and say whether the VPN protects you
    #[command(
        long_about = "Run every check now and say whether the VPN protects you.\n\nA running node is asked to do it. If \
                      none runs, this command is a node itself for as long as one round takes.",
        after_help = EXIT_CODES
    )]
    Check(Output),
    /// Show what the running node sees, without measuring anew
    Status(Output),
    /// Join your nodes to one another
    #[command(subcommand, disable_help_subcommand = true)]
    Pair(Pair),
    /// List your nodes and how each of them is
    Nodes(Output),
    /// Say which line is home: the one that must never be seen while the VPN is on
    #[command(subcommand, disable_help_subcommand = true)]
    Home(HomeAction),
    /// Show a sample configuration, or check yours
    #[command(subcommand, disable_help_subcommand = true)]
    Config(ConfigAction),
    /// Look at what happened
    #[command(subcommand, disable_help_subcommand = true)]
    History(History),
}

/// How to print.
#[derive(Args, Clone, Copy, Debug)]
pub(crate) struct Output {
    /// Print JSON, with its form's version in `schema`
    #[arg(long)]
    pub(crate) json: bool,
}

/// Joining nodes: invite on one that is already yours, accept on the new one, confirm on the first.
#[derive(Debug, Subcommand)]
pub(crate) enum Pair {
    /// Make an invitation for a new node; it is printed alone on standard output
    Invite(Output),
    /// Take up an invitation on the new node
    Accept {
        /// The invitation, or `-` to read it from standard input, or `@FILE` to read it from a file
        #[arg(allow_hyphen_values = true)]
        invitation: String,
        #[command(flatten)]
        output: Output,
    },
    /// Admit the node that took up your invitation, after comparing fingerprints
    Confirm {
        /// The fingerprint the new node shows, such as 7QK2-M9XD; asks if left out
        fingerprint: Option<String>,
        /// Do not ask; admit the node that is waiting
        #[arg(long, short)]
        yes: bool,
        #[command(flatten)]
        output: Output,
    },
}

/// The home line.
#[derive(Debug, Subcommand)]
pub(crate) enum HomeAction {
    /// Remember what the world sees now as the home line; turn the VPN off first
    Learn {
        /// Do not ask whether the VPN is off
        #[arg(long, short)]
        yes: bool,
        #[command(flatten)]
        output: Output,
    },
    /// Show what is known of the home line
    Show(Output),
    /// Say yourself at which addresses the world sees you without the VPN
    Set {
        /// The addresses, in place of what was learned before; an IPv6 address stands for its /56
        #[arg(required = true, value_name = "ADDRESS", value_parser = home::address)]
        addresses: Vec<IpAddr>,
        #[command(flatten)]
        output: Output,
    },
}

#[derive(Debug, Subcommand)]
enum ConfigAction {
    /// Print a configuration with every key explained
    Sample,
    /// Read the configuration and say whether the node can start with it
    Check,
    /// List every public service, and whether it may be asked
    Services(Output),
}

/// Questions to the history.
#[derive(Debug, Subcommand)]
pub(crate) enum History {
    /// List incidents, newest first
    Incidents {
        /// How many days to look back
        #[arg(long, default_value_t = 7, value_name = "DAYS", value_parser = clap::value_parser!(u16).range(1..=3650))]
        days: u16,
        /// How many to list at most
        #[arg(long, default_value_t = 50, value_name = "N", value_parser = clap::value_parser!(u32).range(1..=1000))]
        limit: u32,
        #[command(flatten)]
        output: Output,
    },
}

impl Action {
    fn wants_json(&self) -> bool {
        match self {
            Self::Check(output)
            | Self::Status(output)
            | Self::Nodes(output)
            | Self::Pair(Pair::Invite(output) | Pair::Accept { output, .. } | Pair::Confirm { output, .. })
            | Self::Home(
                HomeAction::Learn { output, .. } | HomeAction::Show(output) | HomeAction::Set { output, .. },
            )
            | Self::Config(ConfigAction::Services(output))
            | Self::History(History::Incidents { output, .. }) => output.json,
            Self::Run | Self::Config(ConfigAction::Sample | ConfigAction::Check) => false,
        }
    }
}

/// Does what was typed and prints what went wrong, if anything did.
pub(crate) async fn carry_out(cli: Cli) -> ExitCode {
    logging::start(if matches!(cli.action, Action::Run) { "info" } else { "error" });
    let json = cli.action.wants_json();
    let failed = if matches!(cli.action, Action::Check(_)) { UNVERIFIED } else { ERROR };
    match act(cli).await {
        Ok(code) => code.into(),
        Err(error) if json => {
            // If standard output is gone too, the exit code is all that is left.
            let _ = print::json(&serde_json::json!({ "error": print::sentence(&error) }));
            failed.into()
        }
        Err(error) => {
            print::aside(&format!("error: {}", print::sentence(&error)));
            failed.into()
        }
    }
}

async fn act(cli: Cli) -> Result<u8> {
    if let Action::Config(ConfigAction::Sample) = cli.action {
        print::text(Config::sample())?;
        return Ok(0);
    }
    let config = Config::load_or_default(cli.config.as_deref())?;
    match cli.action {
        Action::Run => run::run(config).await?,
        Action::Check(output) => return check::check(config, output).await,
        Action::Status(output) => {
            let snapshot = Client::new(&config.api)?.snapshot().await?;
            if output.json { print::json(&snapshot)? } else { print::text(&print::snapshot(&snapshot))? }
        }
        Action::Nodes(output) => {
            let snapshot = Client::new(&config.api)?.snapshot().await?;
            if output.json {
                print::json(
                    &serde_json::json!({ "nodes": snapshot.swarm.nodes, "pending": snapshot.swarm.pending }),
                )?;
            } else {
                print::text(&print::nodes(&snapshot))?;
            }
        }
        Action::Pair(action) => pair::pair(&Client::new(&config.api)?, action).await?,
        Action::Home(action) => home::home(&Client::new(&config.api)?, action).await?,
        Action::Config(ConfigAction::Check | ConfigAction::Sample) => {
            api::Access::of(&config.api)?;
            print::text(&print::configuration(&config))?;
        }
        Action::Config(ConfigAction::Services(output)) => {
            let services = sentinel_engine::public_services(&config);
            if output.json {
                print::json(&print::services_json(&services))?;
            } else {
                print::text(&print::services(&services))?;
            }
        }
        Action::History(action) => history::history(&Client::new(&config.api)?, action).await?,
    }
    Ok(0)
}

/// The exit code that stands for a verdict.
pub(crate) fn exit_code(verdict: Verdict) -> u8 {
    match verdict {
        Verdict::Protected => 0,
        Verdict::Exposed => 1,
        Verdict::Suspect | Verdict::Unverified | Verdict::Off => UNVERIFIED,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use clap::CommandFactory;

    #[test]
    fn the_command_line_is_well_formed() {
        Cli::command().debug_assert();
    }

    #[test]
    fn only_protected_is_success() {
        let zero: Vec<_> =
            [Verdict::Protected, Verdict::Exposed, Verdict::Suspect, Verdict::Unverified, Verdict::Off]
                .into_iter()
                .filter(|verdict| exit_code(*verdict) == 0)
                .collect();
        assert_eq!(zero, [Verdict::Protected]);
    }
}
