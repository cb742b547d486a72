//! Embeds the dashboard and the metadata, and limits the window to this program's own commands.

use std::{error::Error, path::Path};
use tauri_build::{AppManifest, Attributes};

fn main() -> Result<(), Box<dyn Error>> {
    println!("cargo::rerun-if-changed=../ui/dist");
    if !Path::new("../ui/dist/index.html").is_file() {
        println!(
            "cargo::error=The dashboard is not built: ui/dist/index.html is missing. Run `make ui` in the repository"
        );
        return Ok(());
    }
    let own_commands = AppManifest::new().commands(&["snapshot", "command"]);
    tauri_build::try_build(Attributes::new().app_manifest(own_commands))?;
    Ok(())
}
