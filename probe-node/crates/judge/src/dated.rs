//! A value with the time and the epoch in which it was measured.

use crate::bounded::LastUsed;
use sentinel_model::{Epoch, Moment, Monotonic, Observation, Outcome};

/// A measured value with its moment and its epoch.
#[derive(Clone, Debug)]
pub(crate) struct Dated<T> {
    /// What was measured.
    pub value: T,
    /// When the measurement arrived.
    pub at: Moment,
    /// The epoch in which its check started.
    pub epoch: Epoch,
}

impl<T> Dated<T> {
    /// Dates a value like the observation it was taken from.
    pub fn from_observation(value: T, observation: &Observation) -> Self {
        Self { value, at: observation.at, epoch: observation.epoch }
    }

    /// Returns another value with the same date.
    pub fn with<U>(&self, value: U) -> Dated<U> {
        Dated { value, at: self.at, epoch: self.epoch }
    }
}

impl<T: Clone> Dated<&T> {
    /// Returns the same with a value of its own.
    pub fn cloned(&self) -> Dated<T> {
        self.with(self.value.clone())
    }
}

impl<T> Dated<Outcome<T>> {
    /// Returns the value, if the measurement succeeded.
    pub fn measured(&self) -> Option<&T> {
        self.value.measured()
    }
}

impl<T> LastUsed for Dated<T> {
    fn last_used(&self) -> Monotonic {
        self.at.boot
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use sentinel_model::{Connectivity, Fact, Reason, Timestamp};

    fn observation() -> Observation {
        Observation {
            at: Moment { boot: Monotonic(7), wall: Timestamp(9) },
            epoch: Epoch(3),
            fact: Fact::Connectivity(Connectivity::Online),
        }
    }

    #[test]
    fn a_derived_value_keeps_the_date_of_its_observation() {
        let dated = Dated::from_observation(&"eth0", &observation()).cloned();
        let length = dated.with(dated.value.len());
        assert_eq!((length.value, length.at, length.epoch), (4, observation().at, Epoch(3)));
        assert_eq!(length.last_used(), Monotonic(7));
    }

    #[test]
    fn only_a_successful_measurement_has_a_value() {
        let measured = Dated::from_observation(Outcome::Measured(5), &observation());
        let failed: Dated<Outcome<u8>> = measured.with(Outcome::Unknown(Reason::TimedOut));
        assert_eq!((measured.measured(), failed.measured()), (Some(&5), None));
    }
}
