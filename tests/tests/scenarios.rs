//! Every scenario file, played by the `lab` program, as a test of its own.

#[cfg(target_os = "linux")]
mod linux {
    use std::{
        collections::BTreeSet,
        fs, io,
        path::{Path, PathBuf},
        process::Command,
    };
    use vpnsentinel_tests::Scenario;

    fn folder() -> PathBuf {
        Path::new(env!("CARGO_MANIFEST_DIR")).join("scenarios")
    }

    fn play(name: &str) -> io::Result<()> {
        let file = folder().join(format!("{name}.toml"));
        let ended = Command::new(env!("CARGO_BIN_EXE_lab")).arg("run").arg(&file).output()?;
        let log = String::from_utf8_lossy(&ended.stdout);
        assert!(ended.status.success(), "{name}: {}\n{log}", String::from_utf8_lossy(&ended.stderr));
        println!("{log}");
        Ok(())
    }

    macro_rules! scenarios {
        ($($test:ident = $name:literal;)*) => {
            $(
                #[test]
                fn $test() -> io::Result<()> {
                    play($name)
                }
            )*

            const PLAYED: &[&str] = &[$($name),*];
        };
    }

    scenarios! {
        all_public_services_down = "all-public-services-down";
        answers_bogon = "answers-bogon";
        answers_falsified_aaaa = "answers-falsified-aaaa";
        answers_falsified_many = "answers-falsified-many";
        answers_falsified_many_twin = "answers-falsified-many.twin";
        answers_falsified_one = "answers-falsified-one";
        anycast_resolver_abroad = "anycast-resolver-abroad";
        anycast_resolver_abroad_twin = "anycast-resolver-abroad.twin";
        cdn_names = "cdn-names";
        dns_intercepted_by_vpn = "dns-intercepted-by-vpn";
        dns_intercepted_by_vpn_twin = "dns-intercepted-by-vpn.twin";
        dns_intercepted_isp = "dns-intercepted-isp";
        dns_intercepted_isp_twin = "dns-intercepted-isp.twin";
        dns_intercepted_tcp_only = "dns-intercepted-tcp-only";
        dns_intercepted_udp_only = "dns-intercepted-udp-only";
        echo_babbles = "echo-babbles";
        echo_lies = "echo-lies";
        echo_refuses = "echo-refuses";
        exit_becomes_home = "exit-becomes-home";
        exit_switched = "exit-switched";
        fast_rounds_twin = "fast-rounds.twin";
        ipv6_leak = "ipv6-leak";
        latency_drop = "latency-drop";
        latency_drop_twin = "latency-drop.twin";
        no_consent = "no-consent";
        node_cut_off = "node-cut-off";
        nxdomain_rewrite = "nxdomain-rewrite";
        offline = "offline";
        private_resolver_in_tunnel = "private-resolver-in-tunnel";
        provider_switched = "provider-switched";
        provider_with_two_asns = "provider-with-two-asns";
        public_only = "public-only";
        public_resolver_on_purpose = "public-resolver-on-purpose";
        public_resolver_on_purpose_twin = "public-resolver-on-purpose.twin";
        resolver_forwards_third_party = "resolver-forwards-third-party";
        resolver_isp = "resolver-isp";
        resolver_public = "resolver-public";
        resolver_router = "resolver-router";
        server_silent = "server-silent";
        steady_twin = "steady.twin";
        stun_down = "stun-down";
        stun_down_twin = "stun-down.twin";
        stun_lies = "stun-lies";
        stun_slow = "stun-slow";
        tunnel_removed = "tunnel-removed";
        witness_asleep = "witness-asleep";
        witness_down = "witness-down";
        witness_lies_address_home = "witness-lies-address-home";
        witness_lies_address_other = "witness-lies-address-other";
        witness_lies_dns = "witness-lies-dns";
        witness_lies_dns_twin = "witness-lies-dns.twin";
        witness_slow = "witness-slow";
    }

    /// A file that only repeats another one is played under the other one's name; it must still load, which checks that
    /// its scenario and the repeated twin are the same world.
    #[test]
    fn every_file_is_understood_and_played() {
        let mut seen = BTreeSet::new();
        for entry in fs::read_dir(folder()).expect("the scenario folder") {
            let path = entry.expect("a scenario file").path();
            let scenario = Scenario::load(&path).unwrap_or_else(|error| panic!("{error:?}"));
            let name = path.file_stem().expect("a name").to_string_lossy().into_owned();
            let text = fs::read_to_string(&path).expect("a readable file");
            if !text.lines().any(|line| line.starts_with("same_as")) {
                assert!(
                    PLAYED.contains(&name.as_str()),
                    "{name} has no test: add it to the list in this file"
                );
                seen.insert(name);
            }
            assert!(!scenario.description.is_empty(), "{} says nothing about itself", path.display());
        }
        assert_eq!(seen.len(), PLAYED.len(), "a test has no file");
    }
}

#[cfg(not(target_os = "linux"))]
#[test]
fn scenarios() {
    println!("skipped: the lab is made of Linux network namespaces, which this system does not have");
}
