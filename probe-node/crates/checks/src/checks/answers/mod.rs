//! The same names asked of the system's resolver and of known public ones, for the judge to compare.
//!
//! Answers that share nothing are rare and often harmless: a content network answered each from another place, a
//! record just changed. So before the system's is reported, both sides are asked again (control, retry, control), and
//! if they still share nothing, the servers it names must prove who they are.

use crate::{
    certificate,
    checks::Inner,
    names::{Found, Servers, System},
    public_resolver::PublicResolver,
    reason,
    report::Report,
};
use futures::{
    future::{join, join_all},
    stream::{FuturesUnordered, StreamExt},
};
use hickory_resolver::proto::rr::Name;
use sentinel_model::{AnswerPath, AnswersSeen, Certificate, Fact, Family, Outcome, Reason, ResolvedName};
use std::pin::pin;
use tokio::time::timeout;

/// What one path answered.
type Answered = Result<Found, Reason>;

/// Everybody who is asked.
struct Panel<'a> {
    inner: &'a Inner,
    report: &'a Report,
    system: &'a System,
    public: Vec<(AnswerPath, Result<Servers, Reason>)>,
}

/// Asks for every name of the panel on every path, all at once. Takes at most one budget, and one and a half more
/// for names whose answers share nothing.
pub(crate) async fn run(inner: &Inner, system: &System, resolvers: &[&PublicResolver], report: &Report) {
    let public = resolvers.iter().map(|resolver| {
        let servers = Servers::over(resolver, resolver.best_way(), &inner.tls, inner.budget);
        (AnswerPath::Public(resolver.name.clone()), servers)
    });
    let panel = &Panel { inner, report, system, public: public.collect() };
    join_all(inner.panel.iter().map(|name| panel.compare(name))).await;
}

impl Panel<'_> {
    /// One name. Public answers are reported as they come; the system's as soon as one of them explains it.
    async fn compare(&self, name: &Name) {
        let mut system_answers = pin!(ask(self.system, name));
        let mut system: Option<Answered> = None;
        let mut others: Vec<Option<Found>> = vec![None; self.public.len()];
        let mut waiting: FuturesUnordered<_> = self
            .public
            .iter()
            .enumerate()
            .map(|(index, (_, servers))| async move { (index, ask(servers, name).await) })
            .collect();
        let mut explained = false;
        loop {
            tokio::select! {
                answer = &mut system_answers, if system.is_none() => system = Some(answer),
                Some((index, answer)) = waiting.next() => {
                    self.tell(name, &self.public[index].0, answer.clone(), None).await;
                    others[index] = answer.ok();
                }
                else => break,
            }
            if let Some(answer) = &system
                && !explained
                && !is_suspicious(answer, &others, !waiting.is_empty())
            {
                explained = true;
                self.tell(name, &AnswerPath::System, answer.clone(), None).await;
            }
        }
        if let Some(Ok(answer)) = system
            && !explained
        {
            self.settle(name, answer, others).await;
        }
    }

    /// Control, retry, control; then what the servers prove to be.
    async fn settle(&self, name: &Name, system: Found, mut others: Vec<Option<Found>>) {
        let mut answer = Ok(system);
        let again = timeout(self.inner.budget, async {
            let mut controls = (0..others.len()).filter(|index| others[*index].is_some());
            let Some(first) = controls.next() else { return };
            let second = controls.next().unwrap_or(first);
            self.control(name, first, &mut others).await;
            answer = ask(self.system, name).await;
            self.control(name, second, &mut others).await;
        });
        if again.await.is_err() {
            tracing::debug!(%name, "asking again took too long");
        }
        let certificate = match &answer {
            Ok(found) if !found.addresses.is_empty() && is_suspicious(&answer, &others, false) => {
                let called = text(name);
                Some(certificate::check(self.inner, &called, &found.addresses).await)
            }
            _ => None,
        };
        self.tell(name, &AnswerPath::System, answer, certificate).await;
    }

    /// Asks a public resolver once more. What it answered before counts as well: it is a name's right to alternate.
    async fn control(&self, name: &Name, index: usize, others: &mut [Option<Found>]) {
        let (path, servers) = &self.public[index];
        let Ok(mut found) = ask(servers, name).await else { return };
        if let Some(before) = &others[index] {
            found.addresses.extend(&before.addresses);
            found.addresses.sort_unstable();
            found.addresses.dedup();
        }
        others[index] = Some(found.clone());
        self.tell(name, path, Ok(found), None).await;
    }

    async fn tell(
        &self,
        name: &Name,
        path: &AnswerPath,
        answer: Answered,
        certificate: Option<Outcome<Certificate>>,
    ) {
        let answer = answer.map(|found| ResolvedName {
            addresses: found
                .addresses
                .into_iter()
                .map(|address| self.inner.ownership.attribute(address))
                .collect(),
            canonical: found.canonical.as_ref().map(text),
            certificate,
        });
        let seen = AnswersSeen { name: text(name), path: path.clone(), answer: reason::outcome(answer) };
        self.report.fact(Fact::Answers(seen)).await;
    }
}

/// Whether nothing explains the system's answer: in a family in which it has addresses, or in all if it has none, it
/// shares none with anybody who answered. While answers are still awaited, one without any company is suspicious.
fn is_suspicious(system: &Answered, others: &[Option<Found>], awaited: bool) -> bool {
    let Ok(system) = system else { return false };
    let mut others = others.iter().flatten().peekable();
    if others.peek().is_none() {
        return awaited;
    }
    let others: Vec<&Found> = others.collect();
    if system.addresses.is_empty() {
        return others.iter().all(|other| !other.addresses.is_empty());
    }
    Family::ALL.into_iter().any(|family| {
        let mut ours = system.addresses.iter().filter(|address| Family::of(**address) == family).peekable();
        ours.peek().is_some()
            && !ours.any(|address| others.iter().any(|other| other.addresses.contains(address)))
    })
}

/// A name as people write it, without the root's dot.
fn text(name: &Name) -> String {
    let mut text = name.to_string();
    text.pop();
    text
}

/// All addresses of a name. "There are none" is only said when both families were answered.
async fn ask(servers: &Result<Servers, Reason>, name: &Name) -> Answered {
    let servers = servers.as_ref().map_err(Clone::clone)?;
    let (v4, v6) = join(servers.find(name, Family::V4), servers.find(name, Family::V6)).await;
    union(v4, v6)
}

fn union(v4: Answered, v6: Answered) -> Answered {
    let mut found = Found::default();
    let mut failed = None;
    for answer in [v4, v6] {
        match answer {
            Ok(answer) => {
                found.addresses.extend(answer.addresses);
                found.canonical = found.canonical.or(answer.canonical);
            }
            Err(reason) => failed = failed.or(Some(reason)),
        }
    }
    found.addresses.sort_unstable();
    found.addresses.dedup();
    match failed {
        Some(reason) if found.addresses.is_empty() => Err(reason),
        _ => Ok(found),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{Checks, Ownership, PastTunnel, ResolverService, Services, Settings, clock, names, platform};
    use hickory_resolver::proto::{
        op::Message,
        rr::{RData, Record, RecordType, rdata::A},
    };
    use sentinel_model::{Epoch, Millis};
    use std::{
        net::{IpAddr, Ipv4Addr, SocketAddr},
        time::Duration,
    };
    use tokio::{net::UdpSocket, sync::mpsc};

    fn found(addresses: &[&str]) -> Found {
        Found { addresses: addresses.iter().map(|text| text.parse().unwrap()).collect(), canonical: None }
    }

    #[test]
    fn none_is_only_said_when_both_families_were_answered() {
        let address = IpAddr::from([203, 0, 113, 1]);
        let of = |addresses: Vec<IpAddr>| Ok(Found { addresses, canonical: None });
        assert_eq!(union(of(vec![]), of(vec![])), of(vec![]));
        assert_eq!(union(of(vec![]), Err(Reason::TimedOut)), Err(Reason::TimedOut));
        assert_eq!(union(of(vec![address, address]), Err(Reason::TimedOut)), of(vec![address]));
    }

    #[test]
    fn one_address_in_common_explains_a_family_and_the_families_do_not_mix() {
        let public = [Some(found(&["203.0.113.1", "2001:db8::1"])), None, Some(found(&["203.0.113.2"]))];
        let suspicious = |addresses: &[&str]| is_suspicious(&Ok(found(addresses)), &public, false);
        assert!(!suspicious(&["203.0.113.2", "203.0.113.9"]));
        assert!(!suspicious(&["203.0.113.1", "2001:db8::1"]));
        assert!(suspicious(&["198.51.100.1"]));
        assert!(suspicious(&["203.0.113.1", "2001:db8:bad::1"]), "IPv6 is a lie");
        assert!(suspicious(&[]), "denied to us alone");
        // A resolver that leaves IPv6 out is no liar.
        assert!(!suspicious(&["203.0.113.1"]));
    }

    #[test]
    fn without_anybody_to_compare_with_nothing_is_suspicious() {
        let answer = Ok(found(&["198.51.100.1"]));
        assert!(!is_suspicious(&answer, &[None, None], false));
        assert!(is_suspicious(&answer, &[None, None], true), "somebody may still answer");
        assert!(!is_suspicious(&Err(Reason::TimedOut), &[Some(found(&["203.0.113.1"]))], false));
    }

    /// A resolver whose n-th answer about an address is the n-th of these, the last for ever.
    async fn resolver(answers: &'static [[u8; 4]]) -> SocketAddr {
        let socket = UdpSocket::bind((Ipv4Addr::LOCALHOST, 0)).await.unwrap();
        let address = socket.local_addr().unwrap();
        tokio::spawn(async move {
            let mut answers = answers.iter().chain(std::iter::repeat(answers.last().unwrap()));
            let mut buffer = [0; 1500];
            loop {
                let (length, from) = socket.recv_from(&mut buffer).await.unwrap();
                let request = Message::from_vec(&buffer[..length]).unwrap();
                let query = request.queries[0].clone();
                let mut response = request.into_response();
                if query.query_type() == RecordType::A {
                    let data = RData::A(A(Ipv4Addr::from(*answers.next().unwrap())));
                    response.add_answer(Record::from_rdata(query.name().clone(), 60, data));
                }
                socket.send_to(&response.to_vec().unwrap(), from).await.unwrap();
            }
        });
        address
    }

    /// Everything told about a name: by whom, how many addresses, and what was proven.
    async fn told(system: &'static [[u8; 4]], public: &'static [[u8; 4]]) -> Vec<(AnswerPath, ResolvedName)> {
        let budget = Duration::from_secs(1);
        let mut services = Services { consent: true, ..Services::default() };
        services.https_echo.clear();
        services.resolvers = vec![ResolverService::new("public", &resolver(public).await.to_string())];
        let settings = Settings {
            services,
            panel: Vec::new(),
            timeout: Millis(1000),
            whoami_zones: Vec::new(),
            spread: Vec::new(),
            bogons: Vec::new(),
            past_tunnel: PastTunnel::Off,
            endpoint: None,
            excluded: Vec::new(),
        };
        let checks = Checks::new(settings, platform().unwrap(), Ownership::default(), clock()).unwrap();
        let inner = checks.inner();
        let (out, mut told) = mpsc::channel(16);
        let report = &Report::new(Epoch(1), clock(), out);
        let public = &inner.resolvers[0];
        let servers = Servers::over(public, public.best_way(), &inner.tls, budget);
        let panel = Panel {
            inner,
            report,
            system: &Servers::new(&[resolver(system).await], budget),
            public: vec![(AnswerPath::Public("public".into()), servers)],
        };
        panel.compare(&names::parse("www.example.org").unwrap()).await;
        let mut seen = Vec::new();
        while let Ok(observation) = told.try_recv() {
            let Fact::Answers(answers) = observation.fact else { panic!("{observation:?}") };
            assert_eq!(answers.name, "www.example.org");
            seen.push((answers.path, answers.answer.measured().unwrap().clone()));
        }
        seen
    }

    const HONEST: [u8; 4] = [127, 0, 0, 80];
    const STRANGE: [u8; 4] = [127, 0, 0, 66];

    fn of_system(told: &[(AnswerPath, ResolvedName)]) -> &ResolvedName {
        let mut answers = told.iter().filter(|(path, _)| *path == AnswerPath::System);
        let (_, answer) = answers.next().unwrap();
        assert!(answers.next().is_none(), "it is told once: {told:?}");
        answer
    }

    #[tokio::test]
    async fn answers_that_agree_are_told_at_once() {
        let told = told(&[HONEST], &[HONEST]).await;
        assert_eq!(told.len(), 2, "nobody is asked twice: {told:?}");
        assert_eq!(of_system(&told).certificate, None);
    }

    #[tokio::test]
    async fn answers_that_share_nothing_are_asked_again_and_must_prove_themselves() {
        let told = told(&[STRANGE], &[HONEST]).await;
        let controls = told.iter().filter(|(path, _)| *path != AnswerPath::System).count();
        assert_eq!(controls, 3, "control, retry, control: {told:?}");
        let system = of_system(&told);
        assert_eq!(system.addresses[0].address, IpAddr::from(STRANGE));
        assert!(matches!(system.certificate, Some(Outcome::Unknown(_))), "nobody listens there: {told:?}");
    }

    #[tokio::test]
    async fn an_answer_that_a_second_look_explains_needs_no_proof() {
        let told = told(&[STRANGE, HONEST], &[HONEST]).await;
        assert_eq!(of_system(&told).certificate, None);
        assert_eq!(of_system(&told).addresses[0].address, IpAddr::from(HONEST));
    }
}
