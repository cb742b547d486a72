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
