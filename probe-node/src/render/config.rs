//! The configuration and the public services, as `config` prints them.

use crate::client;
use sentinel_engine::{Config, PublicService};
use serde_json::Value;

/// Returns a summary of a valid configuration, with remarks on what is allowed but probably a
/// mistake.
pub(crate) fn configuration(config: &Config) -> String {
    let services =
        if config.services.consent { "allowed" } else { "not used, because `services.consent` is false" };
    let home = if config.home.is_unknown() {
        "not set; it can be learned while the VPN is off"
    } else {
        "set in the configuration"
    };
    let warnings: Vec<String> = sentinel_engine::config_warnings(config)
        .iter()
        .map(|warning| format!("\nNote: {warning}.\n"))
        .collect();
    let warnings = warnings.concat();
    format!(
        "The configuration is valid.\n\n{:<16}{} ({})\n{:<16}{}\n{:<16}{}/\n{:<16}{home}\n{:<16}{services}\n{warnings}",
        "Name",
        config.name,
        config.role,
        "State",
        config.state_dir.display(),
        "API, dashboard",
        client::base_url(config.api.listen),
        "Home line",
        "Public services"
    )
}

/// Returns the list of public services with their purpose, and whether each may be used.
pub(crate) fn services(services: &[PublicService]) -> String {
    let width = services.iter().map(|it| it.service.name.len()).max().unwrap_or_default();
    let lines = services.iter().map(|PublicService { service, on }| {
        let state = if *on { "on" } else { "off" };
        format!("{state:<5}{:<12}{:<width$}  {}\n", service.kind, service.name, service.address)
    });
    let on = services.iter().filter(|it| it.on).count();
    format!(
        "{on} of {} public services may be used.\n\n{}\nTo allow them, set `consent = true` under [services]. To switch \
         one off, name it under `disabled` there.",
        services.len(),
        lines.collect::<String>()
    )
}

/// Returns the same list for programs.
pub(crate) fn services_json(services: &[PublicService]) -> Value {
    let services: Vec<Value> = services
        .iter()
        .map(|PublicService { service, on }| {
            serde_json::json!({ "kind": service.kind, "name": service.name, "address": service.address, "on": on })
        })
        .collect();
    serde_json::json!({ "services": services })
}
