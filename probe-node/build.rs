//! Copies the dashboard that Trunk built in `../ui/dist` to where the program embeds it from.
//!
//! Without a built dashboard, a page that says so takes its place, so that the node builds on its
//! own.

use std::{env, fs, io, path::Path};

const NOT_BUILT: &str = "<!doctype html>
<html lang=\"en\">
<head><meta charset=\"utf-8\"><title>VPNSentinel</title></head>
<body>
<h1>This program was built without the dashboard.</h1>
<p>The node itself works: <code>vpnsentinel-node status</code> shows its state, and the API answers at <a href=\"/api/v1/snapshot\">/api/v1/snapshot</a>.</p>
<p>To get the dashboard, build the program with <code>make run</code>.</p>
</body>
</html>
";

fn main() -> io::Result<()> {
    let out = env::var_os("OUT_DIR").ok_or_else(|| io::Error::other("cargo sets OUT_DIR"))?;
    let target = Path::new(&out).join("dashboard");
    let built = Path::new("../ui/dist");
    if target.exists() {
        fs::remove_dir_all(&target)?;
    }
    fs::create_dir_all(&target)?;
    println!("cargo::rerun-if-changed=build.rs");
    if built.join("index.html").exists() {
        println!("cargo::rerun-if-changed={}", built.display());
        copy_directory(built, &target)
    } else {
        // The parent, because Cargo rebuilds every time if a watched path does not exist.
        println!("cargo::rerun-if-changed=../ui");
        fs::write(target.join("index.html"), NOT_BUILT)
    }
}

fn copy_directory(from: &Path, to: &Path) -> io::Result<()> {
    for entry in fs::read_dir(from)? {
        let entry = entry?;
        let target = to.join(entry.file_name());
        if entry.file_type()?.is_dir() {
            // Trunk's work directory during a build.
            if entry.file_name() == ".stage" {
                continue;
            }
            fs::create_dir_all(&target)?;
            copy_directory(&entry.path(), &target)?;
        } else {
            fs::copy(entry.path(), target)?;
        }
    }
    Ok(())
}
