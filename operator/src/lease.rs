//! Leader election: of all operators with the same Lease, one works.
//!
//! Guarantees: who holds the Lease renews it in time or stops; who does not hold it takes it only when
//! it saw no renewal for the Lease's whole duration, by its own clock. A Lease does not fence: a leader
//! that was paused may write once more. That is harmless, because every write is one that the other
//! would make too, or names the version it rests on.

use std::time::{Duration, Instant};

use k8s_openapi::api::coordination::v1::{Lease, LeaseSpec};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::{MicroTime, ObjectMeta};
use kube::api::PostParams;
use kube::{Api, Client};

use crate::clock::Clock;
use crate::error::Error;
use crate::names::FIELD_MANAGER;

/// How long others wait after the last renewal.
pub const DURATION: Duration = Duration::from_secs(15);
/// How long the holder tries to renew before it gives up. Shorter than [`DURATION`], so that it stops
/// before another begins.
pub const RENEW_DEADLINE: Duration = Duration::from_secs(10);
/// How long one request for it may take before it is made again.
const ATTEMPT_TIMEOUT: Duration = Duration::from_secs(4);
/// How often the Lease is looked at.
pub const PERIOD: Duration = Duration::from_secs(2);

/// One operator's hand on the Lease.
pub struct Candidate {
    api: Api<Lease>,
    name: String,
    identity: String,
    clock: Clock,
    /// What was last seen, and since when by our clock.
    seen: Option<(Option<String>, Instant)>,
}

/// What a look at the Lease comes to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Look {
    /// It is ours, or free: write it.
    Take,
    /// Somebody else's.
    Leave,
}

impl Candidate {
    /// A candidate that holds nothing.
    #[must_use]
    pub fn new(client: Client, namespace: &str, name: &str, identity: &str, clock: Clock) -> Self {
        let api = Api::namespaced(client, namespace);
        Self { api, name: name.to_owned(), identity: identity.to_owned(), clock, seen: None }
    }

    /// Returns when this operator leads.
    pub async fn acquire(&mut self) {
        let mut told = false;
        loop {
            match self.attempt().await {
                Ok(true) => return,
                Ok(false) if !told => {
                    tracing::info!(lease = self.name, "another operator leads; standing by")
                }
                Ok(false) => {}
                Err(error) => tracing::warn!(%error, lease = self.name, "cannot take the lease"),
            }
            told = true;
            tokio::time::sleep(PERIOD).await;
        }
    }

    /// Renews, and returns when this operator no longer leads.
    pub async fn hold(&mut self) {
        let mut renewed = Instant::now();
        loop {
            tokio::time::sleep(PERIOD).await;
            let left = RENEW_DEADLINE.saturating_sub(renewed.elapsed());
            match tokio::time::timeout(left.min(ATTEMPT_TIMEOUT), self.attempt()).await {
                Ok(Ok(true)) => renewed = Instant::now(),
                Ok(Ok(false)) => {
                    tracing::error!(lease = self.name, "another operator took the lease");
                    return;
                }
                Ok(Err(error)) => tracing::warn!(%error, lease = self.name, "cannot renew the lease"),
                Err(_) if renewed.elapsed() >= RENEW_DEADLINE => {
                    tracing::error!(lease = self.name, "the lease could not be renewed in time");
                    return;
                }
                Err(_) => tracing::warn!(lease = self.name, "no answer to a renewal; asking again"),
            }
        }
    }

    /// Gives the Lease up, so that another operator need not wait.
    ///
    /// # Errors
    /// The Lease cannot be written; it runs out then.
    pub async fn release(&mut self) -> Result<(), Error> {
        let lease = self.get().await?;
        if let Some(mut lease) = lease.filter(|lease| holder(lease) == Some(&self.identity)) {
            lease.spec.get_or_insert_default().holder_identity = Some(String::new());
            self.replace(&lease).await?;
        }
        Ok(())
    }

    /// Takes or renews the Lease if that is allowed; whether it is ours then.
    ///
    /// # Errors
    /// The Lease cannot be read or written.
    pub async fn attempt(&mut self) -> Result<bool, Error> {
        let Some(lease) = self.get().await? else {
            let params = self.params();
            let fresh = self.lease(None);
            let what = Error::of(format!("create Lease {}", self.name));
            return match self.api.create(&params, &fresh).await.map_err(what) {
                Err(Error::Conflict { .. }) => Ok(false),
                created => created.map(|_| true),
            };
        };
        if self.look(&lease, Instant::now()) == Look::Leave {
            return Ok(false);
        }
        match self.replace(&self.lease(Some(&lease))).await {
            Err(Error::Conflict { .. }) => Ok(false),
            written => written.map(|()| true),
        }
    }

    /// Judges a Lease, and notes when it last changed.
    fn look(&mut self, lease: &Lease, now: Instant) -> Look {
        let version = lease.metadata.resource_version.clone();
        let since = match &self.seen {
            Some((seen, since)) if *seen == version => *since,
            _ => now,
        };
        self.seen = Some((version, since));
        match holder(lease) {
            Some(holder) if *holder != self.identity => {
                let seconds = lease.spec.as_ref().and_then(|spec| spec.lease_duration_seconds);
                let duration =
                    seconds.and_then(|s| u64::try_from(s).ok()).map_or(DURATION, Duration::from_secs);
                if now.duration_since(since) >= duration { Look::Take } else { Look::Leave }
            }
            _ => Look::Take,
        }
    }

    /// The Lease as it is when we hold it.
    fn lease(&self, before: Option<&Lease>) -> Lease {
        let now = MicroTime((self.clock)());
        let spec = before.and_then(|lease| lease.spec.clone()).unwrap_or_default();
        let ours = before.is_some_and(|lease| holder(lease) == Some(&self.identity));
        let transitions = spec.lease_transitions.unwrap_or(0);
        Lease {
            metadata: before.map_or_else(
                || ObjectMeta { name: Some(self.name.clone()), ..ObjectMeta::default() },
                |lease| lease.metadata.clone(),
            ),
            spec: Some(LeaseSpec {
                holder_identity: Some(self.identity.clone()),
                lease_duration_seconds: i32::try_from(DURATION.as_secs()).ok(),
                acquire_time: if ours { spec.acquire_time.clone() } else { Some(now.clone()) },
                renew_time: Some(now),
                lease_transitions: Some(if ours || before.is_none() { transitions } else { transitions + 1 }),
                ..spec
            }),
        }
    }

    async fn get(&self) -> Result<Option<Lease>, Error> {
        self.api.get_opt(&self.name).await.map_err(Error::of(format!("read Lease {}", self.name)))
    }

    /// Writes over the version that was read.
    async fn replace(&self, lease: &Lease) -> Result<(), Error> {
        let what = Error::of(format!("write Lease {}", self.name));
        self.api.replace(&self.name, &self.params(), lease).await.map_err(what).map(|_| ())
    }

    fn params(&self) -> PostParams {
        PostParams { field_manager: Some(FIELD_MANAGER.to_owned()), ..PostParams::default() }
    }
}

fn holder(lease: &Lease) -> Option<&String> {
    lease.spec.as_ref()?.holder_identity.as_ref().filter(|holder| !holder.is_empty())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::clock;
    use crate::shard::tests::fake::Fake;

    const PATH: &str = "/apis/coordination.k8s.io/v1/namespaces/control/leases/lead";

    fn candidate(fake: &Fake, identity: &str) -> Candidate {
        Candidate::new(fake.client(), "control", "lead", identity, clock::machine())
    }

    fn held_by(fake: &Fake) -> String {
        let lease = fake.get(PATH).expect("a lease");
        lease["spec"]["holderIdentity"].as_str().expect("a holder").to_owned()
    }

    #[tokio::test]
    async fn one_leads_until_it_gives_up() {
        let fake = Fake::default();
        let (mut a, mut b) = (candidate(&fake, "a"), candidate(&fake, "b"));
        assert!(a.attempt().await.expect("asked"));
        assert!(!b.attempt().await.expect("asked"));
        assert!(a.attempt().await.expect("asked"), "it renews");
        b.release().await.expect("not its own");
        assert_eq!(held_by(&fake), "a");
        a.release().await.expect("given up");
        assert!(b.attempt().await.expect("asked"), "at once, without waiting");
        assert_eq!(held_by(&fake), "b");
        assert!(!a.attempt().await.expect("asked"));
    }

    #[tokio::test]
    async fn a_lease_that_is_not_renewed_is_taken_after_its_duration() {
        let fake = Fake::default();
        let (mut a, mut b) = (candidate(&fake, "a"), candidate(&fake, "b"));
        assert!(a.attempt().await.expect("asked"));
        let lease: Lease = serde_json::from_value(fake.get(PATH).expect("a lease")).expect("a lease");
        let start = Instant::now();
        assert_eq!(b.look(&lease, start), Look::Leave);
        assert_eq!(b.look(&lease, start + DURATION - PERIOD), Look::Leave);
        assert_eq!(b.look(&lease, start + DURATION), Look::Take);
        // A renewal in between starts the wait again, whatever the clocks of others say.
        let mut renewed = lease.clone();
        renewed.metadata.resource_version = Some("later".into());
        assert_eq!(b.look(&renewed, start + DURATION), Look::Leave);
    }

    #[tokio::test]
    async fn of_two_that_take_it_at_once_one_gets_it() {
        let fake = Fake::default();
        fake.put(
            PATH,
            serde_json::json!({ "metadata": { "name": "lead", "namespace": "control" }, "spec": {} }),
        );
        let b = candidate(&fake, "b");
        let seen = b.get().await.expect("asked").expect("a lease");
        assert!(candidate(&fake, "a").attempt().await.expect("asked"));
        let late = b.replace(&b.lease(Some(&seen))).await;
        assert!(matches!(late, Err(Error::Conflict { .. })));
        assert_eq!(held_by(&fake), "a");
    }
}
