//! The home line, as `home` prints it.

use super::needs;
use sentinel_model::{Home, Need};

/// Returns what identifies the home line, or how to set it if nothing does.
pub(crate) fn home(home: &Home) -> String {
    let lines: Vec<String> = [
        ("addresses", join(&home.addresses)),
        ("prefixes", join(&home.prefixes)),
        ("operators", join(&home.asns)),
        ("resolvers", join(&home.resolvers)),
    ]
    .into_iter()
    .filter(|(_, values)| !values.is_empty())
    .map(|(name, values)| format!("  {name:<12}{values}"))
    .collect();
    if lines.is_empty() {
        return format!("Your home line is not set yet.\n\n{}\n{}", needs::HEADING, needs::need(Need::Home));
    }
    format!("Your home line, which must not be visible while the VPN is on:\n{}", lines.join("\n"))
}

fn join(values: &[impl ToString]) -> String {
    values.iter().map(ToString::to_string).collect::<Vec<_>>().join(", ")
}
