//! `check`: one full round now, within the time a person waits.

use crate::{
    cli::OutputOptions,
    client::{Client, ClientError},
    render, terminal,
};
use anyhow::Result;
use sentinel_engine::{Config, Engine};
use sentinel_model::{Command, NodeView, Reachability, Snapshot, Verdict};
use std::{sync::Arc, time::Duration};
use tokio::{
    sync::watch,
    time::{Instant, timeout, timeout_at},
};

/// The time limit of the whole command without a running node.
///
/// The slowest check of a round resolves a name and then sends its request, up to three seconds
/// each.
const TIME_LIMIT: Duration = Duration::from_millis(6500);

/// How long to wait for a connection to one of the user's nodes before the round starts.
///
/// Connecting takes a few round trips.
const NODE_DISCOVERY: Duration = Duration::from_secs(3);

/// Runs one round, prints the result and returns the verdict.
pub(super) async fn run_check(config: Config, output: OutputOptions) -> Result<Verdict> {
    let client = Client::new(&config.api)?;
    let snapshot = match client.command(&Command::CheckNow).await {
        Ok(_) => client.snapshot().await?,
        Err(ClientError::NoNode { base, .. }) => {
            if !output.json {
                terminal::print_note(&format!(
                    "No node is running at {base}, so this command measures by itself. That takes a few seconds."
                ));
            }
            measure(config).await?
        }
        Err(error) => return Err(error.into()),
    };
    if output.json {
        terminal::print_json(&snapshot)?;
    } else {
        terminal::print(&render::snapshot(&snapshot))?;
    }
    Ok(snapshot.shown.verdict.verdict)
}

/// Runs an engine in this process for one round.
async fn measure(config: Config) -> Result<Snapshot> {
    let deadline = Instant::now() + TIME_LIMIT;
    let engine = Engine::start(config).await?;
    for note in engine.notes() {
        terminal::print_note(note);
    }
    let mut snapshots = engine.snapshot();
    let has_nodes = snapshots.borrow().swarm.nodes.iter().any(|node| !node.is_self);
    let mut connected = false;
    if has_nodes {
        let discovery_ends = Instant::now() + NODE_DISCOVERY;
        connected = wait_for(&mut snapshots, discovery_ends, |snapshot| {
            snapshot.swarm.nodes.iter().any(is_connected)
        })
        .await;
    }
    match timeout_at(deadline, engine.command(Command::CheckNow)).await {
        Ok(done) => drop(done?),
        Err(_) => terminal::print_note("Not every check finished in time. These are the results so far."),
    }
    if connected {
        // Replies to the last beacons may still be on their way.
        wait_for(&mut snapshots, deadline, |snapshot| snapshot.shown.verdict.verdict != Verdict::Unverified)
            .await;
    }
    let mut snapshot = snapshots.borrow().as_ref().clone();
    // This engine stops now, so there is no next round.
    snapshot.schedule.next_round = None;
    engine.shutdown().await;
    Ok(snapshot)
}

fn is_connected(node: &NodeView) -> bool {
    !node.is_self && matches!(node.reachability, Reachability::Direct | Reachability::Relayed)
}

/// Waits for a snapshot that meets the condition; returns false at the deadline or if the engine
/// stopped.
async fn wait_for(
    snapshots: &mut watch::Receiver<Arc<Snapshot>>,
    deadline: Instant,
    condition: impl Fn(&Snapshot) -> bool,
) -> bool {
    let time_left = deadline.saturating_duration_since(Instant::now());
    let found = timeout(time_left, snapshots.wait_for(|snapshot| condition(snapshot))).await;
    matches!(found, Ok(Ok(_)))
}
