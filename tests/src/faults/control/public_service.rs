//! Effects at public services, observed from the VPS so that the laptop sends only its node's
//! packets.

use super::effect::{Effect, SOON};
use crate::{
    host::Host,
    plan,
    probe::{self, DnsQuestion, ProbeOptions},
    world::{World, parse_millis},
};
use anyhow::{Context, Result, ensure};
use std::{
    net::IpAddr,
    path::PathBuf,
    time::{Duration, Instant},
};

/// The protocol and address of a service.
#[derive(Clone, Debug)]
enum ServiceKind {
    Stun(IpAddr),
    Echo { name: String, address: IpAddr, authority: PathBuf },
    Resolver(IpAddr),
}

/// A public service, and the host from which it is observed.
#[derive(Clone, Debug)]
pub(super) struct PublicService {
    name: String,
    kind: ServiceKind,
    from: Host,
}

impl PublicService {
    /// Finds a public service by its host.
    ///
    /// # Errors
    /// Fails if there is no such service in this world.
    pub(super) fn find(world: &World, name: &str) -> Result<Self> {
        let with = &world.spec.with;
        let first = |all: Vec<(&str, Vec<IpAddr>)>| {
            all.into_iter().find(|(host, _)| *host == name)?.1.first().copied()
        };
        let resolvers = plan::public_resolvers(with).into_iter().find(|(host, _)| *host == name);
        let kind = if let Some(address) = first(plan::stun_servers(with)) {
            ServiceKind::Stun(address)
        } else if let Some(address) = first(plan::echo_services(with)) {
            ServiceKind::Echo { name: format!("{name}.example"), address, authority: world.authority()? }
        } else {
            ServiceKind::Resolver(
                resolvers.with_context(|| format!("there is no public service {name}"))?.1.into(),
            )
        };
        Ok(Self { name: name.to_owned(), kind, from: world.host("vps")?.clone() })
    }

    /// Queries the service. Returns its reply as text, and how long the reply took.
    ///
    /// The text is an address, a status with a body, or the identity of a resolver.
    async fn query(&self, patience: Duration) -> Result<(String, Duration)> {
        let began = Instant::now();
        let options = ProbeOptions { device: None, patience };
        let reply = match &self.kind {
            ServiceKind::Stun(address) => {
                probe::query_stun_once(&self.from, *address, options).await?.0.to_string()
            }
            ServiceKind::Echo { name, address, authority } => {
                let reply = probe::get_https(&self.from, authority, name, Some(*address), patience).await?;
                format!("{} {}", reply.status, reply.text)
            }
            ServiceKind::Resolver(address) => {
                let question = DnsQuestion::identity(*address, false);
                probe::query_resolver(&self.from, question, options).await?.join(" ")
            }
        };
        Ok((reply, began.elapsed()))
    }

    /// Returns an effect that `accept` recognises in the outcome of a query.
    fn effect<F>(self, description: &str, patience: Duration, accept: F) -> Effect
    where
        F: Fn(Result<(String, Duration)>) -> Result<()> + Clone + Send + Sync + 'static,
    {
        let description = format!("{} {description}", self.name);
        Effect::new(description, move || {
            let (service, accept) = (self.clone(), accept.clone());
            async move { accept(service.query(patience).await) }
        })
    }

    /// Expects the service not to answer.
    ///
    /// # Errors
    /// Fails if it does not answer now, because its silence would then prove nothing.
    pub(super) async fn expect_silence(self) -> Result<Effect> {
        self.query(SOON).await?;
        Ok(self.effect("does not answer", probe::PATIENCE, |outcome| {
            ensure!(outcome.is_err(), "it answers: {outcome:?}");
            Ok(())
        }))
    }

    /// Expects answers to take at least `ms` milliseconds.
    pub(super) fn expect_delay(self, ms: f64) -> Result<Effect> {
        let delay = parse_millis(ms)?;
        Ok(self.effect(&format!("answers after {delay:?}"), delay + SOON, move |outcome| {
            let (_, took) = outcome?;
            ensure!(took >= delay, "it answers after {took:?}");
            Ok(())
        }))
    }

    /// Expects answers to contain a text.
    pub(super) fn expect_reply(self, text: String) -> Effect {
        self.effect(&format!("answers {text}"), SOON, move |outcome| {
            let (reply, _) = outcome?;
            ensure!(reply.contains(&text), "it answers {reply}");
            Ok(())
        })
    }

    /// Expects correct answers in the usual time.
    pub(super) fn expect_recovery(self) -> Effect {
        let correct = match &self.kind {
            ServiceKind::Resolver(_) => self.name.clone(),
            ServiceKind::Stun(_) | ServiceKind::Echo { .. } => plan::VPS.to_string(),
        };
        self.effect("answers correctly", probe::PATIENCE, move |outcome| {
            let (reply, _) = outcome?;
            ensure!(reply.contains(&correct), "it answers {reply}");
            Ok(())
        })
    }
}
