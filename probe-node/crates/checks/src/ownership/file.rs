//! Who operates an address, by a MaxMind DB file on this machine. Nobody is asked and nobody learns of it.

use crate::error::CheckError;
use maxminddb::{MaxMindDbError, Reader};
use sentinel_model::{Asn, Owner};
use serde::Deserialize;
use std::{fs, net::IpAddr, path::Path};

/// The largest database of this kind in circulation has about 100 MiB; the file is kept in memory.
const MAX_FILE: u64 = 256 * 1024 * 1024;

/// A MaxMind DB file, in memory: it may be replaced or removed on disk at any time.
#[derive(Debug)]
pub(super) struct File {
    reader: Reader<Vec<u8>>,
}

impl File {
    pub(super) fn open(path: &Path) -> Result<Self, CheckError> {
        let failed = |cause: String| CheckError::OwnershipFile { path: path.to_owned(), cause };
        let size = fs::metadata(path).map_err(|error| failed(error.to_string()))?.len();
        if size > MAX_FILE {
            return Err(failed(format!("it has more than {} MiB", MAX_FILE / 1024 / 1024)));
        }
        let reader =
            Reader::open_readfile(path).map_err(|error: MaxMindDbError| failed(error.to_string()))?;
        Ok(Self { reader })
    }

    /// The operator; none if the file does not cover the address, or has a damaged record for it.
    pub(super) fn owner(&self, address: IpAddr) -> Option<Owner> {
        let record = self.reader.lookup(address).and_then(|found| found.decode::<Record>());
        match record {
            Ok(record) => record?.owner(),
            Err(error) => {
                tracing::debug!(%address, %error, "the ownership file has no readable record");
                None
            }
        }
    }
}

/// The fields of the databases in circulation, of which each has its own.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct Record {
    /// MaxMind and DB-IP.
    autonomous_system_number: Option<u32>,
    /// MaxMind and DB-IP.
    autonomous_system_organization: Option<String>,
    /// IPinfo: `AS64500`.
    asn: Option<String>,
    /// IPinfo.
    as_name: Option<String>,
    /// MaxMind and DB-IP: names by language. IPinfo: the code or the name.
    country: Option<Country>,
    /// IPinfo, where `country` is the code.
    country_name: Option<String>,
}

#[derive(Debug, Deserialize)]
#[serde(untagged)]
enum Country {
    Plain(String),
    Named { names: Names },
}

#[derive(Debug, Deserialize)]
struct Names {
    en: Option<String>,
}

impl Record {
    fn owner(self) -> Option<Owner> {
        let asn = self.autonomous_system_number.or_else(|| self.asn?.strip_prefix("AS")?.parse().ok());
        let country = self.country_name.or_else(|| match self.country? {
            Country::Plain(name) => Some(name),
            Country::Named { names } => names.en,
        });
        let asn = asn.map(Asn);
        // Without an operator the country says nothing about whose the address is.
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

    /// The metadata's own widths are fixed: 16 bits for the small numbers, 64 for the time.
    fn small(value: u16) -> Vec<u8> {
        [&[0xa2][..], &value.to_be_bytes()].concat()
    }

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

    /// A database of one record that covers all of IPv4.
    fn database(record: &[u8]) -> Vec<u8> {
        // One node, both sides of which lead to the first record: node count + 16.
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

    fn open(bytes: &[u8]) -> Result<File, CheckError> {
        let mut file = tempfile::NamedTempFile::new().unwrap();
        file.write_all(bytes).unwrap();
        File::open(file.path())
    }

    fn owner_by(record: &[u8]) -> Option<Owner> {
        open(&database(record)).unwrap().owner([203, 0, 113, 9].into())
    }

    #[test]
    fn records_of_every_maker_are_understood() {
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
    fn a_record_that_makes_no_sense_is_no_owner() {
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
    fn a_file_that_is_no_database_is_named_with_the_way_out() {
        for bytes in [&b""[..], b"<html>", b"\xab\xcd\xefMaxMind.com", &[0xff; 4096]] {
            let error = open(bytes).unwrap_err().to_string();
            assert!(error.contains("ownership file") && error.contains("[ownership]"), "{error}");
        }
    }
}
