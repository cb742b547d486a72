//! Sample values for the tests of this crate.

use sentinel_model::{
    Agreement, Asn, Attributed, Family, LatencyPoint, LatencyView, Micros, NetworkKey, NodeId, Outcome,
    Owner, Reason, Source, Timestamp, Voice, VoiceView,
};

/// Returns an address with an owner of that name.
pub fn attributed(address: &str, owner: Option<&str>) -> Attributed {
    let owner = owner.map(|name| Owner { asn: Some(Asn(64_500)), name: name.into(), country: None });
    Attributed { address: address.parse().unwrap(), owner }
}

/// Returns a voice that is one of the user's nodes.
pub fn voice(name: &str) -> Voice {
    Voice { source: Source::Node(NodeId::from(name)), name: name.into(), network: NetworkKey::Asn(Asn(1)) }
}

/// Returns what such a voice saw; `None` for a silent one.
pub fn voice_view(name: &str, agreement: Agreement, saw: Option<&Attributed>) -> VoiceView {
    VoiceView {
        voice: voice(name),
        saw: saw.cloned().map_or(Outcome::Unknown(Reason::TimedOut), Outcome::Measured),
        agreement,
        rtt: saw.map(|_| Micros(20_000)),
        at: Timestamp(0),
    }
}

/// Returns a series of round trips, given as (milliseconds since the start, microseconds).
pub fn latency(name: &str, points: &[(i64, u32)]) -> LatencyView {
    let points =
        points.iter().map(|&(at, rtt)| LatencyPoint { at: Timestamp(at), rtt: Micros(rtt) }).collect();
    LatencyView { target: voice(name), family: Family::V4, baseline: None, points }
}
