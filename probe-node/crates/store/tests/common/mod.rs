//! Records that several tests use.
#![allow(dead_code, reason = "each test binary uses some of them")]
#![allow(clippy::unwrap_used, clippy::panic, reason = "a test may fail where it likes")]

use sentinel_model::{
    Clock, Family, FindingKind, Incident, IncidentId, IncidentState, Moment, Monotonic, Notice, NoticeKind,
    RuleId, Severity, Timestamp,
};
use sentinel_store::{FactValue, RecordedFact, Sample, SeriesKey, SeriesKind, Store};
use std::{
    path::Path,
    sync::{Arc, Mutex},
};

/// What the wall clock shows in tests that do not set it.
pub const NOW: i64 = 1_795_600_800_000;

/// A clock that a test sets.
#[derive(Clone)]
pub struct TestClock(Arc<Mutex<Moment>>);

impl TestClock {
    /// A clock that shows this on the wall.
    pub fn at(wall: i64) -> Self {
        Self(Arc::new(Mutex::new(Moment { boot: Monotonic(0), wall: Timestamp(wall) })))
    }

    /// Lets time pass, on both clocks.
    pub fn advance(&self, millis: i64) {
        let mut moment = self.0.lock().unwrap();
        moment.boot.0 += u64::try_from(millis).unwrap();
        moment.wall.0 += millis;
    }

    /// Sets the wall clock ahead, or back.
    pub fn set_wall(&self, by: i64) {
        self.0.lock().unwrap().wall.0 += by;
    }

    /// The time on the wall.
    pub fn now(&self) -> i64 {
        self.0.lock().unwrap().wall.0
    }

    /// The clock, as the store takes it.
    pub fn clock(&self) -> Clock {
        let moment = self.0.clone();
        Arc::new(move || *moment.lock().unwrap())
    }

    /// Opens a store with this clock, expecting no notes.
    pub async fn open(&self, dir: &Path) -> Store {
        let opened = Store::open(dir, self.clock()).await.unwrap();
        assert_eq!(opened.notes, Vec::<String>::new());
        opened.store
    }
}

/// A clock that stands still.
pub fn still() -> Clock {
    TestClock::at(NOW).clock()
}

/// An incident under the rule for an exposed exit.
pub fn incident(id: &str, state: IncidentState, at: i64) -> Incident {
    let moment = |wall| Moment { boot: Monotonic(0), wall: Timestamp(wall) };
    Incident {
        id: IncidentId(id.to_owned()),
        rule: RuleId("exit-exposed".to_owned()),
        kind: FindingKind::ExitExposed,
        family: Some(Family::V4),
        entity: None,
        title: FindingKind::ExitExposed.title(None),
        severity: Severity::Critical,
        state,
        sentence: "198.51.100.142 seen over IPv4 by vps-fra.".to_owned(),
        advice: "Reconnect the VPN or go offline.".to_owned(),
        evidence: Vec::new(),
        opened: moment(at),
        changed: moment(at),
        acknowledged: None,
    }
}

/// A notice about it.
pub fn notice(incident: &str, kind: NoticeKind) -> Notice {
    Notice {
        incident: IncidentId(incident.to_owned()),
        kind,
        severity: Severity::Critical,
        title: "Your real address is visible".to_owned(),
        body: "198.51.100.142 seen over IPv4 by vps-fra.".to_owned(),
        at: Timestamp(1_000),
    }
}

/// The series the tests write to.
pub fn rtt(target: &str) -> SeriesKey {
    SeriesKey { kind: SeriesKind::Rtt, target: target.to_owned(), family: Family::V4 }
}

/// One sample of it.
pub fn sample(target: &str, at: i64, value: f64) -> Sample {
    Sample { series: rtt(target), at: Timestamp(at), value }
}

/// The value of a fact from then on.
pub fn fact(fact: RecordedFact, value: &str, at: i64) -> FactValue {
    FactValue { fact, value: value.to_owned(), at: Timestamp(at) }
}

/// Opens a store, expecting no notes about damage.
pub async fn open(dir: &Path) -> Store {
    TestClock::at(NOW).open(dir).await
}

/// Opens a store, waiting until the previous writer has released the directory.
pub async fn reopen(dir: &Path) -> Store {
    let deadline = tokio::time::Instant::now() + std::time::Duration::from_secs(10);
    loop {
        match Store::open(dir, still()).await {
            Ok(opened) => return opened.store,
            Err(sentinel_store::StoreError::InUse { .. }) if tokio::time::Instant::now() < deadline => {
                tokio::time::sleep(std::time::Duration::from_millis(10)).await;
            }
            Err(error) => panic!("{error}"),
        }
    }
}

/// The store, once everything recorded so far has been written.
pub async fn flushed(store: &Store) -> &Store {
    store.flush().await;
    store
}
