//! Carries out the commands of the command line, one file each, and reports their errors.

mod check;
mod history;
mod home;
mod pair;
mod run;

use crate::{
    api,
    cli::{Action, Cli, ConfigAction},
    client::Client,
    exit_status::ExitStatus,
    logging, render, terminal,
};
use anyhow::Result;
use sentinel_engine::Config;

/// Carries out the command, and prints the error if it failed.
pub(crate) async fn run_command(cli: Cli) -> ExitStatus {
    let is_node = matches!(cli.action, Action::Run);
    logging::init(if is_node { logging::NODE_FILTER } else { logging::COMMAND_FILTER });
    let json = cli.action.wants_json();
    dispatch(cli).await.unwrap_or_else(|error| {
        let sentence = terminal::error_sentence(&error);
        if json {
            // If standard output is closed too, the exit code is all that is left.
            let _ = terminal::print_json(&serde_json::json!({ "error": sentence }));
        } else {
            terminal::print_note(&format!("error: {sentence}"));
        }
        ExitStatus::Error
    })
}

async fn dispatch(cli: Cli) -> Result<ExitStatus> {
    if let Action::Config(ConfigAction::Sample) = cli.action {
        // The sample helps to repair a broken configuration, so none is read for it.
        terminal::print(Config::sample())?;
        return Ok(ExitStatus::Success);
    }
    let config = Config::load_or_default(cli.config.as_deref())?;
    match cli.action {
        Action::Run => run::run_node(config).await?,
        Action::Check(output) => return Ok(check::run_check(config, output).await?.into()),
        Action::Status(output) => {
            let snapshot = Client::new(&config.api)?.snapshot().await?;
            if output.json {
                terminal::print_json(&snapshot)?;
            } else {
                terminal::print(&render::snapshot(&snapshot))?;
            }
        }
        Action::Nodes(output) => {
            let snapshot = Client::new(&config.api)?.snapshot().await?;
            if output.json {
                terminal::print_json(
                    &serde_json::json!({ "nodes": snapshot.swarm.nodes, "pending": snapshot.swarm.pending }),
                )?;
            } else {
                terminal::print(&render::nodes(&snapshot))?;
            }
        }
        Action::Pair(action) => pair::run_pairing_step(&Client::new(&config.api)?, action).await?,
        Action::Home(action) => home::manage_home(&Client::new(&config.api)?, action).await?,
        Action::Config(ConfigAction::Check | ConfigAction::Sample) => {
            api::Access::from_config(&config.api)?;
            terminal::print(&render::configuration(&config))?;
        }
        Action::Config(ConfigAction::Services(output)) => {
            let services = sentinel_engine::public_services(&config);
            if output.json {
                terminal::print_json(&render::services_json(&services))?;
            } else {
                terminal::print(&render::services(&services))?;
            }
        }
        Action::History(action) => history::query_history(&Client::new(&config.api)?, action).await?,
    }
    Ok(ExitStatus::Success)
}
