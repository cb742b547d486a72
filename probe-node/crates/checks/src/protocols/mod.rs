//! STUN, HTTP and TLS, as far as the checks need them.

pub(crate) mod http;
pub(crate) mod stun;
pub(crate) mod tls;
