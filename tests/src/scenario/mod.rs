//! Scenario files: a world, its faults, and what must and must not be reported.
//!
//! ```toml
//! description = "The tunnel interface is deleted. The exposure must be reported within 1.5 s."
//! nodes = ["vps", "home-server"]     # nodes besides the laptop's
//! twin = "tunnel-removed.twin.toml"  # the same world without the faults
//! watch_ms = 5000                    # the scenario lasts at least this long after settling
//! calm = true                        # nothing in this scenario justifies an alarm
//!
//! [world]                            # differences from the standard world, see WorldSpec
//! [config]                           # merged into the configuration of the laptop's node
//!
//! [settle]                           # required before any fault: Protected, all nodes agree
//! within_ms = 45000
//! for_ms = 2000                      # and unchanged for this long
//! witnesses = 2                      # number of own nodes that must agree, instead of all
//! resolvers = true                   # whether the resolvers must be known
//! assurance = "public_only"          # assurance of the verdict, if it matters
//!
//! [[fault]]
//! id = "tunnel-removed"
//! at_ms = 0                          # after settling
//! do = "tunnel-removed"              # with its parameters, see Fault
//! every_ms = 3000                    # repeat it at this interval, alternating with `undo`
//! times = 4                          # number of repetitions of each
//! undo = { do = "tunnel-restored" }  # the id of the last reversal is "tunnel-removed-over"
//!
//! [[expect]]                         # one snapshot that meets all of these
//! after = "tunnel-removed"           # the id of a fault
//! within_ms = 2000                   # counted from that fault
//! for_ms = 3000                      # and every later snapshot for this long
//! verdict = "Exposed"
//! finding = "exit-exposed"
//! family = "v4"
//! says = "stun.example"              # part of that finding's sentence
//! incident_state = "firing"          # of its incident; "resolved": it existed and is gone
//! connectivity = "portal"            # the node's connectivity
//! without = ["dns-leak"]             # findings that must be absent
//!
//! [never]                            # after settling
//! findings = ["dns-leak"]
//! verdicts = ["Unverified"]
//! second_incident = false            # if true: at most one incident per subject
//! severity = "warning"               # no finding of this severity or higher
//! packets_to = ["stun"]              # the laptop sends these hosts nothing, from the beginning
//! anything = false                   # if true: no finding or incident, no other verdict
//! except = ["offline"]               # findings that a calm scenario allows all the same
//! ```
//!
//! A calm scenario must not show the verdicts Exposed and Suspect, nor a finding of severity
//! warning or higher that it neither expects nor excepts. It lasts until a full round has begun and
//! ended after its last fault. A scenario without faults is always calm.
//!
//! Whatever a file says, `Exposed` and critical findings before settling are failures. A twin that
//! equals another one contains only a description and `same_as = "steady.twin.toml"`.

mod expected;
mod planned;

pub use expected::{ExpectedSnapshot, Forbidden, SettleCondition};
pub(crate) use planned::Step;
pub use planned::{PlannedFault, Repeat};

use crate::world::WorldSpec;
use anyhow::{Context, Result, bail, ensure};
use sentinel_model::{Agreement, Severity, Snapshot, Source, Verdict, VoiceView};
use serde::Deserialize;
use std::{collections::BTreeSet, fs, path::Path};

/// The content of a scenario file.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Scenario {
    /// What happens and what must be reported, in a sentence or two.
    pub description: String,
    /// The hosts that run a node besides the laptop.
    pub nodes: Vec<String>,
    /// The file of the same world without faults.
    pub twin: Option<String>,
    /// The file whose scenario this file repeats.
    pub same_as: Option<String>,
    /// Whether nothing in the scenario justifies an alarm. Always true without faults.
    pub calm: bool,
    /// Least duration after settling, in milliseconds.
    pub watch_ms: u64,
    /// Differences from the standard world.
    pub world: WorldSpec,
    /// Merged into the configuration of the laptop's node.
    pub config: toml::Table,
    /// The state that is required before any fault.
    pub settle: SettleCondition,
    /// The faults, in the order of their times.
    pub fault: Vec<PlannedFault>,
    /// The states that must be reported.
    pub expect: Vec<ExpectedSnapshot>,
    /// What must not be reported.
    pub never: Forbidden,
}

impl Scenario {
    /// Loads a file; one with `same_as` yields the scenario of the file it repeats.
    ///
    /// # Errors
    /// Fails if a file cannot be read or parsed, or contradicts itself or its twin.
    pub fn load(path: &Path) -> Result<Self> {
        let scenario = Self::read(path)?;
        scenario.check().with_context(|| format!("in {}", path.display()))?;
        let file = path.display();
        ensure!(
            scenario.fault.is_empty() || scenario.twin.is_some(),
            "{file} has faults and no twin without them"
        );
        if let Some(twin) = &scenario.twin {
            let other = Self::load(&path.with_file_name(twin))?;
            ensure!(
                other.fault.is_empty() && scenario.has_same_world(&other),
                "{file} and its twin {twin} must have the same world, and the twin must have no faults"
            );
        }
        Ok(scenario)
    }

    fn read(path: &Path) -> Result<Self> {
        let text = fs::read_to_string(path).with_context(|| format!("cannot read {}", path.display()))?;
        let mut scenario: Self =
            toml::from_str(&text).with_context(|| format!("cannot parse {}", path.display()))?;
        scenario.calm |= scenario.fault.is_empty();
        match &scenario.same_as {
            Some(other) => Self::read(&path.with_file_name(other)),
            None => Ok(scenario),
        }
    }

    /// Returns the specification of the world with its nodes and configuration.
    pub fn world_spec(&self) -> WorldSpec {
        // The owner of the swarm comes first, because the others join it.
        let mut nodes = self.nodes.clone();
        nodes.push("laptop".to_owned());
        let (config, counted) = (self.config.clone(), self.never.packets_to.clone());
        WorldSpec { nodes, config, counted, ..self.world.clone() }
    }

    /// Checks a snapshot for the state that is required before any fault.
    ///
    /// # Errors
    /// Returns what is missing.
    pub(crate) fn check_settled(&self, snapshot: &Snapshot) -> Result<(), String> {
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
            return Err(format!("{witnesses} of {wanted} own nodes agree on the exit"));
        }
        if self.settle.assurance.is_some() && self.settle.assurance != snapshot.shown.verdict.assurance {
            return Err(format!("the verdict's assurance is {:?}", snapshot.shown.verdict.assurance));
        }
        if self.settle.resolvers && snapshot.shown.dns.resolvers.measured().is_none_or(Vec::is_empty) {
            return Err("the resolvers are unknown".to_owned());
        }
        Ok(())
    }

    /// Returns all faults and their reversals, in the order of their times.
    pub(crate) fn steps(&self) -> Vec<Step<'_>> {
        let mut steps: Vec<_> = self.fault.iter().flat_map(PlannedFault::steps).collect();
        steps.sort_by_key(|step| step.at);
        steps
    }

    fn has_same_world(&self, other: &Self) -> bool {
        self.world == other.world && self.nodes == other.nodes && self.config == other.config
    }

    /// Checks that the file does not contradict itself.
    fn check(&self) -> Result<()> {
        let all: Vec<_> = self.fault.iter().flat_map(PlannedFault::ids).collect();
        let ids: BTreeSet<_> = all.iter().map(String::as_str).collect();
        ensure!(ids.len() == all.len(), "two faults have the same id");
        ensure!(
            self.fault.is_sorted_by_key(|fault| fault.at),
            "the faults are not in the order of their times"
        );
        ensure!(self.calm || self.never.except.is_empty(), "only a calm scenario can except a finding");
        for expect in &self.expect {
            ensure!(
                ids.contains(expect.after.as_str()),
                "an expectation refers to {}, which is not the id of a fault",
                expect.after
            );
            let has_state =
                expect.verdict.is_some() || expect.finding.is_some() || expect.connectivity.is_some();
            if !has_state && expect.without.is_empty() {
                bail!("an expectation after {} requires nothing", expect.after);
            }
            let has_detail =
                expect.family.is_some() || expect.incident_state.is_some() || expect.says.is_some();
            ensure!(
                !has_detail || expect.finding.is_some(),
                "family, says and incident_state need a finding"
            );
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::faults::Fault;

    fn parse(text: &str) -> Result<Scenario> {
        let scenario: Scenario = toml::from_str(text)?;
        scenario.check()?;
        Ok(scenario)
    }

    #[test]
    fn a_fault_is_parsed_with_its_parameters() {
        let scenario =
            parse("[[fault]]\nid = \"x\"\nat_ms = 5\ndo = \"link\"\nhost = \"vpn\"\ndelay_ms = 1.5\n")
                .unwrap();
        let Fault::Link { host, delay_ms, loss, .. } = &scenario.fault[0].fault else {
            panic!("{scenario:?}")
        };
        assert_eq!((host.as_str(), *delay_ms, *loss), ("vpn", Some(1.5), None));
    }

    #[test]
    fn a_repeated_fault_alternates_with_its_reversal() {
        let text = "[[fault]]\nid = \"x\"\nat_ms = 5\ndo = \"offline\"\nevery_ms = 10\ntimes = 2\nundo = { do = \"online\" }\n\
                    [[expect]]\nafter = \"x-over\"\nwithin_ms = 1\nconnectivity = \"online\"\n";
        let scenario = parse(text).unwrap();
        let steps = scenario.steps();
        let planned: Vec<_> =
            steps.iter().map(|step| (step.at.as_millis(), step.id.as_deref(), step.fault)).collect();
        let (offline, online) = (Fault::Offline {}, Fault::Online {});
        assert_eq!(
            planned,
            [
                (5, Some("x"), &offline),
                (15, None, &online),
                (25, None, &offline),
                (35, Some("x-over"), &online)
            ]
        );
    }

    #[test]
    fn invalid_files_are_rejected() {
        for (text, word) in [
            ("[[fault]]\nid = \"x\"\nat_ms = 0\ndo = \"tunnel-removed\"\nhost = \"vpn\"\n", "host"),
            ("[[fault]]\nid = \"x\"\nat_ms = 0\ndo = \"earthquake\"\n", "earthquake"),
            ("[[fault]]\nid = \"x\"\nat_ms = -1\ndo = \"offline\"\n", "is negative"),
            ("[[expect]]\nafter = \"x\"\nwithin_ms = 1\nverdict = \"Exposed\"\n", "not the id of a fault"),
            (
                "[[fault]]\nid = \"x\"\nat_ms = 0\ndo = \"offline\"\n[[expect]]\nafter = \"x\"\nwithin_ms = 1\n",
                "requires nothing",
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
