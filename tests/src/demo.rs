//! A demonstration: a DNS leak, recovery, a failed tunnel, recovery.
//!
//! The laptop runs the real desktop program on the user's own screen. Without a screen it runs a
//! headless node, whose dashboard the user opens in a browser.

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

/// Time after each step of the demonstration.
const PAUSE: Duration = Duration::from_secs(20);

/// The steps in order: an explanation, and a fault.
const STEPS: [(&str, Option<Fault>); 5] = [
    ("Protected: two nodes and two public services see the VPN's address.", None),
    (
        "The system's resolver is switched to the home router, which forwards to the ISP: a DNS leak.",
        Some(Fault::ResolverSwitched { to: Resolver::Router }),
    ),
    ("The resolver inside the tunnel is used again.", Some(Fault::ResolverSwitched { to: Resolver::Vpn })),
    ("The tunnel fails. Traffic continues without it, and faster.", Some(Fault::TunnelRemoved {})),
    ("The VPN is reconnected.", Some(Fault::TunnelRestored {})),
];

/// The program that the user watches, which ends when this is dropped.
struct DemoView {
    _app: Option<Process>,
    _dashboard: Option<Relay>,
}

/// Returns true if there is a screen for the desktop program.
pub fn has_screen() -> bool {
    ["DISPLAY", "WAYLAND_DISPLAY"].into_iter().any(|name| env::var_os(name).is_some())
}

/// Runs the demonstration. Without a screen, the dashboard is published on `published`.
pub async fn run_demo(published: Option<TcpListener>) -> Result<()> {
    eprintln!("Building a small Internet: a laptop at home, its VPN, and two witnesses in other networks.");
    let with_screen = has_screen();
    let nodes: &[&str] =
        if with_screen { &["vps", "home-server"] } else { &["vps", "home-server", "laptop"] };
    let nodes = nodes.iter().map(|name| (*name).to_owned()).collect();
    let mut world = World::start(WorldSpec { nodes, ..WorldSpec::default() }).await?;
    let _view = start_view(&mut world, with_screen, published).await?;
    for (explanation, fault) in STEPS {
        eprintln!("\n{explanation}");
        if let Some(fault) = fault {
            world.inject(&fault).await?;
        }
        sleep(PAUSE).await;
    }
    eprintln!("\nThe demonstration is over. Everything created for it is being deleted.");
    Ok(())
}

async fn start_view(
    world: &mut World,
    with_screen: bool,
    published: Option<TcpListener>,
) -> Result<DemoView> {
    if with_screen {
        let app = App::prepare(world).await?;
        let process = app.start(|_| ())?;
        app.confirm(world).await?;
        eprintln!("The desktop program is on your screen: its window, its tray icon, its notifications.");
        return Ok(DemoView { _app: Some(process), _dashboard: None });
    }
    let dashboard = published
        .map(|listener| {
            let address = listener.local_addr()?;
            let relay = Relay::from_listener(world.laptop()?, plan::API_PORT, listener)?;
            eprintln!("Open the laptop's dashboard: http://{address}/");
            anyhow::Ok(relay)
        })
        .transpose()?;
    Ok(DemoView { _app: None, _dashboard: dashboard })
}
