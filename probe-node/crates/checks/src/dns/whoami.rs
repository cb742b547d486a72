//! Names whose authoritative servers answer with the address they were asked from: what to ask, and what the answer
//! says. Under a canary zone the name has never been used before, so no cache on the way can answer in its place.

use crate::{
    cached::Heard,
    checks::Inner,
    names::{self, NoRecord, Servers},
    settings::{WhoamiKind, WhoamiZone},
};
use data_encoding::HEXLOWER;
use hickory_resolver::proto::rr::{Name, RData, RecordType, rdata::TXT};
use sentinel_model::{Attributed, Epoch, Reason};
use std::{
    net::IpAddr,
    time::{Duration, Instant},
};

/// Two zones can contradict each other and a third decides; more would only cost traffic.
pub(crate) const MAX_ZONES: usize = 3;
/// More egress addresses than one question can have.
const MAX_ADDRESSES: usize = 16;

/// The user's own zones: those of the nodes, and those of the settings.
pub(crate) fn own_zones(inner: &Inner, canaries: &[String]) -> Vec<WhoamiZone> {
    let canaries = canaries.iter().map(|zone| WhoamiZone { name: zone.clone(), kind: WhoamiKind::Canary });
    canaries.chain(inner.whoami_zones.iter().cloned()).take(MAX_ZONES).collect()
}

/// What each of so many attempts after one another may take, so that all of them together take one budget: a canary whose
/// node is down must not hold a round up.
pub(crate) fn share(inner: &Inner, attempts: usize) -> Duration {
    inner.budget / u32::try_from(attempts.max(1)).unwrap_or(u32::MAX)
}

/// Asks these servers who asks on their behalf.
pub(crate) async fn ask(
    inner: &Inner,
    servers: &Servers,
    zone: &WhoamiZone,
) -> Result<Vec<Attributed>, Reason> {
    let name = question(zone)?;
    told(inner, &name, servers.records(&name, RecordType::TXT).await)
}

/// The same with how long the answer may be kept.
pub(crate) async fn hear(
    inner: &Inner,
    servers: &Servers,
    zone: &WhoamiZone,
    epoch: Epoch,
) -> Result<Heard, Reason> {
    let name = question(zone)?;
    let records = servers.lookup(&name, RecordType::TXT).await;
    let longest = records.iter().flatten().map(|record| record.ttl).max().unwrap_or_default();
    let records = records.map(|records| records.into_iter().map(|record| record.data).collect());
    let egress_addresses = told(inner, &name, records)?;
    Ok(Heard { egress_addresses, ttl: Duration::from_secs(longest.into()), epoch, at: Instant::now() })
}

/// Who asked, by the answer for a name.
pub(crate) fn told(
    inner: &Inner,
    name: &Name,
    records: Result<Vec<RData>, NoRecord>,
) -> Result<Vec<Attributed>, Reason> {
    let records = records.map_err(|none| match none {
        NoRecord::Nonexistent => Reason::Malformed(format!("the resolver denies that {name} exists")),
        NoRecord::Because(reason) => reason,
    })?;
    let addresses = egress_addresses(records.iter().filter_map(|record| match record {
        RData::TXT(text) => Some(text),
        _ => None,
    }));
    if addresses.is_empty() {
        return Err(Reason::Malformed(format!("no address in the answer for {name}")));
    }
    Ok(addresses.into_iter().map(|address| inner.ownership.attribute(address)).collect())
}

/// The name to ask: under a canary zone another one each time.
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
    names::parse(&text).map_err(|cause| Reason::Failed(format!("\"{}\" is no zone: {cause}", zone.name)))
}

/// The addresses of egress_addresses in TXT answers. A record of one string is an address or says something else, such as the
/// client subnet (`edns0-client-subnet 192.0.2.0/24`). A record of several is a tag and its value, of which only `ns`
/// names the egress: `ip` and `ecs` are about the client.
pub fn egress_addresses<'a>(records: impl Iterator<Item = &'a TXT>) -> Vec<IpAddr> {
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
    fn the_askers_address_is_read_and_the_clients_is_not() {
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
    fn a_canary_is_asked_under_a_new_label_each_time() {
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
