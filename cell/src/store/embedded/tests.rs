//! The suite for all drivers, and what only a folder can meet.

use std::fs;
use std::path::PathBuf;
use std::sync::atomic::AtomicBool;

use futures_util::future::join_all;

use super::*;
use crate::env::ManualClock;
use crate::ids::{Bucket, Offset};
use crate::store::conformance::{Fixture, conformance, run};
use crate::store::key::Keys;

fn options() -> Options {
    Options::new(Arc::new(ManualClock::at(1_000)))
}

fn fixture() -> Fixture {
    let clock = ManualClock::at(1_000);
    let folder = tempfile::tempdir().expect("a folder");
    let store = EmbeddedStore::open(folder.path(), Options::new(Arc::new(clock.clone()))).expect("opens");
    Fixture {
        store: Arc::new(store),
        age_snapshots: Box::new(move || clock.advance_ms(STORE_SNAPSHOT_MS_MAX + 1)),
        keep: Box::new(folder),
    }
}

mod suite {
    use super::fixture;
    super::conformance!(fixture);
}

fn keys() -> Keys {
    Keys::new("default/shop")
}

/// One record of a bucket with its head, checked as a lane's commits are.
fn append(offset: u64) -> Transaction {
    let (keys, bucket) = (keys(), Bucket(1));
    let mut tx = Transaction::default();
    tx.check(keys.head(bucket), offset.checked_sub(1).map(value));
    tx.set(keys.head(bucket), value(offset));
    tx.set(keys.log(bucket, Offset(offset)), value(offset));
    tx
}

fn value(n: u64) -> Bytes {
    Bytes::from(format!("value {n} {}", "x".repeat(300)))
}

async fn appended(store: &EmbeddedStore) -> Vec<Bytes> {
    let range = keys().log_range(Bucket(1), Offset(0), None).read(usize::MAX);
    let rows = store.snapshot().await.expect("opens").range(range).await.expect("reads");
    rows.into_iter().map(|(_, value)| value).collect()
}

async fn append_all(store: &EmbeddedStore, offsets: std::ops::Range<u64>) {
    // All at once: they wait for each other in the committer's queue.
    let results = join_all(offsets.map(|offset| store.commit(append(offset)))).await;
    results.into_iter().for_each(|result| result.expect("commits"));
}

fn journal_of(folder: &Path) -> PathBuf {
    let entries = fs::read_dir(folder).expect("lists").map(|entry| entry.expect("lists").path());
    entries.filter(|path| path.extension().is_some_and(|e| e == "jnl")).max().expect("a journal")
}

/// What was written to a journal, and where that ends before some unused space.
fn written(journal: &Path) -> (Vec<u8>, usize) {
    let mut bytes = fs::read(journal).expect("reads");
    let end = bytes.iter().rposition(|&byte| byte != 0).expect("something was written") + 1;
    bytes.truncate(end + 1_000);
    (bytes, end)
}

#[test]
fn everything_committed_is_there_after_each_of_ten_openings() {
    let folder = tempfile::tempdir().expect("a folder");
    run(async {
        for round in 0..10_u64 {
            let store = EmbeddedStore::open(folder.path(), options()).expect("opens");
            let expected: Vec<Bytes> = (0..round * 50).map(value).collect();
            assert_eq!(appended(&store).await, expected, "round {round}");
            append_all(&store, round * 50..(round + 1) * 50).await;
        }
    });
}

#[test]
fn an_interrupted_creation_is_done_anew() {
    let folder = tempfile::tempdir().expect("a folder");
    drop(EmbeddedStore::open(folder.path(), options()).expect("opens"));
    fs::write(folder.path().join("corallite"), "").expect("writes");
    fs::remove_dir_all(folder.path().join("keyspaces/1")).expect("removes");
    let store = EmbeddedStore::open(folder.path(), options()).expect("opens");
    run(append_all(&store, 0..3));
    drop(store);
    fs::write(folder.path().join("corallite"), "").expect("writes");
    let error = EmbeddedStore::open(folder.path(), options()).err().expect("there are rows");
    assert!(matches!(error, OpenError::Damaged { .. }), "{error}");
}

#[test]
fn a_folder_in_use_is_refused_with_a_sentence() {
    let folder = tempfile::tempdir().expect("a folder");
    let first = EmbeddedStore::open(folder.path(), options()).expect("opens");
    let error = EmbeddedStore::open(folder.path(), options()).err().expect("is in use");
    assert!(matches!(error, OpenError::InUse { .. }));
    assert!(error.to_string().contains("is in use by another process"), "{error}");
    drop(first);
    EmbeddedStore::open(folder.path(), options()).expect("is free again");
}

#[test]
fn a_closed_store_answers_its_snapshots() {
    let folder = tempfile::tempdir().expect("a folder");
    let store = EmbeddedStore::open(folder.path(), options()).expect("opens");
    run(async {
        let snapshot = store.snapshot().await.expect("opens");
        let unanswered = store.commit(append(0));
        drop(store);
        assert!(matches!(snapshot.get(b"a").await, Err(StoreError::Unavailable { .. })));
        assert_eq!(unanswered.await, Ok(()), "what was handed in is written");
        let again = EmbeddedStore::open(folder.path(), options()).expect("opens beside the snapshot");
        assert_eq!(appended(&again).await.len(), 1);
    });
}

#[test]
fn ranges_over_both_parts_are_one_order() {
    let folder = tempfile::tempdir().expect("a folder");
    let store = EmbeddedStore::open(folder.path(), options()).expect("opens");
    let (keys, bucket) = (keys(), Bucket(1));
    let expected: Vec<Bytes> = vec![
        keys.owner(bucket),
        keys.head(bucket),
        keys.log(bucket, Offset(0)),
        keys.log(bucket, Offset(1)),
        keys.checkpoint(bucket),
        keys.dead(bucket, Offset(0)),
    ];
    run(async {
        let mut tx = Transaction::default();
        expected.iter().for_each(|key| tx.set(key.clone(), value(0)));
        store.commit(tx).await.expect("commits");
        let snapshot = store.snapshot().await.expect("opens");
        let all = keys.bucket_range(bucket);
        for limit in 0..8 {
            let read = async |range| {
                let rows = snapshot.range(range).await.expect("reads");
                rows.into_iter().map(|(key, _)| key).collect::<Vec<_>>()
            };
            let count = limit.min(expected.len());
            assert_eq!(read(all.clone().read(limit)).await, expected[..count]);
            let reverse: Vec<Bytes> = expected.iter().rev().take(limit).cloned().collect();
            assert_eq!(read(all.clone().read_reverse(limit)).await, reverse);
        }
        let mut tx = Transaction::default();
        tx.clear_range(all.begin.clone(), all.end.clone());
        store.commit(tx).await.expect("commits");
        let mut tx = Transaction::default();
        tx.checks.push(crate::store::Check::Empty { begin: all.begin, end: all.end });
        assert_eq!(store.commit(tx).await, Ok(()), "both parts were cleared");
    });
}

#[test]
fn a_full_disk_refuses_commits_until_there_is_space() {
    let folder = tempfile::tempdir().expect("a folder");
    let full = Arc::new(AtomicBool::new(false));
    let mut options = options();
    let (is_full, free_space) = (Arc::clone(&full), Arc::clone(&options.free_space));
    options.free_space =
        Arc::new(move |path| if is_full.load(Ordering::SeqCst) { Ok(1_000) } else { free_space(path) });
    let store = EmbeddedStore::open(folder.path(), options).expect("opens");
    run(async {
        append_all(&store, 0..1).await;
        full.store(true, Ordering::SeqCst);
        let Err(StoreError::Unavailable { reason }) = store.commit(append(1)).await else {
            panic!("a full disk is not refused");
        };
        assert!(reason.contains("has 1000 bytes free and 67109"), "{reason}");
        assert_eq!(appended(&store).await.len(), 1, "reads go on");
        full.store(false, Ordering::SeqCst);
        append_all(&store, 1..2).await;
    });
}

#[test]
fn a_torn_tail_is_cut_off_and_the_rest_is_there() {
    let folder = tempfile::tempdir().expect("a folder");
    let store = EmbeddedStore::open(folder.path(), options()).expect("opens");
    run(async {
        for offset in 0..5 {
            append_all(&store, offset..offset + 1).await
        }
    });
    drop(store);
    let journal = journal_of(folder.path());
    let (whole, end) = written(&journal);
    for torn in (1..150).step_by(13) {
        // Cut off, and written in part: the file is longer than what reached the disk.
        for hole in [false, true] {
            let mut bytes = whole.clone();
            if hole {
                bytes[end - 200..end - 200 + torn].fill(0);
            } else {
                bytes.truncate(end - torn);
            }
            fs::write(&journal, bytes).expect("writes");
            let store = EmbeddedStore::open(folder.path(), options()).expect("opens");
            run(async { assert_eq!(appended(&store).await.len(), 4, "{torn} bytes, hole: {hole}") });
        }
    }
    let store = EmbeddedStore::open(folder.path(), options()).expect("opens");
    run(append_all(&store, 4..6));
}

#[test]
fn damage_before_the_last_batch_is_refused_and_named() {
    let folder = tempfile::tempdir().expect("a folder");
    let store = EmbeddedStore::open(folder.path(), options()).expect("opens");
    run(async {
        for offset in 0..5 {
            append_all(&store, offset..offset + 1).await
        }
    });
    drop(store);
    let journal = journal_of(folder.path());
    let (whole, end) = written(&journal);
    for at in (0..end * 3 / 5).step_by(7) {
        let mut bytes = whole.clone();
        bytes[at] ^= 0x55;
        fs::write(&journal, &bytes).expect("writes");
        let error = EmbeddedStore::open(folder.path(), options()).err().expect("damage is found");
        assert!(matches!(&error, OpenError::Damaged { path, .. } if *path == journal), "byte {at}: {error}");
        assert!(error.to_string().contains(".jnl is damaged: what is written from byte"), "{error}");
        assert_eq!(fs::read(&journal).expect("reads"), bytes, "nothing is changed by the attempt");
    }
    fs::write(&journal, whole).expect("writes");
    let store = EmbeddedStore::open(folder.path(), options()).expect("opens");
    run(async { assert_eq!(appended(&store).await.len(), 5) });
}

/// Files under a folder, by name.
fn files_under(folder: &Path, found: &mut Vec<PathBuf>) {
    for entry in fs::read_dir(folder).expect("lists") {
        let path = entry.expect("lists").path();
        if path.is_dir() { files_under(&path, found) } else { found.push(path) }
    }
    found.sort();
}

fn copy_folder(from: &Path, to: &Path) {
    fs::create_dir_all(to).expect("creates");
    for entry in fs::read_dir(from).expect("lists") {
        let path = entry.expect("lists").path();
        let target = to.join(path.file_name().expect("a name"));
        if path.is_dir() {
            copy_folder(&path, &target);
        } else {
            fs::copy(&path, &target).expect("copies");
        }
    }
}

/// Whatever file is missing, cut or changed: an error when the store opens or is read, or all is there.
#[test]
fn no_damaged_file_loses_records_silently_or_panics() {
    let original = tempfile::tempdir().expect("a folder");
    let mut small = options();
    small.memtable_bytes = 20_000;
    let store = EmbeddedStore::open(original.path(), small).expect("opens");
    run(async {
        for offset in 0..20 {
            append_all(&store, offset * 20..(offset + 1) * 20).await
        }
    });
    drop(store);
    let journal = journal_of(original.path());
    let mut files = Vec::new();
    files_under(original.path(), &mut files);
    assert!(files.iter().any(|file| file.to_string_lossy().contains("tables")), "tables were written");
    for file in files.iter().filter(|file| **file != journal) {
        for damage in ["removed", "cut", "changed"] {
            let copy = tempfile::tempdir().expect("a folder");
            copy_folder(original.path(), copy.path());
            let name = file.strip_prefix(original.path()).expect("a file of the store");
            if !damage_file(&copy.path().join(name), damage) {
                continue;
            }
            let what = format!("{} {damage}", name.display());
            match EmbeddedStore::open(copy.path(), options()) {
                Err(error) => {
                    let copy = copy.path().display().to_string();
                    assert!(error.to_string().contains(&copy), "{what}: names no file: {error}");
                }
                Ok(store) => run(all_or_error(&store, &what)),
            }
        }
    }
}

fn damage_file(path: &Path, damage: &str) -> bool {
    let bytes = fs::read(path).expect("reads");
    match damage {
        "removed" => fs::remove_file(path).expect("removes"),
        "cut" if bytes.len() > 1 => fs::write(path, &bytes[..bytes.len() / 2]).expect("writes"),
        "changed" if !bytes.is_empty() => {
            let mut bytes = bytes;
            let middle = bytes.len() / 2;
            bytes[middle] ^= 0x55;
            fs::write(path, bytes).expect("writes");
        }
        _ => return false,
    }
    true
}

async fn all_or_error(store: &EmbeddedStore, what: &str) {
    let range = keys().log_range(Bucket(1), Offset(0), None).read(usize::MAX);
    match store.snapshot().await.expect("opens").range(range).await {
        Ok(rows) => assert_eq!(rows.len(), 400, "{what}: records are lost without a word"),
        Err(StoreError::Damaged { .. } | StoreError::Unavailable { .. }) => {}
        Err(other) => panic!("{what}: {other}"),
    }
}
