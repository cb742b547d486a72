//! One test per scenario file, which runs it with the `lab` program.

#[cfg(target_os = "linux")]
mod linux {
    use std::{
        collections::BTreeSet,
        fs, io,
        path::{Path, PathBuf},
        process::Command,
    };
    use vpnsentinel_tests::{Scenario, render_scenario_page};

    fn scenario_folder() -> PathBuf {
        Path::new(env!("CARGO_MANIFEST_DIR")).join("scenarios")
    }

    fn run(name: &str) -> io::Result<()> {
        let file = scenario_folder().join(format!("{name}.toml"));
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
                    run($name)
                }
            )*

            const TESTED: &[&str] = &[$($name),*];
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
        captive_portal = "captive-portal";
        cdn_names = "cdn-names";
        clock_jumped = "clock-jumped";
        clock_jumped_twin = "clock-jumped.twin";
        dhcp_option_121 = "dhcp-option-121";
        dns_intercepted_by_vpn = "dns-intercepted-by-vpn";
        dns_intercepted_by_vpn_twin = "dns-intercepted-by-vpn.twin";
        dns_intercepted_isp = "dns-intercepted-isp";
        dns_intercepted_isp_twin = "dns-intercepted-isp.twin";
        dns_intercepted_tcp_only = "dns-intercepted-tcp-only";
        dns_intercepted_udp_only = "dns-intercepted-udp-only";
        echo_malformed = "echo-malformed";
        echo_lies = "echo-lies";
        echo_refuses = "echo-refuses";
        exit_becomes_home = "exit-becomes-home";
        exit_switched = "exit-switched";
        exit_unexpected = "exit-unexpected";
        exit_unexpected_country = "exit-unexpected-country";
        exit_unexpected_country_twin = "exit-unexpected-country.twin";
        exit_unexpected_twin = "exit-unexpected.twin";
        exposed_then_offline = "exposed-then-offline";
        fast_rounds_twin = "fast-rounds.twin";
        flaky_wifi = "flaky-wifi";
        flapping_tunnel = "flapping-tunnel";
        full_line = "full-line";
        home_interception = "home-interception";
        ipv6_dead = "ipv6-dead";
        ipv6_leak = "ipv6-leak";
        ipv6_leak_dual_stack = "ipv6-leak-dual-stack";
        ipv6_only = "ipv6-only";
        ipv6_only_tunnel_removed = "ipv6-only-tunnel-removed";
        kill_switch_holds = "kill-switch-holds";
        kill_switch_open = "kill-switch-open";
        kill_switch_open_twin = "kill-switch-open.twin";
        latency_drop = "latency-drop";
        latency_drop_twin = "latency-drop.twin";
        latency_floor = "latency-floor";
        latency_floor_twin = "latency-floor.twin";
        latency_rises = "latency-rises";
        link_loss_high_then_recover = "link-loss-high-then-recover";
        narrow_route = "narrow-route";
        no_consent = "no-consent";
        node_cut_off = "node-cut-off";
        nxdomain_rewrite = "nxdomain-rewrite";
        offline = "offline";
        one_public_voice_past_tunnel = "one-public-voice-past-tunnel";
        policy_rule = "policy-rule";
        policy_rule_twin = "policy-rule.twin";
        private_resolver_in_tunnel = "private-resolver-in-tunnel";
        program_excluded = "program-excluded";
        program_excluded_twin = "program-excluded.twin";
        program_outside = "program-outside";
        program_outside_strict = "program-outside-strict";
        program_outside_strict_twin = "program-outside-strict.twin";
        program_outside_udp = "program-outside-udp";
        program_stalled_in_tunnel_twin = "program-stalled-in-tunnel.twin";
        provider_switched = "provider-switched";
        provider_with_two_asns = "provider-with-two-asns";
        public_only = "public-only";
        public_resolver_lies = "public-resolver-lies";
        public_resolver_lies_twin = "public-resolver-lies.twin";
        public_resolver_on_purpose = "public-resolver-on-purpose";
        public_resolver_on_purpose_twin = "public-resolver-on-purpose.twin";
        resolver_forwards_third_party = "resolver-forwards-third-party";
        resolver_isp = "resolver-isp";
        resolver_public = "resolver-public";
        resolver_router = "resolver-router";
        roamed_cafe = "roamed-cafe";
        roamed_cafe_without_tunnel = "roamed-cafe-without-tunnel";
        route_outside_v4 = "route-outside-v4";
        route_outside_v6 = "route-outside-v6";
        route_outside_v6_twin = "route-outside-v6.twin";
        router_advertisement = "router-advertisement";
        server_silent = "server-silent";
        server_switch_with_delay = "server-switch-with-delay";
        split_tunnel_on_purpose = "split-tunnel-on-purpose";
        split_tunnel_on_purpose_twin = "split-tunnel-on-purpose.twin";
        steady_twin = "steady.twin";
        stun_down = "stun-down";
        stun_down_twin = "stun-down.twin";
        stun_lies = "stun-lies";
        stun_slow = "stun-slow";
        suspended = "suspended";
        tunnel_removed = "tunnel-removed";
        tunnel_removed_and_dns_falls_back = "tunnel-removed-and-dns-falls-back";
        two_faults_at_once = "two-faults-at-once";
        wake_and_tunnel_gone = "wake-and-tunnel-gone";
        witness_asleep = "witness-asleep";
        witness_down = "witness-down";
        witness_lies_address_home = "witness-lies-address-home";
        witness_lies_address_other = "witness-lies-address-other";
        witness_lies_dns = "witness-lies-dns";
        witness_lies_dns_twin = "witness-lies-dns.twin";
        witness_slow = "witness-slow";
    }

    /// A file that only repeats another one has no test of its own, but must load.
    ///
    /// Loading checks that a scenario and its twin have the same world.
    #[test]
    fn every_scenario_file_loads_and_has_a_test() {
        let mut seen = BTreeSet::new();
        for entry in fs::read_dir(scenario_folder()).expect("the scenario folder") {
            let path = entry.expect("a scenario file").path();
            let scenario = Scenario::load(&path).unwrap_or_else(|error| panic!("{error:?}"));
            let name = path.file_stem().expect("a name").to_string_lossy().into_owned();
            let text = fs::read_to_string(&path).expect("a readable file");
            if !text.lines().any(|line| line.starts_with("same_as")) {
                assert!(
                    TESTED.contains(&name.as_str()),
                    "{name} has no test: add it to the list in this file"
                );
                seen.insert(name);
            }
            assert!(!scenario.description.is_empty(), "{} has no description", path.display());
        }
        assert_eq!(seen.len(), TESTED.len(), "a test has no scenario file");
    }

    #[test]
    fn the_page_about_the_scenarios_is_up_to_date() {
        let page = Path::new(env!("CARGO_MANIFEST_DIR")).join("../docs/scenarios.md");
        let written = fs::read_to_string(&page).expect("docs/scenarios.md");
        let now = render_scenario_page(&scenario_folder()).expect("valid scenario files");
        assert_eq!(written, now, "regenerate it: target/debug/lab table > docs/scenarios.md");
    }
}

#[cfg(not(target_os = "linux"))]
#[test]
fn scenarios() {
    println!("skipped: the lab needs Linux network namespaces, which this system does not have");
}
