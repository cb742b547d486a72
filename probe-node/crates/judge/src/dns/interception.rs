//! Who answers when a public resolver is asked. Whoever asks the authoritative server on behalf of an authenticated
//! question is the truth; a plain question on whose behalf another operator asked was answered by somebody on the way.
//!
//! A resolver asks from other addresses, sites and even networks than the one it is reached at, so only operators are
//! compared, and one that shares the resolver's own is excused. Where the operator of either side is not known, nobody is
//! blamed but home.

use super::resolvers::resolver_name;
use crate::{
    part_result::{FindingDraft, JudgeContext, PartResult, Question},
    wording,
};
use sentinel_model::{
    Attributed, DnsTransport, Entity, Epoch, Evidence, Family, FindingKind, InterceptionSeen, Interceptor,
    Moment, NetworkKey, Outcome, Severity, Weight,
};
use std::{
    collections::{BTreeMap, BTreeSet},
    net::IpAddr,
};

/// How many resolvers are remembered; a handful is asked.
const RESOLVERS: usize = 32;
/// In how many rounds running somebody on the way must have been seen, unless it is home's. One duplicated packet or one
/// ownership that was looked up wrongly says nothing, however many resolvers it concerns.
const SIGHTINGS: u32 = 2;
const PLAIN: [DnsTransport; 2] = [DnsTransport::Udp, DnsTransport::Tcp];

/// What one resolver's ways add up to.
#[derive(Clone, Debug, Default)]
struct Compared {
    /// Whether there was anything to compare.
    comparable: bool,
    /// The plain ways somebody else answered, and on whose behalf.
    strangers: Vec<(DnsTransport, Attributed)>,
    /// The plain ways of which one was answered by somebody else, if it cannot be told which.
    either: Vec<(DnsTransport, Attributed)>,
    /// The ways that brought a second, different answer.
    doubled: Vec<DnsTransport>,
}

#[derive(Clone, Debug)]
struct Record {
    seen: InterceptionSeen,
    at: Moment,
    epoch: Epoch,
    /// Whether somebody was on the way, and since when.
    wrong: bool,
    since: Moment,
}

type Key = (String, IpAddr);

/// The rounds in which somebody was on the way to any resolver of a family. A round begins when a resolver comes again.
#[derive(Clone, Debug, Default)]
struct Rounds {
    epoch: Epoch,
    asked: BTreeSet<Key>,
    /// Whether somebody was on the way in this round.
    wrong: bool,
    /// In how many rounds running before it.
    before: u32,
}

impl Rounds {
    fn note(&mut self, key: Key, wrong: bool, epoch: Epoch) {
        if self.epoch != epoch {
            *self = Self { epoch, ..Self::default() };
        } else if self.asked.contains(&key) {
            let before = if self.wrong { self.before.saturating_add(1) } else { 0 };
            *self = Self { epoch, before, ..Self::default() };
        }
        self.wrong |= wrong;
        if self.asked.len() < RESOLVERS {
            self.asked.insert(key);
        }
    }

    fn running(&self, epoch: Epoch) -> u32 {
        if self.epoch == epoch { self.before.saturating_add(u32::from(self.wrong)) } else { 0 }
    }
}

/// What came of asking public resolvers in several ways.
#[derive(Clone, Debug, Default)]
pub(crate) struct Interceptions {
    records: BTreeMap<Key, Record>,
    rounds: BTreeMap<Family, Rounds>,
    /// The exits that were last agreed on, by the family they speak for.
    exits: BTreeMap<Family, (Vec<Attributed>, Epoch)>,
}

/// Somebody on the way to one resolver.
struct Suspect<'a> {
    who: Interceptor,
    record: &'a Record,
    egress: Option<&'a Attributed>,
    compared: &'a Compared,
}

impl Interceptions {
    /// Takes in what came of asking one resolver. Where nothing could be compared, what was known before stands.
    pub fn observe(&mut self, seen: &InterceptionSeen, at: Moment, epoch: Epoch, context: &JudgeContext<'_>) {
        let compared = compare(seen, context);
        if !compared.comparable {
            return;
        }
        let key = (seen.resolver.clone(), seen.address.address);
        let before = self.records.get(&key).filter(|record| record.epoch == epoch && record.wrong);
        let wrong = compared.is_wrong();
        let since = before.filter(|_| wrong).map_or(at, |record| record.since);
        self.rounds.entry(Family::of(key.1)).or_default().note(key.clone(), wrong, epoch);
        self.records.insert(key, Record { seen: seen.clone(), at, epoch, wrong, since });
        while self.records.len() > RESOLVERS {
            let oldest =
                self.records.iter().min_by_key(|(_, record)| record.at.boot).map(|(key, _)| key.clone());
            let Some(key) = oldest else { return };
            self.records.remove(&key);
        }
    }

    /// The exits to tell the provider by: while the voices are at odds or have yet to be asked, those of before in this
    /// very network.
    fn known_exits(&mut self, family: Family, agreed: &[&Attributed], epoch: Epoch) -> Vec<Attributed> {
        if !agreed.is_empty() {
            let agreed = agreed.iter().map(|exit| (*exit).clone()).collect();
            self.exits.insert(family, (agreed, epoch));
        }
        let known = self.exits.get(&family).filter(|(_, of)| *of == epoch);
        known.map(|(exits, _)| exits.clone()).unwrap_or_default()
    }

    /// The network a public resolver is in, by its name in the configuration, where its operator is known.
    pub fn network_of(&self, resolver: &str) -> Option<NetworkKey> {
        let (_, record) = self.records.iter().find(|((name, _), _)| name == resolver)?;
        record.seen.address.owner.as_ref().map(|_| record.seen.address.network())
    }

    /// Rules on one family. `exits` are the agreed exits that are not home.
    pub fn evaluate(
        &mut self,
        family: Family,
        exits: &[&Attributed],
        guarded: bool,
        context: &JudgeContext<'_>,
    ) -> PartResult {
        let mut result = PartResult::default();
        let exits = self.known_exits(family, exits, context.epoch);
        let sightings = self.rounds.get(&family).map_or(0, |rounds| rounds.running(context.epoch));
        let records: Vec<(&Record, Compared)> = self
            .records
            .values()
            .filter(|record| Family::of(record.seen.address.address) == family)
            .filter(|record| context.stands(record.at, record.epoch))
            .map(|record| (record, compare(&record.seen, context)))
            .collect();
        let suspects: Vec<Suspect<'_>> = records
            .iter()
            .filter(|(_, compared)| compared.is_wrong())
            .map(|(record, compared)| Suspect::of(record, compared, &exits, context))
            .collect();
        // Without an exit it cannot be told whether somebody who answers is the provider.
        let untold = |suspect: &Suspect<'_>| suspect.who == Interceptor::Stranger && suspect.egress.is_some();
        let unsure = exits.is_empty() && suspects.iter().any(untold);
        for who in Interceptor::ALL {
            let these: Vec<&Suspect<'_>> = suspects
                .iter()
                .filter(|suspect| suspect.who == who && !(unsure && untold(suspect)))
                .collect();
            if these.is_empty() && !records.is_empty() && !(unsure && who != Interceptor::Home) {
                let entity = Some(Entity::Interceptor(who));
                result.determined.push(Question {
                    kind: FindingKind::DnsInterception,
                    family: Some(family),
                    entity,
                });
            }
            let enough = who == Interceptor::Home || sightings >= SIGHTINGS;
            if guarded
                && enough
                && let Some(draft) = draft(who, family, &these)
            {
                result.findings.push(draft.finish(context));
            }
        }
        result
    }
}

impl Compared {
    fn is_wrong(&self) -> bool {
        !(self.strangers.is_empty() && self.either.is_empty() && self.doubled.is_empty())
    }
}

impl<'a> Suspect<'a> {
    fn of(
        record: &'a Record,
        compared: &'a Compared,
        exits: &[Attributed],
        context: &JudgeContext<'_>,
    ) -> Self {
        let home = &context.policy.home;
        let egress_addresses = || compared.strangers.iter().chain(&compared.either).map(|(_, egress)| egress);
        let of_home = egress_addresses().find(|egress| home.contains_resolver(egress));
        let of_exit = |egress: &Attributed| exits.iter().any(|exit| exit.same_operator(egress));
        let on_purpose = compared.either.is_empty()
            && egress_addresses().next().is_some()
            && egress_addresses().all(of_exit);
        // Past the tunnel on purpose, home's operator is no worse than anybody else on the way.
        let excluded = context.policy.expectation.excludes(record.seen.address.address);
        let who = match of_home {
            Some(_) if !excluded => Interceptor::Home,
            None if on_purpose => Interceptor::Exit,
            _ => Interceptor::Stranger,
        };
        Self { who, record, egress: of_home.or_else(|| egress_addresses().next()), compared }
    }

    /// `Quad9 asked over UDP is answered by 198.51.100.53 (Example ISP)`.
    fn fact(&self) -> String {
        let resolver = &self.record.seen.resolver;
        match (self.egress, self.compared.either.is_empty()) {
            (Some(egress), true) => {
                let ways = ways(self.compared.strangers.iter().map(|(way, _)| *way));
                format!("{resolver} asked over {ways} is answered by {}", resolver_name(egress))
            }
            (Some(_), false) => {
                let said: Vec<String> = self
                    .compared
                    .either
                    .iter()
                    .map(|(way, egress)| format!("{} over {way}", resolver_name(egress)))
                    .collect();
                format!("{resolver} is answered by {}, which cannot both be it", wording::list(&said))
            }
            (None, _) => {
                let ways = ways(self.compared.doubled.iter().copied());
                format!("{resolver} asked over {ways} gives two different answers")
            }
        }
    }

    fn evidence(&self) -> Vec<Evidence> {
        let ways = self.record.seen.transports.iter();
        ways.filter_map(|way| {
            let egress_addresses = match &way.egress_addresses {
                Outcome::Measured(egress_addresses) => {
                    wording::list(&egress_addresses.iter().map(resolver_name).collect::<Vec<_>>())
                }
                Outcome::Unknown(_) if way.second_answer => "nobody who is known".to_owned(),
                Outcome::Unknown(_) => return None,
            };
            let second = if way.second_answer { ", with a second answer" } else { "" };
            Some(Evidence {
                voice: None,
                saw: format!(
                    "{} over {}: {}{second}",
                    self.record.seen.resolver, way.transport, egress_addresses
                ),
                at: self.record.at.wall,
            })
        })
        .collect()
    }
}

/// Compares the ways to one resolver.
fn compare(seen: &InterceptionSeen, context: &JudgeContext<'_>) -> Compared {
    let egress_addresses = |transport: DnsTransport| {
        let ways = seen.transports.iter().filter(move |way| way.transport == transport);
        ways.filter_map(|way| way.egress_addresses.measured()).flatten().collect::<Vec<&Attributed>>()
    };
    let truth: Vec<&Attributed> = seen.transports.iter().filter(|way| way.transport.is_authenticated()).fold(
        Vec::new(),
        |mut all, way| {
            all.extend(way.egress_addresses.measured().into_iter().flatten());
            all
        },
    );
    let plain: Vec<(DnsTransport, Vec<&Attributed>)> = PLAIN
        .into_iter()
        .map(|way| (way, egress_addresses(way)))
        .filter(|(_, egress_addresses): &(_, Vec<_>)| !egress_addresses.is_empty())
        .collect();
    let home = &context.policy.home;
    let of_resolver = |egress: &Attributed| egress.same_operator(&seen.address);
    // A resolver that is home's own may answer as such.
    let of_home =
        |egress: &Attributed| home.contains_resolver(egress) && !home.contains_resolver(&seen.address);
    let mut compared = Compared {
        comparable: truth.is_empty() && plain.len() == PLAIN.len(),
        doubled: seen.transports.iter().filter(|way| way.second_answer).map(|way| way.transport).collect(),
        ..Compared::default()
    };
    for (way, egress_addresses) in &plain {
        let at_home = egress_addresses.iter().find(|egress| of_home(egress));
        let genuine =
            share(egress_addresses, &truth) || egress_addresses.iter().any(|egress| of_resolver(egress));
        let told_apart = !truth.is_empty() && attributed(egress_addresses) && attributed(&truth);
        let stranger = at_home.or(egress_addresses.first().filter(|_| told_apart));
        match stranger {
            _ if genuine && !truth.is_empty() => compared.comparable = true,
            Some(egress) => compared.strangers.push((*way, (*egress).clone())),
            None => {}
        }
    }
    if let ([(one, a), (other, b)], true) =
        (plain.as_slice(), truth.is_empty() && compared.strangers.is_empty())
        && !share(a, b)
    {
        let mut differing = vec![(*one, a), (*other, b)];
        let known =
            |egress_addresses: &[&Attributed]| egress_addresses.iter().any(|egress| of_resolver(egress));
        let told = known(a) != known(b);
        differing.retain(|(_, egress_addresses)| !(told && known(egress_addresses)));
        let named = differing
            .into_iter()
            .filter_map(|(way, egress_addresses)| Some((way, (*egress_addresses.first()?).clone())));
        if !attributed(a) || !attributed(b) {
            compared.comparable = false;
        } else if told {
            compared.strangers = named.collect();
        } else if !known(a) {
            compared.either = named.collect();
        }
    }
    compared.comparable |= compared.is_wrong();
    compared
}

fn share(a: &[&Attributed], b: &[&Attributed]) -> bool {
    a.iter().any(|one| b.iter().any(|other| one.same_operator(other)))
}

/// Whether the operators are known, so that two sides can be told apart.
fn attributed(egress_addresses: &[&Attributed]) -> bool {
    egress_addresses.iter().all(|egress| egress.owner.is_some())
}

/// `UDP and TCP`, `UDP only`.
fn ways(transports: impl Iterator<Item = DnsTransport>) -> String {
    let mut all: Vec<DnsTransport> = transports.collect();
    all.sort();
    all.dedup();
    match all.as_slice() {
        [only] => format!("{only} only"),
        several => wording::list(&several.iter().map(ToString::to_string).collect::<Vec<_>>()),
    }
}

fn draft<'a>(who: Interceptor, family: Family, suspects: &[&Suspect<'_>]) -> Option<FindingDraft<'a>> {
    // Who answers says more than that there were two answers.
    let first = suspects.iter().find(|suspect| suspect.egress.is_some()).or(suspects.first())?;
    let (severity, weight, advice) = match who {
        Interceptor::Home => {
            (Severity::Critical, Weight::Proof, "Reconnect the VPN, or use a resolver over HTTPS or TLS.")
        }
        Interceptor::Stranger => (
            Severity::Warning,
            Weight::Statistic,
            "Use a resolver over HTTPS or TLS until you know who it is.",
        ),
        Interceptor::Exit => {
            (Severity::Information, Weight::Proof, "Nothing to do: VPN providers do that on purpose.")
        }
    };
    Some(FindingDraft {
        kind: FindingKind::DnsInterception,
        family: Some(family),
        entity: Some(Entity::Interceptor(who)),
        severity,
        weight,
        fact: first.fact(),
        details: &[],
        advice,
        evidence: suspects.iter().flat_map(|suspect| suspect.evidence()).take(12).collect(),
        since: suspects.iter().map(|suspect| suspect.record.since).min_by_key(|since| since.boot)?,
    })
}
