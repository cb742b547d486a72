//! Who may use the API, as configured.

use anyhow::{Result, anyhow, bail};
use sentinel_engine::ApiConfig;
use std::{fs, net::SocketAddr, path::Path};
use subtle::ConstantTimeEq;

/// Shorter than this could be guessed.
const SHORTEST_TOKEN: usize = 16;

/// Who may use the API: on loopback whoever is on this machine, else who knows the token.
pub(crate) enum Access {
    /// Programs on this machine.
    Loopback,
    /// Whoever knows it.
    Token(Token),
}

/// A secret that is compared without telling, by the time it takes, how much of a guess was right.
pub(crate) struct Token(String);

impl Token {
    /// Whether this is it. Only the length can leak.
    pub(super) fn is(&self, guess: &[u8]) -> bool {
        self.0.as_bytes().ct_eq(guess).into()
    }
}

impl Access {
    /// What the configuration says; an address that others can reach needs a token.
    pub(crate) fn of(api: &ApiConfig) -> Result<Self> {
        match read_token(api)? {
            Some(token) => Ok(Self::Token(Token(token))),
            None if is_loopback(api.listen) => Ok(Self::Loopback),
            None => bail!(
                "`api.listen` is {}, which others can reach, and no token protects it. Put a long random text into a file \
                 and name it in `api.token_file`, or set `api.listen` to 127.0.0.1:{}.",
                api.listen,
                api.listen.port()
            ),
        }
    }
}

fn is_loopback(address: SocketAddr) -> bool {
    address.ip().to_canonical().is_loopback()
}

/// The token in the configured file, if one is configured.
pub(crate) fn read_token(api: &ApiConfig) -> Result<Option<String>> {
    let Some(path) = &api.token_file else { return Ok(None) };
    let text = fs::read_to_string(path).map_err(|error| {
        anyhow!(
            "The token in {} (`api.token_file`) cannot be read: {error}. Correct the name or the file's permissions.",
            path.display()
        )
    })?;
    let token = text.trim();
    if token.len() < SHORTEST_TOKEN {
        bail!(
            "The token in {} (`api.token_file`) has {} characters and could be guessed. Put at least {SHORTEST_TOKEN} random \
             ones there.",
            path.display(),
            token.len()
        );
    }
    if others_can_read(path) {
        tracing::warn!("other users can read the token in {}; `chmod 600` it", path.display());
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
    /// With this token.
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
            assert!(matches!(Access::of(&api(listen, None)), Ok(Access::Loopback)), "{listen}");
        }
        for listen in ["0.0.0.0:7466", "[::]:7466", "192.168.1.2:7466"] {
            let message = Access::of(&api(listen, None)).err().unwrap().to_string();
            for part in [listen, "api.token_file", "127.0.0.1:7466"] {
                assert!(message.contains(part), "{message}");
            }
        }
    }

    #[test]
    fn a_token_comes_from_its_file_and_must_be_long() {
        let file = tempfile::NamedTempFile::new().unwrap();
        fs::write(file.path(), "0123456789abcdef\n").unwrap();
        let Ok(Access::Token(token)) = Access::of(&api("0.0.0.0:1", Some(file.path()))) else {
            panic!("no token")
        };
        assert!(token.is(b"0123456789abcdef") && !token.is(b"0123456789abcdeX") && !token.is(b""));
        fs::write(file.path(), "short").unwrap();
        let message = Access::of(&api("0.0.0.0:1", Some(file.path()))).err().unwrap().to_string();
        assert!(message.contains("5 characters"), "{message}");
        let missing =
            Access::of(&api("127.0.0.1:1", Some(Path::new("/nowhere/token")))).err().unwrap().to_string();
        assert!(missing.contains("/nowhere/token"), "{missing}");
    }
}
