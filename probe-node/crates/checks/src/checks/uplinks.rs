//! Check "routes", its part about uplinks: the interfaces by which the machine can reach the
//! internet, with their public addresses. Nothing is sent.

use crate::context::Context;
use ipnet::IpNet;
use sentinel_model::{Attributed, Interface, Outcome, Uplink, is_within};
use std::net::IpAddr;

/// Returns the uplinks that are up.
///
/// The operators of their addresses come from local tables only: asking a service about them would
/// tell it where this machine is.
pub(crate) async fn find(context: &Context, interfaces: &Outcome<Vec<Interface>>) -> Outcome<Vec<Uplink>> {
    let interfaces = match interfaces {
        Outcome::Measured(interfaces) => interfaces,
        Outcome::Unknown(reason) => return Outcome::Unknown(reason.clone()),
    };
    let names = match context.platform.list_uplinks().await {
        Outcome::Measured(names) => names,
        Outcome::Unknown(reason) => return Outcome::Unknown(reason),
    };
    let uplinks = interfaces.iter().filter(|interface| interface.up && names.contains(&interface.name));
    Outcome::Measured(uplinks.map(|interface| describe(context, interface)).collect())
}

fn describe(context: &Context, interface: &Interface) -> Uplink {
    let public = interface.addresses.iter().map(IpNet::addr);
    let public = public.filter(|address| !is_within(*address, &context.bogons));
    Uplink {
        interface: interface.name.clone(),
        public_addresses: public.map(|address| attribute(context, address)).collect(),
    }
}

fn attribute(context: &Context, address: IpAddr) -> Attributed {
    Attributed { address: address.to_canonical(), owner: context.ownership.find_local_owner(address) }
}
