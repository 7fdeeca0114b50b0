//! The one place where the command line touches the cell it runs.

pub use corallite_cell::serve::{Config, DeliveryLimits, Listeners, Running, StartError, StoreConfig, start};
