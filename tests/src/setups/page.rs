//! The page of documentation about all setups, which a test compares with `docs/setups.md`.

use super::{
    client::ClientKind,
    dhcp::DhcpKind,
    leak::{Applicability, LeakKind},
    line::LineKind,
    pairwise::choose_setups,
    part::PartInfo,
    resolvers::ResolverKind,
    setup::Setup,
};
use std::fmt::Write as _;

const HEAD: &str = "# Setups

The lab composes worlds from parts that people have: a line, a VPN client, a name resolution and a DHCP client. This page says what a
user of each should configure, and what is found there. `lab matrix` plays the worlds and prints how long each leak took to be found;
`make matrix` plays all of them, and `make test` eight of those in `tests/setups-that-pass.txt`, other ones each day.
`lab matrix --page` writes this page, and a test fails when it is out of date. The addresses are those of the [lab](lab.md): the home line is 198.51.100.142 of AS 64500, the VPN's exit
belongs to AS 64510.

The node needs no word about the resolver or the DHCP client, whichever it is.
";

const LEAKS: &str = "
## Leaks

What the machine itself shows must be found within 3 s, the rest within two rounds. Before and after each leak, nothing may be reported.

| leak | what happens |
|---|---|
";

const MATRIX: &str = "
## What is found with which client

*Found* means that it must be reported in time. *Held* means that the setup keeps it from leaving, so that no exposure may be reported.
Otherwise the word says why the leak cannot happen. The line is Ethernet; lines that differ are listed below the table.
";

/// Renders the page about all setups.
pub fn render_setup_page() -> String {
    let mut text = HEAD.to_owned();
    add_parts(&mut text, "Lines", "what to write under `[home]`", LineKind::ALL, |line| {
        (line.info(), line.home())
    });
    add_parts(&mut text, "VPN clients", "what to write under `[expectation]`", ClientKind::ALL, |client| {
        (client.info(), client.expectation().0.to_owned())
    });
    text += "\nWhy:\n\n";
    for client in ClientKind::ALL {
        // Writing to a string cannot fail.
        let _ = writeln!(text, "- {}: {}.", client.info().name, client.expectation().1);
    }
    add_parts(&mut text, "Name resolution", "", ResolverKind::ALL, |part| (part.info(), String::new()));
    add_parts(&mut text, "DHCP clients", "", DhcpKind::ALL, |part| (part.info(), String::new()));
    text += LEAKS;
    for leak in LeakKind::ALL {
        let _ = writeln!(text, "| `{}` | {} |", leak.name(), leak.summary());
    }
    add_matrix(&mut text);
    let worlds = choose_setups();
    let _ = write!(
        text,
        "\n## Worlds\n\nEvery pair of parts that can be combined stands in at least one of these {} worlds:\n\n",
        worlds.len()
    );
    for world in worlds {
        let _ = writeln!(text, "- `{world}`");
    }
    text
}

/// Adds a table of parts with the lines of the configuration, where `column` is not empty.
fn add_parts<P: Copy>(
    text: &mut String,
    title: &str,
    column: &str,
    parts: &[P],
    describe: impl Fn(P) -> (PartInfo, String),
) {
    let (head, rule) = if column.is_empty() { (String::new(), "") } else { (format!(" {column} |"), "---|") };
    let _ = write!(text, "\n## {title}\n\n| part | in the lab |{head}\n|---|---|{rule}\n");
    for part in parts {
        let (info, lines) = describe(*part);
        let stand_in = info.stand_in.map(|why| format!(". Stand-in: {why}")).unwrap_or_default();
        let lines: Vec<_> = lines.lines().map(|line| format!("`{line}`")).collect();
        let lines = if lines.is_empty() { "nothing".to_owned() } else { lines.join("<br>") };
        let cell = if column.is_empty() { String::new() } else { format!(" {lines} |") };
        let _ = writeln!(text, "| `{}` | {}{stand_in} |{cell}", info.name, info.summary);
    }
}

/// Adds the table of client by leak, and how other lines differ from Ethernet.
fn add_matrix(text: &mut String) {
    let names: Vec<_> = LeakKind::ALL.iter().map(|leak| format!("`{}`", leak.name())).collect();
    let _ =
        write!(text, "{MATRIX}\n| client | {} |\n|---|{}\n", names.join(" | "), "---|".repeat(names.len()));
    let dhcp = DhcpKind::ALL.last().copied().unwrap_or(DhcpKind::Fixed);
    let cell =
        |line, client, leak: LeakKind| match (Setup { line, client, resolver: ResolverKind::File, dhcp })
            .applicability(leak)
        {
            Applicability::Leaks => "found",
            Applicability::Held => "held",
            Applicability::Not(reason) => reason,
        };
    let mut differences = Vec::new();
    for &client in ClientKind::ALL {
        let cells: Vec<_> =
            LeakKind::ALL.iter().map(|leak| cell(LineKind::Ethernet, client, *leak)).collect();
        let _ = writeln!(text, "| `{}` | {} |", client.info().name, cells.join(" | "));
        for &line in LineKind::ALL {
            let can = |line: LineKind| client.excludes(line).is_none();
            if let Some(why) = client.excludes(line) {
                differences.push(format!(
                    "- `{}` with `{}`: not combined, as {why}.",
                    client.info().name,
                    line.info().name
                ));
            }
            let other = LeakKind::ALL.iter().filter(|leak| can(line) && **leak != LeakKind::DhcpRoute);
            let other =
                other.filter(|leak| cell(line, client, **leak) != cell(LineKind::Ethernet, client, **leak));
            let other: Vec<_> =
                other.map(|leak| format!("`{}` {}", leak.name(), cell(line, client, *leak))).collect();
            if !other.is_empty() {
                let (client, line) = (client.info().name, line.info().name);
                differences.push(format!("- `{client}` with `{line}`: {}.", other.join(", ")));
            }
        }
    }
    let _ = writeln!(text, "\n{}", differences.join("\n"));
}
