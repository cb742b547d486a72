//! Who saw which exit, and who resolves our names.

use crate::{
    components::{Address, Matrix, text},
    session::Session,
    view::since,
};
use leptos::prelude::*;
use sentinel_model::{ConfiguredResolver, Outcome, ResolverPath, ResolverView};

/// The exits by voice and the resolvers by path.
#[component]
pub fn ExitDns(session: Session) -> impl IntoView {
    let tunnel = session.pick(|snapshot| snapshot.tunnel.clone());
    let tunnel_line = move || match tunnel.get() {
        None => "No tunnel has been seen on this machine.".to_owned(),
        Some(tunnel) if tunnel.up => format!("The tunnel {} is up.", tunnel.interface),
        Some(tunnel) => format!("The tunnel {} is down.", tunnel.interface),
    };
    view! {
        <section class="card panel" aria-labelledby="exits">
            <h2 id="exits">"Who saw which exit"</h2>
            <p class="note">{text(tunnel_line)}</p>
            <Matrix session=session owners=true />
        </section>
        <Resolvers session=session />
    }
}

#[component]
fn Resolvers(session: Session) -> impl IntoView {
    let dns = session.pick(|snapshot| snapshot.dns.clone());
    let lasting = move || dns.with(|dns| since(session.now(), dns.since, session.offset()));
    let seen = move || {
        dns.with(|dns| match &dns.resolvers {
            Outcome::Measured(resolvers) => resolvers.iter().map(seen_row).collect_view().into_any(),
            Outcome::Unknown(reason) => {
                view! { <tr><td colspan="3">{format!("Could not tell: {reason}.")}</td></tr> }.into_any()
            }
        })
    };
    view! {
        <section class="card panel" aria-labelledby="resolvers">
            <h2 id="resolvers">"Who resolves your names"</h2>
            <p class="note">"Told by the authoritative server that was asked, "{text(lasting)}"."</p>
            <div class="scroll" tabindex="0" role="region" aria-label="Resolvers seen">
                <table class="matrix">
                    <thead>
                        <tr><th scope="col">"Asked through"</th><th scope="col">"Answered by"</th><th scope="col">"Belongs to"</th></tr>
                    </thead>
                    <tbody>{seen}</tbody>
                </table>
            </div>
        </section>
        <section class="card panel" aria-labelledby="configured">
            <h2 id="configured">"What this system is set to use"</h2>
            <ul class="plain">
                {move || dns.with(|dns| match dns.configured.as_slice() {
                    [] => view! { <li>"No resolver is configured."</li> }.into_any(),
                    configured => configured.iter().map(configured_line).collect_view().into_any(),
                })}
            </ul>
        </section>
    }
}

fn seen_row(view: &ResolverView) -> impl IntoView + use<> {
    let path = match view.path {
        ResolverPath::System => "The system, as applications do".to_owned(),
        ResolverPath::Configured(address) => format!("{address}, directly"),
        ResolverPath::Gateway(address) => format!("The gateway {address}"),
        ResolverPath::Dhcp(address) => format!("{address}, offered by the local network"),
    };
    let owner = view.resolver.owner.as_ref().map_or("Not known".to_owned(), ToString::to_string);
    let (class, owner) =
        if view.is_home { ("saw disagrees", format!("{owner}: your home line")) } else { ("saw", owner) };
    view! {
        <tr>
            <th scope="row">{path}</th>
            <td class=class><Address text=Signal::stored(view.resolver.address.to_string()) /></td>
            <td>{owner}</td>
        </tr>
    }
}

fn configured_line(resolver: &ConfiguredResolver) -> impl IntoView + use<> {
    let line = match &resolver.interface {
        Some(interface) => format!("{} on {interface}", resolver.address),
        None => resolver.address.to_string(),
    };
    view! { <li>{line}</li> }
}
