//! Every bound of a cell, with its unit in its name, and the relations between them.
//!
//! What a user may change is a default here and a field of the `ActorShard`; what follows from the
//! store or the design is fixed.

/// Longest actor type, actor id, command name or command id, in bytes.
pub const ACTOR_ID_BYTES_MAX: usize = 256;
/// Largest payload of a command, query or message, in bytes.
pub const PAYLOAD_BYTES_MAX: usize = 1 << 20;
/// Deepest nesting of a JSON payload.
pub const JSON_DEPTH_MAX: usize = 64;

/// Longest key of a store, in bytes (FoundationDB's number).
pub const STORE_KEY_BYTES_MAX: usize = 10_000;
/// Longest value of a store, in bytes (FoundationDB's number); longer ones are chunked.
pub const STORE_VALUE_BYTES_MAX: usize = 100_000;
/// Largest transaction of a store, in bytes of keys and values, checks included.
pub const STORE_TRANSACTION_BYTES_MAX: usize = 10_000_000;
/// How long a snapshot may be read from, in milliseconds.
pub const STORE_SNAPSHOT_MS_MAX: u64 = 5_000;

/// A batch is committed without waiting for more once its records have this many bytes.
pub const BATCH_BYTES_TARGET: usize = 1_000_000;
/// Most records in one batch.
pub const BATCH_RECORDS_MAX: usize = 2_048;
/// Largest single record: it must fit a batch alone, with room for heads and index keys.
pub const RECORD_BYTES_MAX: usize = 4_000_000;

/// Most events, messages and timer changes of one command, each.
pub const COMMAND_EFFECTS_MAX: usize = 1_000;
/// Most pending timers of one actor.
pub const ACTOR_TIMERS_MAX: usize = 64;
/// A message that was caused by this many messages in a row is dead.
pub const MESSAGE_HOPS_MAX: u32 = 64;
/// Most messages of one bucket without an acknowledgement; then its commands wait or are refused.
pub const OUTBOX_MESSAGES_MAX: usize = 10_000;
/// Most bytes of payload of one actor's pending timers: its row stays one value of the store.
pub const ACTOR_TIMER_BYTES_MAX: usize = 32_768;
/// Deliveries of one message, timer or refusal before it goes to dead letters.
pub const DELIVERY_ATTEMPTS_MAX: u32 = 8;
/// First pause before a delivery is tried again, in milliseconds; doubles up to the next.
pub const DELIVERY_BACKOFF_MS_MIN: u64 = 50;
/// Longest pause between deliveries, in milliseconds.
pub const DELIVERY_BACKOFF_MS_MAX: u64 = 10_000;

/// A message without an answer is sent again after this time, in milliseconds.
pub const DELIVERY_RESEND_MS: u64 = 10_000;
/// When to try again while the store cannot be used, in milliseconds.
pub const STORE_RETRY_MS: u64 = 500;
/// How often a lane looks for old checkpoints and idle actors, in milliseconds.
pub const LANE_SWEEP_MS: u64 = 250;

/// Actors looked at in one search for idle ones.
pub const SWEEP_ACTORS_MAX: usize = 5_000;
/// Resident states a new behavior version is tried on before it is accepted, per lane.
pub const PREPARE_STATES_MAX: usize = 256;
/// What a live state is taken to need, in bytes.
pub const HOT_ACTOR_BYTES: usize = 2_500;
/// What an actor in memory needs beside its state, in bytes: measured, allocator included, with one
/// remembered command id.
pub const ACTOR_OVERHEAD_BYTES: usize = 650;
/// What an idle actor whose row the store has needs beside its packed row and state, in bytes.
pub const PACKED_ACTOR_OVERHEAD_BYTES: usize = 150;
/// Growth of the script engine's heap that makes a collection of cycles worth its pause, in bytes.
pub const COLLECT_HEAP_BYTES: usize = 32 << 20;

/// Rows read from the store at once.
pub const STORE_PAGE_ROWS: usize = 1_000;
/// How often a doubtful or conflicting transaction is looked into before the lane pauses.
pub const RESOLVE_TRIES_MAX: u32 = 16;
/// Most events folded for a read of the past.
pub const PAST_EVENTS_MAX: u64 = 100_000;

/// Client command ids an actor remembers: at least this many of its latest, within the next.
pub const COMMAND_IDS_REMEMBERED: usize = 64;
/// How long client command ids are remembered at most, in milliseconds.
pub const COMMAND_IDS_REMEMBERED_MS: u64 = 600_000;

/// Records a bucket may have after its checkpoint before the next one is due.
pub const CHECKPOINT_TAIL_RECORDS: u64 = 512;
/// Bytes of records a bucket may have after its checkpoint before the next one is due.
pub const CHECKPOINT_TAIL_BYTES: u64 = 4_000_000;
/// A bucket with this many bytes after its checkpoint takes no further work until it has caught up.
pub const CHECKPOINT_TAIL_BYTES_MAX: u64 = 6_000_000;
/// Records older than this make a checkpoint due, in milliseconds.
pub const CHECKPOINT_AGE_MS: u64 = 2_000;
/// Timers due within this time are kept in memory, in milliseconds.
pub const TIMER_HORIZON_MS: u64 = 60_000;

/// Commands queued in one lane before further ones are answered `overloaded`.
pub const LANE_QUEUE_COMMANDS_MAX: usize = 16_384;
/// Bytes of payloads queued in one lane, likewise.
pub const LANE_QUEUE_BYTES_MAX: usize = 64 << 20;
/// Commands waiting for one actor, unless its type says otherwise.
pub const MAILBOX_COMMANDS_DEFAULT: u32 = 1_000;
/// Longest run of one command's script, in milliseconds, unless its type says otherwise.
pub const COMMAND_MS_DEFAULT: u32 = 50;
/// Heap of one lane's scripts, live states included, in bytes.
pub const SCRIPT_HEAP_BYTES_DEFAULT: usize = 256 << 20;
/// Stack of a script, in bytes.
pub const SCRIPT_STACK_BYTES_MAX: usize = 256 << 10;
/// Longest evaluation of a behavior's module, in milliseconds.
pub const SCRIPT_LOAD_MS_MAX: u32 = 1_000;
/// Largest state of one actor in bytes of JSON, unless its type says otherwise.
pub const STATE_BYTES_DEFAULT: u32 = 1 << 20;
/// Events between two snapshots of one actor, unless its type says otherwise.
pub const SNAPSHOT_EVENTS_DEFAULT: u32 = 100;
/// Idle time after which an actor leaves memory, in seconds, unless its type says otherwise.
pub const PASSIVATION_SECONDS_DEFAULT: u32 = 300;

/// Longest `?until=` wait, in milliseconds.
pub const UNTIL_WAIT_MS_MAX: u64 = 60_000;
/// Deadline of a request that names none, in milliseconds.
pub const DEADLINE_MS_DEFAULT: u64 = 10_000;
/// Longest deadline a request may ask for, in milliseconds.
pub const DEADLINE_MS_MAX: u64 = 300_000;
/// How long an answer may come after its deadline before it is `unknown`, in milliseconds.
pub const DEADLINE_GRACE_MS: u64 = 1_000;
/// Most events one `?until=` may name.
pub const UNTIL_EVENTS_MAX: usize = 16;
/// Entries in one page of history or dead letters when the request does not say.
pub const PAGE_DEFAULT: u32 = 100;
/// Connections of one listener; further ones wait in the kernel's queue.
pub const CONNECTIONS_MAX: usize = 10_000;
/// Calls under way on one gRPC connection.
pub const CONNECTION_CALLS_MAX: u32 = 1_024;
/// Commands of one stream without an answer; further ones are not read until answers leave.
pub const STREAM_COMMANDS_MAX: usize = 4_096;
/// How long an HTTP/1 connection may take for the head of its next request, in milliseconds.
pub const REQUEST_HEAD_MS_MAX: u64 = 60_000;
/// How long requests under way may go on after a stop was asked for, in milliseconds.
pub const SHUTDOWN_GRACE_MS: u64 = 20_000;
/// An error's sentence in a gRPC status is cut after this many bytes: it travels in a header.
pub const STATUS_MESSAGE_BYTES_MAX: usize = 1_024;
/// Most events in one page of history.
pub const EVENTS_PAGE_MAX: u32 = 1_000;

// A batch is sized before the last record joins it, and keys, heads and checks come on top.
const _: () = assert!(BATCH_BYTES_TARGET + 2 * RECORD_BYTES_MAX < STORE_TRANSACTION_BYTES_MAX);
const _: () = assert!(PAYLOAD_BYTES_MAX < RECORD_BYTES_MAX);
const _: () = assert!(DELIVERY_BACKOFF_MS_MIN < DELIVERY_BACKOFF_MS_MAX);
