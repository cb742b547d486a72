//! Restoring the membership log from what a store kept of it.
//!
//! A crash or a full disk may have lost entries or damaged them. A node starts with those before
//! the first lost one, and gets the others from the other members.

use crate::membership::{self, MembershipError, MembershipLog, SwarmId};
use std::collections::BTreeMap;

/// What could be restored of a stored log.
#[derive(Debug)]
pub(crate) struct RestoredLog {
    /// The entries up to the first one that is missing or wrong. `None` if there are none.
    pub log: Option<MembershipLog>,
    /// What is wrong with the rest.
    pub damage: Option<LogDamage>,
}

/// The loss of stored entries.
#[derive(Debug)]
pub(crate) struct LogDamage {
    /// Why the first lost entry could not be restored.
    pub cause: MembershipError,
    /// The generation that the log had before.
    ///
    /// Until the log has reached it again, the owner must not sign: its entry would contradict one
    /// that other members may have.
    pub last_generation: u64,
}

/// An entry of a store with a correct signature.
struct StoredEntry<'a> {
    swarm: SwarmId,
    generation: u64,
    bytes: &'a [u8],
}

impl<'a> StoredEntry<'a> {
    fn parse(bytes: &'a Vec<u8>) -> Option<Self> {
        let (swarm, generation) = membership::signed_position(bytes)?;
        Some(Self { swarm, generation, bytes })
    }
}

/// Restores as much of a log as verifies from its stored entries, in any order.
///
/// A store only appends. If this node left a swarm that it had founded for another one, the store
/// holds the entries of both, and those of the last swarm count. An entry that was fetched again
/// after a failed write is stored after later ones.
pub(crate) fn restore(entries: &[Vec<u8>]) -> RestoredLog {
    let stored: Vec<_> = entries.iter().map(StoredEntry::parse).collect();
    let Some(swarm) = stored.iter().flatten().next_back().map(|entry| entry.swarm) else {
        let last_generation = u64::try_from(entries.len()).unwrap_or(u64::MAX);
        let damage = LogDamage { cause: MembershipError::Malformed, last_generation };
        return RestoredLog { log: None, damage: (!entries.is_empty()).then_some(damage) };
    };
    let mut by_generation: BTreeMap<u64, Vec<&[u8]>> = BTreeMap::new();
    for entry in stored.iter().flatten().filter(|entry| entry.swarm == swarm) {
        by_generation.entry(entry.generation).or_default().push(entry.bytes);
    }
    let mut log = MembershipLog::new(swarm);
    let cause = append_all(&mut log, &by_generation);
    let last_generation = last_stored_generation(&stored, swarm);
    let damage = (log.generation() < last_generation).then_some(LogDamage { cause, last_generation });
    RestoredLog { log: (log.generation() > 0).then_some(log), damage }
}

/// Appends entries up to the first one that is missing or wrong, and returns why that one is.
fn append_all(log: &mut MembershipLog, by_generation: &BTreeMap<u64, Vec<&[u8]>>) -> MembershipError {
    loop {
        let next = log.generation() + 1;
        let Some(candidates) = by_generation.get(&next) else {
            let later = by_generation.range(next..).next();
            return later.map_or(MembershipError::Malformed, |(found, _)| MembershipError::Generation {
                expected: next,
                found: *found,
            });
        };
        // Two differ only if the owner signed twice. The first that continues the chain counts.
        if !candidates.iter().any(|entry| log.append(entry).is_ok()) {
            return MembershipError::Chain(next);
        }
    }
}

/// Returns the generation that the log of a swarm had when its entries were stored.
///
/// An entry that cannot be read must have been the one after those before it.
fn last_stored_generation(stored: &[Option<StoredEntry>], swarm: SwarmId) -> u64 {
    let is_of_other = |entry: &Option<StoredEntry>| entry.as_ref().is_some_and(|entry| entry.swarm != swarm);
    let first = stored.iter().rposition(is_of_other).map_or(0, |index| index + 1);
    stored.iter().skip(first).fold(0, |last, entry| match entry {
        Some(entry) => last.max(entry.generation),
        None => last.saturating_add(1),
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::membership::tests::{Step, TestSwarm, steps};
    use proptest::prelude::*;

    proptest! {
        // Signatures take milliseconds in an unoptimised build.
        #![proptest_config(ProptestConfig::with_cases(24))]

        #[test]
        fn the_entries_before_a_missing_or_damaged_one_are_restored(
            steps in steps(),
            at in any::<prop::sample::Index>(),
            byte in any::<prop::sample::Index>(),
            flip in 1..=255u8,
        ) {
            let mut swarm = TestSwarm::new();
            swarm.append(&[Step::Add(0), Step::Add(1), Step::Add(2)]);
            swarm.append(&steps);
            let entries: Vec<_> = swarm.log.entries_after(0, usize::MAX).cloned().collect();
            let at = at.index(entries.len());
            let mut missing = entries.clone();
            missing.remove(at);
            let mut damaged = entries.clone();
            let byte = byte.index(damaged[at].len());
            damaged[at][byte] ^= flip;
            for (wrong, may_be_noticed) in [(missing, at + 1 < entries.len()), (damaged, true)] {
                let restored = restore(&wrong);
                let kept: Vec<_> =
                    restored.log.iter().flat_map(|log| log.entries_after(0, usize::MAX)).cloned().collect();
                prop_assert!(kept.len() == at || restored.damage.is_none(), "{} of {at}", kept.len());
                prop_assert!(entries.starts_with(&kept[..kept.len().min(at)]));
                if may_be_noticed && kept.len() == at {
                    let last = u64::try_from(entries.len()).unwrap();
                    prop_assert_eq!(restored.damage.map(|damage| damage.last_generation), Some(last));
                }
            }
        }

        #[test]
        fn late_and_repeated_entries_are_restored(steps in steps(), at in any::<prop::sample::Index>()) {
            let mut swarm = TestSwarm::new();
            swarm.append(&[Step::Add(0), Step::Add(1), Step::Add(2)]);
            swarm.append(&steps);
            let entries: Vec<_> = swarm.log.entries_after(0, usize::MAX).cloned().collect();
            let at = at.index(entries.len());
            let mut late = entries.clone();
            let entry = late.remove(at);
            late.push(entry);
            let mut repeated = entries.clone();
            repeated.insert(at, entries[at].clone());
            let mut replaced = entries.clone();
            replaced[at].truncate(20);
            replaced.push(entries[at].clone());
            for stored in [late, repeated, replaced] {
                let restored = restore(&stored);
                prop_assert!(restored.damage.is_none(), "{:?}", restored.damage);
                let log = restored.log.unwrap();
                prop_assert_eq!(log.members(), swarm.log.members());
            }
        }

        #[test]
        fn random_bytes_never_panic(bytes in prop::collection::vec(any::<u8>(), 0..400)) {
            let restored = restore(&[bytes]);
            prop_assert!(restored.log.is_none() && restored.damage.is_some());
        }
    }

    #[test]
    fn a_store_with_the_entries_of_two_swarms_restores_the_last() {
        let (mut first, mut second) = (TestSwarm::new(), TestSwarm::new());
        first.append(&[Step::Add(0)]);
        second.append(&[Step::Add(1), Step::Add(2)]);
        let entries: Vec<_> = [&first, &second]
            .into_iter()
            .flat_map(|swarm| swarm.log.entries_after(0, usize::MAX).cloned())
            .collect();
        let restored = restore(&entries).log.unwrap();
        assert_eq!(restored.swarm(), second.log.swarm());
        assert_eq!(restored.generation(), 2);
        let restored = restore(&[]);
        assert!(restored.log.is_none() && restored.damage.is_none());
    }
}
