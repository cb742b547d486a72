//! Programs whose connections bypass a tunnel that is up.
//!
//! A source address outside the tunnel proves nothing: the routes decide where packets leave, and a
//! connection from before the tunnel may be stalled inside it. What counts:
//!
//! - over TCP, a packet of the peer that arrived since the tunnel came up, on a connection whose
//!   packets the kernel sends outside it;
//! - over UDP, which shows no progress, the kernel's route in two looks, unless the kill switch is
//!   known to hold such packets back;
//! - in two looks, a connection that moved more data than the tunnel carried, whatever the routes
//!   say.

use super::{kill_switch::BlockedTraffic, route_table::RouteTable};
use crate::{
    context::JudgeContext,
    dated::Dated,
    part_result::{FindingDraft, PartResult, ReportedFinding, own_evidence},
};
use sentinel_model::{
    Entity, Epoch, Evidence, Family, FindingKind, Millis, Moment, Monotonic, Outcome, OutsideSocket,
    RouteSeen, RouteTaken, Severity, SocketTable, TransportProtocol, Weight,
};
use std::collections::BTreeMap;

/// How many programs are reported at once.
const PROGRAMS: usize = 16;
/// How many connections of one program are named as evidence.
const EVIDENCE: usize = 4;
/// How long after a change packets still arrive that were under way before it.
const IN_FLIGHT: Millis = Millis(1_000);
/// Looks that follow each other faster than this are one.
const SAME_LOOK: Millis = Millis(500);

/// Services that configure or test the line itself, for which they have to use it.
///
/// Resolvers that leave outside the tunnel are found with the DNS. This program has a second node
/// where the desktop app and a service run on one machine.
const LINE_SERVICES: [&str; 10] = [
    "NetworkManager",
    "systemd-network",
    "systemd-networkd",
    "systemd-resolve",
    "systemd-resolved",
    "dhclient",
    "dhcpcd",
    "udhcpc",
    "vpnsentinel",
    "vpnsentinel-node",
];

/// The last two looks at the socket table, and what was found in them.
#[derive(Clone, Debug, Default)]
pub(crate) struct Applications {
    /// The last look; a reason if the table could not be read.
    last: Option<Dated<Outcome<SocketTable>>>,
    /// The look before, if it succeeded.
    before: Option<Dated<SocketTable>>,
    /// The epoch of the last look, and when it was first looked at.
    began: Option<(Epoch, Moment)>,
    /// The programs that are reported, and since when they have been seen.
    reported: BTreeMap<(Family, String), Moment>,
    /// Whether a second look will decide about what the last one showed.
    awaits_look: bool,
}

/// What a socket of one look shows.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Sighting {
    /// It leaves outside the tunnel, but nothing shows that anything gets through.
    Idle,
    /// It counts if it is seen in two looks.
    Likely,
    /// It is proven to be outside.
    Proven,
}

/// The sockets of one program in one look, with what they show.
type Seen<'a> = BTreeMap<String, Vec<(&'a OutsideSocket, Sighting)>>;

/// What the sockets are compared with.
pub(crate) struct ApplicationInputs<'a> {
    /// The routes.
    pub routes: &'a RouteTable,
    /// What the kill switch is known to block.
    pub blocked: &'a BlockedTraffic,
}

impl Applications {
    /// Records one look at the socket table.
    pub fn record(&mut self, table: &Dated<&Outcome<SocketTable>>) {
        if self.began.is_none_or(|(epoch, _)| epoch != table.epoch) {
            self.began = Some((table.epoch, table.at));
        }
        let last = self.last.take();
        let is_same_look = last
            .as_ref()
            .is_some_and(|last| last.epoch == table.epoch && table.at.boot.since(last.at.boot) < SAME_LOOK);
        if !is_same_look {
            self.before = last.and_then(|last| {
                let table = last.measured().cloned()?;
                Some(last.with(table))
            });
        }
        self.last = Some(table.cloned());
    }

    /// Returns true if another look soon would decide about a program.
    pub fn awaits_look(&self) -> bool {
        self.awaits_look
    }

    /// Evaluates both families.
    pub fn evaluate(&mut self, inputs: &ApplicationInputs<'_>, context: &JudgeContext<'_>) -> PartResult {
        let mut result = PartResult::default();
        let (last, before) = (self.last.take(), self.before.take());
        self.awaits_look = false;
        for family in Family::ALL {
            self.evaluate_family(family, last.as_ref(), before.as_ref(), inputs, context, &mut result);
        }
        (self.last, self.before) = (last, before);
        result
    }

    fn evaluate_family(
        &mut self,
        family: Family,
        last: Option<&Dated<Outcome<SocketTable>>>,
        before: Option<&Dated<SocketTable>>,
        inputs: &ApplicationInputs<'_>,
        context: &JudgeContext<'_>,
        result: &mut PartResult,
    ) {
        let Some(last) = last.filter(|last| context.is_current(last)) else { return };
        let Some(table) = last.measured().filter(|_| inputs.routes.is_healthy(family, context)) else {
            return;
        };
        let before = before.filter(|before| context.is_current(before));
        let judge = SocketJudge { family, inputs, context, settled: self.settled(context) };
        let now = judge.sort(table, last.at);
        let earlier = before.map(|before| judge.sort(&before.value, before.at)).unwrap_or_default();
        let mut reported = BTreeMap::new();
        for (label, sockets) in
            now.iter().chain(earlier.iter().filter(|(label, _)| !now.contains_key(*label)))
        {
            let key = (family, label.clone());
            let best =
                |seen: &Seen<'_>| seen.get(label).and_then(|sockets| sockets.iter().map(|(_, it)| *it).max());
            let was_reported = self.reported.contains_key(&key);
            let is_found = was_reported
                || best(&now) == Some(Sighting::Proven)
                || (best(&now) >= Some(Sighting::Likely) && best(&earlier) >= Some(Sighting::Likely));
            self.awaits_look |= !is_found && best(&now) == Some(Sighting::Likely);
            if is_found && reported.len() < PROGRAMS {
                let at = if earlier.contains_key(label) {
                    before.map_or(last.at, |before| before.at)
                } else {
                    last.at
                };
                let since = self.reported.get(&key).copied().unwrap_or(at);
                result.findings.extend(judge.report(label, sockets, last.at, since));
                reported.insert(key, since);
            }
        }
        self.reported.retain(|(of, _), _| *of != family);
        self.reported.extend(reported);
        let is_whole = |table: &SocketTable, at| table.is_complete && !judge.hides_unknown(table, at);
        if is_whole(table, last.at) && before.is_some_and(|before| is_whole(&before.value, before.at)) {
            result.determine(FindingKind::ApplicationOutsideTunnel, Some(family));
        }
    }

    /// Returns from when on a packet of the peer proves that a connection goes on outside the
    /// tunnel.
    ///
    /// A packet that arrived earlier may have been under way when the tunnel came up or when the
    /// network changed. At this program's start nothing changed.
    fn settled(&self, context: &JudgeContext<'_>) -> Monotonic {
        let began = self.began.map_or(context.now, |(_, at)| at).boot;
        if context.epoch == Epoch::default() { began } else { began.after(IN_FLIGHT) }
    }
}

/// Judges the sockets of one family.
struct SocketJudge<'a> {
    family: Family,
    inputs: &'a ApplicationInputs<'a>,
    context: &'a JudgeContext<'a>,
    settled: Monotonic,
}

impl SocketJudge<'_> {
    /// Returns the sockets of interest by program.
    fn sort<'t>(&self, table: &'t SocketTable, at: Moment) -> Seen<'t> {
        let mut seen = Seen::new();
        for socket in &table.sockets {
            if self.concerns(socket)
                && !self.may_be_vpn_client(socket)
                && let Some(sighting) = self.judge(socket, at)
            {
                seen.entry(socket.program_label()).or_default().push((socket, sighting));
            }
        }
        seen
    }

    /// Returns true if a socket has to be in the tunnel.
    fn concerns(&self, socket: &OutsideSocket) -> bool {
        let (policy, peer) = (self.context.policy, socket.peer.ip());
        let is_line_service = socket
            .program
            .measured()
            .is_some_and(|program| LINE_SERVICES.iter().any(|name| program.is_called(name)));
        Family::of(peer) == self.family
            && !policy.is_bogon(peer)
            && !policy.expectation.excludes(peer)
            && !policy.expectation.excludes_program(socket)
            && !is_line_service
            && !self.inputs.routes.far_ends(self.family, self.context).contains(&peer)
    }

    /// Returns true if a socket cannot be told from the tunnel's own.
    ///
    /// VPN clients are services of the system, whose names cannot be read without privileges. Such
    /// a socket counts only where the tunnel's far end is known, and is another.
    fn may_be_vpn_client(&self, socket: &OutsideSocket) -> bool {
        let is_unnamed = socket.program.measured().is_none();
        is_unnamed
            && socket.is_system_user
            && self.inputs.routes.far_ends(self.family, self.context).is_empty()
    }

    /// Returns true if a table has sockets that are undetermined.
    fn hides_unknown(&self, table: &SocketTable, at: Moment) -> bool {
        table.sockets.iter().any(|socket| {
            self.concerns(socket) && self.may_be_vpn_client(socket) && self.judge(socket, at).is_some()
        })
    }

    fn judge(&self, socket: &OutsideSocket, at: Moment) -> Option<Sighting> {
        let leaves_by = socket.leaves_by.measured().map(String::as_str);
        let outside =
            leaves_by.filter(|name| self.inputs.routes.leads_outside(name, self.family, self.context));
        let Some(interface) = outside else {
            return socket.exceeds_tunnel.then_some(Sighting::Likely);
        };
        match socket.protocol {
            TransportProtocol::Tcp => {
                let time_since = at.boot.since(self.settled);
                let heard = socket.heard_ago.is_some_and(|ago| ago < time_since);
                Some(if heard { Sighting::Proven } else { Sighting::Idle })
            }
            TransportProtocol::Udp => {
                (!self.inputs.blocked.blocks(self.family, interface)).then_some(Sighting::Likely)
            }
        }
    }

    fn report(
        &self,
        label: &str,
        sockets: &[(&OutsideSocket, Sighting)],
        at: Moment,
        since: Moment,
    ) -> Option<ReportedFinding> {
        let (first, _) = sockets.iter().max_by_key(|(_, sighting)| *sighting)?;
        let expectation = &self.context.policy.expectation;
        let tunnel = self.inputs.routes.tunnel_name(self.family, self.context.policy)?;
        let subject = match &first.program {
            Outcome::Measured(program) => program.name.clone(),
            Outcome::Unknown(_) => format!("A program of {label}"),
        };
        let unnamed = match &first.program {
            Outcome::Unknown(reason) => vec![format!("Its name could not be read: {reason}.")],
            Outcome::Measured(_) => Vec::new(),
        };
        let more = match sockets.len() - 1 {
            0 => String::new(),
            1 => " and 1 more peer".to_owned(),
            more => format!(" and {more} more peers"),
        };
        let interface = first.leaves_by.measured().unwrap_or(&first.interface);
        let evidence = sockets.iter().take(EVIDENCE);
        let draft = FindingDraft {
            kind: FindingKind::ApplicationOutsideTunnel,
            family: Some(self.family),
            entity: Some(Entity::Program(label.to_owned())),
            severity: if expectation.strict_programs { Severity::Critical } else { Severity::Warning },
            weight: Weight::Proof,
            fact: format!(
                "{subject} is connected to {}{more} by {interface} instead of {tunnel}",
                first.peer
            ),
            details: &unnamed,
            advice: &format!(
                "Make it use the VPN, or close it. If that is on purpose, add \"{label}\" to excluded_programs."
            ),
            evidence: evidence.map(|(socket, sighting)| describe(socket, *sighting, at)).collect(),
            since,
        };
        Some(draft.finish(self.context))
    }
}

impl RouteTable {
    /// Returns true if a family's tunnel is up and carries its traffic, as far as the routes of
    /// this epoch show.
    ///
    /// A single program is of interest only then: a tunnel that traffic in general bypasses is
    /// another finding.
    fn is_healthy(&self, family: Family, context: &JudgeContext<'_>) -> bool {
        let leaves_outside = |(route, _): (&RouteSeen, Moment)| {
            let interface = route.taken.measured().map(|taken| taken.interface.as_str());
            interface.is_some_and(|interface| self.leads_outside(interface, family, context))
        };
        let mut routes = self.general_routes(family, context).peekable();
        self.is_tunnel_up(family, context) == Some(true)
            && !self.is_settling(family, context)
            && routes.peek().is_some()
            && !routes.any(leaves_outside)
    }

    /// Returns true if an interface leads outside a family's tunnel.
    fn leads_outside(&self, interface: &str, family: Family, context: &JudgeContext<'_>) -> bool {
        let mut interfaces = self.current_interfaces(context).unwrap_or_default().iter();
        interfaces.find(|known| known.name == interface).is_some_and(|known| {
            let interface = interface.to_owned();
            let taken = RouteTaken { interface, kind: known.kind, gateway: None, source: None };
            self.is_outside(family, &taken, context)
        })
    }
}

/// Describes what one socket shows.
fn describe(socket: &OutsideSocket, sighting: Sighting, at: Moment) -> Evidence {
    let (protocol, peer) = (socket.protocol, socket.peer);
    let saw = match (socket.leaves_by.measured(), sighting) {
        (_, Sighting::Likely) if socket.exceeds_tunnel => {
            format!("{protocol} to {peer} moved more data than the tunnel carried")
        }
        (Some(interface), Sighting::Proven) => {
            format!("{protocol} to {peer} leaves by {interface} and is answered")
        }
        (Some(interface), _) => format!("{protocol} to {peer} leaves by {interface}"),
        (None, _) => format!("{protocol} to {peer} has an address of {}", socket.interface),
    };
    own_evidence(saw, at)
}
