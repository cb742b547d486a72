//! What this page knows of its node: the last state, when it was heard, and what time it is there.

use crate::{
    backend::{Answer, Backend, Heard, browser_time},
    view::{Contact, NodeClock, Standing},
};
use leptos::{prelude::*, task::spawn_local};
use sentinel_model::{Command, Reply, Snapshot, Timestamp, UtcOffset};
use std::rc::Rc;

/// How a part is chosen; boxed, so that the program carries the rest once per type of part.
type Choice<T> = Box<dyn Fn(&Snapshot) -> T + Send + Sync>;

/// The page's side of a conversation with one node. It is made with the first state, so there always is one.
#[derive(Clone, Copy)]
pub struct Session {
    backend: Backend,
    snapshot: RwSignal<Snapshot>,
    contact: RwSignal<Contact>,
    clock: RwSignal<NodeClock>,
    now: RwSignal<Timestamp>,
    asking: RwSignal<bool>,
    trouble: RwSignal<Option<String>>,
}

impl Session {
    /// A conversation that begins with this answer.
    pub fn new(backend: Backend, answer: Answer) -> Self {
        let browser = browser_time();
        let made = answer.snapshot.at;
        let clock = NodeClock::set(answer.node_time.unwrap_or(made), browser).learn(made, browser);
        let now = clock.at(browser);
        Self {
            backend,
            snapshot: RwSignal::new(answer.snapshot),
            contact: RwSignal::new(Contact::at(now)),
            clock: RwSignal::new(clock),
            now: RwSignal::new(now),
            asking: RwSignal::new(false),
            trouble: RwSignal::new(None),
        }
    }

    /// Follows the node from here on, and lets the time pass.
    pub fn begin(self) {
        self.backend.follow(Rc::new(move |heard| self.hear(heard)));
        set_interval(move || self.tick(), std::time::Duration::from_secs(1));
    }

    /// A part of the state, as a signal that moves only when that part does.
    pub fn pick<T>(self, choose: impl Fn(&Snapshot) -> T + Send + Sync + 'static) -> Memo<T>
    where
        T: PartialEq + Send + Sync + 'static,
    {
        self.memo(Box::new(choose))
    }

    fn memo<T: PartialEq + Send + Sync + 'static>(self, choose: Choice<T>) -> Memo<T> {
        Memo::new(move |_| self.snapshot.with(&choose))
    }

    /// The node's time, to the second.
    pub fn now(self) -> Timestamp {
        self.now.get()
    }

    /// The node's offset from UTC.
    pub fn offset(self) -> UtcOffset {
        self.snapshot.with(|snapshot| snapshot.offset)
    }

    /// How the page stands with the node.
    pub fn standing(self) -> Memo<Standing> {
        Memo::new(move |_| self.contact.get().standing(self.now.get()))
    }

    /// When anything was last heard.
    pub fn heard(self) -> Timestamp {
        self.contact.get().heard
    }

    /// What last went wrong with a command, as a sentence.
    pub fn trouble(self) -> RwSignal<Option<String>> {
        self.trouble
    }

    /// Carries out a command, then calls `done` with its reply. A failure is shown to the person here.
    pub fn command(self, command: Command, done: impl FnOnce(Option<Reply>) + 'static) {
        spawn_local(async move {
            match self.backend.command(&command).await {
                Ok(reply) => {
                    self.trouble.set(None);
                    done(Some(reply));
                }
                Err(error) => {
                    self.trouble.set(Some(error.message));
                    done(None);
                }
            }
        });
    }

    fn hear(self, heard: Heard) {
        match heard {
            Heard::Snapshot(snapshot) => self.accept(*snapshot),
            Heard::Broken => self.contact.update(|contact| *contact = contact.break_off()),
            Heard::Garbled(message) => self.trouble.set(Some(message)),
        }
    }

    fn accept(self, snapshot: Snapshot) {
        let browser = browser_time();
        self.clock.update(|clock| *clock = clock.learn(snapshot.at, browser));
        let now = self.clock.get_untracked().at(browser);
        self.now.set(now);
        self.contact.set(Contact::at(now));
        self.snapshot.set(snapshot);
    }

    fn tick(self) {
        let now = self.clock.get_untracked().at(browser_time());
        self.now.set(now);
        if self.contact.get_untracked().wants_asking(now) && !self.asking.get_untracked() {
            self.asking.set(true);
            spawn_local(async move {
                match self.backend.snapshot().await {
                    Ok(answer) => self.accept(answer.snapshot),
                    Err(_) => self.hear(Heard::Broken),
                }
                self.asking.set(false);
            });
        }
    }
}
