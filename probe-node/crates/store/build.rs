//! Rebuilds the crate when a migration is added.
//!
//! The macro that embeds the migrations only notices changes to the files it already embeds.

fn main() {
    println!("cargo::rerun-if-changed=migrations");
}
