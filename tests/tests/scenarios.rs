//! Every scenario file, played by the `lab` program, as a test of its own.

#[cfg(target_os = "linux")]
mod linux {
    use std::{
        collections::BTreeSet,
        fs, io,
        path::{Path, PathBuf},
        process::Command,
    };
    use vpnsentinel_tests::{Scenario, scenario_page};

    fn folder() -> PathBuf {
        Path::new(env!("CARGO_MANIFEST_DIR")).join("scenarios")
    }

    fn play(name: &str) -> io::Result<()> {
        let file = folder().join(format!("{name}.toml"));
        let ended = Command::new(env!("CARGO_BIN_EXE_lab")).arg("run").arg(&file).output()?;
        let log = String::from_utf8_lossy(&ended.stdout);
        assert!(ended.status.success(), "{name}: {}\n{log}", String::from_utf8_lossy(&ended.stderr));
        println!("{log}");
        Ok(())
    }

    macro_rules! scenarios {
        ($($test:ident = $name:literal;)*) => {
            $(
                #[test]
                fn $test() -> io::Result<()> {
                    play($name)
                }
            )*

            const PLAYED: &[&str] = &[$($name),*];
        };
    }

    scenarios! {
        exit_becomes_home = "exit-becomes-home";
        exit_switched = "exit-switched";
        ipv6_leak = "ipv6-leak";
        latency_drop = "latency-drop";
        latency_drop_twin = "latency-drop.twin";
        node_cut_off = "node-cut-off";
        offline = "offline";
        provider_switched = "provider-switched";
        resolver_isp = "resolver-isp";
        resolver_public = "resolver-public";
        resolver_router = "resolver-router";
        server_silent = "server-silent";
        steady_twin = "steady.twin";
        tunnel_removed = "tunnel-removed";
    }

    /// A file that only repeats another one is played under the other one's name; it must still load, which checks that
    /// its scenario and the repeated twin are the same world.
    #[test]
    fn every_file_is_understood_and_played() {
        let mut seen = BTreeSet::new();
        for entry in fs::read_dir(folder()).expect("the scenario folder") {
            let path = entry.expect("a scenario file").path();
            let scenario = Scenario::load(&path).unwrap_or_else(|error| panic!("{error:?}"));
            let name = path.file_stem().expect("a name").to_string_lossy().into_owned();
            let text = fs::read_to_string(&path).expect("a readable file");
            if !text.lines().any(|line| line.starts_with("same_as")) {
                assert!(
                    PLAYED.contains(&name.as_str()),
                    "{name} has no test: add it to the list in this file"
                );
                seen.insert(name);
            }
            assert!(!scenario.description.is_empty(), "{} says nothing about itself", path.display());
        }
        assert_eq!(seen.len(), PLAYED.len(), "a test has no file");
    }

    #[test]
    fn the_page_about_the_scenarios_is_up_to_date() {
        let page = Path::new(env!("CARGO_MANIFEST_DIR")).join("../docs/scenarios.md");
        let written = fs::read_to_string(&page).expect("docs/scenarios.md");
        let now = scenario_page(&folder()).expect("all scenarios are understood");
        assert_eq!(written, now, "write it anew: target/debug/lab table > docs/scenarios.md");
    }
}

#[cfg(not(target_os = "linux"))]
#[test]
fn scenarios() {
    println!("skipped: the lab is made of Linux network namespaces, which this system does not have");
}
