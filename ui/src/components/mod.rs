//! The pieces the pages are made of.

mod banner;
mod button;
mod command_line;
mod fact_card;
mod hero;
mod icons;
mod incident;
mod keyed;
mod live;
mod matrix;
mod rail;
mod setup;
mod shield;
mod sparkline;

pub use banner::{Banners, LiveRegions};
pub use button::CommandButton;
pub use command_line::{Address, CommandLine};
pub use fact_card::FactCard;
pub use hero::HeroPanel;
pub use icons::Icon;
pub use incident::IncidentCard;
pub use keyed::keyed;
pub use live::{text, when};
pub use matrix::Matrix;
pub use rail::{Rail, TopBar};
pub use setup::Setup;
pub use shield::{Glossary, Shield};
pub use sparkline::{Plot, Sparkline};
