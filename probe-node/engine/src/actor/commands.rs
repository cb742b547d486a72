//! What a person or a program asks for.

use super::{Actor, Request};
use crate::home;
use sentinel_model::{Command, CommandError, Millis, Pause, Reply, Timestamp};

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
        self.waiting.push(reply);
        self.look_at_local_facts();
        self.beacon.soon(now);
        self.round.soon(now);
    }

    fn pause(&mut self, pause: Option<Pause>) {
        let now = (self.clock)();
        self.pause = pause;
        self.judge.paused(pause.is_some(), now);
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
        let learned = home::learn(&self.last)?;
        self.store.set_home(&learned).await.map_err(|cause| error(cause.to_string()))?;
        let mut policy = self.judge.policy().clone();
        policy.home = home::merge(&self.configured_home, &learned);
        self.judge.set_policy(policy);
        Ok(Reply::Done)
    }
}

fn done<T>(result: Result<T, sentinel_swarm::SwarmError>) -> Result<Reply, CommandError> {
    result.map(|_| Reply::Done).map_err(|cause| error(cause.to_string()))
}

fn error(message: String) -> CommandError {
    CommandError { message }
}
