//! Keeps the home line current: by command, and from what the nodes on it announce.

use super::state::Actor;
use crate::{
    home,
    storage::{LedgerChange, Setting},
};
use sentinel_judge::Policy;
use sentinel_model::{CommandError, NodeView, Reply};
use std::net::IpAddr;

impl Actor {
    /// Learns the home line from what the world sees now.
    ///
    /// If a tunnel seems to be up, the person has to confirm it.
    pub(super) fn learn_home(&mut self, is_confirmed: bool) -> Result<Reply, CommandError> {
        self.home.learned = home::learn_home(&self.publisher.current().shown, is_confirmed)?;
        // The user has turned the VPN off on purpose, so the absence of a tunnel is not a loss.
        self.tunnel_recorded = false;
        let settings = [Setting::Home(self.home.learned.clone()), Setting::TunnelKnown(false)];
        self.ledger.enqueue(settings.map(LedgerChange::Setting));
        self.judge.adopt_home(self.policy_with_home());
        Ok(Reply::Done)
    }

    /// Sets the home line to the addresses the user typed.
    pub(super) fn set_home(&mut self, addresses: &[IpAddr]) -> Result<Reply, CommandError> {
        self.home.set_addresses(addresses, self.judge.policy())?;
        self.ledger.enqueue([LedgerChange::Setting(Setting::Home(self.home.learned.clone()))]);
        self.judge.set_policy(self.policy_with_home());
        Ok(Reply::Done)
    }

    /// Adopts what the nodes on the home line announce, now and after a restart.
    pub(super) fn adopt_announced_home(&mut self, nodes: &[NodeView]) {
        if self.home.record_announcements(nodes, self.judge.policy()) {
            let announced = Setting::HomeAnnounced(self.home.announced.clone());
            self.ledger.enqueue([LedgerChange::Setting(announced)]);
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
