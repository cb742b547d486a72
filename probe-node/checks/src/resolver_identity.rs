//! Who actually resolves for us. A name is asked whose authoritative server answers with the address it was asked
//! from: of the system's resolver, and of each configured one directly. Under a canary zone the name has never been
//! used before, so no cache on the way can answer in the server's place.

use crate::{
    checks::Inner,
    names::{self, NoRecord, Servers},
    reason,
    report::Report,
    settings::{WhoamiKind, WhoamiZone},
};
use data_encoding::HEXLOWER;
use futures::future::join_all;
use hickory_resolver::proto::rr::{Name, RData, RecordType, rdata::TXT};
use sentinel_model::{Attributed, ConfiguredResolver, Fact, Outcome, Reason, ResolverPath, ResolverSeen};
use std::net::{IpAddr, SocketAddr};

/// Two zones can contradict each other and a third decides; more would only cost traffic.
const MAX_ZONES: usize = 3;
/// More resolvers than any machine has configured in earnest.
const MAX_RESOLVERS: usize = 8;
/// More egress addresses than one question can have.
const MAX_ADDRESSES: usize = 16;

/// Asks every path, all at once. The user's own zones are asked; the public ones, where consented, only if none of
/// the user's own told anything.
pub(crate) async fn run(
    inner: &Inner,
    configured: &[ConfiguredResolver],
    canaries: &[String],
    report: &Report,
) {
    let own = own_zones(inner, canaries);
    let mut paths = vec![(ResolverPath::System, names::system(configured))];
    paths.extend(configured.iter().take(MAX_RESOLVERS).map(|resolver| {
        (ResolverPath::Configured(resolver.address), vec![SocketAddr::new(resolver.address, names::PORT)])
    }));
    let own = &own;
    join_all(paths.into_iter().map(|(path, servers)| async move {
        if !ask_all(inner, &path, &servers, own, report).await {
            ask_all(inner, &path, &servers, &inner.public_whoami, report).await;
        }
    }))
    .await;
}

fn own_zones(inner: &Inner, canaries: &[String]) -> Vec<WhoamiZone> {
    let canaries = canaries.iter().map(|zone| WhoamiZone { name: zone.clone(), kind: WhoamiKind::Canary });
    canaries.chain(inner.whoami_zones.iter().cloned()).take(MAX_ZONES).collect()
}

/// Whether any of the zones told something.
async fn ask_all(
    inner: &Inner,
    path: &ResolverPath,
    servers: &[SocketAddr],
    zones: &[WhoamiZone],
    report: &Report,
) -> bool {
    let told = join_all(zones.iter().take(MAX_ZONES).map(|zone| async move {
        let resolvers = reason::outcome(ask(inner, servers, zone).await);
        let told = matches!(resolvers, Outcome::Measured(_));
        let seen = ResolverSeen { path: path.clone(), zone: zone.name.clone(), resolvers };
        report.fact(Fact::Resolver(seen)).await;
        told
    }))
    .await;
    told.contains(&true)
}

async fn ask(inner: &Inner, servers: &[SocketAddr], zone: &WhoamiZone) -> Result<Vec<Attributed>, Reason> {
    let name = question(zone)?;
    let records = Servers::new(servers, inner.budget)?.records(&name, RecordType::TXT).await;
    let records = records.map_err(|none| match none {
        NoRecord::Nonexistent => Reason::Malformed(format!("the resolver denies that {name} exists")),
        NoRecord::Because(reason) => reason,
    })?;
    let addresses = askers(records.iter().filter_map(|record| match record {
        RData::TXT(text) => Some(text),
        _ => None,
    }));
    if addresses.is_empty() {
        return Err(Reason::Malformed(format!("no address in the answer for {name}")));
    }
    Ok(addresses.into_iter().map(|address| inner.ownership.attribute(address)).collect())
}

fn question(zone: &WhoamiZone) -> Result<Name, Reason> {
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

/// The addresses of askers in TXT answers. A record of one string is an address or says something else, such as the
/// client subnet (`edns0-client-subnet 192.0.2.0/24`). A record of several is a tag and its value, of which only `ns`
/// names the asker: `ip` and `ecs` are about the client.
pub(crate) fn askers<'a>(records: impl Iterator<Item = &'a TXT>) -> Vec<IpAddr> {
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
        askers(records.iter()).iter().map(IpAddr::to_string).collect()
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
