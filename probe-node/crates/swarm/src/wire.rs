//! CBOR (RFC 8949) encoding of everything that is sent or signed, and limits for received values.

use libp2p::{Multiaddr, PeerId};
use serde::{Deserialize, Serialize, de::DeserializeOwned};

/// The most addresses one node may have.
pub(crate) const MAX_ADDRESSES: usize = 8;
/// The longest encoded address, in bytes.
const MAX_ADDRESS_BYTES: usize = 256;
/// The longest name of a node, in bytes.
pub(crate) const MAX_NAME_BYTES: usize = 64;

/// Encodes a value as CBOR.
///
/// Encoding the plain types used here into memory cannot fail. If it ever did, the result would be
/// empty, which every decoder refuses.
pub(crate) fn encode<T: Serialize>(value: &T) -> Vec<u8> {
    cbor4ii::serde::to_vec(Vec::new(), value).unwrap_or_default()
}

/// Decodes a value from CBOR. Returns `None` if the bytes do not hold one.
pub(crate) fn decode<T: DeserializeOwned>(bytes: &[u8]) -> Option<T> {
    cbor4ii::serde::from_slice(bytes).ok()
}

/// Returns true if a received list of addresses is within the limits.
pub(crate) fn addresses_within_limits(addresses: &[Multiaddr]) -> bool {
    addresses.len() <= MAX_ADDRESSES && addresses.iter().all(|address| address.len() <= MAX_ADDRESS_BYTES)
}

/// Makes a received name fit to display: without control characters, and not too long.
pub(crate) fn sanitize_name(name: &str) -> String {
    let mut sanitized = String::new();
    for letter in name.trim().chars().filter(|letter| !letter.is_control()) {
        if sanitized.len() + letter.len_utf8() > MAX_NAME_BYTES {
            break;
        }
        sanitized.push(letter);
    }
    if sanitized.is_empty() { "unnamed".to_owned() } else { sanitized }
}

/// A `PeerId` that serialises as its bytes, which libp2p's own type does not.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) struct WirePeer(pub PeerId);

impl Serialize for WirePeer {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_bytes(&self.0.to_bytes())
    }
}

impl<'de> Deserialize<'de> for WirePeer {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let bytes = serde_bytes::ByteBuf::deserialize(deserializer)?;
        PeerId::from_bytes(&bytes).map(Self).map_err(serde::de::Error::custom)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn received_names_are_made_fit_to_display() {
        assert_eq!(sanitize_name("  vps-fra\n"), "vps-fra");
        assert_eq!(sanitize_name("a\u{1b}[31mb"), "a[31mb");
        assert_eq!(sanitize_name("\u{7}"), "unnamed");
        assert_eq!(sanitize_name(&"é".repeat(100)).len(), MAX_NAME_BYTES);
    }
}
