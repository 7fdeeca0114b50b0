//! The log of a stopped shard, read from its folder, and what must hold for any log.

use std::collections::{BTreeMap, HashMap, HashSet};
use std::path::Path;
use std::sync::Arc;

use corallite_cell::env::ManualClock;
use corallite_cell::ids::{Bucket, Offset};
use corallite_cell::store::embedded::{EmbeddedStore, Options};
use corallite_cell::store::key::{KeyRange, Keys};
use corallite_cell::store::{Snapshot, Store, chunk, record};
use corallite_proto::store as rec;
use corallite_proto::store::record::Cause;

/// Rows read at once.
const PAGE_ROWS: usize = 1_000;

/// Bucket and offset of a record.
pub type Place = (u32, u64);

/// The events of one actor, in order, with the place of their record.
pub type History<'a> = Vec<(Place, &'a rec::EventEntry)>;

/// Everything a shard's log says.
pub struct Log {
    /// Names of actor types by their number.
    pub types: Vec<String>,
    pub buckets: Vec<BucketLog>,
}

/// One bucket.
pub struct BucketLog {
    /// The records, by offset.
    pub records: Vec<rec::Record>,
    /// Records that no checkpoint covers.
    pub tail: u64,
    /// Messages in the stored outbox.
    pub outbox: usize,
}

/// Reads the log of the shop in a folder that no cell has open, and checks that it is whole. Blocks: not
/// to be called by a runtime's task.
pub fn read(data: &Path, buckets: u32) -> Log {
    // A clock that stands still: no snapshot grows old.
    let store = EmbeddedStore::open(data, Options::new(Arc::new(ManualClock::at(0)))).expect("opens");
    let keys = Keys::new("default/shop");
    let runtime = tokio::runtime::Builder::new_current_thread().build().expect("a runtime");
    let log = runtime.block_on(async {
        let snapshot = store.snapshot().await.expect("a snapshot");
        let types: rec::TypeNames = value(&*snapshot, &keys.type_names()).await.expect("type names");
        let mut log = Log { types: types.names, buckets: Vec::new() };
        for bucket in 0..buckets {
            log.buckets.push(read_bucket(&*snapshot, &keys, Bucket(bucket)).await);
        }
        log
    });
    log.check();
    log
}

async fn value<M: prost::Message + Default>(snapshot: &dyn Snapshot, key: &[u8]) -> Option<M> {
    let value = chunk::read_value(snapshot, key).await.expect("readable")?;
    Some(record::decode(&value).expect("readable"))
}

async fn read_bucket(snapshot: &dyn Snapshot, keys: &Keys, bucket: Bucket) -> BucketLog {
    let mut records = Vec::new();
    let mut range = Some(keys.log_range(bucket, Offset(0), None));
    while let Some(KeyRange { begin, end }) = range.take() {
        let page = KeyRange { begin, end: end.clone() };
        let page = chunk::read_range(snapshot, page, PAGE_ROWS).await.expect("readable");
        for (key, value) in page.values {
            let at = keys.parse_log(&key).expect("a log key");
            let next = Offset(records.len() as u64);
            assert_eq!(at, (bucket, next), "the log has a gap or a copy");
            records.push(record::decode(&value).expect("a record"));
        }
        range = page.next.map(|begin| KeyRange { begin, end });
    }
    let head: rec::Head = value(snapshot, &keys.head(bucket)).await.unwrap_or_default();
    assert_eq!(head.next_offset, records.len() as u64, "the head of {bucket:?} is the end of its log");
    let checkpoint: rec::Checkpoint = value(snapshot, &keys.checkpoint(bucket)).await.unwrap_or_default();
    let outbox = snapshot.range(keys.outbox_range(bucket).read(PAGE_ROWS)).await.expect("readable");
    BucketLog { tail: head.next_offset - checkpoint.offset, records, outbox: outbox.len() }
}

impl Log {
    /// Every record with its place.
    pub fn records(&self) -> impl Iterator<Item = ((u32, u64), &rec::Record)> {
        let buckets = (0_u32..).zip(&self.buckets);
        buckets.flat_map(|(bucket, log)| (0_u64..).zip(&log.records).map(move |(at, r)| ((bucket, at), r)))
    }

    /// `Type/id`.
    pub fn address(&self, name: &rec::ActorName) -> String {
        format!("{}/{}", self.types[name.r#type as usize], name.id)
    }

    /// Records that no checkpoint covers, in all buckets.
    pub fn tail(&self) -> u64 {
        self.buckets.iter().map(|bucket| bucket.tail).sum()
    }

    /// The events of every actor.
    pub fn events(&self) -> BTreeMap<String, History<'_>> {
        let mut events: BTreeMap<String, Vec<_>> = BTreeMap::new();
        for (at, record) in self.records() {
            if let Some(actor) = &record.actor {
                let of_actor = events.entry(self.address(actor)).or_default();
                of_actor.extend(record.events.iter().map(|event| (at, event)));
            }
        }
        events
    }

    /// What holds for every log, at every instant.
    fn check(&self) {
        let mut seqs: HashMap<String, u64> = HashMap::new();
        let mut ids: HashMap<(String, String), (u32, u64)> = HashMap::new();
        let mut outcomes = HashSet::new();
        let mut fired = HashSet::new();
        let mut last_time = (0, 0);
        for (at, record) in self.records() {
            if last_time.0 == at.0 {
                assert!(last_time.1 <= record.time_ms, "time goes back at {at:?}");
            }
            last_time = (at.0, record.time_ms);
            let Some(actor) = &record.actor else { continue };
            let actor = self.address(actor);
            let seq = seqs.entry(actor.clone()).or_default();
            *seq += record.events.len() as u64;
            assert_eq!(record.seq, *seq, "{actor} at {at:?} has a gap, or an event twice");
            match &record.cause {
                Some(Cause::Client(client)) => {
                    let before = ids.insert((actor, client.id.clone()), at);
                    assert_eq!(before, None, "{} was applied again at {at:?}", client.id);
                }
                Some(Cause::Message(m)) => {
                    assert!(outcomes.insert((m.bucket, m.offset, m.n)), "{m:?} was taken again at {at:?}");
                }
                Some(Cause::Refusal(r)) => {
                    let once = outcomes.insert((u32::MAX - at.0, r.offset, r.n));
                    assert!(once, "{r:?} was taken again at {at:?}");
                }
                Some(Cause::Timer(timer)) => {
                    let set = &self.buckets[at.0 as usize].records[timer.generation as usize];
                    let set =
                        set.timers.iter().rfind(|set| set.name == timer.name && !set.command.is_empty());
                    let set = set.unwrap_or_else(|| panic!("{timer:?} at {at:?} was never set"));
                    assert!(set.due_ms <= record.time_ms, "{timer:?} fired early at {at:?}");
                    assert!(
                        fired.insert((actor, timer.name.clone(), timer.generation)),
                        "{timer:?} fired again"
                    );
                }
                _ => {}
            }
        }
        self.check_order_of_messages();
    }

    /// Messages from one actor to another are taken in the order told.
    fn check_order_of_messages(&self) {
        let mut last: HashMap<(String, String), (u64, u32)> = HashMap::new();
        for (at, record) in self.records() {
            let (Some(target), Some(Cause::Message(message))) = (&record.actor, &record.cause) else {
                continue;
            };
            let source = message.source.as_ref().expect("a source");
            let pair = (self.address(source), self.address(target));
            let now = (message.offset, message.n);
            let before = last.insert(pair.clone(), now);
            assert!(
                before.is_none_or(|before| before < now),
                "{pair:?} at {at:?}: {before:?} before {now:?}"
            );
        }
    }

    /// What is under way still: a message without its outcome, a timer that is set, a message that has
    /// its outcome and waits to be forgotten. `None` when there is nothing.
    pub fn under_way(&self) -> Option<String> {
        let message = |record: &rec::Record| match &record.cause {
            Some(Cause::Message(m)) => Some((m.bucket, m.offset, m.n)),
            _ => None,
        };
        let outcomes: HashSet<_> = self.records().filter_map(|(_, record)| message(record)).collect();
        let mut timers: BTreeMap<(String, &str), (u32, u64)> = BTreeMap::new();
        for (at, record) in self.records() {
            let without = (0..).zip(&record.messages).find(|(n, _)| !outcomes.contains(&(at.0, at.1, *n)));
            if let Some((n, message)) = without {
                return Some(format!("message {n} of {at:?}: {message:?}"));
            }
            let Some(actor) = &record.actor else { continue };
            if let Some(Cause::Timer(timer)) = &record.cause {
                timers.remove(&(self.address(actor), &*timer.name));
            }
            for timer in &record.timers {
                let name = (self.address(actor), &*timer.name);
                if timer.command.is_empty() {
                    timers.remove(&name)
                } else {
                    timers.insert(name, at)
                };
            }
        }
        if let Some((timer, at)) = timers.first_key_value() {
            return Some(format!("timer {timer:?} of {at:?}"));
        }
        let waiting = self.buckets.iter().position(|bucket| bucket.outbox > 0)?;
        Some(format!("the outbox of bucket {waiting}"))
    }
}
