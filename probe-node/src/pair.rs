//! `pair`: joining nodes to one another.
//!
//! What a person needs to know goes to standard error and the invitation alone to standard output, so that
//! `vpnsentinel-node pair invite | ssh server vpnsentinel-node pair accept -` works.

use crate::{
    cli::{Output, Pair},
    client::Client,
    print,
};
use anyhow::{Result, anyhow, bail};
use sentinel_model::{Command, PendingNode, Reply};
use std::{
    fs,
    io::{self, Read},
};

/// Longer than any invitation; a wrong file should not be read whole.
const MAX_INVITATION: u64 = 64 * 1024;

/// Does one step of pairing.
pub(crate) async fn pair(client: &Client, step: Pair) -> Result<()> {
    match step {
        Pair::Invite(output) => invite(client, output).await,
        Pair::Accept { invitation, output } => accept(client, &invitation, output).await,
        Pair::Confirm { fingerprint, yes, output } => confirm(client, fingerprint, yes, output).await,
    }
}

async fn invite(client: &Client, output: Output) -> Result<()> {
    let Reply::Invitation { text, expires } = client.command(&Command::Invite).await? else {
        bail!(print::UNEXPECTED)
    };
    if output.json {
        return print::json(&serde_json::json!({ "invitation": text, "expires": expires }));
    }
    let offset = client.snapshot().await?.offset;
    print::aside(&format!(
        "Here is an invitation for one new node. It works until {}. On the new node, with `vpnsentinel-node run` \
         started there, type:\n\n  vpnsentinel-node pair accept INVITATION\n\nThat shows a fingerprint. Come back here with \
         it and type:\n\n  vpnsentinel-node pair confirm\n\nThe invitation:",
        expires.time_of_day(offset)
    ));
    print::text(&text)
}

async fn accept(client: &Client, given: &str, output: Output) -> Result<()> {
    let invitation = read_invitation(given)?;
    let Reply::Waiting { fingerprint } = client.command(&Command::AcceptInvitation { invitation }).await?
    else {
        bail!(print::UNEXPECTED)
    };
    if output.json {
        return print::json(&serde_json::json!({ "fingerprint": fingerprint }));
    }
    print::text(&format!(
        "This node's fingerprint is {fingerprint}.\n\nOn the node that made the invitation, check that the same fingerprint \
         is shown, and admit this one:\n\n  vpnsentinel-node pair confirm {fingerprint}"
    ))
}

async fn confirm(client: &Client, fingerprint: Option<String>, yes: bool, output: Output) -> Result<()> {
    let fingerprint = if let Some(fingerprint) = fingerprint {
        fingerprint
    } else {
        let node = the_one_waiting(client.snapshot().await?.swarm.pending)?;
        let question = format!(
            "A node that calls itself {} waits with the fingerprint {}.\nDoes the new node show the same? Type y to admit it:",
            node.name, node.fingerprint
        );
        let instead = format!("vpnsentinel-node pair confirm {}", node.fingerprint);
        if !yes && !print::agreed(&question, &instead)? {
            bail!("Nothing was changed. The node goes on waiting until its invitation ends.");
        }
        node.fingerprint
    };
    client.command(&Command::Confirm { fingerprint: fingerprint.clone() }).await?;
    if output.json {
        return print::json(&serde_json::json!({ "confirmed": fingerprint }));
    }
    print::text(
        "Welcome: the node is yours now, and all your nodes will know it. `vpnsentinel-node nodes` lists them.",
    )
}

fn the_one_waiting(mut pending: Vec<PendingNode>) -> Result<PendingNode> {
    match (pending.pop(), pending.is_empty()) {
        (Some(node), true) => Ok(node),
        (None, _) => bail!(
            "No node is waiting to be admitted. Make an invitation with `vpnsentinel-node pair invite` and take it up on \
             the new node first."
        ),
        (Some(last), false) => {
            pending.push(last);
            let list: Vec<_> =
                pending.iter().map(|node| format!("{} ({})", node.fingerprint, node.name)).collect();
            bail!(
                "Several nodes are waiting: {}. Say which one to admit: `vpnsentinel-node pair confirm FINGERPRINT`.",
                list.join(", ")
            )
        }
    }
}

/// The invitation itself, from wherever it was said to be. Terminals and chat programs break long lines, so space
/// inside it is dropped.
fn read_invitation(given: &str) -> Result<String> {
    let mut text = String::new();
    match given.strip_prefix('@') {
        Some(path) => fs::File::open(path)
            .and_then(|file| file.take(MAX_INVITATION).read_to_string(&mut text))
            .map_err(|error| {
                anyhow!("The invitation in {path} cannot be read: {error}. Check the file's name.")
            })?,
        None if given == "-" => {
            io::stdin().lock().take(MAX_INVITATION).read_to_string(&mut text).map_err(|error| {
                anyhow!(
                    "The invitation cannot be read from standard input: {error}. Paste it as an argument."
                )
            })?
        }
        None => {
            given.clone_into(&mut text);
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
    fn one_waiting_node_needs_no_name_and_several_do() {
        assert_eq!(the_one_waiting(vec![waiting("a")]).unwrap(), waiting("a"));
        let none = the_one_waiting(vec![]).unwrap_err().to_string();
        assert!(none.contains("pair invite"), "{none}");
        let several = the_one_waiting(vec![waiting("a"), waiting("b")]).unwrap_err().to_string();
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
