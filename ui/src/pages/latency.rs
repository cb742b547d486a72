//! Round trips over the last two minutes, one chart per target and family.

use crate::{
    components::{LatencyChart, keyed, when},
    session::Session,
};
use leptos::prelude::*;

/// The page "Latency".
#[component]
pub fn Latency(session: Session) -> impl IntoView {
    let series = session.select(|snapshot| snapshot.shown.latency.clone());
    view! {
        <p class="note">
            "A tunnel cannot make a path shorter. When a round trip falls well below its usual value, traffic may be going around the tunnel. The dashed line is the usual value."
        </p>
        {when(move || series.with(Vec::is_empty), || view! {
            <section class="card panel">
                <h2>"Nothing measured yet"</h2>
                <p>"Round trips are measured to your nodes with every beacon. Add a node, or wait for the first answer."</p>
            </section>
        })}
        <div class="plots">
            {keyed(
                series,
                |view| format!("{:?} {}", view.target.source, view.family),
                move |view| view! { <LatencyChart session=session view=view /> },
            )}
        </div>
    }
}
