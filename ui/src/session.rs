//! What this page knows of its node: the last snapshot, when it arrived, and the node's time.

use crate::{
    backend::{Backend, StreamEvent, TimedSnapshot, browser_time},
    view::{Connection, ConnectionState, NodeClock},
};
use leptos::{prelude::*, task::spawn_local};
use sentinel_model::{Command, Reply, Snapshot, Timestamp, UtcOffset};
use std::{rc::Rc, time::Duration};

/// Selects a part of a snapshot; boxed, so that the code around it exists once per type of part.
type Selector<T> = Box<dyn Fn(&Snapshot) -> T + Send + Sync>;

/// The page's session with one node. It starts with a snapshot, so there always is one.
#[derive(Clone, Copy)]
pub struct Session {
    backend: Backend,
    snapshot: RwSignal<Snapshot>,
    connection: RwSignal<Connection>,
    clock: RwSignal<NodeClock>,
    now: RwSignal<Timestamp>,
    refreshing: RwSignal<bool>,
    error: RwSignal<Option<String>>,
}

impl Session {
    /// Creates a session from the first snapshot.
    pub fn new(backend: Backend, first: TimedSnapshot) -> Self {
        let browser = browser_time();
        let made = first.snapshot.at;
        let clock = NodeClock::set(first.node_time.unwrap_or(made), browser).adjust(made, browser);
        let now = clock.at(browser);
        Self {
            backend,
            snapshot: RwSignal::new(first.snapshot),
            connection: RwSignal::new(Connection::live(now)),
            clock: RwSignal::new(clock),
            now: RwSignal::new(now),
            refreshing: RwSignal::new(false),
            error: RwSignal::new(None),
        }
    }

    /// Starts to follow the node and to update the time once a second.
    pub fn start(self) {
        self.backend.follow(Rc::new(move |event| self.handle_event(event)));
        set_interval(move || self.tick(), Duration::from_secs(1));
    }

    /// Returns a part of the snapshot as a signal that changes only if that part does.
    pub fn select<T>(self, selector: impl Fn(&Snapshot) -> T + Send + Sync + 'static) -> Memo<T>
    where
        T: PartialEq + Send + Sync + 'static,
    {
        self.memo(Box::new(selector))
    }

    fn memo<T: PartialEq + Send + Sync + 'static>(self, selector: Selector<T>) -> Memo<T> {
        Memo::new(move |_| self.snapshot.with(&selector))
    }

    /// Returns the node's time, to the second.
    pub fn now(self) -> Timestamp {
        self.now.get()
    }

    /// Returns the node's offset from UTC.
    pub fn offset(self) -> UtcOffset {
        self.snapshot.with(|snapshot| snapshot.offset)
    }

    /// Returns the state of the connection to the node.
    pub fn connection_state(self) -> Memo<ConnectionState> {
        Memo::new(move |_| self.connection.get().state(self.now.get()))
    }

    /// Returns when a snapshot last arrived.
    pub fn last_heard(self) -> Timestamp {
        self.connection.get().last_heard
    }

    /// Returns the sentence of the last error, until it is dismissed or a command succeeds.
    pub fn error(self) -> RwSignal<Option<String>> {
        self.error
    }

    /// Carries out a command, then calls `done` with its reply, or with `None` if it failed.
    ///
    /// The error of a failed command is shown to the person.
    pub fn command(self, command: Command, done: impl FnOnce(Option<Reply>) + 'static) {
        spawn_local(async move {
            match self.backend.command(&command).await {
                Ok(reply) => {
                    self.error.set(None);
                    done(Some(reply));
                }
                Err(error) => {
                    self.error.set(Some(error.message));
                    done(None);
                }
            }
        });
    }

    fn handle_event(self, event: StreamEvent) {
        match event {
            StreamEvent::Snapshot(snapshot) => self.apply(*snapshot),
            StreamEvent::Interrupted => {
                self.connection.update(|connection| *connection = connection.interrupt());
            }
            StreamEvent::Unreadable(message) => self.error.set(Some(message)),
        }
    }

    fn apply(self, snapshot: Snapshot) {
        let browser = browser_time();
        self.clock.update(|clock| *clock = clock.adjust(snapshot.at, browser));
        let now = self.clock.get_untracked().at(browser);
        self.now.set(now);
        self.connection.set(Connection::live(now));
        self.snapshot.set(snapshot);
    }

    fn tick(self) {
        let now = self.clock.get_untracked().at(browser_time());
        self.now.set(now);
        if self.connection.get_untracked().needs_refresh(now) && !self.refreshing.get_untracked() {
            self.refreshing.set(true);
            spawn_local(async move {
                match self.backend.snapshot().await {
                    Ok(answer) => self.apply(answer.snapshot),
                    Err(_) => self.handle_event(StreamEvent::Interrupted),
                }
                self.refreshing.set(false);
            });
        }
    }
}
