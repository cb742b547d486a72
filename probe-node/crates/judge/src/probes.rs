//! How many probes left outside the tunnel.

/// How many probes of the exit were made, and how many of them left outside the tunnel.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct ProbeCount {
    /// All probes that a voice answered.
    pub made: u64,
    /// Those in which the voice saw home.
    pub outside: u64,
}

impl ProbeCount {
    /// Counts one probe.
    pub fn add(&mut self, is_outside: bool) {
        self.made += 1;
        self.outside += u64::from(is_outside);
    }

    /// Returns the sum of both counts.
    pub fn plus(self, other: Self) -> Self {
        Self { made: self.made + other.made, outside: self.outside + other.outside }
    }

    /// Returns the probes made since an earlier count.
    pub fn since(self, earlier: Self) -> Self {
        Self {
            made: self.made.saturating_sub(earlier.made),
            outside: self.outside.saturating_sub(earlier.outside),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn probes_are_counted_from_an_earlier_count_on() {
        let mut count = ProbeCount::default();
        count.add(true);
        let before = count;
        count.add(false);
        count.add(true);
        assert_eq!(count.since(before), ProbeCount { made: 2, outside: 1 });
        assert_eq!(before.since(count), ProbeCount::default(), "never negative");
    }
}
