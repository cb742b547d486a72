//! Check "answers": the same names through the system's resolver and through public ones.
//!
//! Answers without a common address are rare and often harmless: a content network answered each
//! resolver from another place, or a record has just changed. Before such an answer is reported:
//!
//! 1. A public resolver, the system's resolver, and a public resolver are asked once more (control,
//!    retry, control).
//! 2. If there is still no common address, the servers at the system's addresses are checked for
//!    their certificates.

mod certificate;

use crate::{
    context::Context,
    dns::{
        name,
        stub::{NameAddresses, StubResolver, SystemStub},
    },
    reason,
    reporter::Reporter,
    services::public_resolver::PublicResolver,
};
use futures::{
    future::{join, join_all},
    stream::{FuturesUnordered, StreamExt},
};
use hickory_resolver::proto::rr::Name;
use sentinel_model::{AnswerPath, AnswersSeen, Certificate, Fact, Family, Outcome, Reason, ResolvedName};
use std::pin::pin;
use tokio::time::timeout;

/// The addresses of a name by one path, or why they are undetermined.
type LookupResult = Result<NameAddresses, Reason>;

/// The resolvers whose answers are compared.
struct Comparison<'a> {
    context: &'a Context,
    reporter: &'a Reporter,
    system: &'a SystemStub,
    public: Vec<(AnswerPath, Result<StubResolver, Reason>)>,
}

/// Asks for every name of the panel on every path, all at once.
///
/// Takes at most one budget, and one and a half more for names without a common address.
pub(crate) async fn run(
    context: &Context,
    system: &SystemStub,
    resolvers: &[&PublicResolver],
    reporter: &Reporter,
) {
    let public = resolvers.iter().map(|resolver| {
        let stub = resolver.stub(resolver.best_transport(), &context.tls, context.budget);
        (AnswerPath::Public(resolver.name.clone()), stub)
    });
    let comparison = &Comparison { context, reporter, system, public: public.collect() };
    join_all(context.panel.iter().map(|name| comparison.compare(name))).await;
}

impl Comparison<'_> {
    /// Compares the answers for one name.
    ///
    /// Public answers are reported as they arrive, the system's as soon as one of them explains it.
    async fn compare(&self, name: &Name) {
        let mut system_lookup = pin!(look_up(self.system, name));
        let mut system: Option<LookupResult> = None;
        let mut public: Vec<Option<NameAddresses>> = vec![None; self.public.len()];
        let mut pending: FuturesUnordered<_> = self
            .public
            .iter()
            .enumerate()
            .map(|(index, (_, stub))| async move { (index, look_up(stub, name).await) })
            .collect();
        let mut explained = false;
        loop {
            tokio::select! {
                answer = &mut system_lookup, if system.is_none() => system = Some(answer),
                Some((index, answer)) = pending.next() => {
                    self.report(name, &self.public[index].0, answer.clone(), None).await;
                    public[index] = answer.ok();
                }
                else => break,
            }
            if let Some(answer) = &system
                && !explained
                && !is_suspicious(answer, &public, !pending.is_empty())
            {
                explained = true;
                self.report(name, &AnswerPath::System, answer.clone(), None).await;
            }
        }
        if let Some(Ok(answer)) = system
            && !explained
        {
            self.verify(name, answer, public).await;
        }
    }

    /// Asks again, checks certificates if that explains nothing, and reports the system's answer.
    async fn verify(&self, name: &Name, system: NameAddresses, mut public: Vec<Option<NameAddresses>>) {
        let mut answer = Ok(system);
        let again = timeout(self.context.budget, async {
            let mut controls = (0..public.len()).filter(|index| public[*index].is_some());
            let Some(first) = controls.next() else { return };
            let second = controls.next().unwrap_or(first);
            self.control(name, first, &mut public).await;
            answer = look_up(self.system, name).await;
            self.control(name, second, &mut public).await;
        });
        if again.await.is_err() {
            tracing::debug!(%name, "asking again took too long");
        }
        let certificate = match &answer {
            Ok(found) if !found.addresses.is_empty() && is_suspicious(&answer, &public, false) => {
                Some(certificate::check(self.context, &name::to_text(name), &found.addresses).await)
            }
            _ => None,
        };
        self.report(name, &AnswerPath::System, answer, certificate).await;
    }

    /// Asks a public resolver once more.
    ///
    /// Its earlier addresses count as well, because a name may alternate between addresses.
    async fn control(&self, name: &Name, index: usize, public: &mut [Option<NameAddresses>]) {
        let (path, stub) = &self.public[index];
        let Ok(mut found) = look_up(stub, name).await else { return };
        if let Some(before) = &public[index] {
            found.addresses.extend(&before.addresses);
            found.addresses.sort_unstable();
            found.addresses.dedup();
        }
        public[index] = Some(found.clone());
        self.report(name, path, Ok(found), None).await;
    }

    async fn report(
        &self,
        name: &Name,
        path: &AnswerPath,
        answer: LookupResult,
        certificate: Option<Outcome<Certificate>>,
    ) {
        let answer = answer.map(|found| ResolvedName {
            addresses: self.context.attribute_all(found.addresses),
            canonical: found.canonical.as_ref().map(name::to_text),
            certificate,
        });
        let seen =
            AnswersSeen { name: name::to_text(name), path: path.clone(), answer: reason::outcome(answer) };
        self.reporter.send(Fact::Answers(seen)).await;
    }
}

/// Returns true if no public answer explains the system's answer.
///
/// - With addresses, it is suspicious if in some family it has addresses but none in common with
///   any public answer.
/// - Without addresses, it is suspicious if every public answer has some.
/// - Without any public answer, it is suspicious only while answers are pending.
fn is_suspicious(system: &LookupResult, public: &[Option<NameAddresses>], pending: bool) -> bool {
    let Ok(system) = system else { return false };
    let public: Vec<&NameAddresses> = public.iter().flatten().collect();
    if public.is_empty() {
        return pending;
    }
    if system.addresses.is_empty() {
        return public.iter().all(|other| !other.addresses.is_empty());
    }
    Family::ALL.into_iter().any(|family| {
        let mut ours = system.addresses.iter().filter(|address| Family::of(**address) == family).peekable();
        ours.peek().is_some()
            && !ours.any(|address| public.iter().any(|other| other.addresses.contains(address)))
    })
}

/// Looks up all addresses of a name.
async fn look_up(stub: &Result<StubResolver, Reason>, name: &Name) -> LookupResult {
    let stub = stub.as_ref().map_err(Clone::clone)?;
    let (v4, v6) = join(stub.addresses(name, Family::V4), stub.addresses(name, Family::V6)).await;
    union(v4, v6)
}

/// Merges the answers of both families; "no addresses" requires an answer in both.
fn union(v4: LookupResult, v6: LookupResult) -> LookupResult {
    let mut found = NameAddresses::default();
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
    use crate::{
        clock::clock,
        own_lookups::OwnResolver,
        ownership::Ownership,
        platform::platform,
        settings::{PastTunnel, ResolverService, Services, Settings},
    };
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

    fn found(addresses: &[&str]) -> NameAddresses {
        NameAddresses {
            addresses: addresses.iter().map(|text| text.parse().unwrap()).collect(),
            canonical: None,
        }
    }

    #[test]
    fn no_addresses_are_reported_only_when_both_families_were_answered() {
        let address = IpAddr::from([203, 0, 113, 1]);
        let of = |addresses: Vec<IpAddr>| Ok(NameAddresses { addresses, canonical: None });
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
        assert!(suspicious(&["203.0.113.1", "2001:db8:bad::1"]), "the IPv6 address is false");
        assert!(suspicious(&[]), "the name exists elsewhere");
        assert!(!suspicious(&["203.0.113.1"]), "a resolver may leave IPv6 out");
    }

    #[test]
    fn without_any_public_answer_nothing_is_suspicious() {
        let answer = Ok(found(&["198.51.100.1"]));
        assert!(!is_suspicious(&answer, &[None, None], false));
        assert!(is_suspicious(&answer, &[None, None], true), "an answer is pending");
        assert!(!is_suspicious(&Err(Reason::TimedOut), &[Some(found(&["203.0.113.1"]))], false));
    }

    /// Starts a resolver whose n-th answer is the n-th address, and from then on the last one.
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

    /// Compares the answers of two such resolvers and returns everything that is reported.
    async fn compare(
        system: &'static [[u8; 4]],
        public: &'static [[u8; 4]],
    ) -> Vec<(AnswerPath, ResolvedName)> {
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
        let platform = platform().unwrap();
        let own = OwnResolver::new(&settings, Vec::new(), platform.clone());
        let context = &Context::new(settings, platform, Ownership::default(), own, clock()).unwrap();
        let (out, mut observations) = mpsc::channel(16);
        let reporter = &Reporter::new(Epoch(1), clock(), out);
        let public = &context.public_resolvers[0];
        let stub = public.stub(public.best_transport(), &context.tls, budget);
        let comparison = Comparison {
            context,
            reporter,
            system: &StubResolver::new(&[resolver(system).await], budget),
            public: vec![(AnswerPath::Public("public".into()), stub)],
        };
        comparison.compare(&name::parse("www.example.org").unwrap()).await;
        let mut seen = Vec::new();
        while let Ok(observation) = observations.try_recv() {
            let Fact::Answers(answers) = observation.fact else { panic!("{observation:?}") };
            assert_eq!(answers.name, "www.example.org");
            seen.push((answers.path, answers.answer.measured().unwrap().clone()));
        }
        seen
    }

    const HONEST: [u8; 4] = [127, 0, 0, 80];
    const STRANGE: [u8; 4] = [127, 0, 0, 66];

    fn of_system(reported: &[(AnswerPath, ResolvedName)]) -> &ResolvedName {
        let mut answers = reported.iter().filter(|(path, _)| *path == AnswerPath::System);
        let (_, answer) = answers.next().unwrap();
        assert!(answers.next().is_none(), "it is reported once: {reported:?}");
        answer
    }

    #[tokio::test]
    async fn answers_that_agree_are_reported_at_once() {
        let reported = compare(&[HONEST], &[HONEST]).await;
        assert_eq!(reported.len(), 2, "no resolver is asked twice: {reported:?}");
        assert_eq!(of_system(&reported).certificate, None);
    }

    #[tokio::test]
    async fn answers_without_a_common_address_are_asked_again_and_certificates_are_checked() {
        let reported = compare(&[STRANGE], &[HONEST]).await;
        let controls = reported.iter().filter(|(path, _)| *path != AnswerPath::System).count();
        assert_eq!(controls, 3, "control, retry, control: {reported:?}");
        let system = of_system(&reported);
        assert_eq!(system.addresses[0].address, IpAddr::from(STRANGE));
        assert!(matches!(system.certificate, Some(Outcome::Unknown(_))), "no server there: {reported:?}");
    }

    #[tokio::test]
    async fn an_answer_that_the_retry_explains_needs_no_certificate() {
        let reported = compare(&[STRANGE, HONEST], &[HONEST]).await;
        assert_eq!(of_system(&reported).certificate, None);
        assert_eq!(of_system(&reported).addresses[0].address, IpAddr::from(HONEST));
    }
}
