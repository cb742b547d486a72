//! The lab's own certificate authority, and the certificates it issues.

use crate::{
    host::Host,
    wiring::{Hosts, find_host},
};
use anyhow::Result;
use std::path::PathBuf;

/// Options of `openssl req` for a new key and its certificate.
const NEW_CERTIFICATE: [&str; 9] =
    ["req", "-x509", "-nodes", "-days", "30", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256"];

/// Returns the path of the authority's certificate.
pub(crate) fn authority(hosts: &Hosts) -> Result<PathBuf> {
    authority_file(hosts, "authority.pem")
}

fn authority_file(hosts: &Hosts, name: &str) -> Result<PathBuf> {
    Ok(find_host(hosts, "echo")?.directory().join(name))
}

/// Creates the authority. This must happen before a certificate is [issued](issue).
pub(super) async fn create_authority(hosts: &Hosts) -> Result<()> {
    let certificate = authority(hosts)?.to_string_lossy().into_owned();
    let key = authority_file(hosts, "authority.key")?.to_string_lossy().into_owned();
    let authority = [
        "-subj",
        "/CN=Lab authority",
        "-addext",
        "keyUsage=critical,keyCertSign",
        "-out",
        &certificate,
        "-keyout",
        &key,
    ];
    find_host(hosts, "echo")?
        .output("openssl", &[&NEW_CERTIFICATE[..], &authority].concat(), "")
        .await
        .map(drop)
}

/// Issues a certificate to a host.
///
/// Writes `<name>.pem` and `<name>.key` into the host's directory. `names` are entries of
/// `subjectAltName`, such as `DNS:a.example`.
pub(super) async fn issue(hosts: &Hosts, to: &Host, name: &str, names: &[String]) -> Result<()> {
    let text = |path: PathBuf| path.to_string_lossy().into_owned();
    let (ca, ca_key) = (text(authority(hosts)?), text(authority_file(hosts, "authority.key")?));
    let leaf = text(to.directory().join(format!("{name}.pem")));
    let leaf_key = text(to.directory().join(format!("{name}.key")));
    let names = format!("subjectAltName={}", names.join(","));
    let subject = format!("/CN={name}");
    let usage = "basicConstraints=critical,CA:FALSE";
    let server = [
        "-CA", &ca, "-CAkey", &ca_key, "-subj", &subject, "-addext", &names, "-addext", usage, "-out", &leaf,
        "-keyout", &leaf_key,
    ];
    to.output("openssl", &[&NEW_CERTIFICATE[..], &server].concat(), "").await.map(drop)
}
