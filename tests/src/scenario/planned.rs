//! The times of a scenario's faults: once, or repeatedly in alternation with a reversal.

use crate::faults::Fault;
use serde::Deserialize;
use std::time::Duration;

/// A fault of a scenario, with its time.
#[derive(Clone, Debug, Deserialize)]
#[serde(try_from = "toml::Table")]
pub struct PlannedFault {
    /// The name by which expectations refer to it.
    pub id: String,
    /// Time after settling.
    pub at: Duration,
    /// The fault.
    pub fault: Fault,
    /// The repetition, if it happens more than once.
    pub repeat: Option<Repeat>,
}

/// The repetition of a fault in alternation with its reversal.
#[derive(Clone, Debug, PartialEq)]
pub struct Repeat {
    /// Interval between a fault and its reversal, and between that and the next fault.
    pub every: Duration,
    /// Number of faults, each followed by a reversal.
    pub times: u32,
    /// The reversal.
    pub undo: Fault,
}

/// One injection of a fault or of a reversal.
#[derive(Clone, Debug)]
pub(crate) struct Step<'a> {
    /// Time after settling.
    pub(crate) at: Duration,
    /// The name by which expectations refer to it, if they can.
    pub(crate) id: Option<String>,
    pub(crate) fault: &'a Fault,
}

impl PlannedFault {
    /// Returns the id of the last reversal.
    fn over_id(&self) -> String {
        format!("{}-over", self.id)
    }

    /// Returns the ids to which expectations can refer.
    pub(super) fn ids(&self) -> impl Iterator<Item = String> {
        [self.id.clone()].into_iter().chain(self.repeat.is_some().then(|| self.over_id()))
    }

    /// Returns every injection in order.
    pub(super) fn steps(&self) -> Vec<Step<'_>> {
        let first = Step { at: self.at, id: Some(self.id.clone()), fault: &self.fault };
        let Some(repeat) = &self.repeat else { return vec![first] };
        let mut steps = vec![first];
        for number in 1..2 * repeat.times {
            let at = self.at + repeat.every * number;
            let fault = if number % 2 == 0 { &self.fault } else { &repeat.undo };
            let id = (number == 2 * repeat.times - 1).then(|| self.over_id());
            steps.push(Step { at, id, fault });
        }
        steps
    }
}

impl TryFrom<toml::Table> for PlannedFault {
    type Error = String;

    fn try_from(mut table: toml::Table) -> Result<Self, String> {
        let id =
            table.remove("id").and_then(|id| id.as_str().map(str::to_owned)).ok_or("a fault needs an id")?;
        let at = take_millis(&mut table, "at_ms")?.ok_or("a fault needs at_ms")?;
        let repeat = take_repeat(&mut table)?;
        let fault = parse_fault(table)?;
        Ok(Self { id, at, fault, repeat })
    }
}

fn parse_fault(table: toml::Table) -> Result<Fault, String> {
    table.try_into().map_err(|error: toml::de::Error| error.message().to_owned())
}

/// Removes a duration from a table.
fn take_millis(table: &mut toml::Table, key: &str) -> Result<Option<Duration>, String> {
    let Some(value) = table.remove(key) else { return Ok(None) };
    let value = value.as_integer().ok_or_else(|| format!("{key} is not a whole number"))?;
    let value = u64::try_from(value).map_err(|_| format!("{key} = {value} is negative"))?;
    Ok(Some(Duration::from_millis(value)))
}

/// Removes the keys of a repetition from a table.
fn take_repeat(table: &mut toml::Table) -> Result<Option<Repeat>, String> {
    let every = take_millis(table, "every_ms")?;
    let times = table.remove("times").and_then(|times| u32::try_from(times.as_integer()?).ok());
    let undo = table.remove("undo").and_then(|undo| undo.as_table().cloned()).map(parse_fault).transpose()?;
    match (every, times, undo) {
        (None, None, None) => Ok(None),
        (Some(every), Some(times @ 1..), Some(undo)) => Ok(Some(Repeat { every, times, undo })),
        _ => Err("a fault that repeats needs every_ms, times and undo".to_owned()),
    }
}
