//! The only place that reads the machine's wall clock. Everything else is handed the time.

use std::sync::Arc;

use jiff::Timestamp;

/// Tells the time.
pub type Clock = Arc<dyn Fn() -> Timestamp + Send + Sync>;

/// The machine's clock, cut to whole seconds: that is what Kubernetes and certificates keep.
#[must_use]
pub fn machine() -> Clock {
    Arc::new(|| whole_seconds(Timestamp::now()))
}

/// The time without its fraction of a second.
#[must_use]
pub fn whole_seconds(time: Timestamp) -> Timestamp {
    Timestamp::from_second(time.as_second()).unwrap_or(time)
}
