//! The one place where the command line touches the cell it runs.

pub use corallite_cell::serve::{Config, Listeners, Running, StartError, StoreConfig, start};
