//! Public DNS names whose authoritative servers report who asked.

use crate::{
    dns::name,
    error::CheckError,
    settings::{Service, WhoamiKind, WhoamiZone},
};

/// Parses a name, or `*.zone` for a zone in which every name is answered.
pub(crate) fn parse(service: &Service) -> Result<WhoamiZone, CheckError> {
    let (zone, kind) = match service.address.strip_prefix("*.") {
        Some(zone) => (zone, WhoamiKind::Canary),
        None => (service.address.as_str(), WhoamiKind::Fixed),
    };
    name::parse(zone).map_err(|_| CheckError::service(&service.name, &service.address, "a domain name"))?;
    Ok(WhoamiZone { name: zone.to_owned(), kind })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_asterisk_marks_a_zone_and_its_absence_a_fixed_name() {
        let parse = |address: &str| parse(&Service::new("w", address)).unwrap();
        assert_eq!(
            parse("*.who.example"),
            WhoamiZone { name: "who.example".into(), kind: WhoamiKind::Canary }
        );
        assert_eq!(parse("me.example"), WhoamiZone { name: "me.example".into(), kind: WhoamiKind::Fixed });
    }
}
