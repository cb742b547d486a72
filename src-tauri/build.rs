//! Embeds the dashboard and the program's metadata, and limits what the window may call to our own commands.

use std::{error::Error, path::Path};
use tauri_build::{AppManifest, Attributes};

fn main() -> Result<(), Box<dyn Error>> {
    println!("cargo::rerun-if-changed=../ui/dist");
    if !Path::new("../ui/dist/index.html").is_file() {
        println!(
            "cargo::error=the dashboard is not built: ui/dist/index.html is missing. Run `trunk build` in ui/, or \
             `make run` in the repository, which does it first"
        );
        return Ok(());
    }
    let own_commands = AppManifest::new().commands(&["snapshot", "command"]);
    tauri_build::try_build(Attributes::new().app_manifest(own_commands))?;
    Ok(())
}
