//! Conversion of records that an earlier version stored.

use sentinel_model::{Entity, FindingKind, Incident, Interceptor};
use serde::Deserialize;
use serde_json::{Map, Value};

/// The fields of an old incident that the current version spells differently.
#[derive(Deserialize)]
struct OldFields {
    kind: FindingKind,
    subject: String,
}

/// Reads an incident that was stored before snapshot schema 2.
///
/// Such an incident has a free `subject` string, empty where only one finding of the kind was
/// possible, and no `entity` and no `title`. Everything else is the same.
pub(crate) fn upgrade_incident(body: &str) -> Result<Incident, serde_json::Error> {
    let old: OldFields = serde_json::from_str(body)?;
    let entity = entity_of(old.kind, old.subject);
    let mut fields: Map<String, Value> = serde_json::from_str(body)?;
    fields.insert("title".to_owned(), Value::from(old.kind.title(entity.as_ref())));
    fields.insert("entity".to_owned(), serde_json::to_value(entity)?);
    serde_json::from_value(Value::Object(fields))
}

/// Returns the entity that a subject of an incident of this kind named, if it named one.
fn entity_of(kind: FindingKind, subject: String) -> Option<Entity> {
    match (kind, subject.as_str()) {
        (FindingKind::DnsInterception, "home") => Some(Entity::Interceptor(Interceptor::Home)),
        (FindingKind::DnsInterception, "exit") => Some(Entity::Interceptor(Interceptor::Exit)),
        // The old name of an interceptor that is neither was the empty string.
        (FindingKind::DnsInterception, "") => Some(Entity::Interceptor(Interceptor::Stranger)),
        (_, "") => None,
        (FindingKind::VoiceDissents, _) => Some(Entity::Voice(subject)),
        (FindingKind::NodeSilent, _) => Some(Entity::Node(subject)),
        (FindingKind::KillSwitchOpen, _) => Some(Entity::Interface(subject)),
        _ => None,
    }
}
