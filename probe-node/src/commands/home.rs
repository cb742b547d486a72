//! `home`: the home line, which must not be visible while the VPN is on.

use crate::{
    cli::{HomeAction, OutputOptions},
    client::{Client, UNEXPECTED_REPLY},
    render, terminal,
};
use anyhow::{Result, bail};
use sentinel_model::{Command, Home, Reply, Snapshot};

/// Shows, learns or sets the home line of the running node, and prints what it is then.
pub(super) async fn manage_home(client: &Client, action: HomeAction) -> Result<()> {
    match action {
        HomeAction::Show(output) => print_home(&fetch_home(client).await?, output),
        HomeAction::Learn { yes, output } => {
            client.command(&Command::CheckNow).await?;
            // If no exit was measured there is nothing to confirm, and the node says why it
            // refuses.
            if let Some(question) = learn_question(&client.snapshot().await?).filter(|_| !yes)
                && !terminal::confirm(&question, "vpnsentinel-node home learn --yes")?
            {
                bail!("Nothing was changed. If the VPN is on, turn it off and run the command again.");
            }
            client.command(&Command::LearnHome { confirmed: true }).await?;
            print_home(&fetch_home(client).await?, output)
        }
        HomeAction::Set { addresses, output } => {
            client.command(&Command::SetHome { addresses }).await?;
            print_home(&fetch_home(client).await?, output)
        }
    }
}

async fn fetch_home(client: &Client) -> Result<Home> {
    match client.command(&Command::ShowHome).await? {
        Reply::Home { home } => Ok(home),
        _ => bail!(UNEXPECTED_REPLY),
    }
}

fn print_home(home: &Home, output: OutputOptions) -> Result<()> {
    if output.json {
        return terminal::print_json(&serde_json::json!({ "home": home }));
    }
    terminal::print(&render::home(home))
}

fn warn_of_tunnel(snapshot: &Snapshot) -> Option<String> {
    let tunnel = snapshot.shown.tunnel.as_ref().filter(|tunnel| tunnel.up)?;
    Some(format!("{} looks like a VPN's tunnel and is up. ", tunnel.interface))
}

fn learn_question(snapshot: &Snapshot) -> Option<String> {
    let exits = snapshot.shown.exits.iter();
    let seen: Vec<String> =
        exits.filter_map(|exit| exit.address.measured()).map(ToString::to_string).collect();
    (!seen.is_empty()).then(|| {
        format!(
            "{}You are visible at {} now. Is the VPN off, and is this your home line? Type y to save it:",
            warn_of_tunnel(snapshot).unwrap_or_default(),
            seen.join(" and ")
        )
    })
}
