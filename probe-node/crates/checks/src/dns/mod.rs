//! DNS questions: through a chain of servers as the system asks, or as single UDP exchanges.

pub(crate) mod link_local;
pub(crate) mod lookup_error;
pub(crate) mod name;
pub(crate) mod past_answers;
pub(crate) mod stub;
pub(crate) mod udp;
pub(crate) mod whoami;
