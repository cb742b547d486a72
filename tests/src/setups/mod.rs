//! Setups that people have, composed from parts: line, VPN client, resolver and DHCP client.

mod dhcp;
mod part;
mod resolvers;
