//! Chunked values on a plain map.

use std::collections::BTreeMap;

use futures_util::FutureExt;
use proptest::prelude::*;

use super::*;
use crate::ids::{Bucket, Offset};
use crate::store::key::Keys;
use crate::store::{BoxFuture, Range, Write};

#[derive(Default)]
struct Map(BTreeMap<Bytes, Bytes>);

impl Map {
    fn apply(&mut self, tx: Transaction) {
        for write in tx.writes {
            match write {
                Write::Set { key, value } => {
                    assert!(value.len() <= STORE_VALUE_BYTES_MAX);
                    self.0.insert(key, value);
                }
                Write::Clear { key } => {
                    self.0.remove(&key);
                }
                Write::ClearRange { begin, end } => self.0.retain(|key, _| *key < begin || *key >= end),
            }
        }
    }
}

impl Snapshot for Map {
    fn get<'a>(&'a self, key: &'a [u8]) -> BoxFuture<'a, Result<Option<Bytes>, StoreError>> {
        std::future::ready(Ok(self.0.get(key).cloned())).boxed()
    }

    fn range<'a>(&'a self, range: Range) -> BoxFuture<'a, Result<Vec<(Bytes, Bytes)>, StoreError>> {
        let rows = self.0.range(range.begin..range.end).take(range.limit);
        std::future::ready(Ok(rows.map(|(key, value)| (key.clone(), value.clone())).collect())).boxed()
    }
}

fn now<T>(future: impl Future<Output = T>) -> T {
    future.now_or_never().expect("a map answers at once")
}

fn value(bytes: usize, fill: u8) -> Bytes {
    Bytes::from(vec![fill % 200 + 1; bytes])
}

fn keys() -> Keys {
    Keys::new("default/shop")
}

fn log_with(sizes: &[usize]) -> (Map, Vec<(Bytes, Bytes)>) {
    let (mut map, mut tx, mut expected) = (Map::default(), Transaction::default(), Vec::new());
    for (at, &bytes) in sizes.iter().enumerate() {
        let key = keys().log(Bucket(1), Offset(at as u64 + 250));
        write_new_value(&mut tx, key.clone(), value(bytes, at as u8));
        expected.push((key, value(bytes, at as u8)));
    }
    map.apply(tx);
    (map, expected)
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn a_paged_scan_gives_every_value_whole(
        sizes in proptest::collection::vec(prop_oneof![3 => 1_usize..100, 1 => 99_990_usize..350_000], 1..12),
        limit in 1_usize..8,
    ) {
        let (map, expected) = log_with(&sizes);
        let mut range = keys().log_range(Bucket(1), Offset(0), None);
        let mut got = Vec::new();
        loop {
            let page = now(read_range(&map, range.clone(), limit)).expect("reads");
            got.extend(page.values);
            match page.next {
                Some(next) => range.begin = next,
                None => break,
            }
        }
        prop_assert!(got == expected);
        for (key, value) in expected {
            prop_assert!(now(read_value(&map, &key)).expect("reads") == Some(value));
        }
    }
}

#[test]
fn a_shorter_value_leaves_nothing_of_a_longer_one() {
    let key = keys().log(Bucket(1), Offset(0));
    let mut map = Map::default();
    for bytes in [STORE_VALUE_BYTES_MAX, STORE_VALUE_BYTES_MAX + 1, 450_000, 10] {
        let mut tx = Transaction::default();
        write_value(&mut tx, key.clone(), value(bytes, 7));
        map.apply(tx);
        assert!(now(read_value(&map, &key)).expect("reads") == Some(value(bytes, 7)), "{bytes}");
    }
    assert_eq!(map.0.len(), 1);
    let mut tx = Transaction::default();
    write_value(&mut tx, key.clone(), value(300_000, 7));
    clear_value(&mut tx, key);
    map.apply(tx);
    assert_eq!(map.0.len(), 0);
}

#[test]
fn damage_is_found_and_names_the_key() {
    let is_damaged = |map: &Map, key: &Bytes| {
        let range = keys().log_range(Bucket(1), Offset(0), None);
        matches!(now(read_value(map, key)), Err(StoreError::Damaged { .. }))
            && matches!(now(read_range(map, range, 100)), Err(StoreError::Damaged { .. }))
    };
    let (map, expected) = log_with(&[250_000, 10]);
    let key = &expected[0].0;
    for index in 0..3 {
        let mut missing = Map(map.0.clone());
        missing.0.remove(&chunk_key(key, index));
        assert!(is_damaged(&missing, key), "chunk {index} is missing");
    }
    let mut changed = Map(map.0.clone());
    changed.0.insert(chunk_key(key, 1), value(CHUNK_BYTES, 99));
    assert!(is_damaged(&changed, key), "a chunk was changed");
    let mut short = Map(map.0.clone());
    short.0.insert(key.clone(), map.0[key].slice(..9));
    assert!(is_damaged(&short, key), "the header was cut");
}
