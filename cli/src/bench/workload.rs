//! What the load generator asks: operations with weights, over keys, from one seed.
//!
//! Guarantees: the same seed gives the same operations, keys and payloads. Ids that must be fresh
//! hold `{{run}}`, which differs from run to run.

use std::sync::Arc;

use bytes::Bytes;
use rand::rngs::SmallRng;
use rand::{RngExt, SeedableRng};

use crate::bench::keys::Keys;
use crate::bench::template::{Fill, Template};

/// One kind of request of a mix.
#[derive(Clone, Debug)]
pub struct Operation {
    /// Its share, relative to the others.
    pub weight: u32,
    /// The actor type.
    pub type_name: Arc<str>,
    /// The actor's id.
    pub id: Template,
    /// What is done with it.
    pub action: Action,
}

/// What a request does.
#[derive(Clone, Debug)]
pub enum Action {
    /// Sends a command.
    Execute {
        /// Its name.
        command: Arc<str>,
        /// Its payload.
        payload: Template,
    },
    /// Reads the state.
    Get,
}

/// One request, ready to be sent.
#[derive(Clone, Debug)]
pub struct Request {
    /// The actor type.
    pub type_name: Arc<str>,
    /// The actor's id.
    pub id: String,
    /// The command; `None` reads the state.
    pub command: Option<Sent>,
}

/// The command of a request.
#[derive(Clone, Debug)]
pub struct Sent {
    /// Its name.
    pub name: Arc<str>,
    /// Its payload as JSON.
    pub payload: Bytes,
    /// Its idempotency key.
    pub id: String,
}

/// Makes requests.
#[derive(Debug)]
pub struct Workload {
    operations: Vec<Operation>,
    order: Order,
    keys: Keys,
    rng: SmallRng,
    run: String,
    number: u64,
}

/// How the next operation and its key are chosen.
#[derive(Debug)]
enum Order {
    /// By weight and distribution, without end.
    Drawn { weights: u32 },
    /// Every operation once for every key.
    Each,
}

impl Workload {
    /// A workload of `operations`, of which at least one must have a weight.
    ///
    /// # Errors
    /// There is nothing to do.
    pub fn new(operations: Vec<Operation>, keys: Keys, seed: u64) -> Result<Self, String> {
        let weights = operations.iter().map(|operation| operation.weight).sum();
        if weights == 0 {
            return Err("the mix has no operation that this transport can carry".to_owned());
        }
        let rng = SmallRng::seed_from_u64(seed);
        Ok(Self { operations, order: Order::Drawn { weights }, keys, rng, run: new_run(), number: 0 })
    }

    /// Every operation once for every key: what must be there before a measurement.
    pub fn each(operations: Vec<Operation>, keys: Keys) -> Self {
        let rng = SmallRng::seed_from_u64(0);
        Self { operations, order: Order::Each, keys, rng, run: new_run(), number: 0 }
    }

    /// The next request; `None` when there are no more.
    pub fn next(&mut self) -> Option<Request> {
        let (operation, key) = match self.order {
            Order::Drawn { weights } => {
                let point = self.rng.random_range(0..weights);
                (by_weight(&self.operations, point)?, self.keys.draw(&mut self.rng))
            }
            Order::Each => {
                let operations = self.operations.len() as u64;
                let key = self.number.checked_div(operations).filter(|key| *key < self.keys.count())?;
                let nth = usize::try_from(self.number % operations).ok()?;
                (self.operations.get(nth)?, key)
            }
        };
        let fill = Fill { number: self.number, key, keys: self.keys.count(), run: &self.run };
        self.number += 1;
        Some(request(operation, fill, &mut self.rng))
    }
}

/// A text that no other run has, short and valid in an id.
fn new_run() -> String {
    let unique = uuid::Uuid::now_v7().as_u128();
    format!("{:x}{:06x}", unique >> 80, unique & 0xff_ffff)
}

fn by_weight(operations: &[Operation], mut point: u32) -> Option<&Operation> {
    operations.iter().find(|operation| {
        let hit = point < operation.weight;
        point = point.saturating_sub(operation.weight);
        hit
    })
}

fn request(operation: &Operation, fill: Fill<'_>, rng: &mut SmallRng) -> Request {
    let command = match &operation.action {
        Action::Get => None,
        Action::Execute { command, payload } => Some(Sent {
            name: command.clone(),
            payload: payload.fill(fill, rng).into(),
            id: format!("{}-{}", fill.run, fill.number),
        }),
    };
    Request { type_name: operation.type_name.clone(), id: operation.id.fill(fill, rng), command }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::bench::keys::Distribution;

    fn operation(weight: u32, type_name: &str, action: Action) -> Operation {
        let id = Template::parse("k-{{key}}").expect("valid");
        Operation { weight, type_name: type_name.into(), id, action }
    }

    fn workload(seed: u64) -> Workload {
        let payload = Template::parse("{{rand}}").expect("valid");
        let write = operation(3, "Order", Action::Execute { command: "place".into(), payload });
        let read = operation(1, "User", Action::Get);
        let keys = Keys::new(Distribution::Uniform, 10, 0.0);
        Workload::new(vec![write, read, operation(0, "Never", Action::Get)], keys, seed).expect("weights")
    }

    #[test]
    fn operations_come_by_weight() {
        let mut work = workload(5);
        let requests: Vec<Request> = (0..40_000).filter_map(|_| work.next()).collect();
        let writes = requests.iter().filter(|request| request.command.is_some()).count();
        assert!((29_500..=30_500).contains(&writes), "seed 5: {writes} of 40000 at weight 3 of 4");
        assert!(requests.iter().all(|request| &*request.type_name != "Never"));
    }

    #[test]
    fn a_seed_repeats_everything_but_the_run() {
        let (mut one, mut two) = (workload(5), workload(5));
        for _ in 0..100 {
            let (a, b) = (one.next().expect("endless"), two.next().expect("endless"));
            assert_eq!((a.type_name, a.id), (b.type_name, b.id));
            assert_eq!(a.command.map(|sent| sent.payload), b.command.map(|sent| sent.payload));
        }
    }

    #[test]
    fn command_ids_are_never_used_twice() {
        let mut work = workload(5);
        let ids: Vec<String> = (0..1000).filter_map(|_| work.next()?.command).map(|sent| sent.id).collect();
        let unique: std::collections::HashSet<&String> = ids.iter().collect();
        assert_eq!(unique.len(), ids.len());
        assert_ne!(workload(5).run, workload(5).run, "two runs of one seed are told apart");
    }

    #[test]
    fn each_visits_every_key_once_with_every_operation() {
        let operations = vec![operation(1, "User", Action::Get), operation(0, "Order", Action::Get)];
        let mut work = Workload::each(operations, Keys::new(Distribution::Zipf, 3, 0.99));
        let asked: Vec<String> =
            std::iter::from_fn(|| work.next()).map(|r| format!("{}/{}", r.type_name, r.id)).collect();
        assert_eq!(asked, ["User/k-0", "Order/k-0", "User/k-1", "Order/k-1", "User/k-2", "Order/k-2"]);
    }

    #[test]
    fn a_mix_without_weight_is_refused() {
        let keys = Keys::new(Distribution::Uniform, 1, 0.0);
        assert!(Workload::new(vec![operation(0, "A", Action::Get)], keys, 1).is_err());
    }
}
