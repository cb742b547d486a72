//! Files that are damaged, too new, in use, or left behind by a process that was killed.
#![allow(clippy::unwrap_used, reason = "a test may fail where it likes")]

mod common;

use common::{fact, incident, notice, open, reopen, sample, still};
use sentinel_model::{IncidentState, NoticeKind};
use sentinel_store::{RecordedFact, Store, StoreError};
use sqlx::Connection;
use std::{
    fs,
    io::{BufRead, BufReader, Read, Seek, SeekFrom, Write},
    path::Path,
    process::{Command, Stdio},
};

/// A closed store with something in both files.
async fn filled(dir: &Path) {
    let store = open(dir).await;
    store.record_samples((0..5_000).map(|n| sample("vps", n * 1_000, 40_000.0)).collect()).await;
    store.record_fact(fact(RecordedFact::Verdict, "1", 1)).await;
    store
        .commit(vec![incident("a", IncidentState::Firing, 1)], vec![notice("a", NoticeKind::Alarm)])
        .await
        .unwrap();
    store.close().await;
}

fn overwrite(path: &Path, offset: u64, bytes: &[u8]) {
    let mut file = fs::OpenOptions::new().write(true).open(path).unwrap();
    file.seek(SeekFrom::Start(offset)).unwrap();
    file.write_all(bytes).unwrap();
}

#[tokio::test]
async fn a_file_that_is_not_a_database_is_set_aside_and_the_other_one_kept() {
    let dir = tempfile::tempdir().unwrap();
    filled(dir.path()).await;
    let history = dir.path().join("history.db");
    overwrite(&history, 0, b"this is not a database, is it");
    let damaged = fs::read(&history).unwrap();

    let opened = Store::open(dir.path(), still()).await.unwrap();
    assert_eq!(opened.notes.len(), 1, "{:?}", opened.notes);
    assert!(opened.notes[0].contains("history.db.damaged-1"), "{}", opened.notes[0]);
    assert_eq!(
        fs::read(dir.path().join("history.db.damaged-1")).unwrap(),
        damaged,
        "the damaged file is kept byte for byte"
    );
    assert_eq!(opened.store.open_incidents().await.unwrap().len(), 1);
    opened.store.record_samples(vec![sample("vps", 1, 1.0)]).await;
    opened.store.close().await;

    overwrite(&history, 0, b"and again");
    let again = Store::open(dir.path(), still()).await.unwrap();
    assert!(again.notes[0].contains("history.db.damaged-2"), "{}", again.notes[0]);
    assert!(again.notes[0].contains("2 such files take up"), "{}", again.notes[0]);
    assert_eq!(
        fs::read(dir.path().join("history.db.damaged-1")).unwrap(),
        damaged,
        "the first one is still there"
    );
}

/// Copies a ledger that was killed, with one committed entry that only the write-ahead log has.
async fn killed_ledger() -> tempfile::TempDir {
    let dir = tempfile::tempdir().unwrap();
    let store = open(dir.path()).await;
    store.append_membership(vec![1]).await.unwrap();
    let copy = tempfile::tempdir().unwrap();
    for name in ["ledger.db", "ledger.db-wal", "ledger.db-shm"] {
        fs::copy(dir.path().join(name), copy.path().join(name)).unwrap();
    }
    copy
}

/// Returns the membership entries of a ledger under any name.
async fn entries(ledger: &Path) -> Vec<Vec<u8>> {
    let url = format!("sqlite://{}", ledger.display());
    let mut connection = sqlx::SqliteConnection::connect(&url).await.unwrap();
    sqlx::query_scalar("SELECT entry FROM membership").fetch_all(&mut connection).await.unwrap()
}

#[tokio::test]
async fn a_crash_while_a_ledger_is_set_aside_loses_nothing_of_it() {
    // The order of the renames. A crash after `done` of them leaves the others to the next start.
    let renames = ["", "-wal", "-shm"];
    for done in 0..=renames.len() {
        for already_kept in [0, 1] {
            let dir = killed_ledger().await;
            let damaged = format!("ledger.db.damaged-{}", already_kept + 1);
            if already_kept == 1 {
                fs::write(dir.path().join("ledger.db.damaged-1"), b"an older one").unwrap();
            }
            for suffix in &renames[..done] {
                let (from, to) = (format!("ledger.db{suffix}"), format!("{damaged}{suffix}"));
                fs::rename(dir.path().join(from), dir.path().join(to)).unwrap();
            }
            let opened = Store::open(dir.path(), still()).await.unwrap();
            let membership = opened.store.membership().await.unwrap();
            if done == 0 {
                assert_eq!((membership.len(), opened.notes.len()), (1, 0), "the old state");
                continue;
            }
            assert_eq!(membership, Vec::<Vec<u8>>::new(), "{done} renames: an empty ledger takes its place");
            assert!(opened.notes[0].contains(&damaged), "{done} renames: {:?}", opened.notes);
            assert_eq!(
                entries(&dir.path().join(&damaged)).await,
                [vec![1]],
                "{done} renames: kept with its log"
            );
            opened.store.append_membership(vec![2]).await.unwrap();
            opened.store.close().await;
            assert_eq!(open(dir.path()).await.membership().await.unwrap(), [vec![2]], "reported once");
        }
    }
}

#[tokio::test]
async fn a_log_without_a_database_is_kept() {
    let dir = killed_ledger().await;
    fs::remove_file(dir.path().join("ledger.db")).unwrap();
    let log = fs::read(dir.path().join("ledger.db-wal")).unwrap();
    let store = open(dir.path()).await;
    assert_eq!(fs::read(dir.path().join("ledger.db.damaged-1-wal")).unwrap(), log);
    store.append_membership(vec![2]).await.unwrap();
}

/// Damages the root page of a table in a ledger that is too large to be checked at every start.
async fn damage_large_ledger(dir: &Path, table: &str) {
    filled(dir).await;
    let store = open(dir).await;
    for n in 0..10 {
        store.append_membership(vec![n; 1024 * 1024]).await.unwrap();
    }
    store.close().await;
    let ledger = dir.join("ledger.db");
    let url = format!("sqlite://{}", ledger.display());
    let mut connection = sqlx::SqliteConnection::connect(&url).await.unwrap();
    let root: i64 = sqlx::query_scalar("SELECT rootpage FROM sqlite_master WHERE name = ?1")
        .bind(table)
        .fetch_one(&mut connection)
        .await
        .unwrap();
    connection.close().await.unwrap();
    overwrite(&ledger, (u64::try_from(root).unwrap() - 1) * 4096, &[0xa5; 64]);
}

#[tokio::test]
async fn damage_found_while_running_is_named_and_set_aside_at_the_next_start() {
    let dir = tempfile::tempdir().unwrap();
    damage_large_ledger(dir.path(), "outbox").await;
    let store = open(dir.path()).await;
    let error = store.undelivered("desktop").await.unwrap_err();
    assert!(matches!(error, StoreError::Damaged { .. }), "{error:?}");
    for part in ["read the undelivered notices", "damaged", "Restart VPNSentinel"] {
        assert!(error.to_string().contains(part), "{error}");
    }
    store.close().await;
    let opened = Store::open(dir.path(), still()).await.unwrap();
    assert!(opened.notes[0].contains("ledger.db.damaged-1"), "{:?}", opened.notes);
    opened.store.append_membership(vec![1]).await.unwrap();
    opened.store.close().await;
    open(dir.path()).await;
}

#[tokio::test]
async fn damage_found_while_starting_is_set_aside_at_once() {
    let dir = tempfile::tempdir().unwrap();
    damage_large_ledger(dir.path(), "incident").await;
    let opened = Store::open(dir.path(), still()).await.unwrap();
    assert!(opened.notes[0].contains("ledger.db.damaged-1"), "{:?}", opened.notes);
    assert_eq!(opened.store.open_incidents().await.unwrap(), []);
}

#[tokio::test]
async fn a_ledger_with_damaged_pages_is_replaced_by_an_empty_one() {
    let dir = tempfile::tempdir().unwrap();
    filled(dir.path()).await;
    let ledger = dir.path().join("ledger.db");
    let length = fs::metadata(&ledger).unwrap().len();
    for page in 1..length / 4096 {
        overwrite(&ledger, page * 4096, &[0xa5; 64]);
    }
    let opened = Store::open(dir.path(), still()).await.unwrap();
    assert_eq!(opened.notes.len(), 1, "{:?}", opened.notes);
    assert!(opened.notes[0].contains("ledger.db.damaged-1"), "{}", opened.notes[0]);
    assert_eq!(opened.store.open_incidents().await.unwrap(), []);
    opened.store.append_membership(vec![1]).await.unwrap();
}

#[tokio::test]
async fn an_empty_file_is_a_new_database() {
    let dir = tempfile::tempdir().unwrap();
    fs::write(dir.path().join("ledger.db"), b"").unwrap();
    let store = open(dir.path()).await;
    store.append_membership(vec![1]).await.unwrap();
}

#[tokio::test]
async fn a_newer_database_is_refused_and_left_untouched() {
    let dir = tempfile::tempdir().unwrap();
    filled(dir.path()).await;
    let ledger = dir.path().join("ledger.db");
    let mut connection =
        sqlx::SqliteConnection::connect(&format!("sqlite://{}", ledger.display())).await.unwrap();
    sqlx::query("INSERT INTO _sqlx_migrations (version, description, success, checksum, execution_time) VALUES (9, 'x', 1, x'00', 0)")
        .execute(&mut connection)
        .await
        .unwrap();
    connection.close().await.unwrap();
    let files = || {
        ["history.db", "ledger.db"].map(|name| {
            (
                fs::read(dir.path().join(name)).unwrap(),
                fs::metadata(dir.path().join(name)).unwrap().modified().unwrap(),
            )
        })
    };
    let before = files();

    let error = Store::open(dir.path(), still()).await.err().unwrap();
    assert!(matches!(error, StoreError::Newer { found: 9, supported: 2, .. }), "{error:?}");
    let message = error.to_string();
    for part in ["ledger.db", "format is 9", "up to 2", "untouched", "Install the newer version"] {
        assert!(message.contains(part), "{message}");
    }
    assert!(files() == before, "the files were changed");
    assert!(!dir.path().join("ledger.db-wal").exists());
}

#[tokio::test]
async fn a_second_process_is_refused() {
    let dir = tempfile::tempdir().unwrap();
    let store = open(dir.path()).await;
    let error = Store::open(dir.path(), still()).await.err().unwrap();
    assert!(matches!(error, StoreError::InUse { .. }), "{error:?}");
    assert!(error.to_string().contains("state_dir"), "{error}");
    store.close().await;
    open(dir.path()).await;
}

#[tokio::test]
async fn a_directory_that_cannot_be_created_is_named_in_the_error() {
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("file");
    fs::write(&file, b"x").unwrap();
    let error = Store::open(&file.join("state"), still()).await.err().unwrap();
    assert!(matches!(error, StoreError::Directory { .. }), "{error:?}");
    assert!(error.to_string().contains("file/state"), "{error}");
}

#[cfg(unix)]
#[tokio::test]
async fn only_the_owner_can_read_the_files() {
    use std::os::unix::fs::PermissionsExt;
    let dir = tempfile::tempdir().unwrap();
    let state = dir.path().join("state");
    let store = open(&state).await;
    store.record_samples(vec![sample("vps", 1, 1.0)]).await;
    store.flush().await;
    let mode = |path: &Path| fs::metadata(path).unwrap().permissions().mode() & 0o777;
    assert_eq!(mode(&state), 0o700);
    for name in ["history.db", "history.db-wal", "ledger.db", "ledger.db-wal"] {
        assert_eq!(mode(&state.join(name)), 0o600, "{name}");
    }
    store.close().await;
    fs::set_permissions(state.join("ledger.db"), fs::Permissions::from_mode(0o644)).unwrap();
    open(&state).await;
    assert_eq!(mode(&state.join("ledger.db")), 0o600);
}

/// The child process of the next test: commits until it is killed and prints what it has committed.
#[tokio::test]
async fn writes_until_killed() {
    let Ok(dir) = std::env::var("STORE_TEST_DIR") else { return };
    let store = open(Path::new(&dir)).await;
    for n in 0.. {
        let id = format!("incident-{n}");
        store.record_samples((0..500).map(|k| sample("vps", n * 500 + k, 1.0)).collect()).await;
        store
            .commit(vec![incident(&id, IncidentState::Firing, n)], vec![notice(&id, NoticeKind::Alarm)])
            .await
            .unwrap();
        println!("committed {id}");
    }
}

#[tokio::test]
async fn committed_records_survive_a_kill() {
    let dir = tempfile::tempdir().unwrap();
    let mut child = Command::new(std::env::current_exe().unwrap())
        .args(["writes_until_killed", "--exact", "--nocapture"])
        .env("STORE_TEST_DIR", dir.path())
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .spawn()
        .unwrap();
    let mut lines = BufReader::new(child.stdout.take().unwrap());
    let mut output = String::new();
    while output.matches("committed").count() < 40 {
        assert!(lines.read_line(&mut output).unwrap() > 0, "the writer ended early: {output}");
    }
    child.kill().unwrap();
    child.wait().unwrap();
    lines.read_to_string(&mut output).unwrap();
    let committed = output.lines().filter(|line| line.contains("committed incident-")).count();

    let store = reopen(dir.path()).await;
    assert_eq!(
        fs::read_dir(dir.path())
            .unwrap()
            .filter(|f| f.as_ref().unwrap().file_name().to_string_lossy().contains("damaged"))
            .count(),
        0
    );
    let kept = store.open_incidents().await.unwrap().len();
    assert!(kept >= committed, "{kept} kept of {committed}");
    let mut waiting = 0;
    loop {
        let page = store.undelivered("desktop").await.unwrap();
        let Some((id, _)) = page.first() else { break };
        waiting += 1;
        store.delivered("desktop", *id).await.unwrap();
    }
    assert_eq!(waiting, kept, "incidents and notices are one transaction");
}
