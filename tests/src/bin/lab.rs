//! The command line of the network lab.

#[cfg(target_os = "linux")]
mod linux {
    use anyhow::{Context, Result, ensure};
    use clap::{Parser, Subcommand};
    use std::{
        ffi::OsString,
        io::Write,
        net::{Ipv4Addr, TcpListener},
        path::{Path, PathBuf},
        process::{Command, exit},
        time::Duration,
    };
    use tokio::sync::mpsc;
    use vpnsentinel_tests::{
        Fault, Process, Relay, Scenario, Setup, World, WorldSpec, block_on, demo, list_worlds, plan,
        play_setup, play_worlds, render_table, require_pass,
    };

    #[derive(Parser)]
    #[command(about = "A small Internet on one machine, with real VPNs that can fail", version)]
    struct Arguments {
        #[command(subcommand)]
        action: Action,
    }

    #[derive(Subcommand)]
    enum Action {
        /// Run a scenario; exits with 0 only if everything went as its file requires
        Run {
            /// The scenario file
            file: PathBuf,
        },
        /// Print the page of documentation about all scenarios
        Table {
            /// The folder of the scenario files
            #[arg(default_value = "tests/scenarios")]
            folder: PathBuf,
        },
        /// Keep a world running, and inject faults from standard input
        ///
        /// Each line is a fault: `tunnel-removed`, `resolver-switched to=isp`.
        Up {
            /// The scenario file with the world and its nodes; without it, no node runs
            file: Option<PathBuf>,
            /// Also inject the file's faults at their times
            #[arg(long)]
            play: bool,
            /// Publish the laptop's dashboard on this port of the real loopback interface
            #[arg(long)]
            publish: Option<u16>,
            /// The host on which the program runs
            #[arg(long, default_value = "laptop")]
            on: String,
            /// A program and its arguments, after `--`; the world ends with it
            #[arg(last = true)]
            program: Vec<OsString>,
        },
        /// Show a sequence of leaks in the desktop program, or on a dashboard without a screen
        Demo {
            /// The port of the real loopback interface on which the dashboard is published
            #[arg(long, default_value_t = 7466)]
            publish: u16,
        },
        /// Play the worlds that are composed from parts, and print the matrix of world by leak
        ///
        /// Exits with 0 only if every leak was found in time and nothing else was reported.
        Matrix {
            /// Only the worlds whose name contains this
            #[arg(long)]
            only: Option<String>,
            /// Print the names of the worlds
            #[arg(long)]
            list: bool,
            /// Print the page of documentation about all setups
            #[arg(long)]
            page: bool,
            /// The number of worlds that run at once
            #[arg(long, default_value_t = 4)]
            at_once: usize,
        },
        /// Play one of these worlds; the last line is its report
        Play {
            /// Its name, see `lab matrix --list`
            world: Setup,
        },
        /// Open a shell on a host
        Shell {
            /// The host
            #[arg(default_value = "laptop")]
            host: String,
            /// The scenario file with the world and its nodes; without it, no node runs
            #[arg(long)]
            file: Option<PathBuf>,
        },
        /// Run a program in a new sandbox without a world, as the tests do
        Enter {
            /// The program and its arguments, after `--`
            #[arg(last = true, required = true)]
            program: Vec<OsString>,
        },
    }

    pub fn main() -> Result<()> {
        let action = Arguments::parse().action;
        if let Action::Table { folder } = &action {
            print!("{}", vpnsentinel_tests::render_scenario_page(folder)?);
            return Ok(());
        }
        if let Action::Matrix { only, list, page, at_once } = &action {
            if *page {
                print!("{}", vpnsentinel_tests::render_setup_page());
                return Ok(());
            }
            return print_matrix(only.as_deref().unwrap_or_default(), *list, *at_once);
        }
        let publish =
            match &action {
                Action::Demo { .. } if demo::has_screen() => None,
                Action::Up { publish: Some(port), .. } | Action::Demo { publish: port }
                    if !vpnsentinel_tests::is_inside() =>
                {
                    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, *port));
                    Some(listener.with_context(|| {
                        format!("cannot publish on port {port} of the loopback interface")
                    })?)
                }
                _ => None,
            };
        let published = vpnsentinel_tests::enter_with(publish.as_ref())?;
        match action {
            Action::Table { .. } | Action::Matrix { .. } => Ok(()),
            Action::Play { world } => {
                let report = block_on(async { Ok(play_setup(world, &mut print_line).await) })?;
                print_line(&serde_json::to_value(report)?);
                Ok(())
            }
            Action::Run { file } => run(&file),
            Action::Up { file, play, on, program, .. } => {
                let scenario = file.as_deref().map(Scenario::load).transpose()?;
                block_on(keep_up(scenario, play, published, &on, &program))
            }
            Action::Demo { .. } => block_on(demo::run_demo(published)),
            Action::Shell { host, file } => {
                let shell = std::env::var_os("SHELL").unwrap_or_else(|| "/bin/sh".into());
                let scenario = file.as_deref().map(Scenario::load).transpose()?;
                block_on(keep_up(scenario, false, None, &host, &[shell]))
            }
            Action::Enter { program } => {
                let status = Command::new(&program[0]).args(&program[1..]).status();
                let status = status.with_context(|| format!("cannot run {}", program[0].display()))?;
                exit(status.code().unwrap_or(1))
            }
        }
    }

    fn run(file: &Path) -> Result<()> {
        let scenario = Scenario::load(file)?;
        block_on(require_pass(&scenario, print_line)).map(drop)
    }

    /// Prints a line. A closed pipe must not end the run, whose exit code still matters.
    fn print_line(line: &serde_json::Value) {
        let _ = writeln!(std::io::stdout(), "{line}");
    }

    /// Plays the worlds whose name contains `only`, or lists them.
    fn print_matrix(only: &str, list: bool, at_once: usize) -> Result<()> {
        let worlds: Vec<_> =
            list_worlds().into_iter().filter(|world| world.to_string().contains(only)).collect();
        ensure!(!worlds.is_empty(), "no world's name contains {only}; see `lab matrix --list`");
        if list {
            for world in &worlds {
                println!("{world}");
            }
            return Ok(());
        }
        let lab = std::env::current_exe().context("cannot find the lab's own program")?;
        let reports = play_worlds(lab.as_os_str(), &worlds, at_once, |report| {
            let failures = report.list_failures();
            let outcome = if failures.is_empty() { "passed".to_owned() } else { failures.join("; ") };
            eprintln!("{}: {outcome}", report.world);
        })?;
        print!("{}", render_table(&reports));
        let failed = reports.iter().filter(|report| !report.list_failures().is_empty()).count();
        ensure!(failed == 0, "{failed} of {} worlds failed", reports.len());
        Ok(())
    }

    /// Keeps a world running until the program ends, or for ever without one.
    async fn keep_up(
        scenario: Option<Scenario>,
        play: bool,
        published: Option<TcpListener>,
        on: &str,
        program: &[OsString],
    ) -> Result<()> {
        let spec = scenario.as_ref().map_or_else(WorldSpec::default, Scenario::world_spec);
        let mut world = World::start(spec).await?;
        let _relay = published
            .map(|listener| Relay::from_listener(world.laptop()?, plan::API_PORT, listener))
            .transpose()?;
        let mut process = start_program(&world, on, program)?;
        eprintln!("The world is up: {}.", world.host_names().collect::<Vec<_>>().join(", "));
        let planned = scenario.filter(|_| play).map(|scenario| scenario.fault).unwrap_or_default();
        let status = {
            let injections = async {
                inject_planned(&mut world, planned).await?;
                // With a program, standard input belongs to it.
                if program.is_empty() { inject_typed(&mut world).await } else { std::future::pending().await }
            };
            tokio::select! {
                status = wait_for_end(process.as_mut()) => status?,
                outcome = injections => return outcome,
            }
        };
        ensure!(status.success(), "the program on {on} ended with {status}");
        Ok(())
    }

    fn start_program(world: &World, on: &str, program: &[OsString]) -> Result<Option<Process>> {
        let Some((name, arguments)) = program.split_first() else { return Ok(None) };
        let mut command = Command::new(name);
        command.args(arguments).env("SSL_CERT_FILE", world.authority()?);
        world.host(on)?.spawn(command).map(Some)
    }

    async fn wait_for_end(process: Option<&mut Process>) -> Result<std::process::ExitStatus> {
        match process {
            Some(process) => process.wait().await,
            None => std::future::pending().await,
        }
    }

    async fn inject_planned(world: &mut World, planned: Vec<vpnsentinel_tests::PlannedFault>) -> Result<()> {
        let mut before = Duration::ZERO;
        for fault in planned {
            tokio::time::sleep(fault.at.saturating_sub(before)).await;
            before = fault.at;
            eprintln!("{}: {:?}", fault.id, fault.fault);
            world.inject(&fault.fault).await?;
        }
        Ok(())
    }

    async fn inject_typed(world: &mut World) -> Result<()> {
        let (typed, mut lines) = mpsc::channel(1);
        std::thread::spawn(move || {
            for line in std::io::stdin().lines().map_while(Result::ok) {
                if typed.blocking_send(line).is_err() {
                    return;
                }
            }
        });
        while let Some(line) = lines.recv().await {
            let injected = match line.trim() {
                "" => continue,
                line => line.parse::<Fault>(),
            };
            let injected = match injected {
                Ok(fault) => world.inject(&fault).await,
                Err(error) => Err(error),
            };
            match injected {
                Ok(()) => eprintln!("done"),
                Err(error) => eprintln!("{error:#}"),
            }
        }
        // Standard input has ended: stay up until killed.
        std::future::pending().await
    }
}

#[cfg(target_os = "linux")]
fn main() -> anyhow::Result<()> {
    linux::main()
}

#[cfg(not(target_os = "linux"))]
fn main() {
    eprintln!("The lab needs Linux, because it consists of network namespaces.");
    std::process::exit(2);
}
