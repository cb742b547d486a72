//! `home`: which line is home, the one that must never be seen while the VPN is on.

use crate::{
    cli::{HomeAction, Output},
    client::Client,
    print,
};
use anyhow::{Result, bail};
use sentinel_model::{Command, Home, Reply, Snapshot};
use std::net::IpAddr;

/// Does what was asked about the home line.
pub(crate) async fn home(client: &Client, action: HomeAction) -> Result<()> {
    match action {
        HomeAction::Show(output) => tell(&ask(client).await?, output),
        HomeAction::Learn { yes, output } => {
            client.command(&Command::CheckNow).await?;
            // Where nobody sees anything there is nothing to agree to, and the node says why.
            if let Some(question) = question(&client.snapshot().await?).filter(|_| !yes)
                && !print::agreed(&question, "vpnsentinel-node home learn --yes")?
            {
                bail!("Nothing was changed. Turn the VPN off first if it was on, and ask again.");
            }
            client.command(&Command::LearnHome).await?;
            tell(&ask(client).await?, output)
        }
        HomeAction::Set { addresses, output } => {
            client.command(&Command::SetHome { addresses }).await?;
            tell(&ask(client).await?, output)
        }
    }
}

async fn ask(client: &Client) -> Result<Home> {
    match client.command(&Command::ShowHome).await? {
        Reply::Home { home } => Ok(home),
        _ => bail!(print::UNEXPECTED),
    }
}

fn tell(home: &Home, output: Output) -> Result<()> {
    if output.json {
        return print::json(&serde_json::json!({ "home": home }));
    }
    print::text(&print::home(home))
}

fn question(snapshot: &Snapshot) -> Option<String> {
    let seen: Vec<String> = snapshot
        .shown
        .exits
        .iter()
        .filter_map(|exit| exit.address.measured())
        .map(ToString::to_string)
        .collect();
    (!seen.is_empty()).then(|| {
        format!(
            "The world sees you at {} now. Is the VPN off, and this your home line? Type y to remember it:",
            seen.join(" and ")
        )
    })
}

/// An address as it is typed.
pub(crate) fn address(text: &str) -> Result<IpAddr, String> {
    text.parse().map_err(|_| "an IPv4 or IPv6 address is needed, such as 198.51.100.7".to_owned())
}
