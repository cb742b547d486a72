//! What people read. Everything here only turns values into text.

use crate::client;
use anyhow::{Result, bail};
use sentinel_engine::{Config, PublicService};
use sentinel_model::{
    Agreement, Assurance, Connectivity, DnsView, ExitView, Home, Incident, IncidentState, LatencyView, Need,
    NodeView, Outcome, Reachability, SCHEMA, Severity, Snapshot, Timestamp, TunnelView, UtcOffset, Verdict,
    humanize,
};
use serde::Serialize;
use serde_json::Value;
use std::{
    fmt::Write as _,
    io::{self, BufRead as _, IsTerminal as _, Write as _},
};

/// Said when the node's answer is not to what was asked.
pub(crate) const UNEXPECTED: &str =
    "The node answered something else than was asked. Check that it and this program have the same version.";

/// Prints to standard output. That nobody reads on, as after `| head`, is no error.
pub(crate) fn text(text: &str) -> Result<()> {
    let mut out = io::stdout().lock();
    match writeln!(out, "{}", text.trim_end()).and_then(|()| out.flush()) {
        Err(error) if error.kind() != io::ErrorKind::BrokenPipe => Err(error.into()),
        _ => Ok(()),
    }
}

/// Prints as JSON, with the version of its form in `schema`.
pub(crate) fn json(value: &impl Serialize) -> Result<()> {
    let mut value = serde_json::to_value(value)?;
    if let Value::Object(fields) = &mut value {
        fields.entry("schema").or_insert_with(|| SCHEMA.into());
    }
    text(&serde_json::to_string_pretty(&value)?)
}

/// Says something beside the result, on standard error.
pub(crate) fn aside(text: &str) {
    // If standard error is gone, there is no one left to tell.
    let _ = writeln!(io::stderr().lock(), "{}", text.trim_end());
}

/// Asks the person at the terminal. Where there is none it is an error that names the command to type `instead`.
pub(crate) fn agreed(question: &str, instead: &str) -> Result<bool> {
    if !io::stdin().is_terminal() {
        bail!("{question}\nThere is nobody to ask here. If it is so, type `{instead}`.");
    }
    aside(question);
    let mut answer = String::new();
    io::stdin().lock().read_line(&mut answer)?;
    Ok(matches!(answer.trim().to_lowercase().as_str(), "y" | "yes"))
}

/// An error as a sentence.
pub(crate) fn sentence(error: &anyhow::Error) -> String {
    let text = error.to_string();
    let mut letters = text.trim_end().chars();
    let mut sentence: String =
        letters.next().map(|first| first.to_uppercase().to_string()).unwrap_or_default();
    sentence.push_str(letters.as_str());
    if !sentence.ends_with(['.', '?']) {
        sentence.push('.');
    }
    sentence
}

/// The whole state of a node.
pub(crate) fn snapshot(snapshot: &Snapshot) -> String {
    let mut text = format!(
        "{}. {}\n{}\n",
        snapshot.shown.verdict.verdict,
        snapshot.shown.verdict.sentence,
        standing(snapshot)
    );
    if let Some(egress) = egress(snapshot) {
        text.push_str(egress);
        text.push('\n');
    }
    text.push('\n');
    let mut row = |name: &str, value: String| {
        // Writing to a string does not fail.
        let _ = writeln!(text, "{name:<12}{}", value.replace('\n', &format!("\n{:12}", "")));
    };
    for exit in &snapshot.shown.exits {
        row(&format!("Exit {}", exit.family), exit_lines(exit));
    }
    row("DNS", dns_lines(&snapshot.shown.dns));
    if !snapshot.shown.latency.is_empty() {
        row("Latency", snapshot.shown.latency.iter().map(latency_line).collect::<Vec<_>>().join("\n"));
    }
    if let Some(tunnel) = &snapshot.shown.tunnel {
        row("Tunnel", tunnel_line(tunnel));
    }
    row("Nodes", nodes_line(&snapshot.swarm.nodes));
    if !snapshot.shown.incidents.is_empty() {
        text.push_str("\nOpen incidents\n");
        for incident in &snapshot.shown.incidents {
            text.push_str(&incident_lines(incident, snapshot.at, snapshot.offset));
        }
    }
    if !snapshot.shown.needs.is_empty() {
        text.push_str("\nWhat it needs from you\n");
        for need in &snapshot.shown.needs {
            text.push_str(need_lines(*need));
            text.push('\n');
        }
    }
    text
}

/// What to do where nothing can be measured at all.
fn egress(snapshot: &Snapshot) -> Option<&'static str> {
    let mut voices = snapshot.shown.exits.iter().flat_map(|exit| &exit.voices).peekable();
    match snapshot.shown.connectivity {
        Connectivity::Offline => Some(concat!(
            "No interface is up, or there is no route to the internet. Connect to a network; while there is none,\n",
            "nothing can leak either."
        )),
        Connectivity::Portal => Some("Open a web page, sign in to this network, and check again."),
        Connectivity::Online
            if voices.peek().is_some() && voices.all(|voice| voice.agreement == Agreement::Silent) =>
        {
            Some(concat!(
                "Everybody who could tell was asked, and nobody answered. Look whether the network works and names\n",
                "resolve, and whether a firewall or the VPN blocks UDP port 3478 and HTTPS."
            ))
        }
        Connectivity::Online => None,
    }
}

/// What is known of the home line.
pub(crate) fn home(home: &Home) -> String {
    let lines: Vec<String> = [
        ("addresses", joined(&home.addresses)),
        ("prefixes", joined(&home.prefixes)),
        ("operators", joined(&home.asns)),
        ("resolvers", joined(&home.resolvers)),
    ]
    .into_iter()
    .filter(|(_, values)| !values.is_empty())
    .map(|(name, values)| format!("  {name:<12}{values}"))
    .collect();
    if lines.is_empty() {
        return format!(
            "Nothing is known of your home line yet.\n\nWhat it needs from you\n{}",
            need_lines(Need::Home)
        );
    }
    format!("Your home line, which nobody may see while the VPN is on:\n{}", lines.join("\n"))
}

fn joined(values: &[impl ToString]) -> String {
    values.iter().map(ToString::to_string).collect::<Vec<_>>().join(", ")
}

/// Since when, how fresh, what next.
fn standing(snapshot: &Snapshot) -> String {
    let verdict = &snapshot.shown.verdict;
    let mut parts = vec![match verdict.verified_at {
        Some(at) => {
            let by = match verdict.assurance {
                Some(Assurance::Witnessed) => " by your own nodes",
                Some(Assurance::PublicOnly) => " by public services alone",
                None => "",
            };
            format!("Verified {} ago{by}.", humanize(snapshot.at.since(at)))
        }
        None => "Not verified yet.".to_owned(),
    }];
    if verdict.verdict != Verdict::Unverified || verdict.verified_at.is_some() {
        parts.push(format!(
            "{} {}.",
            verdict.verdict,
            verdict.since.format_since(snapshot.at, snapshot.offset)
        ));
    }
    match (snapshot.schedule.paused, snapshot.schedule.next_round) {
        (Some(pause), _) => parts.push(match pause.until {
            Some(until) => format!("Paused until {}.", until.format_local(snapshot.at, snapshot.offset)),
            None => "Paused until resumed.".to_owned(),
        }),
        (None, Some(next)) => {
            parts.push(format!("Next full check in {}.", humanize(next.since(snapshot.at))));
        }
        (None, None) => {}
    }
    parts.join(" ")
}

fn exit_lines(exit: &ExitView) -> String {
    let mut text = match &exit.address {
        Outcome::Measured(seen) if exit.is_home == Some(true) => format!("{seen}, your home line"),
        Outcome::Measured(seen) => seen.to_string(),
        Outcome::Unknown(reason) => format!("unknown: {reason}"),
    };
    for (agreement, word) in [
        (Agreement::Agrees, "seen by"),
        (Agreement::Disagrees, "contradicted by"),
        (Agreement::Silent, "no answer from"),
    ] {
        let voices: Vec<_> = exit
            .voices
            .iter()
            .filter(|voice| voice.agreement == agreement)
            .map(|voice| match (&voice.saw, agreement) {
                (Outcome::Measured(saw), Agreement::Disagrees) => format!("{} (saw {saw})", voice.voice.name),
                _ => voice.voice.name.clone(),
            })
            .collect();
        if !voices.is_empty() {
            let _ = write!(text, "\n{word} {}", voices.join(", "));
        }
    }
    text
}

fn dns_lines(dns: &DnsView) -> String {
    let mut text = match &dns.resolvers {
        Outcome::Measured(resolvers) if resolvers.is_empty() => "no resolver was seen".to_owned(),
        Outcome::Measured(resolvers) => {
            let mut seen: Vec<_> = resolvers
                .iter()
                .map(|view| {
                    if view.is_home {
                        format!("{}, your home line's", view.resolver)
                    } else {
                        view.resolver.to_string()
                    }
                })
                .collect();
            seen.sort();
            seen.dedup();
            format!("answered by {}", seen.join("; "))
        }
        Outcome::Unknown(reason) => format!("unknown: {reason}"),
    };
    if !dns.configured.is_empty() {
        let configured: Vec<_> = dns.configured.iter().map(|resolver| resolver.address.to_string()).collect();
        let _ = write!(text, "\nthe system is set to ask {}", configured.join(", "));
    }
    text
}

fn latency_line(latency: &LatencyView) -> String {
    let last = latency
        .points
        .last()
        .map_or("no answer yet".to_owned(), |point| format!("{:.1} ms", point.rtt.as_millis_f64()));
    let usual =
        latency.baseline.map_or(String::new(), |usual| format!(", usually {:.1} ms", usual.as_millis_f64()));
    format!("{} over {}: {last}{usual}", latency.target.name, latency.family)
}

fn tunnel_line(tunnel: &TunnelView) -> String {
    format!("{} is {}", tunnel.interface, if tunnel.up { "up" } else { "gone or down" })
}

fn nodes_line(nodes: &[NodeView]) -> String {
    let others: Vec<_> = nodes.iter().filter(|node| !node.is_self).collect();
    if others.is_empty() {
        return "no other node yet".to_owned();
    }
    let reached = others
        .iter()
        .filter(|node| matches!(node.reachability, Reachability::Direct | Reachability::Relayed))
        .count();
    format!("{reached} of {} others reached", others.len())
}

fn need_lines(need: Need) -> &'static str {
    match need {
        Need::Home => concat!(
            "  Your home line: without it, a leak cannot be told from your VPN. Turn the VPN off and type\n",
            "  `vpnsentinel-node home learn`, or put the address you have without the VPN under [home] in the\n",
            "  configuration."
        ),
        Need::Witness => concat!(
            "  A node of your own on another network, a server or a friend's, to see you from outside. Join it with\n",
            "  `vpnsentinel-node pair invite` there, since you can reach it, and `vpnsentinel-node pair accept` here."
        ),
        Need::Consent => concat!(
            "  Somebody to ask: a node of your own, or public services, which you allow with `consent = true`\n",
            "  under [services] in the configuration."
        ),
    }
}

fn incident_lines(incident: &Incident, now: Timestamp, offset: UtcOffset) -> String {
    let state = match incident.state {
        IncidentState::Firing | IncidentState::Pending => "",
        IncidentState::Recovering => " (recovering)",
        IncidentState::Unknown => " (nobody can tell whether it is over)",
        IncidentState::Resolved => " (over)",
    };
    let when = if incident.state == IncidentState::Resolved {
        format!(
            "began {} ago and took {}",
            humanize(now.since(incident.opened.wall)),
            humanize(incident.changed.wall.since(incident.opened.wall))
        )
    } else {
        incident.opened.wall.format_since(now, offset)
    };
    let known = if incident.acknowledged.is_some() { ", acknowledged" } else { "" };
    let mut text = format!(
        "  {} {}, {when}{state}{known}\n    {}\n",
        mark(incident.severity),
        incident.kind,
        incident.sentence
    );
    if incident.state != IncidentState::Resolved && !incident.advice.is_empty() {
        let _ = writeln!(text, "    {}", incident.advice);
    }
    text
}

fn mark(severity: Severity) -> &'static str {
    match severity {
        Severity::Critical => "critical",
        Severity::Warning => "warning",
        Severity::Information => "note",
    }
}

/// All nodes, and those waiting to be admitted.
pub(crate) fn nodes(snapshot: &Snapshot) -> String {
    let mut text = String::new();
    for node in &snapshot.swarm.nodes {
        let how = match node.reachability {
            _ if node.is_self => "this node".to_owned(),
            Reachability::Direct => "connected".to_owned(),
            Reachability::Relayed => "connected through a relay".to_owned(),
            Reachability::Asleep => "asleep".to_owned(),
            Reachability::Lost => node.last_heard.map_or("never heard".to_owned(), |at| {
                format!("silent, last heard {} ago", humanize(snapshot.at.since(at)))
            }),
        };
        let verdict = if node.is_self {
            Some(snapshot.shown.verdict.verdict)
        } else {
            node.announced.as_ref().map(|said| said.verdict)
        };
        let verdict = verdict.map_or("-".to_owned(), |verdict| verdict.to_string());
        let _ = writeln!(text, "{:<20} {:<8} {verdict:<11} {how}", node.name, node.role.to_string());
    }
    if snapshot.swarm.nodes.iter().all(|node| node.is_self) {
        let _ = write!(text, "\nWhat it needs from you\n{}\n", need_lines(Need::Witness));
    }
    for node in &snapshot.swarm.pending {
        let _ = write!(
            text,
            "\n{} waits to be admitted with the fingerprint {}. If that node shows the same:\n  vpnsentinel-node pair confirm {}\n",
            node.name, node.fingerprint, node.fingerprint
        );
    }
    text
}

/// Incidents of the last days.
pub(crate) fn incidents(incidents: &[Incident], days: u16, now: Timestamp, offset: UtcOffset) -> String {
    if incidents.is_empty() {
        let span = if days == 1 { "day".to_owned() } else { format!("{days} days") };
        return format!("Nothing happened in the last {span}.");
    }
    incidents.iter().map(|incident| incident_lines(incident, now, offset)).collect::<Vec<_>>().join("\n")
}

/// What a valid configuration amounts to.
pub(crate) fn configuration(config: &Config) -> String {
    let services =
        if config.services.consent { "may be asked" } else { "are not asked (`services.consent` is false)" };
    let home =
        if config.home.is_unknown() { "not given; it can be learned while the VPN is off" } else { "given" };
    let remarks: Vec<String> = sentinel_engine::config_warnings(config)
        .iter()
        .map(|remark| format!("\nNote: {remark}.\n"))
        .collect();
    let remarks = remarks.concat();
    format!(
        "The configuration is fine.\n\n{:<16}{} ({})\n{:<16}{}\n{:<16}{}/\n{:<16}{home}\n{:<16}{services}\n{remarks}",
        "Name",
        config.name,
        config.role,
        "State",
        config.state_dir.display(),
        "API, dashboard",
        client::url(config.api.listen),
        "Home line",
        "Public services"
    )
}

/// Every public service, by what it is asked for.
pub(crate) fn services(services: &[PublicService]) -> String {
    let width = services.iter().map(|it| it.service.name.len()).max().unwrap_or_default();
    let lines = services.iter().map(|PublicService { service, on }| {
        let state = if *on { "on" } else { "off" };
        format!("{state:<5}{:<12}{:<width$}  {}\n", service.kind, service.name, service.address)
    });
    let on = services.iter().filter(|it| it.on).count();
    let how = "Name one under `disabled` in [services] to switch it off; `consent = true` there lets the others be asked.";
    format!(
        "{on} of {} public services may be asked.\n\n{}\n{how}",
        services.len(),
        lines.collect::<String>()
    )
}

/// The same for programs.
pub(crate) fn services_json(services: &[PublicService]) -> Value {
    let services: Vec<Value> = services
        .iter()
        .map(|PublicService { service, on }| {
            serde_json::json!({ "kind": service.kind, "name": service.name, "address": service.address, "on": on })
        })
        .collect();
    serde_json::json!({ "services": services })
}

#[cfg(test)]
mod tests;
