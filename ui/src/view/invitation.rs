//! The commands that pair a new node, and how long an invitation is valid.

use super::text::format_countdown;
use sentinel_model::Timestamp;

/// Returns the command that starts a node.
pub fn run_command() -> &'static str {
    "vpnsentinel-node run"
}

/// Returns the command that makes an invitation.
pub fn invite_command() -> &'static str {
    "vpnsentinel-node pair invite"
}

/// Returns the command that accepts an invitation; without one, with a placeholder.
pub fn accept_command(invitation: Option<&str>) -> String {
    format!("vpnsentinel-node pair accept {}", invitation.unwrap_or("INVITATION"))
}

/// Describes how long an invitation is still valid.
pub fn describe_expiry(now: Timestamp, expires: Timestamp) -> String {
    match format_countdown(now, expires) {
        Some(left) => format!("Valid once; expires {left}."),
        None => "Expired. Make a new one.".into(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_invitation_shows_when_it_expires_and_that_it_has() {
        assert_eq!(describe_expiry(Timestamp(0), Timestamp(600_000)), "Valid once; expires in 10 min.");
        assert_eq!(describe_expiry(Timestamp(600_001), Timestamp(600_000)), "Expired. Make a new one.");
    }

    #[test]
    fn the_command_contains_the_invitation() {
        assert_eq!(accept_command(Some("VPNS1-AB")), "vpnsentinel-node pair accept VPNS1-AB");
    }
}
