//! The tunnel in a few sentences, and the findings that need no action.

use super::text::format_rtt;
use sentinel_model::{Finding, KillSwitch, Severity, TunnelView};

/// Describes the tunnel: whether it is up, the distance of its far end, and the kill switch.
pub fn describe_tunnel(tunnel: Option<&TunnelView>) -> String {
    let Some(tunnel) = tunnel else { return "No tunnel was found on this machine.".into() };
    let state = if tunnel.up { "up" } else { "down" };
    let state = format!("The tunnel {} is {state}.", tunnel.interface);
    let far_end = tunnel
        .underlay
        .filter(|_| tunnel.up)
        .map(|rtt| format!("Its far end is {} away; nothing inside it can be faster.", format_rtt(rtt)));
    let protection = tunnel.kill_switch.map(|kill_switch| match kill_switch {
        KillSwitch::Closed => "A kill switch blocks all traffic outside it.".to_owned(),
        KillSwitch::Open => "No kill switch: if the tunnel fails, traffic leaves unprotected.".to_owned(),
    });
    [Some(state), far_end, protection].into_iter().flatten().collect::<Vec<_>>().join(" ")
}

/// Returns the sentences of the findings that need no action.
pub fn informational_sentences(findings: &[Finding]) -> Vec<String> {
    let informational = findings.iter().filter(|finding| finding.severity == Severity::Information);
    informational.map(|finding| finding.sentence.clone()).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use sentinel_model::Micros;

    fn tunnel(up: bool, kill_switch: Option<KillSwitch>) -> TunnelView {
        TunnelView { interface: "wg0".into(), up, kill_switch, underlay: Some(Micros(25_000)) }
    }

    #[test]
    fn the_description_says_what_happens_if_the_tunnel_fails() {
        assert_eq!(
            describe_tunnel(Some(&tunnel(true, Some(KillSwitch::Closed)))),
            "The tunnel wg0 is up. Its far end is 25.0 ms away; nothing inside it can be faster. A kill switch blocks all \
             traffic outside it."
        );
        let down = describe_tunnel(Some(&tunnel(false, Some(KillSwitch::Open))));
        assert!(down.starts_with("The tunnel wg0 is down. No kill switch"), "{down}");
        assert_eq!(describe_tunnel(None), "No tunnel was found on this machine.");
    }

    #[test]
    fn a_kill_switch_that_was_not_tested_is_not_mentioned() {
        assert!(!describe_tunnel(Some(&tunnel(true, None))).contains("kill switch"));
    }
}
