//! The real desktop program on the laptop. Its embedded node joins the VPS node's swarm.

use crate::{host::Host, process::Process, world::World};
use anyhow::{Context, Result, ensure};
use std::{
    env, fs,
    path::{Path, PathBuf},
    time::Duration,
};
use tokio::process::Command;

/// Environment variable that names the desktop program.
///
/// Without it the program is looked up next to the running one.
pub const APP_PROGRAM: &str = "VPNSENTINEL_APP";

/// Longest time until the program asks to join; a debug build on a busy machine needs far less.
const READY: Duration = Duration::from_secs(40);

/// The desktop program, configured with an invitation that it accepts at its first start.
#[derive(Clone, Debug)]
pub struct App {
    laptop: Host,
    /// The certificate authority of the lab.
    authority: PathBuf,
    /// Path of the program.
    pub program: PathBuf,
    /// Path of the configuration.
    pub config: PathBuf,
}

impl App {
    /// Writes the configuration and an invitation of the VPS node.
    pub async fn prepare(world: &mut World) -> Result<Self> {
        let laptop = world.laptop()?.clone();
        let invitation = laptop.directory().join("invitation");
        fs::write(&invitation, world.create_invitation().await?)
            .with_context(|| format!("cannot write {}", invitation.display()))?;
        let mut swarm = toml::Table::new();
        swarm.insert("invitation_file".to_owned(), invitation.to_string_lossy().into_owned().into());
        world.spec.config.insert("swarm".to_owned(), swarm.into());
        let config = world.write_node_config("laptop")?;
        Ok(Self { laptop, authority: world.authority()?, program: find_program()?, config })
    }

    /// Sets the environment that the desktop program needs in the lab.
    pub fn set_environment(&self, command: &mut Command) {
        command.env("SSL_CERT_FILE", &self.authority).env("VPNSENTINEL_CONFIG", &self.config);
    }

    /// Starts the program. Its output goes to `app.log` on the laptop.
    ///
    /// `environment` sets further variables, such as those of a screen.
    pub fn start(&self, environment: impl FnOnce(&mut Command)) -> Result<Process> {
        let mut command = self.laptop.command(&self.program);
        self.set_environment(&mut command);
        environment(&mut command);
        self.laptop.start_daemon("app", command)
    }

    /// Waits until the program asks to join the swarm, and confirms it at the VPS node.
    pub async fn confirm(&self, world: &World) -> Result<()> {
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

fn find_program() -> Result<PathBuf> {
    const NAME: &str = "vpnsentinel";
    let program = match env::var_os(APP_PROGRAM) {
        Some(path) => PathBuf::from(path),
        None => locate(NAME)?,
    };
    ensure!(
        program.is_file(),
        "{} is not a file: build it with `cargo build -p vpnsentinel`",
        program.display()
    );
    Ok(program)
}

/// Locates a program of this build, next to the running one or, for a test program, one level up.
fn locate(name: &str) -> Result<PathBuf> {
    let own = env::current_exe().context("cannot find the lab's own program")?;
    let candidates: Vec<PathBuf> =
        own.ancestors().skip(1).take(2).map(|directory: &Path| directory.join(name)).collect();
    let found = candidates.iter().find(|path| path.is_file()).or(candidates.first());
    found.cloned().with_context(|| format!("{name} is not next to {}", own.display()))
}
