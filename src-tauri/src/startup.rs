//! From a configuration file to a running engine.

use anyhow::Context;
use sentinel_engine::{Config, Engine};
use std::{
    borrow::Cow,
    fs::{self, OpenOptions},
    io::{self, Write},
    path::{Path, PathBuf},
};

/// A running engine and where it keeps its state.
pub struct Started {
    pub engine: Engine,
    pub state_dir: PathBuf,
}

/// Starts the engine with the named configuration, or with the person's own, which is made on the first start.
pub async fn start(named: Option<&Path>) -> anyhow::Result<Started> {
    let path = if let Some(path) = named {
        Cow::Borrowed(path)
    } else {
        let path = Config::default_path();
        create_unless_there(&path).with_context(|| {
            format!("cannot create the configuration {}; make its directory writable", path.display())
        })?;
        Cow::Owned(path)
    };
    let config = Config::load(&path)?;
    let state_dir = config.state_dir.clone();
    let engine = Engine::start(config).await?;
    Ok(Started { engine, state_dir })
}

/// The engine's sample, for a desktop.
fn first_configuration() -> String {
    Config::sample().replacen("role = \"probe\"", "role = \"desktop\"", 1)
}

fn create_unless_there(path: &Path) -> io::Result<()> {
    if let Some(directory) = path.parent() {
        fs::create_dir_all(directory)?;
    }
    let mut options = OpenOptions::new();
    options.write(true).create_new(true);
    // It comes to hold the home address, which is nobody else's business.
    #[cfg(unix)]
    std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
    match options.open(path) {
        Ok(mut file) => {
            tracing::info!(path = %path.display(), "made the configuration");
            file.write_all(first_configuration().as_bytes())
        }
        Err(cause) if cause.kind() == io::ErrorKind::AlreadyExists => Ok(()),
        Err(cause) => Err(cause),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use sentinel_model::NodeRole;

    #[test]
    fn the_first_configuration_is_a_desktops() {
        assert_eq!(Config::parse(&first_configuration()).unwrap().role, NodeRole::Desktop);
    }
}
