//! The whole state of a node, as `status` and `check` print it.

use super::{incidents, needs};
use sentinel_model::{
    Agreement, Assurance, Connectivity, DnsView, ExitView, LatencyView, NodeView, Outcome, Reachability,
    Snapshot, TunnelView, Verdict, humanize,
};
use std::fmt::Write as _;

/// Returns the verdict, the facts behind it, the open incidents and what is missing.
pub(crate) fn snapshot(snapshot: &Snapshot) -> String {
    let shown = &snapshot.shown;
    let mut text = format!("{}. {}\n{}\n", shown.verdict.verdict, shown.verdict.sentence, times(snapshot));
    if let Some(advice) = connectivity_advice(snapshot) {
        text.push_str(advice);
        text.push('\n');
    }
    text.push('\n');
    text.push_str(&facts(snapshot));
    if !shown.incidents.is_empty() {
        text.push_str("\nOpen incidents\n");
        for incident in &shown.incidents {
            text.push_str(&incidents::incident(incident, snapshot.at, snapshot.offset));
        }
    }
    if !shown.needs.is_empty() {
        // Writing to a string does not fail.
        let _ = writeln!(text, "\n{}", needs::HEADING);
        for need in &shown.needs {
            text.push_str(needs::need(*need));
            text.push('\n');
        }
    }
    text
}

/// Returns when the verdict was verified, since when it holds, and when the next check is due.
fn times(snapshot: &Snapshot) -> String {
    let verdict = &snapshot.shown.verdict;
    let mut parts = vec![match verdict.verified_at {
        Some(at) => {
            let by = match verdict.assurance {
                Some(Assurance::Witnessed) => " by your own nodes",
                Some(Assurance::PublicOnly) => " by public services only",
                None => "",
            };
            format!("Verified {} ago{by}.", humanize(snapshot.at.since(at)))
        }
        None => "Not verified yet.".to_owned(),
    }];
    if verdict.verdict != Verdict::Unverified || verdict.verified_at.is_some() {
        let since = verdict.since.format_since(snapshot.at, snapshot.offset);
        parts.push(format!("{} {since}.", verdict.verdict));
    }
    match (snapshot.schedule.paused, snapshot.schedule.next_round) {
        (Some(pause), _) => parts.push(match pause.until {
            Some(until) => format!("Paused until {}.", until.format_local(snapshot.at, snapshot.offset)),
            None => "Paused until you resume.".to_owned(),
        }),
        (None, Some(next)) => {
            parts.push(format!("Next full check in {}.", humanize(next.since(snapshot.at))));
        }
        (None, None) => {}
    }
    parts.join(" ")
}

/// Returns what to do if nothing can be measured at all.
fn connectivity_advice(snapshot: &Snapshot) -> Option<&'static str> {
    let mut voices = snapshot.shown.exits.iter().flat_map(|exit| &exit.voices).peekable();
    match snapshot.shown.connectivity {
        Connectivity::Offline => Some(concat!(
            "No interface is up, or there is no route to the internet. Connect to a network. Without one, nothing\n",
            "can leak either."
        )),
        Connectivity::Portal => Some("Open a web page, sign in to this network, and check again."),
        Connectivity::Online | Connectivity::Routed
            if voices.peek().is_some() && voices.all(|voice| voice.agreement == Agreement::Silent) =>
        {
            Some(concat!(
                "Every witness and public service was asked, and nobody answered. Check that the network works, that\n",
                "names can be resolved, and that neither a firewall nor the VPN blocks UDP port 3478 and HTTPS."
            ))
        }
        Connectivity::Online | Connectivity::Routed => None,
    }
}

/// Returns the table of facts: exits, DNS, latency, tunnel, nodes.
fn facts(snapshot: &Snapshot) -> String {
    let shown = &snapshot.shown;
    let mut text = String::new();
    let mut row = |name: &str, value: String| {
        // Writing to a string does not fail.
        let _ = writeln!(text, "{name:<12}{}", value.replace('\n', &format!("\n{:12}", "")));
    };
    for exit in &shown.exits {
        row(&format!("Exit {}", exit.family), exit_fact(exit));
    }
    row("DNS", dns_fact(&shown.dns));
    if !shown.latency.is_empty() {
        row("Latency", shown.latency.iter().map(latency_fact).collect::<Vec<_>>().join("\n"));
    }
    if let Some(tunnel) = &shown.tunnel {
        row("Tunnel", tunnel_fact(tunnel));
    }
    row("Nodes", nodes_fact(&snapshot.swarm.nodes));
    if let Some(storage) = storage_fact(snapshot) {
        row("Storage", storage);
    }
    text
}

/// Returns what is not on the disk, if storing fails or something was given up.
fn storage_fact(snapshot: &Snapshot) -> Option<String> {
    let storage = &snapshot.storage;
    let mut lines = Vec::new();
    if let Some(failing) = storage.failing_since {
        let since = failing.format_since(snapshot.at, snapshot.offset);
        lines.push(format!("not stored yet: {} changes, failing {since}", storage.unstored));
        lines.extend(storage.error.clone());
    }
    if storage.dropped > 0 {
        lines.push(format!("{} changes and measurements were given up", storage.dropped));
    }
    (!lines.is_empty()).then(|| lines.join("\n"))
}

fn exit_fact(exit: &ExitView) -> String {
    let mut text = match &exit.address {
        Outcome::Measured(seen) if exit.is_home == Some(true) => format!("{seen}, your home line"),
        Outcome::Measured(seen) => seen.to_string(),
        Outcome::Unknown(reason) => format!("unknown: {reason}"),
    };
    for (agreement, phrase) in [
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
            let _ = write!(text, "\n{phrase} {}", voices.join(", "));
        }
    }
    text
}

fn dns_fact(dns: &DnsView) -> String {
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
        let _ = write!(text, "\nthe system is configured to use {}", configured.join(", "));
    }
    text
}

fn latency_fact(latency: &LatencyView) -> String {
    let last = latency
        .points
        .last()
        .map_or("no answer yet".to_owned(), |point| format!("{:.1} ms", point.rtt.as_millis_f64()));
    let usual =
        latency.baseline.map_or(String::new(), |usual| format!(", usually {:.1} ms", usual.as_millis_f64()));
    format!("{} over {}: {last}{usual}", latency.target.name, latency.family)
}

fn tunnel_fact(tunnel: &TunnelView) -> String {
    format!("{} is {}", tunnel.interface, if tunnel.up { "up" } else { "down or gone" })
}

fn nodes_fact(nodes: &[NodeView]) -> String {
    let others: Vec<_> = nodes.iter().filter(|node| !node.is_self).collect();
    if others.is_empty() {
        return "no other node yet".to_owned();
    }
    let connected = others
        .iter()
        .filter(|node| matches!(node.reachability, Reachability::Direct | Reachability::Relayed))
        .count();
    format!("{connected} of {} other nodes connected", others.len())
}
