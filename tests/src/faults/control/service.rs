//! Looks at public services, from the VPS: what the laptop sends stays what its node sends.

use super::Watch;
use crate::{
    host::Host,
    plan,
    probe::{self, Question, Way},
    world::{World, millis},
};
use anyhow::{Context, Result, ensure};
use std::{
    net::IpAddr,
    path::PathBuf,
    time::{Duration, Instant},
};

/// What a service is, and where.
#[derive(Clone, Debug)]
enum Kind {
    Stun(IpAddr),
    Echo(String, IpAddr, PathBuf),
    Resolver(IpAddr),
}

/// A public service as the VPS sees it.
#[derive(Clone, Debug)]
pub(super) struct Service {
    name: String,
    kind: Kind,
    from: Host,
}

impl Service {
    /// # Errors
    /// There is no such service in this world.
    pub(super) fn of(world: &World, name: &str) -> Result<Self> {
        let with = &world.spec.with;
        let first = |all: Vec<(&str, Vec<IpAddr>)>| {
            all.into_iter().find(|(host, _)| *host == name)?.1.first().copied()
        };
        let resolvers = plan::public_resolvers(with).into_iter().find(|(host, _)| *host == name);
        let kind = if let Some(address) = first(plan::stun_servers(with)) {
            Kind::Stun(address)
        } else if let Some(address) = first(plan::echo_services(with)) {
            Kind::Echo(format!("{name}.example"), address, world.authority()?)
        } else {
            Kind::Resolver(resolvers.with_context(|| format!("there is no public service {name}"))?.1.into())
        };
        Ok(Self { name: name.to_owned(), kind, from: world.host("vps")?.clone() })
    }

    /// What it says: an address, a status and a text, or who it is; and how long that took.
    async fn visit(&self, patience: Duration) -> Result<(String, Duration)> {
        let began = Instant::now();
        let way = Way { device: None, patience };
        let said = match &self.kind {
            Kind::Stun(address) => probe::mapped_by(&self.from, *address, way).await?.0.to_string(),
            Kind::Echo(name, address, authority) => {
                let page = probe::https(&self.from, authority, name, Some(*address), patience).await?;
                format!("{} {}", page.status, page.text)
            }
            Kind::Resolver(address) => {
                probe::ask(&self.from, Question::identity(*address, false), way).await?.join(" ")
            }
        };
        Ok((said, began.elapsed()))
    }

    fn watch<F>(self, promise: &str, patience: Duration, verdict: F) -> Watch
    where
        F: Fn(Result<(String, Duration)>) -> Result<()> + Clone + Send + Sync + 'static,
    {
        let promise = format!("{} {promise}", self.name);
        Watch::new(promise, move || {
            let (service, verdict) = (self.clone(), verdict.clone());
            async move { verdict(service.visit(patience).await) }
        })
    }

    /// # Errors
    /// It does not answer now, so that its silence would prove nothing.
    pub(super) async fn falls_silent(self) -> Result<Watch> {
        self.visit(super::SOON).await?;
        Ok(self.watch("does not answer", probe::PATIENCE, |seen| {
            ensure!(seen.is_err(), "it answers: {seen:?}");
            Ok(())
        }))
    }

    pub(super) fn answers_late(self, ms: f64) -> Result<Watch> {
        let late = millis(ms)?;
        Ok(self.watch(&format!("answers {late:?} late"), late + super::SOON, move |seen| {
            let (_, took) = seen?;
            ensure!(took >= late, "it takes {took:?}");
            Ok(())
        }))
    }

    pub(super) fn says(self, what: String) -> Watch {
        self.watch(&format!("says {what}"), super::SOON, move |seen| {
            let (said, _) = seen?;
            ensure!(said.contains(&what), "it says {said}");
            Ok(())
        })
    }

    /// It answers truly and at once.
    pub(super) fn recovers(self) -> Watch {
        let truth = match &self.kind {
            Kind::Resolver(_) => self.name.clone(),
            Kind::Stun(_) | Kind::Echo(..) => plan::VPS.to_string(),
        };
        self.watch("is what it was", probe::PATIENCE, move |seen| {
            let (said, _) = seen?;
            ensure!(said.contains(&truth), "it says {said}");
            Ok(())
        })
    }
}
