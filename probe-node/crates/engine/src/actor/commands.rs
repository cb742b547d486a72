//! What a person or a program asks for.

use super::{Actor, Request};
use crate::home;
use sentinel_judge::{Assessment, Policy};
use sentinel_model::{Command, CommandError, Millis, NodeView, Pause, Reply, Timestamp};
use std::net::IpAddr;

/// How long an invitation can be taken up.
const INVITATION: Millis = Millis::secs(600);

impl Actor {
    pub(super) async fn carry_out(&mut self, request: Request) {
        let Request { command, reply } = request;
        let result = match command {
            Command::CheckNow => return self.check_now(reply),
            Command::Pause { until } => {
                self.pause(Some(Pause { until }));
                Ok(Reply::Done)
            }
            Command::Resume => {
                self.pause(None);
                Ok(Reply::Done)
            }
            Command::Acknowledge { incident } => {
                if self.judge.acknowledge(&incident, (self.clock)()) {
                    Ok(Reply::Done)
                } else {
                    Err(error(format!("There is no open incident {incident}; it may have ended.")))
                }
            }
            Command::LearnHome => self.learn_home().await,
            Command::ShowHome => Ok(Reply::Home { home: self.home.merged() }),
            Command::SetHome { addresses } => self.set_home(&addresses).await,
            Command::Invite => match self.swarm.invite(INVITATION).await {
                Ok((text, expires)) => Ok(Reply::Invitation { text, expires }),
                Err(cause) => Err(error(cause.to_string())),
            },
            Command::AcceptInvitation { invitation } => match self.swarm.accept(&invitation).await {
                Ok(fingerprint) => Ok(Reply::Waiting { fingerprint }),
                Err(cause) => Err(error(cause.to_string())),
            },
            Command::Confirm { fingerprint } => done(self.swarm.confirm(&fingerprint).await),
            Command::Revoke { node } => done(self.swarm.revoke(&node).await),
        };
        // Whoever asked may have gone; the command is carried out all the same.
        let _ = reply.send(result);
    }

    fn check_now(&mut self, reply: tokio::sync::oneshot::Sender<Result<Reply, CommandError>>) {
        let now = (self.clock)().boot;
        self.rounds.wait(reply);
        self.look_at_local_facts();
        self.beacon.soon(now);
        self.round.soon(now);
    }

    fn pause(&mut self, pause: Option<Pause>) {
        let now = (self.clock)();
        self.pause = pause;
        self.judge.set_paused(pause.is_some(), now);
        if pause.is_some() {
            self.beacon.hold();
            self.round.hold();
        } else {
            self.look_at_local_facts();
            self.measure_soon();
        }
    }

    pub(super) fn end_pause_when_due(&mut self) {
        let over = |until: Timestamp| until <= (self.clock)().wall;
        if self.pause.and_then(|pause| pause.until).is_some_and(over) {
            self.pause(None);
        }
    }

    async fn learn_home(&mut self) -> Result<Reply, CommandError> {
        self.home.learned = home::learn(&self.last)?;
        self.store.set_home(&self.home.learned).await.map_err(|cause| error(cause.to_string()))?;
        // Whoever says so has the VPN off on purpose, so that is no loss.
        self.store.set_tunnel_known(false).await.map_err(|cause| error(cause.to_string()))?;
        self.tunnel_recorded = false;
        self.judge.adopt_home(self.policy_with_home());
        Ok(Reply::Done)
    }

    async fn set_home(&mut self, addresses: &[IpAddr]) -> Result<Reply, CommandError> {
        self.home.set(addresses, self.judge.policy())?;
        self.store.set_home(&self.home.learned).await.map_err(|cause| error(cause.to_string()))?;
        self.judge.set_policy(self.policy_with_home());
        Ok(Reply::Done)
    }

    /// Goes by what the nodes on the home line say of it, from now on and after a restart.
    pub(super) async fn hear_of_home(&mut self, nodes: &[NodeView]) {
        if self.home.hear(nodes, self.judge.policy()) {
            if let Err(error) = self.store.set_home_announced(&self.home.announced).await {
                tracing::warn!(%error, "what a node says of the home line holds only until a restart");
            }
            self.judge.set_policy(self.policy_with_home());
        }
    }

    fn policy_with_home(&self) -> Policy {
        let home = self.home.merged();
        self.ownership.keep_secret(home.clone());
        Policy { home, ..self.judge.policy().clone() }
    }

    /// Puts on record that a tunnel has been in use: its absence after a restart is then a loss. What looks like one may
    /// be the access line, until somebody sees this machine elsewhere than at home.
    pub(super) async fn record_tunnel(&mut self, assessment: &Assessment) {
        let up = assessment.shown.tunnel.as_ref().is_some_and(|tunnel| tunnel.up);
        let in_use = up && assessment.shown.exits.iter().any(|exit| exit.is_home == Some(false));
        if in_use && !self.tunnel_recorded {
            match self.store.set_tunnel_known(true).await {
                Ok(()) => self.tunnel_recorded = true,
                Err(error) => {
                    tracing::warn!(%error, "that a tunnel is in use could not be recorded; it is tried again");
                }
            }
        }
    }
}

fn done<T>(result: Result<T, sentinel_swarm::SwarmError>) -> Result<Reply, CommandError> {
    result.map(|_| Reply::Done).map_err(|cause| error(cause.to_string()))
}

fn error(message: String) -> CommandError {
    CommandError { message }
}
