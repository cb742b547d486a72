//! A ledger written by an earlier version is still read.
#![allow(clippy::unwrap_used, reason = "a test may fail where it likes")]

mod common;

use common::{open, still};
use sentinel_model::{
    Entity, FindingKind, Incident, IncidentState, Interceptor, NoticeKind, Severity, Timestamp,
};
use sentinel_store::Store;
use sqlx::Connection;
use std::path::Path;

/// An incident exactly as the versions before snapshot schema 2 stored it.
const EXPOSED_EXIT: &str = r#"{"id":"exit-exposed-v4-1700000000000","rule":"exit-exposed","kind":"exit-exposed","family":"v4","subject":"","severity":"critical","state":"firing","sentence":"198.51.100.142 seen over IPv4 by vps-fra.","advice":"Reconnect the VPN or go offline.","evidence":[{"voice":{"source":{"node":"12D3KooWFra"},"name":"vps-fra","network":{"asn":64500}},"saw":"198.51.100.142","at":1700000000000}],"opened":{"boot":5000,"wall":1700000000000},"changed":{"boot":6000,"wall":1700000001000},"acknowledged":1700000002000}"#;

/// An old incident of any kind about any subject.
fn old_body(kind: &str, family: &str, subject: &str) -> String {
    format!(
        r#"{{"id":"{kind}-{subject}","rule":"{kind}","kind":"{kind}","family":{family},"subject":"{subject}","severity":"warning","state":"recovering","sentence":"s","advice":"a","evidence":[],"opened":{{"boot":1,"wall":2}},"changed":{{"boot":3,"wall":4}},"acknowledged":null}}"#
    )
}

/// Stores bodies as open incidents, bypassing the current version's types.
async fn store_bodies(dir: &Path, bodies: &[String]) {
    open(dir).await.close().await;
    let ledger = dir.join("ledger.db");
    let mut connection =
        sqlx::SqliteConnection::connect(&format!("sqlite://{}", ledger.display())).await.unwrap();
    for (n, body) in bodies.iter().enumerate() {
        sqlx::query("INSERT INTO incident (id, open, opened, changed, body) VALUES (?1, 1, ?2, 4, ?3)")
            .bind(format!("incident-{n}"))
            .bind(-i64::try_from(n).unwrap())
            .bind(body)
            .execute(&mut connection)
            .await
            .unwrap();
    }
    connection.close().await.unwrap();
}

/// Returns the open incidents of a ledger that holds these bodies, in the order of the bodies.
async fn restore(bodies: &[String]) -> Vec<Incident> {
    let dir = tempfile::tempdir().unwrap();
    store_bodies(dir.path(), bodies).await;
    let store = open(dir.path()).await;
    let incidents = store.open_incidents().await.unwrap();
    assert_eq!(incidents, store.incidents(Timestamp(0), 100).await.unwrap());
    incidents
}

#[tokio::test]
async fn an_open_incident_of_an_earlier_version_is_restored_whole() {
    let restored = restore(&[EXPOSED_EXIT.to_owned()]).await;
    let [incident] = restored.as_slice() else { unreachable!("{restored:?}") };
    assert_eq!(incident.id.0, "exit-exposed-v4-1700000000000");
    assert_eq!((incident.kind, incident.state), (FindingKind::ExitExposed, IncidentState::Firing));
    assert_eq!((incident.entity.as_ref(), incident.title.as_str()), (None, "Your real address is visible"));
    assert_eq!(incident.sentence, "198.51.100.142 seen over IPv4 by vps-fra.");
    assert_eq!(incident.evidence[0].voice.as_ref().unwrap().name, "vps-fra");
    assert_eq!((incident.opened.boot.0, incident.opened.wall.0), (5_000, 1_700_000_000_000));
    assert_eq!(incident.acknowledged, Some(Timestamp(1_700_000_002_000)));
}

#[tokio::test]
async fn the_old_subject_becomes_an_entity_of_its_kind() {
    let expected = [
        ("voice-dissents", "stun-a", Some(Entity::Voice("stun-a".to_owned()))),
        ("node-silent", "home-server", Some(Entity::Node("home-server".to_owned()))),
        ("node-silent", "laptop (7QK2)", Some(Entity::Node("laptop (7QK2)".to_owned()))),
        ("kill-switch-open", "eth0", Some(Entity::Interface("eth0".to_owned()))),
        ("dns-interception", "home", Some(Entity::Interceptor(Interceptor::Home))),
        ("dns-interception", "exit", Some(Entity::Interceptor(Interceptor::Exit))),
        ("dns-interception", "", Some(Entity::Interceptor(Interceptor::Stranger))),
        ("tunnel-down", "", None),
    ];
    let bodies: Vec<_> =
        expected.iter().map(|(kind, subject, _)| old_body(kind, r#""v6""#, subject)).collect();
    let restored = restore(&bodies).await;
    let found: Vec<_> = restored
        .iter()
        .zip(&expected)
        .map(|(incident, (_, subject, _))| (incident.kind.name(), *subject, incident.entity.clone()))
        .collect();
    assert_eq!(found, expected);
    for incident in restored {
        assert_eq!(incident.title, incident.kind.title(incident.entity.as_ref()));
    }
}

#[tokio::test]
async fn titles_name_the_entity_they_are_about() {
    let bodies =
        [old_body("voice-dissents", "null", "stun-a"), old_body("node-silent", "null", "home-server")];
    let titles: Vec<_> = restore(&bodies).await.into_iter().map(|incident| incident.title).collect();
    assert_eq!(titles, ["stun-a disagrees with the others", "home-server has fallen silent"]);
}

#[tokio::test]
async fn an_unreadable_incident_does_not_hide_the_others() {
    let bodies = [
        "not JSON".to_owned(),
        old_body("a-kind-this-version-does-not-have", "null", ""),
        EXPOSED_EXIT.replace(r#","subject":"""#, ""),
        EXPOSED_EXIT.to_owned(),
    ];
    let dir = tempfile::tempdir().unwrap();
    store_bodies(dir.path(), &bodies).await;
    for start in 0..2 {
        let opened = Store::open(dir.path(), still()).await.unwrap();
        let restored = opened.store.open_incidents().await.unwrap();
        assert_eq!(restored.len(), 1, "{restored:?}");
        assert_eq!(restored[0].kind, FindingKind::ExitExposed);
        assert_eq!(opened.notes.len(), 3, "start {start}: each of the others is reported");
        for (n, note) in opened.notes.iter().enumerate() {
            for part in
                [&format!("incident incident-{n}"), "open since 19", "UTC", "cannot be read", "is kept"]
            {
                assert!(note.contains(part), "{note}");
            }
        }
        assert!(opened.notes[1].ends_with("It says: s"), "{}", opened.notes[1]);
        opened.store.close().await;
    }
}

#[tokio::test]
async fn an_unreadable_notice_is_offered_as_far_as_it_can_be_read() {
    let dir = tempfile::tempdir().unwrap();
    open(dir.path()).await.close().await;
    let ledger = dir.path().join("ledger.db");
    let mut connection =
        sqlx::SqliteConnection::connect(&format!("sqlite://{}", ledger.display())).await.unwrap();
    let newer = r#"{"incident":"b","kind":"reminder","severity":"warning","title":"T","body":"B","at":2}"#;
    for (incident, kind, body) in
        [("a", "alarm", "not JSON"), ("b", "reminder", newer), ("c", "resolve", "{}")]
    {
        sqlx::query("INSERT INTO outbox (incident, kind, at, body) VALUES (?1, ?2, 2, ?3)")
            .bind(incident)
            .bind(kind)
            .bind(body)
            .execute(&mut connection)
            .await
            .unwrap();
    }
    connection.close().await.unwrap();

    let store = open(dir.path()).await;
    let offered: Vec<_> = store.undelivered("desktop").await.unwrap();
    let shown: Vec<_> =
        offered.iter().map(|(_, n)| (n.incident.0.as_str(), n.kind, n.severity, n.title.as_str())).collect();
    assert_eq!(
        shown,
        [
            ("a", NoticeKind::Alarm, Severity::Critical, "Incident a"),
            ("b", NoticeKind::Alarm, Severity::Warning, "T"),
            ("c", NoticeKind::Resolve, Severity::Critical, "Incident c"),
        ]
    );
    assert!(offered[0].1.body.contains("cannot be read"), "{}", offered[0].1.body);
    assert_eq!(offered[1].1.body, "B");
    for (id, _) in offered {
        store.delivered("desktop", id).await.unwrap();
    }
    assert_eq!(store.undelivered("desktop").await.unwrap(), []);
}

#[tokio::test]
async fn an_upgraded_incident_is_stored_in_the_current_form() {
    let dir = tempfile::tempdir().unwrap();
    store_bodies(dir.path(), &[EXPOSED_EXIT.to_owned()]).await;
    let store = open(dir.path()).await;
    let mut incident = store.open_incidents().await.unwrap().remove(0);
    incident.id = "incident-0".into();
    incident.state = IncidentState::Recovering;
    store.commit(vec![incident.clone()], vec![]).await.unwrap();
    store.close().await;
    assert_eq!(open(dir.path()).await.open_incidents().await.unwrap(), [incident]);
}
