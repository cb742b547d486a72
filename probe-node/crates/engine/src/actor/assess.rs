//! Judges, stores what changed, publishes the snapshot and announces the verdict.

use super::{publisher::SnapshotContent, state::Actor};
use crate::home;
use sentinel_judge::Assessment;
use sentinel_model::{Announcement, Moment, Schedule, ShownState, SwarmView, Timestamp};

impl Actor {
    /// Draws the conclusions from what this step of the loop took in.
    pub(super) async fn assess(&mut self) {
        let now = self.now();
        let swarm = self.swarm.view().borrow().clone();
        self.judge.update_nodes(&swarm.nodes);
        self.adopt_announced_home(&swarm.nodes).await;
        let assessment = self.judge.assess(now);
        if assessment.remeasure {
            self.measuring.rounds.note_suspicion();
            self.cadence.request_burst(now.boot);
        }
        self.recorder.record_tunnel(&assessment.shown).await;
        self.commit(&assessment).await;
        self.recorder.record_facts(&assessment.shown, now.wall).await;
        self.publish_if_due(assessment.shown, swarm, now);
        self.announce_if_due(now, false).await;
    }

    /// Stores incidents that changed together with their notices, and signals the notices.
    async fn commit(&mut self, assessment: &Assessment) {
        let Assessment { changed, notices, .. } = assessment;
        if changed.is_empty() && notices.is_empty() {
            return;
        }
        if let Err(error) = self.store.commit(changed.clone(), notices.clone()).await {
            tracing::error!(%error, "could not store incidents and their notices");
        }
        if !notices.is_empty() {
            self.publisher.signal_notices();
        }
    }

    fn publish_if_due(&mut self, shown: ShownState, swarm: SwarmView, now: Moment) {
        if self.measuring.just_ended.is_some() || self.publisher.is_due(&shown, &swarm, now.boot) {
            self.publisher.publish(SnapshotContent {
                at: now,
                offset: self.judge.policy().offset,
                epoch: self.network.epoch,
                shown,
                swarm,
                schedule: self.schedule(now),
            });
        }
    }

    fn schedule(&self, now: Moment) -> Schedule {
        let wait = self.cadence.round.due().since(now.boot);
        let next = i64::try_from(wait.0).ok().map(|wait| Timestamp(now.wall.0.saturating_add(wait)));
        let last_round = self.measuring.last_round;
        Schedule {
            last_round: last_round.map(|(at, _)| at),
            last_round_took: last_round.map(|(_, took)| took),
            next_round: next.filter(|_| !self.cadence.is_paused()),
            round_every: self.config.cadence.round.0,
            beacon_every: self.config.cadence.beacon.0,
            paused: self.cadence.pause(now),
        }
    }

    /// Announces this node's state to the others when it changes, and as a heartbeat.
    ///
    /// `leaving` is true for the last announcement before a shutdown.
    pub(super) async fn announce_if_due(&mut self, now: Moment, leaving: bool) {
        let current = self.publisher.current();
        let shown = &current.shown;
        let announcement = Announcement {
            verdict: shown.verdict.verdict,
            since: shown.verdict.since,
            open_incidents: u32::try_from(shown.incidents.len()).unwrap_or(u32::MAX),
            leaving,
            home_exit: home::exit_to_announce(self.config.role, shown),
            at: now.wall,
        };
        if self.announcer.is_due(&announcement, now.boot) {
            self.swarm.announce(announcement.clone()).await;
            self.announcer.record(announcement, now.boot);
        }
    }
}
