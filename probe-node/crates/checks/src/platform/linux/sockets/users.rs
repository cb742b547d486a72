//! The names of users.

use std::{fs::File, io::Read as _};

/// The most that is read of `/etc/passwd`.
const MAX_PASSWD: u64 = 1 << 20;
/// Users from this number on are people; those below are the system and its services, except for
/// the last ones (`nobody`, and the users of containers and of single services).
const FIRST_PERSON: u32 = 1000;
const LAST_PERSON: u32 = 60_000;

/// Returns true if a user is the system or one of its services.
pub(super) fn is_system_user(uid: u32) -> bool {
    !(FIRST_PERSON..=LAST_PERSON).contains(&uid)
}

/// Returns the name of a user, or the number if it has none.
///
/// Only the local file is read: a directory service would have to be asked over the network.
pub(super) fn user_name(uid: u32) -> String {
    let mut passwd = Vec::new();
    if let Ok(file) = File::open("/etc/passwd") {
        // What could be read before an error is used.
        let _ = file.take(MAX_PASSWD).read_to_end(&mut passwd);
    }
    find_name(&passwd, uid).unwrap_or_else(|| uid.to_string())
}

/// Finds the name in the text of passwd(5).
fn find_name(passwd: &[u8], uid: u32) -> Option<String> {
    let number = uid.to_string();
    passwd.split(|byte| *byte == b'\n').find_map(|line| {
        let mut fields = line.split(|byte| *byte == b':');
        let (name, id) = (fields.next()?, fields.nth(1)?);
        let is_this = id == number.as_bytes() && !name.is_empty();
        is_this.then(|| String::from_utf8_lossy(name).into_owned())
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_user_is_named_by_its_number() {
        let passwd =
            b"root:x:0:0:root:/root:/bin/sh\n\xff\xfe:::\nshort\nalice:x:1000:1000::/home/alice:/bin/sh";
        assert_eq!(find_name(passwd, 0).as_deref(), Some("root"));
        assert_eq!(find_name(passwd, 1000).as_deref(), Some("alice"));
        assert_eq!(find_name(passwd, 100), None);
        assert_eq!(user_name(4_294_967_294), "4294967294");
    }

    #[test]
    fn services_are_told_from_people() {
        assert!(is_system_user(0) && is_system_user(101) && is_system_user(65_534));
        assert!(!is_system_user(1000) && !is_system_user(1001));
    }
}
