//! Years of a shard's certificates, in steps of the injected clock.

use super::*;

const SECOND: Duration = Duration::from_secs(1);

fn policy() -> Policy {
    Policy { authority_life: SECOND * 100_000, leaf_life: SECOND * 10_000, settle: SECOND * 100 }
}

fn at(second: i64) -> Timestamp {
    Timestamp::from_second(1_800_000_000 + second).expect("in range")
}

fn names() -> Vec<String> {
    vec!["shop-cells.blue.svc".into(), "*.shop-cells.blue.svc".into()]
}

fn first() -> Turned {
    turn(None, None, &names(), at(0), &policy()).expect("made")
}

fn again(before: &Turned, now: Timestamp) -> Turned {
    turn(Some(&before.ring), Some(&before.leaf), &names(), now, &policy()).expect("made")
}

fn trusts(turned: &Turned, leaf: &Leaf) -> bool {
    let bundle = turned.ring.bundle();
    bundle
        .split_inclusive("-----END CERTIFICATE-----\n")
        .any(|authority| inspect::signed_by(&leaf.pair.certificate, authority))
}

#[test]
fn what_is_fresh_stays_and_survives_its_secret() {
    let first = first();
    assert!(first.changed);
    let ring = Ring::from_data(&first.ring.data()).expect("a ring");
    let leaf = Leaf::from_data(&first.leaf.data(&ring)).expect("a leaf");
    let second = turn(Some(&ring), Some(&leaf), &names(), at(10), &policy()).expect("made");
    assert!(!second.changed);
    assert_eq!((second.ring, second.leaf), (first.ring, first.leaf));
}

#[test]
fn a_certificate_is_renewed_before_two_thirds_of_its_life() {
    let first = first();
    let facts = inspect::facts(&first.leaf.pair.certificate).expect("readable");
    let life = facts.not_after.duration_since(facts.not_before);
    assert!(first.next < later(facts.not_before, life * 2 / 3), "looked at again too late");
    let just_before = again(&first, later(first.next, SignedDuration::from_secs(-1)));
    assert!(!just_before.changed);
    let renewed = again(&first, first.next);
    assert!(renewed.changed);
    assert_eq!(renewed.ring, first.ring, "the authority is not due");
    assert_ne!(renewed.leaf, first.leaf);
    assert!(trusts(&first, &renewed.leaf), "a cell with the old files takes the new certificate");
}

#[test]
fn another_authority_takes_over_without_a_gap() {
    let mut turned = first();
    let mut now = at(0);
    let mut authorities = std::collections::BTreeSet::new();
    // Two lives of an authority, change by change.
    while now < at(200_000) {
        now = turned.next.max(later(now, SignedDuration::from_secs(1)));
        let before = turned;
        turned = again(&before, now);
        assert!(trusts(&before, &turned.leaf), "a peer with the files before refuses the certificate");
        assert!(trusts(&turned, &before.leaf), "a peer with the files after refuses the certificate");
        let signing = inspect::facts(&turned.ring.data()["ca.crt"]).expect("readable");
        assert!(signing.not_after > now);
        authorities.insert(signing.not_after);
    }
    assert!(authorities.len() >= 3, "{authorities:?}");
}

#[test]
fn the_old_authority_is_dropped_in_the_end() {
    let first = first();
    let announced = again(&first, due(&inspect::facts(&first.ring.data()["ca.crt"]).expect("readable")));
    assert_eq!(announced.ring.bundle().matches("BEGIN").count(), 2, "announced beside the present one");
    let promoted = again(&announced, later(announced.next, SignedDuration::ZERO));
    assert_eq!(promoted.ring.bundle().matches("BEGIN").count(), 2, "the old one is trusted still");
    assert_ne!(promoted.ring.data()["ca.crt"], first.ring.data()["ca.crt"]);
    let retired = again(&promoted, promoted.next);
    assert_eq!(retired.ring.bundle().matches("BEGIN").count(), 1);
}

#[test]
fn what_cannot_be_used_is_made_again() {
    let good = first();
    let mut data = good.ring.data();
    data.insert("ca.key".into(), "not a key".into());
    let broken = Ring::from_data(&data).expect("texts");
    let healed = turn(Some(&broken), Some(&good.leaf), &names(), at(10), &policy()).expect("made");
    assert!(healed.changed && trusts(&healed, &healed.leaf) && trusts(&healed, &good.leaf));

    let garbage = Leaf { pair: Pair { certificate: "x".into(), key: "y".into() } };
    let healed = turn(Some(&good.ring), Some(&garbage), &names(), at(10), &policy()).expect("made");
    assert!(healed.changed && trusts(&good, &healed.leaf));

    let moved = vec!["other-cells.blue.svc".into()];
    let renamed = turn(Some(&good.ring), Some(&good.leaf), &moved, at(10), &policy()).expect("made");
    assert!(renamed.changed, "a certificate for other names is of no use");
}

#[test]
fn the_operator_has_its_own_name() {
    let ring = first().ring;
    let own = ring.operator(at(10)).expect("made");
    let facts = inspect::facts(&own.certificate).expect("readable");
    assert_eq!(facts.names, [crate::names::OPERATOR_IDENTITY]);
    assert!(inspect::signed_by(&own.certificate, &ring.data()["ca.crt"]));
    assert!(!format!("{own:?}").contains("PRIVATE"), "a key in debug output");
}
