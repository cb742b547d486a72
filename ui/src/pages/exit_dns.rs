//! Who saw which exit, who resolves names, and the tunnel.

use crate::{
    components::{Address, Matrix, text},
    session::Session,
    view::{describe_tunnel, informational_sentences},
};
use leptos::prelude::*;
use sentinel_model::{ConfiguredResolver, Outcome, ResolverPath, ResolverRole, ResolverView};

/// The page "Exit & DNS".
#[component]
pub fn ExitDns(session: Session) -> impl IntoView {
    let tunnel = session.select(|snapshot| snapshot.shown.tunnel.clone());
    let line = move || tunnel.with(|tunnel| describe_tunnel(tunnel.as_ref()));
    view! {
        <section class="card panel" aria-labelledby="exits">
            <h2 id="exits">"Who saw which exit"</h2>
            <p class="note">{text(line)}</p>
            <Matrix session=session owners=true />
        </section>
        <Resolvers session=session />
        <WorthKnowing session=session />
    }
}

/// The findings that need no action; hidden if there are none.
#[component]
fn WorthKnowing(session: Session) -> impl IntoView {
    let sentences = session.select(|snapshot| informational_sentences(&snapshot.shown.findings));
    let list =
        move || sentences.get().into_iter().map(|sentence| view! { <li>{sentence}</li> }).collect_view();
    view! {
        <Show when=move || sentences.with(|sentences| !sentences.is_empty())>
            <section class="card panel" aria-labelledby="noted">
                <h2 id="noted">"Worth knowing"</h2>
                <p class="note">"No action is needed."</p>
                <ul class="plain">{list}</ul>
            </section>
        </Show>
    }
}

#[component]
fn Resolvers(session: Session) -> impl IntoView {
    let dns = session.select(|snapshot| snapshot.shown.dns.clone());
    let lasting = move || dns.with(|dns| dns.since.format_since(session.now(), session.offset()));
    let seen = move || {
        dns.with(|dns| match &dns.resolvers {
            Outcome::Measured(resolvers) => resolvers.iter().map(resolver_row).collect_view().into_any(),
            Outcome::Unknown(reason) => {
                view! { <tr><td colspan="3">{format!("Undetermined: {reason}.")}</td></tr> }.into_any()
            }
        })
    };
    view! {
        <section class="card panel" aria-labelledby="resolvers">
            <h2 id="resolvers">"Who resolves your names"</h2>
            <p class="note">"As reported by the authoritative server that was asked, "{text(lasting)}"."</p>
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
            <h2 id="configured">"Resolvers configured on this system"</h2>
            <ul class="plain">
                {move || dns.with(|dns| match dns.configured.as_slice() {
                    [] => view! { <li>"No resolver is configured."</li> }.into_any(),
                    configured => configured.iter().map(configured_item).collect_view().into_any(),
                })}
            </ul>
        </section>
    }
}

fn resolver_row(view: &ResolverView) -> impl IntoView + use<> {
    let path = match view.path {
        ResolverPath::System => "The system, as applications do".to_owned(),
        ResolverPath::Configured(address) => format!("{address}, directly"),
        ResolverPath::Gateway(address) => format!("The gateway {address}"),
        ResolverPath::Dhcp(address) => format!("{address}, offered by the local network"),
    };
    let owner = view.resolver.owner.as_ref().map_or("Unknown".to_owned(), ToString::to_string);
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

fn configured_item(resolver: &ConfiguredResolver) -> impl IntoView + use<> {
    let on = resolver.interface.as_ref().map(|interface| format!(" on {interface}")).unwrap_or_default();
    let role = match resolver.role {
        ResolverRole::First | ResolverRole::Unspecified => "",
        ResolverRole::Fallback => ", if the resolvers before it do not answer",
        ResolverRole::Forwarded => ", used for every name by this machine's forwarder",
        ResolverRole::ForwardedElsewhere => {
            ", used for every name by a forwarder in another network namespace"
        }
        ResolverRole::Scoped => ", only for the names of its own link",
    };
    let line = format!("{}{on}{role}", resolver.address);
    view! { <li>{line}</li> }
}
