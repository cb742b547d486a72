//! Learning which line is home, from what the world sees while the VPN is off.

use sentinel_judge::Assessment;
use sentinel_model::{Agreement, CommandError, Family, Home, Outcome};
use std::net::IpAddr;

/// What the world sees now, as home; refused while a tunnel is up or nobody agrees on an address.
pub(crate) fn learn(now: &Assessment) -> Result<Home, CommandError> {
    if let Some(tunnel) = now.tunnel.as_ref().filter(|tunnel| tunnel.up) {
        return Err(refuse(format!(
            "The tunnel {} is up, so what the world sees is not your home line. Turn the VPN off and ask again.",
            tunnel.interface
        )));
    }
    let addresses: Vec<IpAddr> = now
        .exits
        .iter()
        .filter(|exit| exit.voices.iter().filter(|voice| voice.agreement == Agreement::Agrees).count() >= 2)
        .filter_map(|exit| match &exit.address {
            Outcome::Measured(seen) => Some(seen.address),
            Outcome::Unknown(_) => None,
        })
        .collect();
    if addresses.is_empty() {
        return Err(refuse(
            "Fewer than two witnesses agree on your address now, so it cannot be learned. Add a node or allow public \
             services, or write the address under [home] in the configuration."
                .to_owned(),
        ));
    }
    Ok(Home { addresses, ..Home::default() })
}

/// What the user wrote, and what was learned for families the user wrote nothing about.
pub(crate) fn merge(configured: &Home, learned: &Home) -> Home {
    let mut home = configured.clone();
    let new = learned.addresses.iter().filter(|address| !configured.known(Family::of(**address)));
    home.addresses.extend(new);
    home
}

fn refuse(message: String) -> CommandError {
    CommandError { message }
}
