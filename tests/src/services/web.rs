//! The servers that use TLS: the echo services and the websites, one nginx per host.

use super::{
    certificates,
    daemon::{wait_until_ready, write_file},
};
use crate::{
    host::{Host, Transport},
    plan::{self, Extras},
    process::Process,
    wiring::{Hosts, find_host},
};
use anyhow::{Context, Result};
use futures::future::try_join_all;
use std::{
    fmt::Write as _,
    fs,
    net::{IpAddr, SocketAddr},
    path::PathBuf,
};

/// The HTTPS port.
const HTTPS: u16 = 443;

/// Starts the echo services, and the websites where a world has them.
pub(super) async fn start(hosts: &Hosts, with: &Extras) -> Result<Vec<Process>> {
    certificates::create_authority(hosts).await?;
    let echoes = plan::echo_services(with);
    let echoes = try_join_all(echoes.iter().map(|(name, addresses)| start_echo(hosts, name, addresses)));
    let sites =
        async { if plan::has_websites(with) { start_websites(hosts).await.map(Some) } else { Ok(None) } };
    let (echoes, sites) = futures::try_join!(echoes, sites)?;
    Ok(echoes.into_iter().chain(sites).collect())
}

/// Returns the directory with files that replace an echo service's answer.
///
/// The service returns `answer.txt` or `answer.html` unchanged, and status 429 if `refuse` exists.
pub(crate) fn answer_directory(echo: &Host) -> PathBuf {
    echo.directory().join("answers")
}

async fn start_echo(hosts: &Hosts, name: &str, addresses: &[IpAddr]) -> Result<Process> {
    let host = find_host(hosts, name)?;
    let answers = answer_directory(host);
    fs::create_dir_all(&answers).with_context(|| format!("cannot create {}", answers.display()))?;
    let mut names = vec![format!("DNS:{name}.example")];
    names.extend(addresses.iter().map(|address| format!("IP:{address}")));
    certificates::issue(hosts, host, "echo", &names).await?;
    let listen: Vec<_> =
        addresses.iter().map(|address| SocketAddr::new(*address, HTTPS).to_string()).collect();
    let body = format!(
        "    root {answers};
    if (-f {answers}/refuse) {{ return 429; }}
    location / {{ try_files /answer.html /answer.txt @caller; }}
    location @caller {{ return 200 \"$remote_addr\\n\"; }}
",
        answers = answers.display()
    );
    start_nginx(host, &server_block(host, &listen, "echo", &body)?).await
}

/// Starts one nginx with the websites of the panel and the content network, and the impostor.
async fn start_websites(hosts: &Hosts) -> Result<Process> {
    let host = find_host(hosts, "web")?;
    host.run_ip(&format!(
        "route add local 198.19.60.0/24 dev lo\nroute add local {} dev lo\n",
        plan::CONTENT_PREFIX
    ))
    .await?;
    let names = plan::PANEL.iter().map(|(name, _, _)| *name).chain(plan::CONTENT);
    let names: Vec<_> = names.map(|name| format!("DNS:{name}")).collect();
    let impostor = [format!("DNS:{}", plan::IMPOSTOR_NAME)];
    futures::try_join!(
        certificates::issue(hosts, host, "sites", &names),
        certificates::issue(hosts, host, "impostor", &impostor)
    )?;
    let body = "    return 200 \"a website\\n\";\n";
    let sites = server_block(host, &[HTTPS.to_string()], "sites", body)?;
    let impostor =
        server_block(host, &[SocketAddr::new(plan::IMPOSTOR.into(), HTTPS).to_string()], "impostor", body)?;
    start_nginx(host, &(sites + &impostor)).await
}

/// Returns the `server` block of an nginx configuration.
fn server_block(host: &Host, listen: &[String], certificate: &str, body: &str) -> Result<String> {
    let mut text = "  server {\n".to_owned();
    for address in listen {
        writeln!(text, "    listen {address} ssl;")?;
    }
    let certificate = host.directory().join(certificate);
    let certificate = certificate.display();
    writeln!(
        text,
        "    ssl_certificate {certificate}.pem;\n    ssl_certificate_key {certificate}.key;\n{body}  }}"
    )?;
    Ok(text)
}

async fn start_nginx(host: &Host, servers: &str) -> Result<Process> {
    let directory = host.directory();
    // One process, because a worker process changes its user, which a user namespace forbids.
    let configuration = format!(
        "daemon off;
master_process off;
user root root;
pid {directory}/nginx.pid;
error_log stderr warn;
events {{ worker_connections 64; }}
http {{
  access_log off;
  client_body_temp_path {directory}/body;
  proxy_temp_path {directory}/proxy;
  fastcgi_temp_path {directory}/fastcgi;
  uwsgi_temp_path {directory}/uwsgi;
  scgi_temp_path {directory}/scgi;
  types {{ text/html html; }}
  default_type text/plain;
{servers}}}
",
        directory = directory.display()
    );
    let path = write_file(directory, "nginx.conf", &configuration)?;
    let mut command = host.command("nginx");
    command.arg("-e").arg("stderr").arg("-p").arg(directory).arg("-c").arg(path);
    let process = host.start_daemon("nginx", command)?;
    wait_until_ready(host, process, &[(Transport::Tcp, HTTPS)]).await
}
