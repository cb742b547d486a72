//! Leases of dhclient, for DHCPv4 and DHCPv6 (dhclient.leases(5)).
//!
//! A file is a journal: dhclient appends a block for each lease it is given, and the last block of
//! an interface counts. NetworkManager keeps the same format where it runs dhclient.

use super::lease::{Lease, network_of};
use std::net::IpAddr;

/// More interfaces than a machine has leases on.
const MAX_LEASES: usize = 64;
/// The most words that are kept of one statement.
const MAX_WORDS: usize = 64;

/// Parses a file and returns the last lease of each interface and IP version.
pub(super) fn parse(text: &str) -> Vec<Lease> {
    let mut leases: Vec<(bool, Lease)> = Vec::new();
    let mut block = Block::default();
    let mut depth = 0_usize;
    let mut words: Vec<String> = Vec::new();
    for token in Tokens(text) {
        match token {
            Token::Word(word) if words.len() < MAX_WORDS => words.push(word),
            Token::Word(_) => {}
            Token::Open => {
                match depth {
                    0 => block = Block::new(words.first().map(String::as_str)),
                    _ => block.enter(&words),
                }
                words.clear();
                depth += 1;
            }
            Token::End => {
                if depth > 0 {
                    block.apply(&words, depth);
                }
                words.clear();
            }
            Token::Close => {
                words.clear();
                if depth == 1
                    && let Some((is_v6, lease)) = std::mem::take(&mut block).finish()
                {
                    leases.retain(|(v6, other)| *v6 != is_v6 || other.interface != lease.interface);
                    leases.push((is_v6, lease));
                    if leases.len() > MAX_LEASES {
                        leases.remove(0);
                    }
                }
                depth = depth.saturating_sub(1);
            }
        }
    }
    leases.into_iter().map(|(_, lease)| lease).collect()
}

/// The block of a lease, as far as it was read.
#[derive(Default)]
struct Block {
    /// Whether it is of DHCPv6; absent for a block that is no lease.
    is_v6: Option<bool>,
    lease: Lease,
    address: Option<IpAddr>,
    mask: Option<IpAddr>,
    /// When the address of DHCPv6 that is being read was given.
    starts: i64,
    is_released: bool,
}

impl Block {
    fn new(keyword: Option<&str>) -> Self {
        let is_v6 = match keyword {
            Some("lease") => Some(false),
            Some("lease6") => Some(true),
            _ => None,
        };
        Self { is_v6, ..Self::default() }
    }

    /// Enters an inner block: an association of DHCPv6, or an address of it.
    fn enter(&mut self, words: &[String]) {
        if let [keyword, address, ..] = words
            && keyword == "iaaddr"
            && let Ok(address) = address.parse()
        {
            self.lease.networks.push(network_of(address, None));
            self.lease.networks.truncate(MAX_LEASES);
        }
    }

    fn apply(&mut self, words: &[String], depth: usize) {
        let words: Vec<&str> = words.iter().map(String::as_str).collect();
        match (depth, words.as_slice()) {
            (1, ["interface", name, ..]) => self.lease.interface = Some((*name).to_owned()),
            (1, ["fixed-address", address, ..]) => self.address = address.parse().ok(),
            (1, ["option", "subnet-mask", mask, ..]) => self.mask = mask.parse().ok(),
            (1, ["option", "domain-name-servers" | "dhcp6.name-servers", servers @ ..]) => {
                self.lease.servers.clear();
                servers.iter().filter_map(|server| server.parse().ok()).for_each(|server| {
                    self.lease.add_server(server);
                });
            }
            (1, ["expire", date @ ..]) => self.lease.expires = parse_date(date),
            (1, ["released", ..]) => self.is_released = true,
            (2.., ["starts", starts, ..]) => self.starts = starts.parse().unwrap_or_default(),
            (2.., ["max-life", seconds, ..]) => {
                let end = seconds.parse().ok().filter(|seconds| *seconds != i64::from(u32::MAX));
                let end = end.map(|seconds: i64| self.starts.saturating_add(seconds));
                self.lease.expires = self.lease.expires.max(end);
            }
            _ => {}
        }
    }

    fn finish(mut self) -> Option<(bool, Lease)> {
        let is_v6 = self.is_v6?;
        self.lease.interface.as_ref()?;
        if self.is_released {
            // It still replaces the lease before it.
            self.lease.servers.clear();
        }
        self.lease.networks.extend(self.address.map(|address| network_of(address, self.mask)));
        Some((is_v6, self.lease))
    }
}

/// Parses a date: `epoch 1764054000`, or `3 2025/11/26 07:00:00` in UTC; `never` has none.
fn parse_date(words: &[&str]) -> Option<i64> {
    match words {
        ["epoch", seconds, ..] => seconds.parse().ok(),
        [_weekday, date, time, rest @ ..] => {
            let mut date = date.split('/').map(str::parse::<i64>);
            let (year, month, day) = (date.next()?.ok()?, date.next()?.ok()?, date.next()?.ok()?);
            let mut time = time.split(':').map(str::parse::<i64>);
            let (hour, minute, second) = (time.next()?.ok()?, time.next()?.ok()?, time.next()?.ok()?);
            let is_valid = (1..=9999).contains(&year)
                && (1..=12).contains(&month)
                && (1..=31).contains(&day)
                && [hour, minute, second].iter().all(|part| (0..=60).contains(part));
            let offset: i64 = rest.first().and_then(|offset| offset.parse().ok()).unwrap_or_default();
            let seconds = days_since_epoch(year, month, day) * 86_400 + hour * 3_600 + minute * 60 + second;
            is_valid.then(|| seconds.saturating_add(offset))
        }
        _ => None,
    }
}

/// Returns the days from 1970-01-01 to a date of the Gregorian calendar.
fn days_since_epoch(year: i64, month: i64, day: i64) -> i64 {
    // Years that begin in March have the leap day at their end.
    let (year, month) = if month <= 2 { (year - 1, month + 9) } else { (year, month - 3) };
    let (era, of_era) = (year.div_euclid(400), year.rem_euclid(400));
    let of_year = (153 * month + 2) / 5 + day - 1;
    era * 146_097 + of_era * 365 + of_era / 4 - of_era / 100 + of_year - 719_468
}

enum Token {
    /// A word, or the content of a string.
    Word(String),
    /// `{`
    Open,
    /// `}`
    Close,
    /// `;`
    End,
}

/// The tokens of a text; commas separate words, and `#` begins a comment.
struct Tokens<'a>(&'a str);

impl Iterator for Tokens<'_> {
    type Item = Token;

    fn next(&mut self) -> Option<Token> {
        loop {
            self.0 = self.0.trim_start_matches(|c: char| c.is_whitespace() || c == ',');
            match self.0.strip_prefix('#') {
                Some(comment) => self.0 = comment.find('\n').map_or("", |end| &comment[end..]),
                None => break,
            }
        }
        let first = self.0.chars().next()?;
        let rest = &self.0[first.len_utf8()..];
        let token = match first {
            '{' => Token::Open,
            '}' => Token::Close,
            ';' => Token::End,
            '"' => {
                let (text, rest) = take_string(rest);
                self.0 = rest;
                return Some(Token::Word(text));
            }
            _ => {
                let is_end = |c: char| c.is_whitespace() || matches!(c, ',' | ';' | '{' | '}' | '"' | '#');
                let (word, rest) = self.0.split_at(self.0.find(is_end).unwrap_or(self.0.len()));
                self.0 = rest;
                return Some(Token::Word(word.to_owned()));
            }
        };
        self.0 = rest;
        Some(token)
    }
}

/// Splits off a string up to its closing quote; a backslash protects what follows.
fn take_string(text: &str) -> (String, &str) {
    let mut content = String::new();
    let mut chars = text.char_indices();
    while let Some((at, char)) = chars.next() {
        match char {
            '"' => return (content, &text[at + 1..]),
            '\\' => content.extend(chars.next().map(|(_, char)| char)),
            char => content.push(char),
        }
    }
    (content, "")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn describe(text: &str) -> Vec<String> {
        let line = |lease: &Lease| {
            let list = |all: &mut dyn Iterator<Item = String>| all.collect::<Vec<_>>().join(",");
            let expires = lease.expires.map_or("never".to_owned(), |expires| expires.to_string());
            format!(
                "{} {} in {} until {expires}",
                lease.interface.as_deref().unwrap_or("-"),
                list(&mut lease.servers.iter().map(ToString::to_string)),
                list(&mut lease.networks.iter().map(ToString::to_string)),
            )
        };
        parse(text).iter().map(line).collect()
    }

    /// As dhclient 4.4.3 writes it.
    const V4: &str = r#"default-duid "\000\001\000\001.{}\"}";
lease {
  interface "eth0";
  fixed-address 192.0.2.5;
  option subnet-mask 255.255.255.0;
  option routers 192.0.2.1;
  option dhcp-lease-time 3600;
  option domain-name-servers 192.0.2.1;
  renew 3 2025/11/26 06:30:00;
  rebind 3 2025/11/26 06:52:30;
  expire 3 2025/11/26 07:00:00;
}
lease {
  interface "wlan0";
  fixed-address 198.51.100.7;
  option domain-name-servers 198.51.100.1;
  option domain-name "a } { ; b";
  expire never;
}
lease {
  interface "eth0";
  fixed-address 192.0.2.6;
  option subnet-mask 255.255.255.128;
  option domain-name-servers 192.0.2.2, 192.0.2.3,oops;
  renew epoch 1764140400; # Wed Nov 26 07:00:00 2025
  expire epoch 1764144000; # Wed Nov 26 08:00:00 2025
}
"#;

    /// As dhclient 4.4.3 writes it for DHCPv6.
    const V6: &str = r#"default-duid "\000\001";
lease6 {
  interface "eth0";
  ia-na 4e:9c:1a:2b {
    starts 1764136800;
    renew 1800;
    rebind 2880;
    iaaddr 2001:db8:51::1234 {
      starts 1764136800;
      preferred-life 3600;
      max-life 7200;
    }
  }
  option dhcp6.client-id 0:1:0:1;
  option dhcp6.name-servers 2001:db8:51::1,2001:db8:51::2;
  option dhcp6.domain-search "lan.";
}
"#;

    #[test]
    fn the_last_lease_of_each_interface_and_version_counts() {
        let both = format!("{V4}{V6}");
        assert_eq!(
            describe(&both),
            [
                "wlan0 198.51.100.1 in 198.51.100.7/32 until never",
                "eth0 192.0.2.2,192.0.2.3 in 192.0.2.6/25 until 1764144000",
                "eth0 2001:db8:51::1,2001:db8:51::2 in 2001:db8:51::1234/128 until 1764144000",
            ]
        );
    }

    #[test]
    fn dates_are_read_in_every_format() {
        let date = |text: &str| parse_date(&text.split(' ').collect::<Vec<_>>());
        assert_eq!(date("3 2025/11/26 07:00:00"), Some(1_764_140_400));
        assert_eq!(date("4 1970/01/01 00:00:00"), Some(0));
        assert_eq!(date("2 2000/02/29 23:59:59"), Some(951_868_799));
        assert_eq!(date("epoch 1764140400"), Some(1_764_140_400));
        for none in ["never", "", "3 2025/13/26 07:00:00", "3 x/y/z 07:00:00", "3 2025/11/26", "epoch x"] {
            assert_eq!(date(none), None, "{none:?}");
        }
    }

    #[test]
    fn a_released_lease_offers_nothing() {
        let released = V6.replace("  option dhcp6.client-id", "  released;\n  option dhcp6.client-id");
        assert!(parse(&format!("{V6}{released}"))[0].servers.is_empty());
    }

    #[test]
    fn damaged_files_yield_only_whole_leases() {
        assert!(describe("lease {\n interface \"eth0\";\n option domain-name-servers 192.0.2.1").is_empty());
        assert!(describe("}\n}\nlease {\n}\ninterface \"eth0\";").is_empty());
        assert!(
            describe("failover { interface \"eth0\"; option domain-name-servers 192.0.2.1; }").is_empty()
        );
        assert_eq!(describe("lease{interface \"e\";option domain-name-servers 192.0.2.1;}").len(), 1);
        assert!(describe(&"{".repeat(100_000)).is_empty());
        assert!(describe("lease { interface \"eth0").is_empty());
    }
}
