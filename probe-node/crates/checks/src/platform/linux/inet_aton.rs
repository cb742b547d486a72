//! IPv4 addresses in the forms that the C library accepts.

use std::net::Ipv4Addr;

/// Parses an address as `inet_aton(3)` does, without anything behind it.
///
/// It has one to four parts; the last one fills the bytes that are left, so `198.51.25601` is
/// `198.51.100.1`. Each part is decimal, octal after `0`, or hexadecimal after `0x`.
pub(super) fn parse(text: &str) -> Option<Ipv4Addr> {
    let parts: Vec<&str> = text.split('.').take(5).collect();
    let (last, leading) = parts.split_last()?;
    if leading.len() > 3 {
        return None;
    }
    let mut bits: u32 = 0;
    let mut free = 32_u32;
    for part in leading {
        free -= 8;
        bits |= u32::from(u8::try_from(parse_number(part)?).ok()?) << free;
    }
    let rest = parse_number(last)?;
    (free == 32 || rest >> free == 0).then(|| Ipv4Addr::from_bits(bits | rest))
}

/// Parses a number as `strtoul(3)` does with any base, except for blanks and signs before it.
fn parse_number(text: &str) -> Option<u32> {
    let (digits, radix) = match text.as_bytes() {
        [b'0', b'x' | b'X', ..] => (&text[2..], 16),
        [b'0', _, ..] => (&text[1..], 8),
        _ => (text, 10),
    };
    // Rust's parser accepts a sign, which is not a digit.
    digits.starts_with(|digit: char| digit.is_ascii_hexdigit()).then_some(())?;
    digits
        .parse::<u32>()
        .ok()
        .filter(|_| radix == 10)
        .or_else(|| (radix != 10).then(|| u32::from_str_radix(digits, radix).ok()).flatten())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_to_four_parts_in_three_bases_are_accepted() {
        for (text, address) in [
            ("198.51.100.1", "198.51.100.1"),
            ("198.51.25601", "198.51.100.1"),
            ("198.3367937", "198.51.100.1"),
            ("3325256705", "198.51.100.1"),
            ("0xc6.0x33.0X64.1", "198.51.100.1"),
            ("0306.063.0144.01", "198.51.100.1"),
            ("0xc6336401", "198.51.100.1"),
            ("127.1", "127.0.0.1"),
            ("0", "0.0.0.0"),
            ("255.255.255.255", "255.255.255.255"),
            ("4294967295", "255.255.255.255"),
            ("00000000000000000001", "0.0.0.1"),
        ] {
            assert_eq!(parse(text), Some(address.parse().unwrap()), "{text}");
        }
    }

    #[test]
    fn everything_else_is_no_address() {
        for text in [
            "",
            ".",
            "1.",
            ".1",
            "1..2",
            "1.2.3.4.",
            "1.2.3.4.5",
            "256.1.1.1",
            "1.2.3.256",
            "1.2.65536",
            "1.16777216",
            "4294967296",
            "08",
            "0x",
            "0xg",
            "+1",
            "-1",
            "1.+2",
            "1.2.3.4\r",
            "1.2.3.4#53",
            " 1.2.3.4",
            "1.2.3.4 ",
            "a",
            "1.2.3.4%eth0",
            "99999999999999999999",
            "é",
        ] {
            assert_eq!(parse(text), None, "{text:?}");
        }
    }
}
