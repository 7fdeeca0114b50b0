//! What is asked: a named mix, or one command from the command line.

use crate::bench::template::Template;
use crate::bench::workload::{Action, Operation};

/// A named set of operations on the shop of `examples/shop`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
pub enum Mix {
    /// Half writes, half reads: stock received, prices changed, orders placed; stock and prices read.
    /// An order placed makes five to seven commands inside the cell.
    Shop,
    /// Only the writes of `shop`.
    ShopWrites,
    /// Only stock received: one command, one event, no messages.
    Receive,
}

/// A row of a mix: weight, type, id, and command with payload (none: a read of the state).
type Row = (u32, &'static str, &'static str, Option<(&'static str, &'static str)>);

const RECEIVE: Row = (30, "Inventory", "p-{{key}}", Some(("receive", r#"{"quantity":{{rand:1-9}}}"#)));

/// Orders spread over all products: an open order stays in its product's state until it expires.
const PLACE: (&str, &str) =
    ("place", r#"{"userId":"u-{{rand:0-9999}}","productId":"p-{{any}}","quantity":1,"unitPriceCents":4900}"#);

const SHOP: &[Row] = &[
    RECEIVE,
    (10, "Product", "p-{{key}}", Some(("changePrice", r#"{"priceCents":4900}"#))),
    (10, "Order", "o-{{run}}-{{number}}", Some(PLACE)),
    (40, "Inventory", "p-{{key}}", None),
    (10, "Product", "p-{{key}}", None),
];

/// What the operations of a mix stand on, for every key. Running it again changes nothing that matters.
const PREPARE: &[Row] = &[
    (1, "Product", "p-{{key}}", Some(("create", r#"{"name":"Lamp {{key}}","priceCents":4900}"#))),
    (1, "Inventory", "p-{{key}}", Some(("receive", r#"{"quantity":1000000}"#))),
];

impl Mix {
    /// The operations of this mix.
    ///
    /// # Errors
    /// A template of the mix is wrong: a defect of this file.
    pub fn operations(self) -> Result<Vec<Operation>, String> {
        match self {
            Self::Shop => SHOP.iter().map(|row| operation(*row)).collect(),
            Self::ShopWrites => {
                SHOP.iter().filter(|row| row.3.is_some()).map(|row| operation(*row)).collect()
            }
            Self::Receive => Ok(vec![operation(RECEIVE)?]),
        }
    }

    /// What must be done for every key before.
    ///
    /// # Errors
    /// A template of the mix is wrong: a defect of this file.
    pub fn preparation(self) -> Result<Vec<Operation>, String> {
        PREPARE.iter().map(|row| operation(*row)).collect()
    }
}

/// One operation of weight 1 from the command line.
///
/// # Errors
/// A template has a hole that is not known.
pub fn single(type_name: &str, id: &str, command: &str, payload: &str) -> Result<Vec<Operation>, String> {
    let payload = Template::parse(payload)?;
    let action = Action::Execute { command: command.into(), payload };
    Ok(vec![Operation { weight: 1, type_name: type_name.into(), id: Template::parse(id)?, action }])
}

fn operation((weight, type_name, id, command): Row) -> Result<Operation, String> {
    let action = match command {
        None => Action::Get,
        Some((name, payload)) => Action::Execute { command: name.into(), payload: Template::parse(payload)? },
    };
    Ok(Operation { weight, type_name: type_name.into(), id: Template::parse(id)?, action })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::bench::keys::{Distribution, Keys};
    use crate::bench::workload::Workload;

    #[test]
    fn every_payload_of_a_mix_is_json_and_every_id_valid() {
        for mix in [Mix::Shop, Mix::ShopWrites, Mix::Receive] {
            let mut operations = mix.operations().expect("templates are valid");
            let reads = operations.iter().any(|operation| matches!(operation.action, Action::Get));
            assert_eq!(reads, mix == Mix::Shop);
            operations.extend(mix.preparation().expect("templates are valid"));
            let keys = Keys::new(Distribution::Zipf, 100, 0.99);
            let mut workload = Workload::new(operations, keys, 3).expect("weights");
            for _ in 0..1_000 {
                let request = workload.next().expect("endless");
                corallite_cell::ids::ActorRef::new(&request.type_name, &request.id).expect("valid address");
                if let Some(command) = request.command {
                    serde_json::from_slice::<serde_json::Value>(&command.payload).expect("JSON");
                    corallite_cell::ids::check_id("command id", &command.id).expect("valid id");
                }
            }
        }
    }
}
