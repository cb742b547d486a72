//! `check`: one full round now, and never longer than a person waits.

use crate::{
    cli::{Output, exit_code},
    client::{Client, ClientError},
    print,
};
use anyhow::Result;
use sentinel_engine::{Config, Engine};
use sentinel_model::{Command, Reachability, Snapshot, Verdict};
use std::{sync::Arc, time::Duration};
use tokio::{
    sync::watch,
    time::{Instant, timeout, timeout_at},
};

/// How long everything may take. The slowest check of a round looks a name up and then asks, at up to three seconds each.
const PATIENCE: Duration = Duration::from_millis(6500);

/// How long the user's own nodes get to be found before the round starts; connecting takes a few round trips.
const FIND_NODES: Duration = Duration::from_secs(3);

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
    Ok(exit_code(snapshot.shown.verdict.verdict))
}

/// Is a node for as long as one round takes.
async fn measure(config: Config) -> Result<Snapshot> {
    let deadline = Instant::now() + PATIENCE;
    let engine = Engine::start(config).await?;
    for note in engine.notes() {
        print::aside(note);
    }
    let mut snapshots = engine.snapshot();
    let has_nodes = snapshots.borrow().swarm.nodes.iter().any(|node| !node.is_self);
    let mut reached = false;
    if has_nodes {
        let found = Instant::now() + FIND_NODES;
        reached = wait(&mut snapshots, found, |snapshot| snapshot.swarm.nodes.iter().any(is_reached)).await;
    }
    match timeout_at(deadline, engine.command(Command::CheckNow)).await {
        Ok(done) => drop(done?),
        Err(_) => print::aside("Not every check has ended in time; this is what is known so far."),
    }
    if reached {
        // The answers of the last beacons may still be under way.
        wait(&mut snapshots, deadline, |snapshot| snapshot.shown.verdict.verdict != Verdict::Unverified)
            .await;
    }
    let mut snapshot = snapshots.borrow().as_ref().clone();
    // Nobody goes on watching once this is printed.
    snapshot.schedule.next_round = None;
    engine.shutdown().await;
    Ok(snapshot)
}

fn is_reached(node: &sentinel_model::NodeView) -> bool {
    !node.is_self && matches!(node.reachability, Reachability::Direct | Reachability::Relayed)
}

/// Waits until a snapshot fits, or the time is up, or the engine has stopped; tells whether one did.
async fn wait(
    snapshots: &mut watch::Receiver<Arc<Snapshot>>,
    until: Instant,
    fits: impl Fn(&Snapshot) -> bool,
) -> bool {
    let patience = until.saturating_duration_since(Instant::now());
    let found = timeout(patience, snapshots.wait_for(|snapshot| fits(snapshot))).await;
    matches!(found, Ok(Ok(_)))
}
