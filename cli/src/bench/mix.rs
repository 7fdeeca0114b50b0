//! What is asked: a named mix, or one command from the command line.

use crate::bench::template::Template;
use crate::bench::workload::{Action, Operation};

/// A named set of operations.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
pub enum Mix {
    /// The shop of `examples/shop`: 40 % orders placed, 10 % users renamed, 50 % reads.
    Shop,
    /// Only the commands of the shop.
    ShopWrites,
}

/// A row of a mix: weight, type, id, and command with payload (none: a read of the state).
type Row = (u32, &'static str, &'static str, Option<(&'static str, &'static str)>);

const PLACE: (&str, &str) = (
    "place",
    r#"{"userId":"u-{{rand:0-9999}}","productId":"p-{{key}}","quantity":{{rand:1-5}},"unitPriceCents":{{rand:100-9999}}}"#,
);

const SHOP: &[Row] = &[
    (40, "Order", "o-{{run}}-{{n}}", Some(PLACE)),
    (10, "Inventory", "p-{{key}}", Some(("restock", r#"{"quantity":{{rand:10-50}}}"#))),
    (50, "Inventory", "p-{{key}}", None),
];

impl Mix {
    /// The operations of this mix.
    ///
    /// # Errors
    /// A template of the mix is wrong: a defect of this file.
    pub fn operations(self) -> Result<Vec<Operation>, String> {
        let rows = SHOP.iter().filter(|row| self == Self::Shop || row.3.is_some());
        rows.map(|row| operation(*row)).collect()
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
        for mix in [Mix::Shop, Mix::ShopWrites] {
            let operations = mix.operations().expect("templates are valid");
            let keys = Keys::new(Distribution::Zipf, 100, 0.99);
            let mut workload = Workload::new(operations, keys, 3).expect("weights");
            for _ in 0..1_000 {
                let request = workload.next();
                corallite_cell::ids::ActorRef::new(&request.type_name, &request.id).expect("valid address");
                if let Some(command) = request.command {
                    serde_json::from_slice::<serde_json::Value>(&command.payload).expect("JSON");
                    corallite_cell::ids::check_id("command id", &command.id).expect("valid id");
                } else {
                    assert_eq!(mix, Mix::Shop, "a mix of writes has no reads");
                }
            }
        }
    }
}
