//! The tunnel in a few sentences, and what is worth knowing without being wrong.

use super::text::milliseconds;
use sentinel_model::{Finding, KillSwitch, Severity, TunnelView};

/// Whether the tunnel is up, how far its other end is, and what holds traffic back if it fails.
pub fn tunnel_line(tunnel: Option<&TunnelView>) -> String {
    let Some(tunnel) = tunnel else { return "No tunnel has been seen on this machine.".into() };
    let state = if tunnel.up { "up" } else { "down" };
    let state = format!("The tunnel {} is {state}.", tunnel.interface);
    let far_end = tunnel
        .underlay
        .filter(|_| tunnel.up)
        .map(|rtt| format!("Its far end is {} away; nothing inside it can be faster.", milliseconds(rtt)));
    let held = tunnel.kill_switch.map(|kill_switch| match kill_switch {
        KillSwitch::Closed => "A kill switch lets nothing past it.".to_owned(),
        KillSwitch::Open => "No kill switch: if it fails, traffic goes out unprotected.".to_owned(),
    });
    [Some(state), far_end, held].into_iter().flatten().collect::<Vec<_>>().join(" ")
}

/// What was found that needs no action.
pub fn worth_knowing(findings: &[Finding]) -> Vec<String> {
    let harmless = findings.iter().filter(|finding| finding.severity == Severity::Information);
    harmless.map(|finding| finding.sentence.clone()).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use sentinel_model::Micros;

    fn tunnel(up: bool, kill_switch: Option<KillSwitch>) -> TunnelView {
        TunnelView { interface: "wg0".into(), up, kill_switch, underlay: Some(Micros(25_000)) }
    }

    #[test]
    fn the_line_says_what_holds_if_the_tunnel_fails() {
        assert_eq!(
            tunnel_line(Some(&tunnel(true, Some(KillSwitch::Closed)))),
            "The tunnel wg0 is up. Its far end is 25.0 ms away; nothing inside it can be faster. A kill switch lets \
             nothing past it."
        );
        let down = tunnel_line(Some(&tunnel(false, Some(KillSwitch::Open))));
        assert!(down.starts_with("The tunnel wg0 is down. No kill switch"), "{down}");
        assert_eq!(tunnel_line(None), "No tunnel has been seen on this machine.");
    }

    #[test]
    fn what_was_never_tried_is_not_mentioned() {
        assert!(!tunnel_line(Some(&tunnel(true, None))).contains("kill switch"));
    }
}
