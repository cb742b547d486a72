//! `pair`: the steps that bring a new node into the user's swarm.
//!
//! Explanations go to standard error and the invitation alone to standard output, so that
//! `vpnsentinel-node pair invite | ssh server vpnsentinel-node pair accept -` works.

use crate::{
    cli::{OutputOptions, PairAction},
    client::{Client, UNEXPECTED_REPLY},
    terminal,
};
use anyhow::{Result, anyhow, bail};
use sentinel_model::{Command, PendingNode, Reply};
use std::{
    fs,
    io::{self, Read},
};

/// The most bytes read of an invitation, far more than any has, so that a wrong file is not read
/// whole.
const MAX_INVITATION: u64 = 64 * 1024;

/// Carries out one step of pairing.
pub(super) async fn run_pairing_step(client: &Client, step: PairAction) -> Result<()> {
    match step {
        PairAction::Invite(output) => invite(client, output).await,
        PairAction::Accept { invitation, output } => accept(client, &invitation, output).await,
        PairAction::Confirm { fingerprint, output, .. } => confirm(client, fingerprint, output).await,
    }
}

async fn invite(client: &Client, output: OutputOptions) -> Result<()> {
    let Reply::Invitation { text, expires } = client.command(&Command::Invite).await? else {
        bail!(UNEXPECTED_REPLY)
    };
    if output.json {
        return terminal::print_json(&serde_json::json!({ "invitation": text, "expires": expires }));
    }
    let offset = client.snapshot().await?.offset;
    terminal::print_note(&format!(
        "This invitation admits one new node and expires at {}. On the new node, start `vpnsentinel-node run`, then \
         run in another terminal:\n\n  vpnsentinel-node pair accept INVITATION\n\nIt shows a fingerprint. To admit the \
         node, run here:\n\n  vpnsentinel-node pair confirm FINGERPRINT\n\nThe invitation:",
        expires.time_of_day(offset)
    ));
    terminal::print(&text)
}

async fn accept(client: &Client, source: &str, output: OutputOptions) -> Result<()> {
    let invitation = read_invitation(source)?;
    let Reply::Waiting { fingerprint } = client.command(&Command::AcceptInvitation { invitation }).await?
    else {
        bail!(UNEXPECTED_REPLY)
    };
    if output.json {
        return terminal::print_json(&serde_json::json!({ "fingerprint": fingerprint }));
    }
    terminal::print(&format!(
        "The fingerprint of this node is {fingerprint}.\n\nOn the node that made the invitation, check that it shows the \
         same fingerprint, and admit this node:\n\n  vpnsentinel-node pair confirm {fingerprint}"
    ))
}

async fn confirm(client: &Client, fingerprint: Option<String>, output: OutputOptions) -> Result<()> {
    let fingerprint = if let Some(fingerprint) = fingerprint {
        fingerprint
    } else {
        let node = only_pending_node(client.snapshot().await?.swarm.pending)?;
        let question = format!(
            "A node named {} is waiting with the fingerprint {}.\nDoes the new node show the same one? Type y to admit it:",
            node.name, node.fingerprint
        );
        let command_instead = format!("vpnsentinel-node pair confirm {}", node.fingerprint);
        if !terminal::confirm(&question, &command_instead)? {
            bail!("Nothing was changed. The node can be admitted until its invitation expires.");
        }
        node.fingerprint
    };
    client.command(&Command::Confirm { fingerprint: fingerprint.clone() }).await?;
    if output.json {
        return terminal::print_json(&serde_json::json!({ "confirmed": fingerprint }));
    }
    terminal::print(
        "The node is one of yours now, and your other nodes will learn of it. To list them, run `vpnsentinel-node nodes`.",
    )
}

/// Returns the node that waits to be admitted, if there is exactly one.
fn only_pending_node(mut pending: Vec<PendingNode>) -> Result<PendingNode> {
    match (pending.pop(), pending.is_empty()) {
        (Some(node), true) => Ok(node),
        (None, _) => bail!(
            "No node is waiting to be admitted. Make an invitation with `vpnsentinel-node pair invite` and accept it on \
             the new node first."
        ),
        (Some(last), false) => {
            pending.push(last);
            let list: Vec<_> =
                pending.iter().map(|node| format!("{} ({})", node.fingerprint, node.name)).collect();
            bail!(
                "Several nodes are waiting: {}. Name the one to admit: `vpnsentinel-node pair confirm FINGERPRINT`.",
                list.join(", ")
            )
        }
    }
}

/// Reads the invitation from the argument itself, from a file (`@FILE`) or from standard input
/// (`-`).
///
/// Terminals and chat programs break long lines, so white space inside it is dropped.
fn read_invitation(source: &str) -> Result<String> {
    let mut text = String::new();
    match source.strip_prefix('@') {
        Some(path) => fs::File::open(path)
            .and_then(|file| file.take(MAX_INVITATION).read_to_string(&mut text))
            .map_err(|error| {
                anyhow!("The invitation in {path} cannot be read: {error}. Check the file's name.")
            })?,
        None if source == "-" => {
            io::stdin().lock().take(MAX_INVITATION).read_to_string(&mut text).map_err(|error| {
                anyhow!(
                    "The invitation cannot be read from standard input: {error}. Paste it as an argument."
                )
            })?
        }
        None => {
            source.clone_into(&mut text);
            text.len()
        }
    };
    text.retain(|letter| !letter.is_whitespace());
    if text.is_empty() {
        bail!("The invitation is empty. Copy it again from the node that made it.");
    }
    Ok(text)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn waiting(name: &str) -> PendingNode {
        PendingNode { id: name.into(), name: name.to_owned(), fingerprint: format!("FP-{name}") }
    }

    #[test]
    fn a_single_waiting_node_need_not_be_named_but_one_of_several_must() {
        assert_eq!(only_pending_node(vec![waiting("a")]).unwrap(), waiting("a"));
        let none = only_pending_node(vec![]).unwrap_err().to_string();
        assert!(none.contains("pair invite"), "{none}");
        let several = only_pending_node(vec![waiting("a"), waiting("b")]).unwrap_err().to_string();
        assert!(several.contains("FP-a (a)") && several.contains("FP-b (b)"), "{several}");
    }

    #[test]
    fn an_invitation_survives_line_breaks_and_may_come_from_a_file() {
        assert_eq!(read_invitation(" abc\n def ").unwrap(), "abcdef");
        let file = tempfile::NamedTempFile::new().unwrap();
        fs::write(file.path(), "abc\ndef\n").unwrap();
        assert_eq!(read_invitation(&format!("@{}", file.path().display())).unwrap(), "abcdef");
        assert!(read_invitation("  ").unwrap_err().to_string().contains("empty"));
    }
}
