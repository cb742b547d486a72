//! The operators of the lab's networks, and the ranges that are not public.

/// The networks as a node's configuration lists them: prefix, ASN, operator, country.
pub(crate) const NETWORKS: [(&str, u32, &str, &str); 29] = [
    ("198.51.100.0/24", 64500, "Example ISP", "Germany"),
    ("2001:db8:51::/48", 64500, "Example ISP", "Germany"),
    ("203.0.113.0/24", 64510, "Example VPN", "Sweden"),
    ("2001:db8:56::/48", 64510, "Example VPN", "Sweden"),
    ("198.18.30.0/24", 64575, "Café Telecom", "Denmark"),
    ("198.18.20.0/24", 64520, "Other VPN", "Netherlands"),
    ("198.19.8.0/24", 64530, "Public DNS", "Germany"),
    ("198.19.53.0/24", 64535, "Root Servers", "Germany"),
    ("198.19.3.0/24", 64540, "Example STUN", "France"),
    ("2001:db8:c3::/48", 64540, "Example STUN", "France"),
    ("198.19.4.0/24", 64550, "Example Echo", "Ireland"),
    ("2001:db8:c4::/48", 64550, "Example Echo", "Ireland"),
    ("192.0.2.0/24", 64560, "Example Cloud", "Germany"),
    ("2001:db8:a::/48", 64560, "Example Cloud", "Germany"),
    ("198.18.5.0/24", 64570, "Second ISP", "Austria"),
    ("2001:db8:b::/48", 64570, "Second ISP", "Austria"),
    ("198.19.60.0/24", 64580, "Example Hosting", "Germany"),
    ("2001:db8:60::/48", 64580, "Example Hosting", "Germany"),
    ("198.19.13.0/24", 64541, "Second STUN", "Netherlands"),
    ("198.19.23.0/24", 64542, "Third STUN", "Finland"),
    ("198.19.14.0/24", 64551, "Second Echo", "France"),
    ("198.19.24.0/24", 64552, "Third Echo", "Finland"),
    ("198.19.9.0/24", 64531, "Second DNS", "Switzerland"),
    ("198.19.10.0/24", 64532, "Anycast DNS", "Germany"),
    ("198.18.31.0/24", 64533, "Anycast DNS Asia", "Singapore"),
    ("198.18.40.0/24", 64511, "Example VPN Servers", "Iceland"),
    ("198.18.66.0/24", 64599, "Elsewhere", "Panama"),
    ("198.19.61.0/24", 64581, "Content Network", "Germany"),
    ("198.19.0.0/16", 64590, "Example Transit", "Germany"),
];

/// Ranges that the nodes must not treat as public. The documentation ranges are public here.
pub(crate) const BOGONS: [&str; 10] = [
    "0.0.0.0/8",
    "10.0.0.0/8",
    "100.64.0.0/10",
    "127.0.0.0/8",
    "169.254.0.0/16",
    "172.16.0.0/12",
    "192.168.0.0/16",
    "::1/128",
    "fc00::/7",
    "fe80::/10",
];
