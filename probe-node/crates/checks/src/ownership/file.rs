//! The operator of an address, from a MaxMind DB file on this machine. No one else is asked.

use crate::error::CheckError;
use maxminddb::{MaxMindDbError, Reader};
use sentinel_model::{Asn, Owner};
use serde::Deserialize;
use std::{fs, net::IpAddr, path::Path};

/// Size limit, as the file is kept in memory; the largest known databases have about 100 MiB.
const MAX_FILE: u64 = 256 * 1024 * 1024;

/// A MaxMind DB file in memory, so that it may be replaced or removed on disk at any time.
#[derive(Debug)]
pub(super) struct OwnershipFile {
    reader: Reader<Vec<u8>>,
}

impl OwnershipFile {
    pub(super) fn open(path: &Path) -> Result<Self, CheckError> {
        let failed = |cause: String| CheckError::OwnershipFile { path: path.to_owned(), cause };
        let size = fs::metadata(path).map_err(|error| failed(error.to_string()))?.len();
        if size > MAX_FILE {
            return Err(failed(format!("it is larger than {} MiB", MAX_FILE / 1024 / 1024)));
        }
        let reader =
            Reader::open_readfile(path).map_err(|error: MaxMindDbError| failed(error.to_string()))?;
        Ok(Self { reader })
    }

    /// Returns the operator, or `None` if the file has no valid record for the address.
    pub(super) fn owner(&self, address: IpAddr) -> Option<Owner> {
        let record = self.reader.lookup(address).and_then(|found| found.decode::<OwnerRecord>());
        match record {
            Ok(record) => record?.owner(),
            Err(error) => {
                tracing::debug!(%address, %error, "the ownership file has no readable record");
                None
            }
        }
    }
}

/// The fields of the supported databases; each uses some of them.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct OwnerRecord {
    /// MaxMind and DB-IP.
    autonomous_system_number: Option<u32>,
    /// MaxMind and DB-IP.
    autonomous_system_organization: Option<String>,
    /// IPinfo: `AS64500`.
    asn: Option<String>,
    /// IPinfo.
    as_name: Option<String>,
    /// MaxMind and DB-IP: the names by language. IPinfo: the code or the name.
    country: Option<Country>,
    /// IPinfo, where `country` is the code.
    country_name: Option<String>,
}

#[derive(Debug, Deserialize)]
#[serde(untagged)]
enum Country {
    Text(String),
    Translated { names: CountryNames },
}

#[derive(Debug, Deserialize)]
struct CountryNames {
    en: Option<String>,
}

impl OwnerRecord {
    fn owner(self) -> Option<Owner> {
        let asn = self.autonomous_system_number.or_else(|| self.asn?.strip_prefix("AS")?.parse().ok());
        let country = self.country_name.or_else(|| match self.country? {
            Country::Text(name) => Some(name),
            Country::Translated { names } => names.en,
        });
        let asn = asn.map(Asn);
        // A country without an operator does not identify an owner.
        let name = self.autonomous_system_organization.or(self.as_name).or(asn.map(|asn| asn.to_string()))?;
        Some(Owner { asn, name, country })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::Write;

    fn text(text: &str) -> Vec<u8> {
        let mut bytes = match u8::try_from(text.len()).unwrap() {
            short @ ..0x1d => vec![0x40 | short],
            long => vec![0x40 | 0x1d, long - 0x1d],
        };
        bytes.extend(text.as_bytes());
        bytes
    }

    fn number(value: u32) -> Vec<u8> {
        [&[0xc4][..], &value.to_be_bytes()].concat()
    }

    /// Encodes a small number of the metadata, which has a fixed width of 16 bits.
    fn small(value: u16) -> Vec<u8> {
        [&[0xa2][..], &value.to_be_bytes()].concat()
    }

    /// Encodes the time in the metadata, which has a fixed width of 64 bits.
    fn time(value: u64) -> Vec<u8> {
        [&[0x08, 0x02][..], &value.to_be_bytes()].concat()
    }

    fn map(entries: &[(&str, Vec<u8>)]) -> Vec<u8> {
        let mut bytes = vec![0xe0 | u8::try_from(entries.len()).unwrap()];
        for (key, value) in entries {
            bytes.extend(text(key));
            bytes.extend(value);
        }
        bytes
    }

    /// Returns a database of one record that covers all of IPv4.
    fn database(record: &[u8]) -> Vec<u8> {
        // One node whose branches both lead to the first record: node count + 16.
        let mut bytes = vec![0, 0, 17, 0, 0, 17];
        bytes.extend([0; 16]);
        bytes.extend(record);
        bytes.extend(b"\xab\xcd\xefMaxMind.com");
        bytes.extend(map(&[
            ("node_count", number(1)),
            ("record_size", small(24)),
            ("ip_version", small(4)),
            ("binary_format_major_version", small(2)),
            ("binary_format_minor_version", small(0)),
            ("build_epoch", time(1)),
            ("database_type", text("Test")),
            ("languages", vec![0, 4]),
            ("description", map(&[])),
        ]));
        bytes
    }

    fn open(bytes: &[u8]) -> Result<OwnershipFile, CheckError> {
        let mut file = tempfile::NamedTempFile::new().unwrap();
        file.write_all(bytes).unwrap();
        OwnershipFile::open(file.path())
    }

    fn owner_by(record: &[u8]) -> Option<Owner> {
        open(&database(record)).unwrap().owner([203, 0, 113, 9].into())
    }

    #[test]
    fn records_of_every_vendor_are_parsed() {
        let expected = |country: Option<&str>| {
            let country = country.map(str::to_owned);
            Some(Owner { asn: Some(Asn(64_500)), name: "Example".into(), country })
        };
        let maxmind = [
            ("autonomous_system_number", number(64_500)),
            ("autonomous_system_organization", text("Example")),
            ("country", map(&[("names", map(&[("en", text("Sweden"))]))])),
        ];
        assert_eq!(owner_by(&map(&maxmind)), expected(Some("Sweden")));
        assert_eq!(owner_by(&map(&maxmind[..2])), expected(None));
        let ipinfo = [("asn", text("AS64500")), ("as_name", text("Example")), ("country", text("Sweden"))];
        assert_eq!(owner_by(&map(&ipinfo)), expected(Some("Sweden")));
    }

    #[test]
    fn a_malformed_record_is_not_an_owner() {
        for record in [
            map(&[("country", text("Sweden"))]),
            map(&[("autonomous_system_number", text("many"))]),
            number(7),
            vec![0x20, 0x00], // a pointer to itself
            vec![0xff; 8],
        ] {
            assert_eq!(owner_by(&record), None, "{record:?}");
        }
    }

    #[test]
    fn the_error_for_an_unusable_file_names_the_section_to_correct() {
        for bytes in [&b""[..], b"<html>", b"\xab\xcd\xefMaxMind.com", &[0xff; 4096]] {
            let error = open(bytes).unwrap_err().to_string();
            assert!(error.contains("ownership file") && error.contains("[ownership]"), "{error}");
        }
    }
}
