//! What goes wrong in a story, and when: once, or again and again with what undoes it.

use crate::Fault;
use serde::Deserialize;
use std::time::Duration;

/// A fault and its time.
#[derive(Clone, Debug, Deserialize)]
#[serde(try_from = "toml::Table")]
pub struct PlannedFault {
    /// What expectations call it.
    pub id: String,
    /// When, after settling.
    pub at: Duration,
    /// What.
    pub fault: Fault,
    /// How it goes on, if it happens more than once.
    pub repeat: Option<Repeat>,
}

/// A fault and its undoing, again and again.
#[derive(Clone, Debug, PartialEq)]
pub struct Repeat {
    /// From a fault to its undoing, and from that to the next.
    pub every: Duration,
    /// So many faults, and as many undoings.
    pub times: u32,
    /// What undoes it.
    pub undo: Fault,
}

/// One thing that happens at one time.
#[derive(Clone, Debug)]
pub(crate) struct Step<'a> {
    pub(crate) at: Duration,
    /// What expectations call it, if they can.
    pub(crate) id: Option<String>,
    pub(crate) fault: &'a Fault,
}

impl PlannedFault {
    /// The id of the last undoing.
    fn over(&self) -> String {
        format!("{}-over", self.id)
    }

    /// What expectations can come after.
    pub(super) fn ids(&self) -> impl Iterator<Item = String> {
        [self.id.clone()].into_iter().chain(self.repeat.is_some().then(|| self.over()))
    }

    /// Everything that it makes happen.
    pub(super) fn steps(&self) -> Vec<Step<'_>> {
        let first = Step { at: self.at, id: Some(self.id.clone()), fault: &self.fault };
        let Some(repeat) = &self.repeat else { return vec![first] };
        let mut steps = vec![first];
        for number in 1..2 * repeat.times {
            let at = self.at + repeat.every * number;
            let fault = if number % 2 == 0 { &self.fault } else { &repeat.undo };
            let id = (number == 2 * repeat.times - 1).then(|| self.over());
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
        let at = milliseconds(&mut table, "at_ms")?.ok_or("a fault needs at_ms")?;
        let repeat = repeat(&mut table)?;
        let fault = fault(table)?;
        Ok(Self { id, at, fault, repeat })
    }
}

fn fault(table: toml::Table) -> Result<Fault, String> {
    table.try_into().map_err(|error: toml::de::Error| error.message().to_owned())
}

fn milliseconds(table: &mut toml::Table, key: &str) -> Result<Option<Duration>, String> {
    let Some(value) = table.remove(key) else { return Ok(None) };
    let value = value.as_integer().ok_or_else(|| format!("{key} is no whole number"))?;
    let value = u64::try_from(value).map_err(|_| format!("{key} = {value} lies before the beginning"))?;
    Ok(Some(Duration::from_millis(value)))
}

fn repeat(table: &mut toml::Table) -> Result<Option<Repeat>, String> {
    let every = milliseconds(table, "every_ms")?;
    let times = table.remove("times").and_then(|times| u32::try_from(times.as_integer()?).ok());
    let undo = table.remove("undo").and_then(|undo| undo.as_table().cloned()).map(fault).transpose()?;
    match (every, times, undo) {
        (None, None, None) => Ok(None),
        (Some(every), Some(times @ 1..), Some(undo)) => Ok(Some(Repeat { every, times, undo })),
        _ => Err("a fault that repeats needs every_ms, times and undo".to_owned()),
    }
}
