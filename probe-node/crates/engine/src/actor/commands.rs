//! Carries out what a person or a program asks for.

use super::{rounds::ReplySender, state::Actor};
use sentinel_model::{Command, CommandError, IncidentId, Millis, Pause, Reply};
use sentinel_swarm::SwarmError;

/// How long an invitation can be accepted.
const INVITATION_TTL: Millis = Millis::secs(600);

/// A command, and where its result goes.
pub(crate) struct CommandRequest {
    pub(crate) command: Command,
    pub(crate) reply: ReplySender,
}

/// The answer to a command that has been carried out.
pub(super) struct PendingReply {
    reply: ReplySender,
    result: Result<Reply, CommandError>,
}

impl PendingReply {
    /// Sends the answer.
    pub(super) fn send(self) {
        // The caller may have stopped waiting; the command is carried out all the same.
        let _ = self.reply.send(self.result);
    }
}

impl Actor {
    /// Carries out a command and returns the answer, to be sent when its changes are handed over.
    ///
    /// Returns none if a round will answer the command when it ends.
    pub(super) async fn carry_out(&mut self, request: CommandRequest) -> Option<PendingReply> {
        let CommandRequest { command, reply } = request;
        let result = match command {
            Command::CheckNow => {
                self.check_now(reply);
                return None;
            }
            Command::Pause { until } => {
                self.start_pause(Pause { until });
                Ok(Reply::Done)
            }
            Command::Resume => {
                self.end_pause();
                Ok(Reply::Done)
            }
            Command::Acknowledge { incident } => self.acknowledge(&incident),
            Command::LearnHome { confirmed } => self.learn_home(confirmed),
            Command::ShowHome => Ok(Reply::Home { home: self.home.merged() }),
            Command::SetHome { addresses } => self.set_home(&addresses),
            Command::Invite => match self.swarm.invite(INVITATION_TTL).await {
                Ok((text, expires)) => Ok(Reply::Invitation { text, expires }),
                Err(cause) => Err(command_error(&cause)),
            },
            Command::AcceptInvitation { invitation } => match self.swarm.accept(&invitation).await {
                Ok(fingerprint) => Ok(Reply::Waiting { fingerprint }),
                Err(cause) => Err(command_error(&cause)),
            },
            Command::Confirm { fingerprint } => done(self.swarm.confirm(&fingerprint).await),
            Command::Revoke { node } => done(self.swarm.revoke(&node).await),
        };
        Some(PendingReply { reply, result })
    }

    fn check_now(&mut self, reply: ReplySender) {
        self.measuring.rounds.reply_after_next(reply);
        self.start_local_checks();
        let now = self.now().boot;
        self.cadence.request_despite_pause(now);
    }

    fn acknowledge(&mut self, incident: &IncidentId) -> Result<Reply, CommandError> {
        let now = self.now();
        if self.judge.acknowledge(incident, now) {
            Ok(Reply::Done)
        } else {
            Err(CommandError { message: format!("There is no open incident {incident}; it may have ended.") })
        }
    }

    fn start_pause(&mut self, pause: Pause) {
        let now = self.now();
        self.cadence.start_pause(pause, now);
        self.judge.set_paused(true, now);
    }

    fn end_pause(&mut self) {
        let now = self.now();
        self.cadence.end_pause(now.boot);
        self.judge.set_paused(false, now);
        self.start_local_checks();
    }

    /// Resumes measuring if the pause was limited and its time has passed.
    pub(super) fn end_pause_when_due(&mut self) {
        if self.cadence.is_pause_over(self.now().boot) {
            self.end_pause();
        }
    }
}

fn done<T>(result: Result<T, SwarmError>) -> Result<Reply, CommandError> {
    result.map(|_| Reply::Done).map_err(|cause| command_error(&cause))
}

fn command_error(cause: &SwarmError) -> CommandError {
    CommandError { message: cause.to_string() }
}
