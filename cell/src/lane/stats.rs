//! What a lane counts: plain numbers that its runner copies into the metrics.

/// Counters and gauges of one lane.
#[derive(Clone, Debug, Default)]
pub struct LaneStats {
    /// Live states.
    pub actors_hot: usize,
    /// States as bytes.
    pub actors_warm: usize,
    /// Bytes of the script engine's heap.
    pub heap_bytes: usize,
    /// Turns that wait.
    pub queued_commands: usize,
    /// Messages without a logged acknowledgement.
    pub outbox: usize,
    /// Pending timers within the horizon.
    pub timers: usize,
    /// Records made durable.
    pub records: u64,
    /// Checkpoints written.
    pub checkpoints: u64,
    /// Snapshots taken, by type.
    pub snapshots: Vec<u64>,
    /// Events made durable, by type.
    pub events: Vec<u64>,
    /// Actors brought into memory, by type.
    pub activations: Vec<u64>,
    /// Dead letters made.
    pub dead_letters: u64,
    /// Batches that failed and were run again or resolved.
    pub batch_failures: u64,
}

impl LaneStats {
    /// Adds to a counter that is kept by type.
    pub(crate) fn add(counts: &mut Vec<u64>, type_id: crate::ids::TypeId, by: u64) {
        let at = type_id.0 as usize;
        if counts.len() <= at {
            counts.resize(at + 1, 0);
        }
        counts[at] += by;
    }
}
