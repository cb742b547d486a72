//! The lab's own certificate authority, and what it signs.

use crate::{
    host::Host,
    wiring::{Hosts, host},
};
use anyhow::Result;
use std::path::PathBuf;

/// Options of `openssl req` for a new key and its certificate.
const NEW: [&str; 9] =
    ["req", "-x509", "-nodes", "-days", "30", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256"];

/// The authority's certificate.
pub(crate) fn authority(hosts: &Hosts) -> Result<PathBuf> {
    file(hosts, "authority.pem")
}

fn file(hosts: &Hosts, name: &str) -> Result<PathBuf> {
    Ok(host(hosts, "echo")?.directory().join(name))
}

/// Makes the authority; before anything is [issued](issue).
pub(crate) async fn found(hosts: &Hosts) -> Result<()> {
    let certificate = authority(hosts)?.to_string_lossy().into_owned();
    let key = file(hosts, "authority.key")?.to_string_lossy().into_owned();
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
    host(hosts, "echo")?.output("openssl", &[&NEW[..], &authority].concat(), "").await.map(drop)
}

/// Issues `<file>.pem` and `<file>.key` in the host's directory, for names as `subjectAltName` has them: `DNS:a.example`.
pub(crate) async fn issue(hosts: &Hosts, to: &Host, name: &str, names: &[String]) -> Result<()> {
    let text = |path: PathBuf| path.to_string_lossy().into_owned();
    let (ca, ca_key) = (text(authority(hosts)?), text(file(hosts, "authority.key")?));
    let leaf = text(to.directory().join(format!("{name}.pem")));
    let leaf_key = text(to.directory().join(format!("{name}.key")));
    let names = format!("subjectAltName={}", names.join(","));
    let subject = format!("/CN={name}");
    let usage = "basicConstraints=critical,CA:FALSE";
    let server = [
        "-CA", &ca, "-CAkey", &ca_key, "-subj", &subject, "-addext", &names, "-addext", usage, "-out", &leaf,
        "-keyout", &leaf_key,
    ];
    to.output("openssl", &[&NEW[..], &server].concat(), "").await.map(drop)
}
