//! A story to watch: protected, a DNS leak, recovery, a dead tunnel, recovery. The laptop runs the real desktop program
//! on the person's own screen, or, without one, a headless node whose dashboard they open in their browser.

use crate::{
    app::App,
    faults::{Fault, Resolver},
    plan,
    process::Process,
    relay::Relay,
    world::{World, WorldSpec},
};
use anyhow::Result;
use std::{env, net::TcpListener, time::Duration};
use tokio::time::sleep;

/// How long each chapter is shown.
const CHAPTER: Duration = Duration::from_secs(20);

/// What happens, in order, and what to say about it.
const CHAPTERS: [(&str, Option<Fault>); 5] = [
    ("All is well: two nodes and two public services see the VPN's address.", None),
    (
        "The system's resolver is switched to the home router, which asks the ISP: a DNS leak.",
        Some(Fault::ResolverSwitched { to: Resolver::Router }),
    ),
    ("The resolver inside the tunnel is back.", Some(Fault::ResolverSwitched { to: Resolver::Vpn })),
    ("The tunnel dies. Traffic goes on without it, and faster.", Some(Fault::TunnelRemoved {})),
    ("The VPN is reconnected.", Some(Fault::TunnelRestored {})),
];

/// What the person watches. It lives as long as this.
struct Stage {
    _app: Option<Process>,
    _dashboard: Option<Relay>,
}

/// Whether there is a screen to show the desktop program on.
pub fn has_screen() -> bool {
    ["DISPLAY", "WAYLAND_DISPLAY"].into_iter().any(|name| env::var_os(name).is_some())
}

/// Plays the story. `published` is where the dashboard can be opened if there is no screen.
pub async fn play(published: Option<TcpListener>) -> Result<()> {
    eprintln!("Building a small Internet: a laptop at home, its VPN, and two witnesses on other networks.");
    let with_screen = has_screen();
    let nodes: &[&str] =
        if with_screen { &["vps", "home-server"] } else { &["vps", "home-server", "laptop"] };
    let nodes = nodes.iter().map(|name| (*name).to_owned()).collect();
    let mut world = World::start(WorldSpec { nodes, ..WorldSpec::default() }).await?;
    let _stage = set_stage(&mut world, with_screen, published).await?;
    for (told, fault) in CHAPTERS {
        eprintln!("\n{told}");
        if let Some(fault) = fault {
            world.inject(&fault).await?;
        }
        sleep(CHAPTER).await;
    }
    eprintln!("\nThat was the story. Everything made for it is gone now.");
    Ok(())
}

async fn set_stage(world: &mut World, with_screen: bool, published: Option<TcpListener>) -> Result<Stage> {
    if with_screen {
        let app = App::prepare(world).await?;
        let process = app.start(|_| ())?;
        app.admit(world).await?;
        eprintln!("The desktop program is on your screen: its window, its tray icon, its notifications.");
        return Ok(Stage { _app: Some(process), _dashboard: None });
    }
    let dashboard = published
        .map(|listener| {
            let address = listener.local_addr()?;
            let relay = Relay::from_listener(world.laptop()?, plan::API_PORT, listener)?;
            eprintln!("Open the laptop's dashboard: http://{address}/");
            anyhow::Ok(relay)
        })
        .transpose()?;
    Ok(Stage { _app: None, _dashboard: dashboard })
}
