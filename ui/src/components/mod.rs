//! The components that the pages are made of.

mod address;
mod banner;
mod button;
mod copyable_text;
mod fact_card;
mod hero;
mod icons;
mod incident;
mod keyed;
mod latency_chart;
mod live;
mod matrix;
mod rail;
mod setup;
mod shield;

pub use address::Address;
pub use banner::{Banners, LiveRegions};
pub use button::CommandButton;
pub use copyable_text::CopyableText;
pub use fact_card::FactCard;
pub use hero::HeroPanel;
pub use icons::Icon;
pub use incident::IncidentCard;
pub use keyed::keyed;
pub use latency_chart::{LatencyChart, Sparkline};
pub use live::{text, when};
pub use matrix::Matrix;
pub use rail::{Rail, TopBar};
pub use setup::Setup;
pub use shield::{ShapeDefinitions, Shield};
