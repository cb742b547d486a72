//! Domain names.

use hickory_resolver::proto::rr::Name;

/// The port of plain DNS.
pub(crate) const DNS_PORT: u16 = 53;

/// Parses a domain name as fully qualified, so that no search domain is ever appended.
pub(crate) fn parse(text: &str) -> Result<Name, String> {
    let mut name = Name::from_ascii(text).map_err(|error| error.to_string())?;
    if name.iter().next().is_none() {
        return Err("it is empty".into());
    }
    name.set_fqdn(true);
    Ok(name)
}

/// Returns a name as people write it, without the root's dot.
pub(crate) fn to_text(name: &Name) -> String {
    let mut text = name.to_string();
    text.pop();
    text
}
