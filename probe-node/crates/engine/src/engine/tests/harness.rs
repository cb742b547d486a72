//! An engine on a scripted platform and a clock that a test moves; store and swarm are the real
//! ones.

use super::platform::ScriptedPlatform;
use crate::{config::Config, engine::Engine, parts::EngineParts};
use sentinel_checks::Platform;
use sentinel_model::{Clock, Command, FindingKind, Millis, Moment, Monotonic, Snapshot, Timestamp};
use sqlx::{Connection, SqliteConnection, sqlite::SqliteConnectOptions};
use std::{
    path::Path,
    sync::{
        Arc,
        atomic::{AtomicI64, Ordering},
        mpsc,
    },
    time::Duration,
};
use tokio::time::Instant;

/// Far longer than anything here takes, in real time.
const DEADLINE: Duration = Duration::from_secs(15);

/// The times at which the clocks of a test start.
const BOOT: u64 = 3_600_000;
const WALL: i64 = 1_700_000_000_000;

/// A tunnel is expected, its loss alarms at once, and nothing is sent to anyone.
const CONFIG: &str = r#"
    name = "laptop"
    past_tunnel = "off"
    panel = []
    [expectation]
    interface = "wg0"
    [[rule]]
    id = "tunnel-down"
    finding = "tunnel-down"
    trigger = "at_once"
    clear = { absent_for = 0 }
"#;

/// The clock of a test: tokio's, so that timers and timestamps move together.
pub(super) struct TestTime {
    start: Instant,
    /// How far the wall clock has been set forward, in milliseconds.
    wall_offset: Arc<AtomicI64>,
    _no_auto_advance: Option<mpsc::SyncSender<()>>,
}

impl TestTime {
    /// Stops time. From here on it moves only by [`TestNode::advance`].
    pub(super) fn paused() -> Self {
        // Tokio advances a paused clock whenever it has nothing to do, except while a blocking task
        // runs. The real store answers from threads of its own, so without this task every wait for
        // it would skip time.
        let (sender, receiver) = mpsc::sync_channel::<()>(0);
        tokio::task::spawn_blocking(move || receiver.recv());
        tokio::time::pause();
        Self { start: Instant::now(), wall_offset: Arc::default(), _no_auto_advance: Some(sender) }
    }

    /// Lets time pass as it does.
    pub(super) fn running() -> Self {
        Self { start: Instant::now(), wall_offset: Arc::default(), _no_auto_advance: None }
    }

    pub(super) fn clock(&self) -> Clock {
        let (start, wall_offset) = (self.start, self.wall_offset.clone());
        Arc::new(move || {
            let elapsed = u64::try_from(start.elapsed().as_millis()).unwrap();
            let wall = WALL + i64::try_from(elapsed).unwrap() + wall_offset.load(Ordering::Relaxed);
            Moment { boot: Monotonic(BOOT + elapsed), wall: Timestamp(wall) }
        })
    }
}

impl TestTime {
    /// Sets the wall clock forward, or back. The boot clock does not notice.
    pub(super) fn set_wall_clock(&self, by_seconds: i64) {
        self.wall_offset.fetch_add(by_seconds * 1000, Ordering::Relaxed);
    }
}

/// A running engine, and the world around it.
pub(super) struct TestNode {
    pub(super) engine: Engine,
    pub(super) platform: Arc<ScriptedPlatform>,
    pub(super) time: TestTime,
    pub(super) dir: tempfile::TempDir,
}

impl TestNode {
    /// Starts an engine whose time is paused, and waits for its first round: the tunnel is up.
    pub(super) async fn start() -> Self {
        let node = Self::start_with(TestTime::paused(), |_| ()).await;
        node.advance(Millis(0)).await;
        node.until("the first round has ended", |now| now.schedule.last_round.is_some()).await;
        assert!(node.snapshot().shown.tunnel.as_ref().is_some_and(|tunnel| tunnel.up));
        node
    }

    pub(super) async fn start_with(time: TestTime, change: impl FnOnce(&mut Config)) -> Self {
        let dir = tempfile::tempdir().unwrap();
        let mut config = Config::parse(CONFIG).unwrap();
        config.state_dir = dir.path().to_owned();
        change(&mut config);
        let platform = Arc::new(ScriptedPlatform::new());
        let shared: Arc<dyn Platform> = platform.clone();
        let parts = EngineParts::open_with(&config, time.clock(), shared).await.unwrap();
        let engine = Engine::start_with(config, parts).await.unwrap();
        Self { engine, platform, time, dir }
    }

    pub(super) fn snapshot(&self) -> Arc<Snapshot> {
        self.engine.snapshot().borrow().clone()
    }

    /// Waits until a snapshot meets a condition. Does not advance paused time.
    pub(super) async fn until(&self, what: &str, mut is_met: impl FnMut(&Snapshot) -> bool) {
        until(what, || is_met(&self.snapshot())).await;
    }

    /// Moves paused time forward, and lets the loop start what is due then.
    pub(super) async fn advance(&self, span: Millis) {
        self.catch_up().await;
        tokio::time::advance(span.duration()).await;
        self.catch_up().await;
        // Tokio rounds timers up to the next millisecond, also those that are due at once.
        tokio::time::advance(Duration::from_millis(1)).await;
    }

    /// Waits until the loop has acted on everything that reached it before.
    pub(super) async fn catch_up(&self) {
        self.engine.command(Command::ShowHome).await.unwrap();
    }

    /// Makes every attempt to store an incident fail.
    pub(super) async fn break_ledger(&self) {
        let sql = "CREATE TRIGGER refuse BEFORE INSERT ON incident BEGIN SELECT RAISE(ABORT, 'full'); END";
        execute(self.dir.path(), sql).await;
    }

    /// Shuts the engine down. Time passes from here on, because the swarm waits for its goodbyes.
    pub(super) async fn stop(&self) {
        tokio::time::resume();
        self.engine.shutdown().await;
    }

    /// Changes the ledger behind the engine's back.
    pub(super) async fn execute_on_ledger(&self, sql: &'static str) {
        execute(self.dir.path(), sql).await;
    }

    /// Takes the ledger's write lock, as another process may, until the connection is closed.
    pub(super) async fn lock_ledger(&self) -> SqliteConnection {
        let mut connection = connect(self.dir.path()).await;
        sqlx::query("BEGIN IMMEDIATE").execute(&mut connection).await.unwrap();
        connection
    }

    /// Counts the incidents in the ledger, whatever the engine shows.
    pub(super) async fn count_stored_incidents(&self) -> i64 {
        let mut connection = connect(self.dir.path()).await;
        sqlx::query_scalar("SELECT count(*) FROM incident").fetch_one(&mut connection).await.unwrap()
    }

    /// Undoes [`TestNode::break_ledger`].
    pub(super) async fn mend_ledger(&self) {
        execute(self.dir.path(), "DROP TRIGGER refuse").await;
    }
}

/// Returns true if a snapshot shows an incident because the tunnel is down.
pub(super) fn alarms(now: &Snapshot) -> bool {
    now.shown.incidents.iter().any(|incident| incident.kind == FindingKind::TunnelDown)
}

/// Waits until a condition holds, yielding to the engine meanwhile.
pub(super) async fn until(what: &str, mut is_met: impl FnMut() -> bool) {
    let deadline = std::time::Instant::now() + DEADLINE;
    while !is_met() {
        assert!(std::time::Instant::now() < deadline, "waited in vain until {what}");
        tokio::task::yield_now().await;
    }
}

/// Waits for a future in real time, since paused time would never time it out.
pub(super) async fn in_time<T>(what: &str, future: impl Future<Output = T>) -> T {
    let deadline = std::time::Instant::now() + DEADLINE;
    let expired = async {
        while std::time::Instant::now() < deadline {
            tokio::task::yield_now().await;
        }
    };
    tokio::select! {
        value = future => value,
        () = expired => panic!("waited in vain until {what}"),
    }
}

async fn connect(dir: &Path) -> SqliteConnection {
    let options = SqliteConnectOptions::new().filename(dir.join("ledger.db"));
    SqliteConnection::connect_with(&options).await.unwrap()
}

async fn execute(dir: &Path, sql: &'static str) {
    let mut connection = connect(dir).await;
    sqlx::query(sql).execute(&mut connection).await.unwrap();
    connection.close().await.unwrap();
}
