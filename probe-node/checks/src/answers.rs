//! The same names asked of the system's resolver and of known public ones, for the judge to compare.

use crate::{checks::Inner, names::Servers, reason, report::Report};
use futures::future::{join, join_all};
use hickory_resolver::proto::rr::Name;
use sentinel_model::{Answer, AnswerPath, AnswersSeen, Fact, Family, Reason};
use std::net::{IpAddr, SocketAddr};

/// A public resolver, its address parsed.
#[derive(Clone, Debug)]
pub(crate) struct PublicResolver {
    pub(crate) name: String,
    pub(crate) address: SocketAddr,
}

/// Asks for every name of the panel on every path, all at once.
pub(crate) async fn run(inner: &Inner, system: &[SocketAddr], report: &Report) {
    let public = inner.resolvers.iter().map(|resolver| {
        (AnswerPath::Public(resolver.name.clone()), Servers::new(&[resolver.address], inner.budget))
    });
    let paths: Vec<(AnswerPath, Result<Servers, Reason>)> =
        std::iter::once((AnswerPath::System, Servers::with_hosts_file(system, inner.budget)))
            .chain(public)
            .collect();
    let asks = paths.iter().flat_map(|path| inner.panel.iter().map(move |name| (path, name)));
    join_all(asks.map(|((path, servers), name)| async move {
        let answer = match servers {
            Ok(servers) => addresses(servers, name).await.map(|addresses| attributed(inner, addresses)),
            Err(reason) => Err(reason.clone()),
        };
        let mut text = name.to_string();
        text.pop(); // the root's dot
        let seen = AnswersSeen { name: text, path: path.clone(), answer: reason::outcome(answer) };
        report.fact(Fact::Answers(seen)).await;
    }))
    .await;
}

fn attributed(inner: &Inner, addresses: Vec<IpAddr>) -> Answer {
    let addresses = addresses.into_iter().map(|address| inner.ownership.attribute(address)).collect();
    Answer { addresses, ..Answer::default() }
}

/// All addresses of a name. "There are none" is only said when both families were answered.
async fn addresses(servers: &Servers, name: &Name) -> Result<Vec<IpAddr>, Reason> {
    let (v4, v6) = join(servers.addresses(name, Family::V4), servers.addresses(name, Family::V6)).await;
    union(v4, v6)
}

fn union(v4: Result<Vec<IpAddr>, Reason>, v6: Result<Vec<IpAddr>, Reason>) -> Result<Vec<IpAddr>, Reason> {
    let mut found = Vec::new();
    let mut failed = None;
    for answer in [v4, v6] {
        match answer {
            Ok(addresses) => found.extend(addresses),
            Err(reason) => failed = failed.or(Some(reason)),
        }
    }
    found.sort_unstable();
    found.dedup();
    match failed {
        Some(reason) if found.is_empty() => Err(reason),
        _ => Ok(found),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn none_is_only_said_when_both_families_were_answered() {
        let address = IpAddr::from([203, 0, 113, 1]);
        assert_eq!(union(Ok(vec![]), Ok(vec![])), Ok(vec![]));
        assert_eq!(union(Ok(vec![]), Err(Reason::TimedOut)), Err(Reason::TimedOut));
        assert_eq!(union(Ok(vec![address, address]), Err(Reason::TimedOut)), Ok(vec![address]));
    }
}
