//! `check`: one full round now.

use crate::{
    cli::{Output, exit_code},
    client::{Client, ClientError},
    print,
};
use anyhow::Result;
use sentinel_engine::{Config, Engine};
use sentinel_model::{Command, Reachability, Snapshot, Verdict};
use std::{sync::Arc, time::Duration};
use tokio::{sync::watch, time::timeout};

/// How long the user's own nodes get to be found before the round starts; connecting takes a few round trips.
const FIND_NODES: Duration = Duration::from_secs(6);

/// How long the verdict may take to settle after the round: the answers of the last beacons.
const SETTLE: Duration = Duration::from_secs(3);

/// Runs one round, prints what it found, and returns the exit code that stands for the verdict.
pub(crate) async fn check(config: Config, output: Output) -> Result<u8> {
    let client = Client::new(&config.api)?;
    let snapshot = match client.command(&Command::CheckNow).await {
        Ok(_) => client.snapshot().await?,
        Err(ClientError::NoNode { base, .. }) => {
            if !output.json {
                print::aside(&format!(
                    "No node runs at {base}, so this command measures by itself. That takes a few seconds."
                ));
            }
            measure(config).await?
        }
        Err(error) => return Err(error.into()),
    };
    if output.json {
        print::json(&snapshot)?;
    } else {
        print::text(&print::snapshot(&snapshot))?;
    }
    Ok(exit_code(snapshot.verdict.verdict))
}

/// Is a node for as long as one round takes.
async fn measure(config: Config) -> Result<Snapshot> {
    let engine = Engine::start(config).await?;
    for note in engine.notes() {
        print::aside(note);
    }
    let mut snapshots = engine.snapshot();
    let has_nodes = snapshots.borrow().swarm.nodes.iter().any(|node| !node.is_self);
    if has_nodes {
        wait(&mut snapshots, FIND_NODES, |snapshot| snapshot.swarm.nodes.iter().any(is_reached)).await;
    }
    let result = engine.command(Command::CheckNow).await;
    if result.is_ok() && can_be_verified(&snapshots.borrow()) {
        wait(&mut snapshots, SETTLE, |snapshot| snapshot.verdict.verdict != Verdict::Unverified).await;
    }
    let snapshot = snapshots.borrow().as_ref().clone();
    engine.shutdown().await;
    result?;
    Ok(snapshot)
}

fn is_reached(node: &sentinel_model::NodeView) -> bool {
    !node.is_self && matches!(node.reachability, Reachability::Direct | Reachability::Relayed)
}

/// Whether anybody was asked at all; if not, waiting is in vain.
fn can_be_verified(snapshot: &Snapshot) -> bool {
    snapshot.exits.iter().any(|exit| !exit.voices.is_empty())
}

/// Waits until a snapshot fits, or the time is up, or the engine has stopped.
async fn wait(
    snapshots: &mut watch::Receiver<Arc<Snapshot>>,
    patience: Duration,
    fits: impl Fn(&Snapshot) -> bool,
) {
    let found = timeout(patience, snapshots.wait_for(|snapshot| fits(snapshot))).await;
    tracing::debug!(found = matches!(found, Ok(Ok(_))), "done waiting");
}
