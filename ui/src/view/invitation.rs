//! How a new node is brought in: what to type there and how long it works.

use super::text::from_now;
use sentinel_model::Timestamp;

/// Starts a node on a server.
pub fn run_command() -> &'static str {
    "vpnsentinel-node run"
}

/// Makes a running node invite another.
pub fn invite_command() -> &'static str {
    "vpnsentinel-node pair invite"
}

/// Makes a running node take up an invitation; without one, it says where the invitation goes.
pub fn accept_command(invitation: Option<&str>) -> String {
    format!("vpnsentinel-node pair accept {}", invitation.unwrap_or("INVITATION"))
}

/// How long an invitation still works.
pub fn time_left(now: Timestamp, expires: Timestamp) -> String {
    match from_now(now, expires) {
        Some(left) => format!("Works once; expires {left}."),
        None => "Expired. Make a new one.".into(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_invitation_says_when_it_ends_and_that_it_has() {
        assert_eq!(time_left(Timestamp(0), Timestamp(600_000)), "Works once; expires in 10 min.");
        assert_eq!(time_left(Timestamp(600_001), Timestamp(600_000)), "Expired. Make a new one.");
    }

    #[test]
    fn the_command_carries_the_invitation() {
        assert_eq!(accept_command(Some("VPNS1-AB")), "vpnsentinel-node pair accept VPNS1-AB");
    }
}
