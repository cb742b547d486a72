//! The worlds that are composed from parts: a part of the matrix, another one each day.

#[cfg(target_os = "linux")]
mod linux {
    use anyhow::Result;
    use std::{
        env,
        ffi::OsStr,
        fs,
        path::Path,
        time::{SystemTime, UNIX_EPOCH},
    };
    use vpnsentinel_tests::{Setup, WorldReport, list_worlds, play_worlds, render_setup_page};

    /// The worlds in which every leak has been found and nothing false, one per line.
    ///
    /// `make matrix` plays the others too; each of them is a defect of the product or of the lab.
    const PASSING: &str = include_str!("../setups-that-pass.txt");
    /// Number of tests, each of which plays one world.
    const PART: u64 = 8;
    /// Environment variable that chooses the part: a number instead of the day.
    const CHOICE: &str = "VPNSENTINEL_MATRIX_PART";

    /// Returns the number of the part: the day, unless the environment names one.
    fn part() -> u64 {
        let chosen = env::var(CHOICE).ok().and_then(|number| number.parse().ok());
        #[allow(clippy::disallowed_methods)] // The date only chooses among equals.
        let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        chosen.unwrap_or(now.as_secs() / 86_400)
    }

    /// Returns the worlds that are expected to pass.
    fn passing_worlds() -> Vec<Setup> {
        let is_passing = |world: &Setup| PASSING.lines().any(|line| line == world.to_string());
        list_worlds().into_iter().filter(is_passing).collect()
    }

    fn play(slot: u64) -> Result<()> {
        let worlds = passing_worlds();
        let index = (part() * PART + slot) % u64::try_from(worlds.len())?;
        let world = worlds[usize::try_from(index)?];
        println!("part {} of the matrix: {world}; set {CHOICE} to choose another", part());
        let lab = OsStr::new(env!("CARGO_BIN_EXE_lab"));
        let reports = play_worlds(lab, &[world], 1, |_| ())?;
        let failures: Vec<_> = reports.iter().flat_map(WorldReport::list_failures).collect();
        assert!(failures.is_empty(), "{world}:\n{}", failures.join("\n"));
        Ok(())
    }

    macro_rules! slots {
        ($($test:ident = $slot:literal;)*) => {
            $(
                #[test]
                fn $test() -> Result<()> {
                    play($slot)
                }
            )*
        };
    }

    slots! {
        world_1_of_today = 0;
        world_2_of_today = 1;
        world_3_of_today = 2;
        world_4_of_today = 3;
        world_5_of_today = 4;
        world_6_of_today = 5;
        world_7_of_today = 6;
        world_8_of_today = 7;
    }

    #[test]
    fn every_world_that_is_said_to_pass_exists() {
        assert_eq!(passing_worlds().len(), PASSING.lines().count(), "a line names no world of the matrix");
        assert!(passing_worlds().len() > usize::try_from(PART).unwrap_or_default());
    }

    #[test]
    fn the_page_about_setups_is_up_to_date() -> Result<()> {
        let page = Path::new(env!("CARGO_MANIFEST_DIR")).join("../docs/setups.md");
        let written = fs::read_to_string(page)?;
        assert!(written == render_setup_page(), "run: target/debug/lab matrix --page > docs/setups.md");
        Ok(())
    }
}
