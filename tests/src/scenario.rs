//! Scenario files: a world, what goes wrong in it, what must be found, and what must never be said.
//!
//! ```toml
//! description = "The tunnel interface goes; the home address becomes visible."
//! nodes = ["vps", "home-server"]      # besides the laptop's own
//! twin = "tunnel-removed.twin.toml"   # the same world without the faults
//! watch_ms = 5000                     # at least so long after settling
//! calm = true                         # nothing in this story is a reason for alarm: what alarms is a false alarm
//!
//! [world]                             # where it differs from the standard one, see WorldSpec
//! [config]                            # merged into the laptop's node configuration
//!
//! [settle]                            # before any fault: Protected, by all the nodes, the resolvers known
//! within_ms = 45000
//! for_ms = 2000                       # and so for this long
//! witnesses = 2                       # so many own nodes agree, if not all
//! resolvers = true                    # whether they must be known
//! assurance = "public_only"           # who stands behind the verdict, if it matters
//!
//! [[fault]]
//! id = "removed"
//! at_ms = 0                           # after settling
//! do = "tunnel-removed"               # with its parameters, see Fault
//! every_ms = 3000                     # and again, alternating with what undoes it, so long apart
//! times = 4                           # so often each; "removed-over" is the id of the last undoing
//! undo = { do = "tunnel-restored" }
//!
//! [[expect]]                          # one snapshot that shows all of it
//! after = "removed"                   # a fault's id
//! within_ms = 2000                    # counted from that fault
//! for_ms = 3000                       # and from then on without a break for so long
//! verdict = "Exposed"
//! finding = "exit-exposed"
//! family = "v4"
//! says = "stun.example"               # in that finding's sentence
//! incident_state = "firing"           # of an incident about that finding; "resolved": there was one, and it is gone
//! connectivity = "portal"             # what the node says of its network
//! without = ["dns-leak"]              # findings that must be absent
//!
//! [never]                             # once settled
//! findings = ["dns-leak"]
//! verdicts = ["Unverified"]
//! second_incident = false             # if true: no two incidents about the same thing
//! severity = "warning"                # no finding so severe or more, whatever it is about
//! packets_to = ["stun"]               # the laptop sends nothing to these hosts, from the very beginning
//! anything = false                    # twins: no finding, no incident, no verdict but Protected
//! except = ["offline"]                # in a calm story: may be found nevertheless
//! ```
//! A calm story (its twin is one by nature) must be told without the verdicts Exposed and Suspect and without any finding of
//! severity warning or worse, other than those it expects or excepts, until a full round has begun after its last fault
//! and ended. Whatever a file says, `Exposed` and critical findings before settling are failures. A twin that differs from another one in nothing says only
//! `same_as = "steady.twin.toml"`.

mod planned;

pub(crate) use planned::Step;
pub use planned::{PlannedFault, Repeat};

use crate::WorldSpec;
use anyhow::{Context, Result, bail, ensure};
use sentinel_model::{
    Agreement, Assurance, Connectivity, Family, FindingKind, IncidentState, Severity, Snapshot, Source,
    Verdict, VoiceView,
};
use serde::Deserialize;
use std::{
    collections::BTreeSet,
    fs,
    path::{Path, PathBuf},
};

/// One scenario.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Scenario {
    /// What happens and what should come of it, in a sentence.
    pub description: String,
    /// The nodes besides the laptop's.
    pub nodes: Vec<String>,
    /// The file of the same world without faults.
    pub twin: Option<String>,
    /// The file this one repeats.
    pub same_as: Option<String>,
    /// Whether nothing in it is a reason for alarm. A file without faults is so anyway.
    pub calm: bool,
    /// How long to watch at least, after settling.
    pub watch_ms: u64,
    /// Where the world differs from the standard one.
    pub world: WorldSpec,
    /// Merged into the laptop's configuration.
    pub config: toml::Table,
    /// What must be before any fault.
    pub settle: Settle,
    /// What goes wrong, in this order.
    pub fault: Vec<PlannedFault>,
    /// What must be found.
    pub expect: Vec<Expect>,
    /// What must not.
    pub never: Never,
}

/// What must be before any fault: the verdict Protected, by witnesses enough.
#[derive(Clone, Copy, Debug, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Settle {
    /// It must have come by then, in milliseconds from the moment all nodes are up and paired.
    pub within_ms: u64,
    /// And must stay for so long before the story begins.
    pub for_ms: u64,
    /// So many of the user's own nodes must agree on the exit (IPv4, where there is IPv4); all that the scenario has, unless told.
    pub witnesses: Option<usize>,
    /// Whether it must be known who resolves names.
    pub resolvers: bool,
    /// Who must stand behind the verdict.
    pub assurance: Option<Assurance>,
}

impl Default for Settle {
    fn default() -> Self {
        // Longer than the 30 s between two rounds.
        Self { within_ms: 45_000, for_ms: 2000, witnesses: None, resolvers: true, assurance: None }
    }
}

/// One snapshot that must come.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Expect {
    /// The fault it is due to.
    pub after: String,
    /// How fast.
    pub within_ms: u64,
    /// And without a break for so long.
    #[serde(default)]
    pub for_ms: u64,
    /// Its verdict.
    #[serde(default)]
    pub verdict: Option<Verdict>,
    /// A finding in it.
    #[serde(default)]
    pub finding: Option<FindingKind>,
    /// That finding's family.
    #[serde(default)]
    pub family: Option<Family>,
    /// A part of that finding's sentence.
    #[serde(default)]
    pub says: Option<String>,
    /// The state of an incident about that finding.
    #[serde(default)]
    pub incident_state: Option<IncidentState>,
    /// What it says of the network.
    #[serde(default)]
    pub connectivity: Option<Connectivity>,
    /// Findings not in it.
    #[serde(default)]
    pub without: Vec<FindingKind>,
}

/// What must not be said once settled.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Never {
    /// No such finding.
    pub findings: Vec<FindingKind>,
    /// No such verdict.
    pub verdicts: Vec<Verdict>,
    /// No two incidents about the same thing, one after the other or at once.
    pub second_incident: bool,
    /// No finding as severe as this.
    pub severity: Option<Severity>,
    /// No packet from the laptop to these hosts, settled or not.
    pub packets_to: Vec<String>,
    /// No finding, no incident, no verdict but Protected.
    pub anything: bool,
    /// What may be found in a calm story although it is severe.
    pub except: Vec<FindingKind>,
}

impl Scenario {
    /// Reads a file, following `same_as`.
    ///
    /// # Errors
    /// It cannot be read or parsed, or it contradicts itself or its twin.
    pub fn load(path: &Path) -> Result<Self> {
        let scenario = Self::read(path)?;
        scenario.check().with_context(|| format!("in {}", path.display()))?;
        let file = path.display();
        ensure!(
            scenario.fault.is_empty() || scenario.twin.is_some(),
            "{file} has faults and no twin without them"
        );
        if let Some(twin) = &scenario.twin {
            let other = Self::load(&beside(path, twin))?;
            ensure!(
                other.fault.is_empty() && scenario.is_same_world(&other),
                "{file} and its twin {twin} must be the same world, and the twin free of faults"
            );
        }
        Ok(scenario)
    }

    fn read(path: &Path) -> Result<Self> {
        let text = fs::read_to_string(path).with_context(|| format!("cannot read {}", path.display()))?;
        let mut scenario: Self =
            toml::from_str(&text).with_context(|| format!("cannot understand {}", path.display()))?;
        scenario.calm |= scenario.fault.is_empty();
        match &scenario.same_as {
            Some(other) => Self::read(&beside(path, other)),
            None => Ok(scenario),
        }
    }

    /// The world with its nodes and configuration.
    pub fn spec(&self) -> WorldSpec {
        // The owner of the swarm comes first, since the others join it.
        let mut nodes = self.nodes.clone();
        nodes.push("laptop".to_owned());
        let (config, counted) = (self.config.clone(), self.never.packets_to.clone());
        WorldSpec { nodes, config, counted, ..self.world.clone() }
    }

    /// Whether a snapshot shows all that must be before any fault; what is missing, if not.
    pub(crate) fn is_settled(&self, snapshot: &Snapshot) -> Result<(), String> {
        let verdict = snapshot.shown.verdict.verdict;
        if verdict != Verdict::Protected {
            return Err(format!("the verdict is {verdict}"));
        }
        if let Some(finding) =
            snapshot.shown.findings.iter().find(|finding| finding.severity >= Severity::Warning)
        {
            return Err(format!("{} is found: {}", finding.kind, finding.sentence));
        }
        let family = self.world.ipv6.main_family();
        let exit = snapshot.shown.exits.iter().find(|exit| exit.family == family);
        let own = |view: &&VoiceView| {
            matches!(view.voice.source, Source::Node(_)) && view.agreement == Agreement::Agrees
        };
        let witnesses = exit.map_or(0, |exit| exit.voices.iter().filter(own).count());
        let wanted = self.settle.witnesses.unwrap_or(self.nodes.len());
        if witnesses < wanted {
            return Err(format!("{witnesses} of {wanted} own nodes vouch for the exit"));
        }
        if self.settle.assurance.is_some() && self.settle.assurance != snapshot.shown.verdict.assurance {
            return Err(format!("behind the verdict stands {:?}", snapshot.shown.verdict.assurance));
        }
        if self.settle.resolvers && snapshot.shown.dns.resolvers.measured().is_none_or(Vec::is_empty) {
            return Err("nobody knows who resolves names".to_owned());
        }
        Ok(())
    }

    /// Everything that happens, in the order of its time.
    pub(crate) fn steps(&self) -> Vec<Step<'_>> {
        let mut steps: Vec<_> = self.fault.iter().flat_map(PlannedFault::steps).collect();
        steps.sort_by_key(|step| step.at);
        steps
    }

    fn is_same_world(&self, other: &Self) -> bool {
        self.world == other.world && self.nodes == other.nodes && self.config == other.config
    }

    fn check(&self) -> Result<()> {
        let all: Vec<_> = self.fault.iter().flat_map(PlannedFault::ids).collect();
        let ids: BTreeSet<_> = all.iter().map(String::as_str).collect();
        ensure!(ids.len() == all.len(), "two faults have the same id");
        ensure!(
            self.fault.is_sorted_by_key(|fault| fault.at),
            "the faults are not in the order of their times"
        );
        ensure!(self.calm || self.never.except.is_empty(), "only a calm story can except a finding");
        for expect in &self.expect {
            ensure!(
                ids.contains(expect.after.as_str()),
                "an expectation comes after {}, which is no fault's id",
                expect.after
            );
            let says = expect.verdict.is_some() || expect.finding.is_some() || expect.connectivity.is_some();
            if !says && expect.without.is_empty() {
                bail!("an expectation after {} says nothing", expect.after);
            }
            let about = expect.family.is_some() || expect.incident_state.is_some() || expect.says.is_some();
            ensure!(!about || expect.finding.is_some(), "family, says and incident_state need a finding");
        }
        Ok(())
    }
}

fn beside(path: &Path, name: &str) -> PathBuf {
    path.with_file_name(name)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Fault;

    fn parse(text: &str) -> Result<Scenario> {
        let scenario: Scenario = toml::from_str(text)?;
        scenario.check()?;
        Ok(scenario)
    }

    #[test]
    fn a_fault_carries_its_parameters() {
        let scenario =
            parse("[[fault]]\nid = \"x\"\nat_ms = 5\ndo = \"link\"\nhost = \"vpn\"\ndelay_ms = 1.5\n")
                .unwrap();
        let Fault::Link { host, delay_ms, loss, .. } = &scenario.fault[0].fault else {
            panic!("{scenario:?}")
        };
        assert_eq!((host.as_str(), *delay_ms, *loss), ("vpn", Some(1.5), None));
    }

    #[test]
    fn a_fault_can_repeat_with_its_undoing() {
        let text = "[[fault]]\nid = \"x\"\nat_ms = 5\ndo = \"offline\"\nevery_ms = 10\ntimes = 2\nundo = { do = \"online\" }\n\
                    [[expect]]\nafter = \"x-over\"\nwithin_ms = 1\nconnectivity = \"online\"\n";
        let scenario = parse(text).unwrap();
        let steps = scenario.steps();
        let seen: Vec<_> =
            steps.iter().map(|step| (step.at.as_millis(), step.id.as_deref(), step.fault)).collect();
        let (offline, online) = (Fault::Offline {}, Fault::Online {});
        assert_eq!(
            seen,
            [
                (5, Some("x"), &offline),
                (15, None, &online),
                (25, None, &offline),
                (35, Some("x-over"), &online)
            ]
        );
    }

    #[test]
    fn mistakes_are_refused() {
        for (text, word) in [
            ("[[fault]]\nid = \"x\"\nat_ms = 0\ndo = \"tunnel-removed\"\nhost = \"vpn\"\n", "host"),
            ("[[fault]]\nid = \"x\"\nat_ms = 0\ndo = \"earthquake\"\n", "earthquake"),
            ("[[fault]]\nid = \"x\"\nat_ms = -1\ndo = \"offline\"\n", "before the beginning"),
            ("[[expect]]\nafter = \"x\"\nwithin_ms = 1\nverdict = \"Exposed\"\n", "no fault's id"),
            (
                "[[fault]]\nid = \"x\"\nat_ms = 0\ndo = \"offline\"\n[[expect]]\nafter = \"x\"\nwithin_ms = 1\n",
                "says nothing",
            ),
            (
                "[[fault]]\nid = \"x\"\nat_ms = 0\ndo = \"offline\"\ntimes = 3\n",
                "needs every_ms, times and undo",
            ),
            ("[never]\nverdict = [\"Exposed\"]\n", "verdict"),
        ] {
            let message = format!("{:#}", parse(text).unwrap_err());
            assert!(message.contains(word), "{text:?} gave {message}");
        }
    }
}
