//! The routes by which voices are reached, so that the judge can tell what a path is by what the
//! voices see through it.

use crate::platform::{PacketKind, Platform};
use sentinel_model::{Epoch, Outcome, RouteTaken};
use std::{
    collections::HashMap,
    sync::{Mutex, PoisonError},
};

/// More addresses than a node asks in one epoch.
const MAX_ROUTES: usize = 256;

/// The routes of one epoch.
///
/// A route only changes with a change of the network, which begins a new epoch, so that one lookup
/// per epoch and kind of packet is enough.
#[derive(Debug, Default)]
pub(crate) struct VoiceRoutes {
    known: Mutex<(Epoch, HashMap<PacketKind, RouteTaken>)>,
}

impl VoiceRoutes {
    /// Returns the route to a voice, if the kernel reports one.
    pub(super) async fn find(
        &self,
        platform: &dyn Platform,
        epoch: Epoch,
        packet: PacketKind,
    ) -> Option<RouteTaken> {
        if let Some(known) = self.of_epoch(epoch, |routes| routes.get(&packet).cloned()) {
            return Some(known);
        }
        let Outcome::Measured(taken) = platform.find_route(packet).await else { return None };
        self.of_epoch(epoch, |routes| {
            if routes.len() < MAX_ROUTES {
                routes.insert(packet, taken.clone());
            }
        });
        Some(taken)
    }

    /// Applies `use_routes` to the routes of an epoch; those of another epoch are forgotten first.
    fn of_epoch<T>(
        &self,
        epoch: Epoch,
        use_routes: impl FnOnce(&mut HashMap<PacketKind, RouteTaken>) -> T,
    ) -> T {
        let mut known = self.known.lock().unwrap_or_else(PoisonError::into_inner);
        let (of, routes) = &mut *known;
        if *of != epoch {
            routes.clear();
            *of = epoch;
        }
        use_routes(routes)
    }
}
