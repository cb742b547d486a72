//! The network lab from the command line: play a scenario, keep a world running, or look around in one.

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
        Fault, Process, Relay, Scenario, World, WorldSpec, block_on, demo, must_pass, plan,
    };

    #[derive(Parser)]
    #[command(about = "A small Internet on one machine, in which VPNs really fail", version)]
    struct Arguments {
        #[command(subcommand)]
        action: Action,
    }

    #[derive(Subcommand)]
    enum Action {
        /// Play a scenario; exit 0 only if everything went as the file says.
        Run {
            /// The scenario file.
            file: PathBuf,
        },
        /// Print the page of documentation about all scenarios.
        Table {
            /// Where the scenario files are.
            #[arg(default_value = "tests/scenarios")]
            folder: PathBuf,
        },
        /// Keep a world running. Each line on standard input is a fault: `tunnel-removed`, `resolver-switched to=isp`.
        Up {
            /// Takes the world and nodes from this scenario file; without it, no node runs.
            file: Option<PathBuf>,
            /// Also inject the file's faults at their times.
            #[arg(long)]
            play: bool,
            /// Make the laptop's dashboard reachable on this port of the real loopback interface.
            #[arg(long)]
            publish: Option<u16>,
            /// Run this on a host; the world ends with it.
            #[arg(long, default_value = "laptop")]
            on: String,
            /// The program and its arguments, after `--`.
            #[arg(last = true)]
            program: Vec<OsString>,
        },
        /// Watch a story of leaks on the desktop program, or on a dashboard where there is no screen.
        Demo {
            /// Where the dashboard is published on the real loopback interface.
            #[arg(long, default_value_t = 7466)]
            publish: u16,
        },
        /// Open a shell on a host.
        Shell {
            /// The host.
            #[arg(default_value = "laptop")]
            host: String,
            /// Takes the world and nodes from this scenario file; without it, no node runs.
            #[arg(long)]
            file: Option<PathBuf>,
        },
        /// Run a program in a fresh sandbox, without a world. Tests enter theirs this way.
        Enter {
            /// The program and its arguments, after `--`.
            #[arg(last = true, required = true)]
            program: Vec<OsString>,
        },
    }

    pub fn main() -> Result<()> {
        let action = Arguments::parse().action;
        if let Action::Table { folder } = &action {
            print!("{}", vpnsentinel_tests::scenario_page(folder)?);
            return Ok(());
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
            Action::Table { .. } => Ok(()),
            Action::Run { file } => run(&file),
            Action::Up { file, play, on, program, .. } => {
                let scenario = file.as_deref().map(Scenario::load).transpose()?;
                block_on(up(scenario, play, published, &on, &program))
            }
            Action::Demo { .. } => block_on(demo::play(published)),
            Action::Shell { host, file } => {
                let shell = std::env::var_os("SHELL").unwrap_or_else(|| "/bin/sh".into());
                let scenario = file.as_deref().map(Scenario::load).transpose()?;
                block_on(up(scenario, false, None, &host, &[shell]))
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
        let print = |line: &serde_json::Value| {
            // A closed pipe must not spoil the run: its exit code still counts.
            let _ = writeln!(std::io::stdout(), "{line}");
        };
        block_on(must_pass(&scenario, print)).map(drop)
    }

    async fn up(
        scenario: Option<Scenario>,
        play: bool,
        published: Option<TcpListener>,
        on: &str,
        program: &[OsString],
    ) -> Result<()> {
        let spec = scenario.as_ref().map_or_else(WorldSpec::default, Scenario::spec);
        let mut world = World::start(spec).await?;
        let _relay = published
            .map(|listener| Relay::from_listener(world.laptop()?, plan::API_PORT, listener))
            .transpose()?;
        let mut process = start(&world, on, program)?;
        eprintln!("The world is up: {}.", world.host_names().collect::<Vec<_>>().join(", "));
        let planned = scenario.filter(|_| play).map(|scenario| scenario.fault).unwrap_or_default();
        let status = {
            let story = async {
                inject_planned(&mut world, planned).await?;
                // A program of its own has the standard input for itself.
                if program.is_empty() { inject_typed(&mut world).await } else { std::future::pending().await }
            };
            tokio::select! {
                status = ended(process.as_mut()) => status?,
                outcome = story => return outcome,
            }
        };
        ensure!(status.success(), "the program on {on} ended with {status}");
        Ok(())
    }

    fn start(world: &World, on: &str, program: &[OsString]) -> Result<Option<Process>> {
        let Some((name, arguments)) = program.split_first() else { return Ok(None) };
        let mut command = Command::new(name);
        command.args(arguments).env("SSL_CERT_FILE", world.authority()?);
        world.host(on)?.spawn(command).map(Some)
    }

    async fn ended(process: Option<&mut Process>) -> Result<std::process::ExitStatus> {
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
        // Nobody types: stay up until killed.
        std::future::pending().await
    }
}

#[cfg(target_os = "linux")]
fn main() -> anyhow::Result<()> {
    linux::main()
}

#[cfg(not(target_os = "linux"))]
fn main() {
    eprintln!("The lab needs Linux: it is made of network namespaces.");
    std::process::exit(2);
}
