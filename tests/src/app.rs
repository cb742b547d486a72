//! The real desktop program on the laptop, with a node engine of its own that joins the VPS node's swarm.

use crate::{host::Host, process::Process, world::World};
use anyhow::{Context, Result, ensure};
use std::{
    env, fs,
    path::{Path, PathBuf},
    time::Duration,
};
use tokio::process::Command;

/// Names the desktop program; otherwise it is looked for next to this one.
pub const APP_PROGRAM: &str = "VPNSENTINEL_APP";

/// A debug build on a busy machine starts, asks to join and is seen well within this.
const READY: Duration = Duration::from_secs(40);

/// The desktop program's place on the laptop: its configuration, with an invitation to take up at the first start.
#[derive(Clone, Debug)]
pub struct App {
    laptop: Host,
    authority: PathBuf,
    /// The program.
    pub program: PathBuf,
    /// Its configuration.
    pub config: PathBuf,
}

impl App {
    /// Writes the configuration, with an invitation of the VPS node.
    pub async fn prepare(world: &mut World) -> Result<Self> {
        let laptop = world.laptop()?.clone();
        let invitation = laptop.directory().join("invitation");
        fs::write(&invitation, world.invite().await?)
            .with_context(|| format!("cannot write {}", invitation.display()))?;
        let mut swarm = toml::Table::new();
        swarm.insert("invitation_file".to_owned(), invitation.to_string_lossy().into_owned().into());
        world.spec.config.insert("swarm".to_owned(), swarm.into());
        let config = world.node_config("laptop")?;
        Ok(Self { laptop, authority: world.authority()?, program: program()?, config })
    }

    /// Gives a command what the desktop program needs to find its way in the lab.
    pub fn equip(&self, command: &mut Command) {
        command.env("SSL_CERT_FILE", &self.authority).env("VPNSENTINEL_CONFIG", &self.config);
    }

    /// Starts the program itself; its output goes to `app.log` on the laptop.
    pub fn start(&self, environment: impl FnOnce(&mut Command)) -> Result<Process> {
        let mut command = self.laptop.command(&self.program);
        self.equip(&mut command);
        environment(&mut command);
        self.laptop.daemon("app", command)
    }

    /// Confirms the program at the VPS node once it asks to join.
    pub async fn admit(&self, world: &World) -> Result<()> {
        let vps = world.node_api("vps")?;
        let asked = vps
            .wait_for("the desktop program asks to join", READY, |snapshot| {
                !snapshot.swarm.pending.is_empty()
            })
            .await?;
        for pending in &asked.snapshot.swarm.pending {
            world.confirm(&pending.fingerprint).await?;
        }
        Ok(())
    }
}

fn program() -> Result<PathBuf> {
    const NAME: &str = "vpnsentinel";
    let program = match env::var_os(APP_PROGRAM) {
        Some(path) => PathBuf::from(path),
        None => beside(NAME)?,
    };
    ensure!(
        program.is_file(),
        "{} is no file: build it with `cargo build -p vpnsentinel`",
        program.display()
    );
    Ok(program)
}

/// Where a program of this build is: next to this one, or one directory up for a test program.
fn beside(name: &str) -> Result<PathBuf> {
    let own = env::current_exe().context("cannot find the lab's own program")?;
    let candidates: Vec<PathBuf> =
        own.ancestors().skip(1).take(2).map(|directory: &Path| directory.join(name)).collect();
    let found = candidates.iter().find(|path| path.is_file()).or(candidates.first());
    found.cloned().with_context(|| format!("{name} has no place next to {}", own.display()))
}
