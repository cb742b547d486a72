//! Starts the engine from a configuration file.

use anyhow::Context;
use sentinel_engine::{Config, Engine};
use std::{
    borrow::Cow,
    fs::{self, OpenOptions},
    io::{self, Write},
    path::{Path, PathBuf},
};

/// A running engine and the directory of its state.
pub struct RunningEngine {
    /// The engine.
    pub engine: Engine,
    /// The directory that its configuration names.
    pub state_dir: PathBuf,
}

/// Starts the engine with the named configuration, or with the default one.
///
/// The default configuration is created on the first start.
pub async fn start(named: Option<&Path>) -> anyhow::Result<RunningEngine> {
    let path = if let Some(path) = named {
        Cow::Borrowed(path)
    } else {
        let path = Config::default_path();
        create_if_missing(&path).with_context(|| {
            format!("cannot create the configuration {}; make its directory writable", path.display())
        })?;
        Cow::Owned(path)
    };
    let config = Config::load(&path)?;
    let state_dir = config.state_dir.clone();
    let engine = Engine::start(config).await?;
    Ok(RunningEngine { engine, state_dir })
}

/// Returns the sample configuration with the role of a desktop.
fn first_configuration() -> String {
    Config::sample().replacen("role = \"probe\"", "role = \"desktop\"", 1)
}

fn create_if_missing(path: &Path) -> io::Result<()> {
    if let Some(directory) = path.parent() {
        fs::create_dir_all(directory)?;
    }
    let mut options = OpenOptions::new();
    options.write(true).create_new(true);
    // The file may come to hold the home address, so other users must not read it.
    #[cfg(unix)]
    std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
    match options.open(path) {
        Ok(mut file) => {
            tracing::info!(path = %path.display(), "Created the configuration");
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
    fn the_first_configuration_has_the_role_of_a_desktop() {
        assert_eq!(Config::parse(&first_configuration()).unwrap().role, NodeRole::Desktop);
    }
}
