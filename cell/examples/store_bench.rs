//! What a record costs in the embedded store, by size of batch; and how long the reads of an
//! activation take, with everything in the page cache.
//!
//! Run it in release mode, on a disk like the one a cell will have:
//! `cargo run --release -p corallite-cell --example store_bench [FOLDER]`.
//! Each batch is a lane's: it checks owner and head of every bucket it touches, overwrites the heads
//! and appends its records. CPU is that of the whole process, tables written and merged included.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, Instant};

use bytes::Bytes;
use corallite_cell::env::MachineClock;
use corallite_cell::ids::{Bucket, Offset, TypeId};
use corallite_cell::store::chunk;
use corallite_cell::store::embedded::{EmbeddedStore, Options};
use corallite_cell::store::key::Keys;
use corallite_cell::store::{Store, Transaction};

const BUCKETS: usize = 256;
const ACTORS: u64 = 200_000;
const LOADS: usize = 50_000;
const RECORD_BYTES: usize = 350;
const TIME_PER_SIZE: Duration = Duration::from_secs(5);

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let folder = std::env::args_os().nth(1).map_or_else(std::env::temp_dir, PathBuf::from);
    let folder = folder.join(format!("store-bench-{}", std::process::id()));
    let runtime = tokio::runtime::Builder::new_current_thread().build()?;
    println!("{RECORD_BYTES}-byte records over {BUCKETS} buckets, one batch in flight");
    println!(
        "{:>6} {:>12} {:>14} {:>14} {:>12}",
        "batch", "records/s", "wall µs/rec", "CPU µs/rec", "ms/commit"
    );
    for batch in [1, 64, 512] {
        let result = runtime.block_on(measure(&folder, batch));
        std::fs::remove_dir_all(&folder)?;
        result?;
    }
    let result = runtime.block_on(activations(&folder));
    std::fs::remove_dir_all(&folder)?;
    result
}

/// Reads row and snapshot of random actors: what an activation asks of the store.
async fn activations(folder: &Path) -> Result<(), Box<dyn std::error::Error>> {
    let store = EmbeddedStore::open(folder, Options::new(Arc::new(MachineClock)))?;
    let keys = Keys::new("default/bench");
    let of = |actor: u64| {
        let (bucket, id) = (Bucket((actor % BUCKETS as u64) as u32), format!("actor-{actor}"));
        (keys.row(bucket, TypeId(1), &id), keys.snapshot(bucket, TypeId(1), &id))
    };
    for first in (0..ACTORS).step_by(1_000) {
        let mut tx = Transaction::default();
        for actor in first..first + 1_000 {
            // A prime far from a power of two: neighbours in time are not neighbours in the key space.
            let (row, snapshot) = of(actor * 7_919 % ACTORS);
            tx.set(row, record(actor).slice(..60));
            chunk::write_value(&mut tx, snapshot, record(actor));
        }
        store.commit(tx).await?;
    }
    let mut times = Vec::new();
    let mut state = 1_u64;
    for _ in 0..LOADS {
        state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
        let (row, snapshot) = of((state >> 33) % ACTORS);
        let start = Instant::now();
        let view = store.snapshot().await?;
        let row = view.get(&row).await?;
        let snapshot = chunk::read_value(&*view, &snapshot).await?;
        times.push(start.elapsed());
        assert!(row.is_some() && snapshot.is_some());
    }
    times.sort_unstable();
    let at = |share: f64| times[(share * (times.len() - 1) as f64) as usize].as_secs_f64() * 1e6;
    println!(
        "\nreads of an activation, {ACTORS} actors: p50 {:.0} µs, p99 {:.0} µs, p99.9 {:.0} µs",
        at(0.5),
        at(0.99),
        at(0.999)
    );
    Ok(())
}

async fn measure(folder: &Path, batch: usize) -> Result<(), Box<dyn std::error::Error>> {
    let store = EmbeddedStore::open(folder, Options::new(Arc::new(MachineClock)))?;
    let mut lane = Lane::new();
    store.commit(lane.claim()).await?;
    let (cpu, start) = (cpu_time()?, Instant::now());
    let (mut records, mut commits) = (0_u32, 0_u32);
    while start.elapsed() < TIME_PER_SIZE {
        store.commit(lane.batch(batch)).await?;
        records += u32::try_from(batch)?;
        commits += 1;
    }
    let wall = start.elapsed();
    drop(store);
    let cpu = cpu_time()? - cpu;
    let per_record = |time: Duration| time.as_secs_f64() * 1e6 / f64::from(records);
    println!(
        "{batch:>6} {:>12.0} {:>14.2} {:>14.2} {:>12.3}",
        f64::from(records) / wall.as_secs_f64(),
        per_record(wall),
        per_record(cpu),
        wall.as_secs_f64() * 1e3 / f64::from(commits),
    );
    Ok(())
}

/// What a lane knows of its buckets.
struct Lane {
    keys: Keys,
    owner: Bytes,
    next: Vec<u64>,
    /// Where the next record goes: records of one batch are spread over buckets.
    at: usize,
}

impl Lane {
    fn new() -> Self {
        Self {
            keys: Keys::new("default/bench"),
            owner: Bytes::from_static(&[7; 40]),
            next: vec![0; BUCKETS],
            at: 0,
        }
    }

    fn claim(&self) -> Transaction {
        let mut tx = Transaction::default();
        for bucket in 0..BUCKETS {
            tx.set(self.keys.owner(Bucket(bucket as u32)), self.owner.clone());
        }
        tx
    }

    fn batch(&mut self, records: usize) -> Transaction {
        let mut tx = Transaction::default();
        let mut touched: Vec<(usize, u64)> = Vec::new();
        for _ in 0..records {
            let bucket = self.at % BUCKETS;
            self.at += 1;
            let offset = self.next[bucket];
            self.next[bucket] += 1;
            if !touched.iter().any(|&(other, _)| other == bucket) {
                touched.push((bucket, offset));
            }
            tx.set(self.keys.log(Bucket(bucket as u32), Offset(offset)), record(offset));
        }
        for (bucket, offset) in touched {
            let (owner, head) =
                (self.keys.owner(Bucket(bucket as u32)), self.keys.head(Bucket(bucket as u32)));
            tx.check(owner, Some(self.owner.clone()));
            tx.check(head.clone(), (offset > 0).then(|| head_of(offset)));
            tx.set(head, head_of(self.next[bucket]));
        }
        tx
    }
}

fn head_of(next: u64) -> Bytes {
    let mut head = vec![1_u8; 40];
    head[..8].copy_from_slice(&next.to_le_bytes());
    head.into()
}

/// Half of it repeats, as field names do.
fn record(seed: u64) -> Bytes {
    let mut state = seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1;
    let noise = (0..RECORD_BYTES).map(|at| {
        state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
        if at % 2 == 0 { b'a' + (state >> 60) as u8 } else { b'"' }
    });
    noise.collect()
}

/// User and system time of the process.
fn cpu_time() -> Result<Duration, Box<dyn std::error::Error>> {
    let stat = std::fs::read_to_string("/proc/self/stat")?;
    let after_name = stat.rsplit_once(')').ok_or("no process name")?.1;
    let ticks: Vec<u64> =
        after_name.split_whitespace().skip(11).take(2).map(str::parse).collect::<Result<_, _>>()?;
    // Linux reports in hundredths of a second.
    Ok(Duration::from_millis(ticks.iter().sum::<u64>() * 10))
}
