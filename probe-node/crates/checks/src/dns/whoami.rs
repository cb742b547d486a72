//! Whoami questions: names whose authoritative servers answer with the address that asked.
//!
//! That address is the resolver's *egress address*: the one from which it queries authoritative
//! servers. Below a canary zone, a never-used label is asked, so no cache in between can answer.

use crate::{
    dns::{lookup_error::LookupError, name, past_answers::WhoamiAnswer, stub::StubResolver},
    settings::{WhoamiKind, WhoamiZone},
};
use data_encoding::HEXLOWER;
use hickory_resolver::proto::rr::{Name, RData, RecordType, rdata::TXT};
use sentinel_model::{Epoch, Reason};
use std::{
    net::IpAddr,
    time::{Duration, Instant},
};

/// The most egress addresses taken from one answer.
const MAX_ADDRESSES: usize = 16;

/// Asks under a zone, through these servers, and returns the egress addresses.
pub(crate) async fn ask(stub: &StubResolver, zone: &WhoamiZone) -> Result<Vec<IpAddr>, Reason> {
    let name = question(zone)?;
    parse_answer(&name, stub.records(&name, RecordType::TXT).await)
}

/// Asks under a zone, and returns the whole answer with its TTL.
pub(crate) async fn ask_with_ttl(
    stub: &StubResolver,
    zone: &WhoamiZone,
    epoch: Epoch,
) -> Result<WhoamiAnswer, Reason> {
    let name = question(zone)?;
    let records = stub.lookup(&name, RecordType::TXT).await;
    let longest = records.iter().flatten().map(|record| record.ttl).max().unwrap_or_default();
    let records = records.map(|records| records.into_iter().map(|record| record.data).collect());
    let egress_addresses = parse_answer(&name, records)?;
    Ok(WhoamiAnswer { egress_addresses, ttl: Duration::from_secs(longest.into()), epoch, at: Instant::now() })
}

/// Returns the egress addresses in the answer for a name; an answer without any is malformed.
pub(crate) fn parse_answer(
    name: &Name,
    records: Result<Vec<RData>, LookupError>,
) -> Result<Vec<IpAddr>, Reason> {
    let records = records.map_err(|error| match error {
        LookupError::Nonexistent => Reason::Malformed(format!("the resolver denies that {name} exists")),
        LookupError::Undetermined(reason) => reason,
    })?;
    let addresses = egress_addresses(records.iter().filter_map(|record| match record {
        RData::TXT(text) => Some(text),
        _ => None,
    }));
    if addresses.is_empty() {
        return Err(Reason::Malformed(format!("no address in the answer for {name}")));
    }
    Ok(addresses)
}

/// Returns the name to ask: a new one each time under a canary zone.
pub(crate) fn question(zone: &WhoamiZone) -> Result<Name, Reason> {
    let text = match zone.kind {
        WhoamiKind::Fixed => zone.name.clone(),
        WhoamiKind::Canary => {
            let mut label = [0; 8];
            getrandom::fill(&mut label)
                .map_err(|error| Reason::Failed(format!("no random numbers: {error}")))?;
            format!("{}.{}", HEXLOWER.encode(&label), zone.name)
        }
    };
    name::parse(&text).map_err(|cause| Reason::Failed(format!("\"{}\" is not a zone: {cause}", zone.name)))
}

/// Returns the egress addresses in TXT records.
///
/// - A record of one string is an address, or something else such as the client subnet
///   (`edns0-client-subnet 192.0.2.0/24`).
/// - A record of two strings is a tag and its value. Only `ns` names the egress address; `ip` and
///   `ecs` describe the client.
pub(crate) fn egress_addresses<'a>(records: impl Iterator<Item = &'a TXT>) -> Vec<IpAddr> {
    let mut found: Vec<IpAddr> = Vec::new();
    for record in records {
        let strings: Vec<&str> =
            record.txt_data.iter().filter_map(|string| str::from_utf8(string).ok()).collect();
        let ([text] | ["ns", text]) = strings[..] else { continue };
        let Ok(address) = text.trim().parse::<IpAddr>() else { continue };
        let address = address.to_canonical();
        if !found.contains(&address) && found.len() < MAX_ADDRESSES {
            found.push(address);
        }
    }
    found
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parsed(records: &[&[&str]]) -> Vec<String> {
        let records: Vec<TXT> = records
            .iter()
            .map(|strings| TXT::new(strings.iter().map(|&text| text.to_owned()).collect()))
            .collect();
        egress_addresses(records.iter()).iter().map(IpAddr::to_string).collect()
    }

    #[test]
    fn the_egress_address_is_taken_and_the_clients_is_not() {
        assert_eq!(parsed(&[&["203.0.113.53"]]), ["203.0.113.53"]);
        assert_eq!(parsed(&[&["2001:db8::53"], &["edns0-client-subnet 198.51.100.0/24"]]), ["2001:db8::53"]);
        assert_eq!(
            parsed(&[&["ns", "203.0.113.53"], &["ecs", "198.51.100.0/24/24"], &["ip", "198.51.100.142"]]),
            ["203.0.113.53"]
        );
    }

    #[test]
    fn repeated_mapped_and_damaged_answers_are_handled() {
        assert_eq!(parsed(&[&["203.0.113.53"], &["::ffff:203.0.113.53"]]), ["203.0.113.53"]);
        assert!(
            parsed(&[&[], &[""], &["ns"], &["not an address"], &["ns", "x"], &["a", "b", "203.0.113.1"]])
                .is_empty()
        );
        let many: Vec<String> = (0..200).map(|last| format!("203.0.113.{last}")).collect();
        let many: Vec<[&str; 1]> = many.iter().map(|address| [address.as_str()]).collect();
        let many: Vec<&[&str]> = many.iter().map(<[&str; 1]>::as_slice).collect();
        assert_eq!(parsed(&many).len(), MAX_ADDRESSES);
    }

    #[test]
    fn a_canary_zone_is_asked_under_a_new_label_each_time() {
        let zone = WhoamiZone { name: "c.probe.example".into(), kind: WhoamiKind::Canary };
        let (first, second) = (question(&zone).unwrap(), question(&zone).unwrap());
        assert_ne!(first, second);
        assert!(first.is_fqdn() && first.to_string().ends_with(".c.probe.example."));
        assert_eq!(first.iter().next().map(<[u8]>::len), Some(16));
        let fixed = WhoamiZone { name: "who.example".into(), kind: WhoamiKind::Fixed };
        assert_eq!(question(&fixed).unwrap().to_string(), "who.example.");
        let bad = WhoamiZone { name: "..".into(), kind: WhoamiKind::Canary };
        assert!(matches!(question(&bad), Err(Reason::Failed(_))));
    }
}
