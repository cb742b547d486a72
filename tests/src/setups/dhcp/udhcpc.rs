//! udhcpc of BusyBox, with a script that installs classless static routes.

use super::lease::{LeaseMark, wait_for_default_route};
use crate::{
    host::Host,
    plan,
    process::Process,
    setups::{
        dhcp_part::{DhcpLink, DhcpPart, LeaseServers},
        part::{PartInfo, Task},
        resolvers::ResolverKind,
    },
};
use anyhow::{Context, Result};
use nix::{
    sys::signal::{Signal, kill},
    unistd::Pid,
};
use std::{fs, os::unix::fs::PermissionsExt, path::PathBuf};

pub(super) const INFO: PartInfo = PartInfo {
    name: "udhcpc",
    summary: "udhcpc of BusyBox with a script that adds classless static routes as `boot` routes, as \
              OpenWrt's does; it leaves no lease file",
    programs: &[("udhcpc", "udhcpc")],
    stand_in: None,
};

/// The running client.
#[derive(Debug, Default)]
pub(super) struct Udhcpc(Option<(Process, LeaseMark)>);

impl DhcpPart for Udhcpc {
    fn start<'a>(
        &'a mut self,
        laptop: &'a Host,
        link: &'a DhcpLink,
        resolver: ResolverKind,
    ) -> Task<'a, LeaseServers> {
        Box::pin(async move {
            let mark = LeaseMark::new(laptop)?;
            let script = write_script(laptop, link, &mark)?;
            let mut command = laptop.command("udhcpc");
            command.args(["-f", "-i", &link.device, "-O", "staticroutes", "-T", "1", "-s"]).arg(script);
            let mut client = laptop.start_daemon("udhcpc", command)?;
            mark.wait(&mut client).await?;
            wait_for_default_route(laptop, &link.device).await?;
            self.0 = Some((client, mark));
            Ok(match resolver {
                ResolverKind::Openresolv => LeaseServers::Delivered,
                _ => LeaseServers::HandOver(vec![plan::ROUTER.into()]),
            })
        })
    }

    fn renew<'a>(&'a mut self, _laptop: &'a Host) -> Task<'a> {
        Box::pin(async {
            let (client, mark) = self.0.as_mut().context("udhcpc has not been started")?;
            mark.clear()?;
            let id = client.id().context("udhcpc has ended")?;
            kill(Pid::from_raw(id.try_into()?), Signal::SIGUSR1).context("cannot signal udhcpc")?;
            mark.wait(client).await
        })
    }
}

/// Writes the script.
///
/// Unlike Debian's it knows option 121, which replaces the option for the router.
fn write_script(laptop: &Host, link: &DhcpLink, mark: &LeaseMark) -> Result<PathBuf> {
    let path = laptop.directory().join("udhcpc.lease.script");
    let text = format!(
        "#!/bin/sh
routes=\"{routes}\"
forget() {{
  [ -e \"$routes\" ] || return 0
  while read -r route; do ip route delete $route; done <\"$routes\"
  rm -f \"$routes\"
}}
add() {{
  ip route replace $1 && echo \"$1\" >>\"$routes\"
}}
case \"$1\" in
  deconfig)
    forget
    ip link set \"$interface\" up
    ip -4 address flush dev \"$interface\"
    ;;
  bound | renew)
    forget
    ip -4 address replace \"$ip/$mask\" dev \"$interface\"
    if [ -n \"$staticroutes\" ]; then
      set -- $staticroutes
      while [ $# -ge 2 ]; do
        case \"$1\" in
          0.0.0.0/0 | default) add \"default via $2 dev $interface metric {metric}\" ;;
          *) add \"$1 via $2 dev $interface\" ;;
        esac
        shift 2
      done
    else
      for gateway in $router; do add \"default via $gateway dev $interface metric {metric}\"; done
    fi
    if [ -x /usr/sbin/resolvconf ] && [ ! -L /usr/sbin/resolvconf ]; then
      for server in $dns; do echo \"nameserver $server\"; done | resolvconf -a \"$interface.udhcpc\"
    fi
    : >\"{mark}\"
    ;;
esac
",
        routes = laptop.directory().join("udhcpc.lease.routes").display(),
        metric = link.metric,
        mark = mark.path().display(),
    );
    fs::write(&path, text).with_context(|| format!("cannot write {}", path.display()))?;
    fs::set_permissions(&path, fs::Permissions::from_mode(0o755))?;
    Ok(path)
}
