//! One run of the cell as the simulation holds it: a session, lanes, buckets coming and going, and the
//! store operations they wait for.

use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::task::Wake;

use super::account::{AccountEngine, source};
use super::faults::{Profile, Rule};
use crate::ids::Bucket;
use crate::lane::bucket::BucketBoot;
use crate::lane::io::{Performed, StoreIo};
use crate::lane::{DeliveryLimits, Lane, LaneConfig, TypeSettings};
use crate::router::BucketSpace;
use crate::router::owner::{ClaimError, Session};
use crate::store::StoreError;
use crate::store::key::Keys;

/// How many buckets a simulated shard has.
pub const BUCKETS: u32 = 4;

/// The simulated shard's bucket space.
pub const SPACE: BucketSpace = BucketSpace { buckets: BUCKETS, root_before_colon: false };

/// Where a process stands with a bucket.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Phase {
    /// Not its own.
    Free,
    /// Being claimed and read for a lane.
    Booting(usize),
    /// Served by a lane.
    Served(usize),
    /// Given up by its lane, being freed.
    Freeing,
    /// Lost to another process.
    Lost,
}

/// One run of the cell.
pub struct Process {
    pub number: u32,
    pub session: Option<Session>,
    pub io: Option<StoreIo>,
    pub lanes: Vec<Lane<AccountEngine>>,
    /// Lanes that said that everything is flushed.
    pub flushed: Vec<bool>,
    pub buckets: Vec<Phase>,
    /// A newer process has started; this one does not know.
    pub zombie: bool,
}

impl Process {
    pub fn new(number: u32) -> Self {
        let buckets = vec![Phase::Free; BUCKETS as usize];
        let (lanes, flushed) = (Vec::new(), Vec::new());
        Self { number, session: None, io: None, lanes, flushed, buckets, zombie: false }
    }

    /// The session has started: lanes are made.
    pub fn started(&mut self, session: Session, profile: &Profile, rule: Rule, seed: u64) {
        self.io = Some(session.io(["Account".into()].into()));
        for number in 0..profile.lanes {
            let mut lane = new_lane(&session.keys, profile, seed + number as u64);
            lane.sabotage = rule.sabotage();
            self.lanes.push(lane);
            self.flushed.push(false);
        }
        self.session = Some(session);
    }

    /// The lane that a bucket's packets go to.
    pub fn lane_of(&self, bucket: Bucket) -> usize {
        match self.buckets[bucket.0 as usize] {
            Phase::Served(lane) | Phase::Booting(lane) => lane,
            _ => bucket.0 as usize % self.lanes.len().max(1),
        }
    }

    /// Whether every bucket is served.
    pub fn serves_all(&self) -> bool {
        self.buckets.iter().all(|phase| matches!(phase, Phase::Served(_)))
    }
}

fn new_lane(keys: &Keys, profile: &Profile, seed: u64) -> Lane<AccountEngine> {
    let config = LaneConfig {
        space: SPACE,
        keys: keys.clone(),
        hot_actors_max: profile.hot_actors_max,
        memory_bytes_max: profile.memory_bytes_max,
        seed,
        deliveries: DeliveryLimits::default(),
    };
    let settings = TypeSettings { snapshot_every_events: 3, idle_ms: 700, mailbox_commands: 20 };
    Lane::new(config, AccountEngine, vec![(source(), settings)]).expect("accounts load")
}

/// What a task gives when it is done.
pub enum Done {
    Performed(Box<Performed>),
    Started(Result<Box<Session>, StoreError>),
    Booted(Bucket, Result<Box<BucketBoot>, ClaimError>),
    Freed(Bucket, Result<(), StoreError>),
}

/// Something that waits for the store on behalf of a process.
pub struct Task {
    pub process: u32,
    pub lane: usize,
    pub woken: Arc<Flag>,
    pub future: Pin<Box<dyn Future<Output = Done>>>,
}

/// Set when a task is to be polled.
pub struct Flag(AtomicBool);

impl Flag {
    pub fn set() -> Arc<Self> {
        Arc::new(Self(AtomicBool::new(true)))
    }

    pub fn take(&self) -> bool {
        self.0.swap(false, Ordering::Relaxed)
    }
}

impl Wake for Flag {
    fn wake(self: Arc<Self>) {
        self.0.store(true, Ordering::Relaxed);
    }
}
