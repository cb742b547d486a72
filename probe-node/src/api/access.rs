//! Who may use the API, according to the configuration.

use anyhow::{Result, anyhow, bail};
use sentinel_engine::ApiConfig;
use std::{fs, net::SocketAddr, path::Path};
use subtle::ConstantTimeEq;

/// The shortest token that is accepted, in bytes; a shorter one could be guessed.
const MIN_TOKEN_LENGTH: usize = 16;

/// Who may use the API.
pub(crate) enum Access {
    /// Programs on this machine; no token is needed.
    Loopback,
    /// Clients that know the token.
    Token(Token),
}

/// A secret, compared in constant time.
pub(crate) struct Token(String);

impl Token {
    /// Returns true if the guess is the token. The time it takes reveals at most the token's
    /// length.
    pub(super) fn matches(&self, guess: &[u8]) -> bool {
        self.0.as_bytes().ct_eq(guess).into()
    }
}

impl Access {
    /// Reads the rule from the configuration; an address that others can reach requires a token.
    pub(crate) fn from_config(api: &ApiConfig) -> Result<Self> {
        match read_token(api)? {
            Some(token) => Ok(Self::Token(Token(token))),
            None if is_loopback(api.listen) => Ok(Self::Loopback),
            None => bail!(
                "`api.listen` is {}, which other machines can reach, and no token protects it. Put a long random text into \
                 a file and name that file in `api.token_file`, or set `api.listen` to 127.0.0.1:{}.",
                api.listen,
                api.listen.port()
            ),
        }
    }
}

fn is_loopback(address: SocketAddr) -> bool {
    address.ip().to_canonical().is_loopback()
}

/// Reads the token from the configured file, if one is configured.
pub(crate) fn read_token(api: &ApiConfig) -> Result<Option<String>> {
    let Some(path) = &api.token_file else { return Ok(None) };
    let text = fs::read_to_string(path).map_err(|error| {
        anyhow!(
            "The token in {} (`api.token_file`) cannot be read: {error}. Correct the name or the permissions of the file.",
            path.display()
        )
    })?;
    let token = text.trim();
    if token.len() < MIN_TOKEN_LENGTH {
        bail!(
            "The token in {} (`api.token_file`) has only {} characters and could be guessed. Use at least \
             {MIN_TOKEN_LENGTH} random ones.",
            path.display(),
            token.len()
        );
    }
    if others_can_read(path) {
        tracing::warn!("Other users can read the token in {0}; run `chmod 600 {0}`", path.display());
    }
    Ok(Some(token.to_owned()))
}

#[cfg(unix)]
fn others_can_read(path: &Path) -> bool {
    use std::os::unix::fs::PermissionsExt;
    fs::metadata(path).is_ok_and(|file| file.permissions().mode() & 0o004 != 0)
}

#[cfg(not(unix))]
fn others_can_read(_: &Path) -> bool {
    false
}

#[cfg(test)]
impl Access {
    /// Requires this token.
    pub(super) fn with_token(token: &str) -> Self {
        Self::Token(Token(token.to_owned()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn api(listen: &str, token_file: Option<&Path>) -> ApiConfig {
        ApiConfig { listen: listen.parse().unwrap(), token_file: token_file.map(Path::to_owned) }
    }

    #[test]
    fn beyond_loopback_a_token_is_required() {
        for listen in ["127.0.0.1:1", "[::1]:1", "127.3.2.1:1", "[::ffff:127.0.0.1]:1"] {
            assert!(matches!(Access::from_config(&api(listen, None)), Ok(Access::Loopback)), "{listen}");
        }
        for listen in ["0.0.0.0:7466", "[::]:7466", "192.168.1.2:7466"] {
            let message = Access::from_config(&api(listen, None)).err().unwrap().to_string();
            for part in [listen, "api.token_file", "127.0.0.1:7466"] {
                assert!(message.contains(part), "{message}");
            }
        }
    }

    #[test]
    fn a_token_comes_from_its_file_and_must_be_long() {
        let file = tempfile::NamedTempFile::new().unwrap();
        fs::write(file.path(), "0123456789abcdef\n").unwrap();
        let Ok(Access::Token(token)) = Access::from_config(&api("0.0.0.0:1", Some(file.path()))) else {
            panic!("no token")
        };
        assert!(
            token.matches(b"0123456789abcdef") && !token.matches(b"0123456789abcdeX") && !token.matches(b"")
        );
        fs::write(file.path(), "short").unwrap();
        let message = Access::from_config(&api("0.0.0.0:1", Some(file.path()))).err().unwrap().to_string();
        assert!(message.contains("5 characters"), "{message}");
        let missing = Access::from_config(&api("127.0.0.1:1", Some(Path::new("/nowhere/token"))))
            .err()
            .unwrap()
            .to_string();
        assert!(missing.contains("/nowhere/token"), "{missing}");
    }
}
