//! CBOR (RFC 8949) with limits: everything that travels or is signed goes through here.

use libp2p::{Multiaddr, PeerId};
use serde::{Deserialize, Serialize, de::DeserializeOwned};

/// How many addresses one node may have.
pub(crate) const MAX_ADDRESSES: usize = 8;
/// How long one address may be, encoded.
const MAX_ADDRESS_BYTES: usize = 256;
/// How long a node's name may be, in bytes.
pub(crate) const MAX_NAME_BYTES: usize = 64;

/// A value as CBOR. Encoding into memory cannot fail for the plain types used here; should it ever, the empty result is
/// refused by every decoder.
pub(crate) fn encode<T: Serialize>(value: &T) -> Vec<u8> {
    cbor4ii::serde::to_vec(Vec::new(), value).unwrap_or_default()
}

/// A value from CBOR; `None` if the bytes do not hold one.
pub(crate) fn decode<T: DeserializeOwned>(bytes: &[u8]) -> Option<T> {
    cbor4ii::serde::from_slice(bytes).ok()
}

/// Whether a list of addresses that came from outside is within bounds.
pub(crate) fn addresses_are_sane(addresses: &[Multiaddr]) -> bool {
    addresses.len() <= MAX_ADDRESSES && addresses.iter().all(|address| address.len() <= MAX_ADDRESS_BYTES)
}

/// A name that came from outside, made fit to show: no control characters, not too long.
pub(crate) fn presentable_name(name: &str) -> String {
    let mut shown = String::new();
    for letter in name.trim().chars().filter(|letter| !letter.is_control()) {
        if shown.len() + letter.len_utf8() > MAX_NAME_BYTES {
            break;
        }
        shown.push(letter);
    }
    if shown.is_empty() { "unnamed".to_owned() } else { shown }
}

/// A PeerId as its bytes, since libp2p's own type does not serialise.
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
    fn names_from_outside_are_made_presentable() {
        assert_eq!(presentable_name("  vps-fra\n"), "vps-fra");
        assert_eq!(presentable_name("a\u{1b}[31mb"), "a[31mb");
        assert_eq!(presentable_name("\u{7}"), "unnamed");
        assert_eq!(presentable_name(&"é".repeat(100)).len(), MAX_NAME_BYTES);
    }
}
