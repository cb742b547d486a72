//! The choice of the worlds that are played: every pair of parts stands in at least one of them.

use super::setup::Setup;
use std::collections::BTreeSet;

/// Two parts, each given by its factor (line, client, resolver, DHCP client) and its name.
type Pair = [(usize, &'static str); 2];

/// Chooses setups such that every pair of parts that can be combined stands in at least one.
///
/// It takes the setup with the most pairs that are still missing, the first of several, until none
/// is missing. The result depends only on the lists of parts.
pub(crate) fn choose_setups() -> Vec<Setup> {
    let all = Setup::list_all();
    let mut missing: BTreeSet<Pair> = all.iter().flat_map(|setup| pairs(*setup)).collect();
    let mut chosen = Vec::new();
    while !missing.is_empty() {
        let gain = |setup: &Setup| pairs(*setup).filter(|pair| missing.contains(pair)).count();
        let Some(best) = all.iter().rev().max_by_key(|setup| gain(setup)).copied() else { break };
        for pair in pairs(best) {
            missing.remove(&pair);
        }
        chosen.push(best);
    }
    chosen
}

/// Returns the six pairs of a setup's parts.
pub(crate) fn pairs(setup: Setup) -> impl Iterator<Item = Pair> {
    let names = setup.parts().map(|part| part.name);
    let later = move |first: usize| (first + 1..names.len()).map(move |second| (first, second));
    (0..names.len()).flat_map(later).map(move |(a, b)| [(a, names[a]), (b, names[b])])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_pair_of_parts_that_can_be_combined_stands_in_a_chosen_world() {
        let chosen = choose_setups();
        let covered: BTreeSet<_> = chosen.iter().flat_map(|setup| pairs(*setup)).collect();
        for setup in Setup::list_all() {
            for pair in pairs(setup) {
                assert!(covered.contains(&pair), "{pair:?} stands in no world");
            }
        }
        assert_eq!(chosen, choose_setups());
    }

    #[test]
    fn every_part_stands_in_a_chosen_world_under_a_name_of_its_own() {
        let names: BTreeSet<_> =
            choose_setups().iter().flat_map(|setup| setup.parts().map(|part| part.name)).collect();
        let lines = super::super::line::LineKind::ALL.iter().map(|part| part.info().name);
        let clients = super::super::client::ClientKind::ALL.iter().map(|part| part.info().name);
        let resolvers = super::super::resolvers::ResolverKind::ALL.iter().map(|part| part.info().name);
        let dhcp = super::super::dhcp::DhcpKind::ALL.iter().map(|part| part.info().name);
        let all: Vec<_> = lines.chain(clients).chain(resolvers).chain(dhcp).collect();
        for name in &all {
            assert!(names.contains(name), "{name} can be combined with nothing");
        }
        assert_eq!(all.len(), all.iter().collect::<BTreeSet<_>>().len(), "two parts have one name");
    }
}
