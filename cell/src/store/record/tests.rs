//! Fixtures of every stored format, as hex: they are never changed, only added to.

use bytes::Bytes;
use corallite_proto::store as pb;

use super::*;

fn from_hex(text: &str) -> Bytes {
    let digits: Vec<u32> = text.chars().filter_map(|c| c.to_digit(16)).collect();
    digits.chunks(2).map(|pair| (pair[0] * 16 + pair[1]) as u8).collect()
}

/// Reads the fixture as `expected`, and writes `expected` as the fixture.
fn check<M: prost::Message + Default + PartialEq + std::fmt::Debug>(fixture: &str, expected: &M) {
    let hex: String = encode(expected).iter().map(|byte| format!("{byte:02x}")).collect();
    let stored = from_hex(fixture);
    assert!(!stored.is_empty(), "an empty fixture; the value is\n{hex}");
    assert_eq!(&decode::<M>(&stored).expect("an old value is readable"), expected);
    assert_eq!(encode(expected), stored, "the value is now written as\n{hex}");
}

fn actor(id: &str) -> Option<pb::ActorName> {
    Some(pb::ActorName { r#type: 3, id: id.to_owned() })
}

fn record() -> pb::Record {
    pb::Record {
        batch: Bytes::from_static(&[7; 16]),
        actor: actor("o-1001"),
        seq: 2,
        behavior: 1,
        time_ms: 1_700_000_000_123,
        command: "place".into(),
        cause: Some(pb::record::Cause::Client(pb::ClientCause {
            id: "c-1".into(),
            payload_hash: u64::MAX - 1,
        })),
        reply: Bytes::from_static(br#"{"orderId":"o-1001"}"#),
        refused: None,
        dead: None,
        events: vec![pb::EventEntry {
            name: "OrderPlaced".into(),
            payload: Bytes::from_static(b"{\"q\":1}"),
        }],
        messages: vec![pb::MessageEntry {
            target: actor("p-1"),
            command: "reserve".into(),
            payload: Bytes::from_static(b"{}"),
            on_refused: "cancelForStock".into(),
            hops: 1,
            source: None,
        }],
        timers: vec![pb::TimerEntry {
            name: "expire".into(),
            command: "expire".into(),
            due_ms: 1_700_001_800_123,
            payload: Bytes::from_static(b"null"),
        }],
        acks: vec![pb::Ack { offset: 300, n: 2 }],
        low_waters: vec![pb::LowWater { source_bucket: 9, below: 301 }],
        destroyed: false,
        state_version: 4,
        dead_dropped: vec![12],
    }
}

fn row() -> pb::Row {
    pb::Row {
        seq: 5,
        offset: 900,
        base_seq: 3,
        tail: Bytes::from_static(&[0x80, 0x07, 1, 4, 1]),
        timers: vec![pb::Timer {
            name: "expire".into(),
            command: "expire".into(),
            due_ms: 1_700_001_800_123,
            payload: Bytes::from_static(b"null"),
            generation: 896,
        }],
        remembered: vec![pb::RememberedId {
            id_hash: Bytes::from_static(&[9; 16]),
            offset: 900,
            time_ms: 1_700_000_000_123,
        }],
        absent: false,
        has_snapshot: false,
    }
}

#[test]
fn format_1_is_read() {
    check(include_str!("../fixtures/format1/record.hex"), &record());
    check(include_str!("../fixtures/format1/row.hex"), &row());
    check(
        include_str!("../fixtures/format1/head.hex"),
        &pb::Head {
            next_offset: 901,
            last_batch: Bytes::from_static(&[7; 16]),
            last_time_ms: 1_700_000_000_123,
        },
    );
    check(
        include_str!("../fixtures/format1/owner.hex"),
        &pb::Owner {
            cell: "shop-0".into(),
            session: Bytes::from_static(&[8; 16]),
            epoch: 4,
            projection: 1,
            free: false,
        },
    );
    check(
        include_str!("../fixtures/format1/checkpoint.hex"),
        &pb::Checkpoint { offset: 512, last_time_ms: 1_700_000_000_100 },
    );
}

#[test]
fn what_is_no_value_is_damaged_and_named() {
    let reason = |value: &'static [u8]| match decode::<pb::Head>(&Bytes::from_static(value)) {
        Err(StoreError::Damaged { reason }) => reason,
        other => panic!("{other:?}"),
    };
    assert_eq!(reason(b""), "a stored Head: the value is empty");
    assert_eq!(reason(&[2, 8, 1]), "a stored Head: format 2 is not known to this version");
    assert!(reason(&[1, 8]).starts_with("a stored Head: "), "cut off");
}

#[test]
fn bytes_fields_share_the_values_memory() {
    let value = encode(&record());
    let read: pb::Record = decode(&value).expect("reads");
    assert!(value.as_ptr_range().contains(&read.reply.as_ptr()));
}
