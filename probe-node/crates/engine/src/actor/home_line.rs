//! Keeps the home line current: by command, and from what the nodes on it announce.

use super::state::Actor;
use crate::home;
use sentinel_judge::Policy;
use sentinel_model::{CommandError, NodeView, Reply};
use sentinel_store::StoreError;
use std::net::IpAddr;

impl Actor {
    /// Learns the home line from what the world sees now.
    pub(super) async fn learn_home(&mut self) -> Result<Reply, CommandError> {
        self.home.learned = home::learn_home(&self.publisher.current().shown)?;
        self.store.set_home(&self.home.learned).await.map_err(|cause| command_error(&cause))?;
        // The user has turned the VPN off on purpose, so the absence of a tunnel is not a loss.
        self.store.set_tunnel_known(false).await.map_err(|cause| command_error(&cause))?;
        self.recorder.forget_tunnel();
        self.judge.adopt_home(self.policy_with_home());
        Ok(Reply::Done)
    }

    /// Sets the home line to the addresses the user typed.
    pub(super) async fn set_home(&mut self, addresses: &[IpAddr]) -> Result<Reply, CommandError> {
        self.home.set_addresses(addresses, self.judge.policy())?;
        self.store.set_home(&self.home.learned).await.map_err(|cause| command_error(&cause))?;
        self.judge.set_policy(self.policy_with_home());
        Ok(Reply::Done)
    }

    /// Adopts what the nodes on the home line announce, now and after a restart.
    pub(super) async fn adopt_announced_home(&mut self, nodes: &[NodeView]) {
        if self.home.record_announcements(nodes, self.judge.policy()) {
            if let Err(error) = self.store.set_home_announced(&self.home.announced).await {
                tracing::warn!(%error, "could not store an announced home line; it is lost at a restart");
            }
            self.judge.set_policy(self.policy_with_home());
        }
    }

    /// Returns the judge's policy with the current home, which is also kept from ownership
    /// services.
    fn policy_with_home(&self) -> Policy {
        let home = self.home.merged();
        self.measuring.ownership.keep_secret(home.clone());
        Policy { home, ..self.judge.policy().clone() }
    }
}

fn command_error(cause: &StoreError) -> CommandError {
    CommandError { message: cause.to_string() }
}
