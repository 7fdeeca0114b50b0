//! The cell as a process: `corallite-cell` with a config folder as Kubernetes mounts it, certificates
//! as the operator makes them, and signals as the kubelet sends them.

mod certificates;
mod config;
mod lifecycle;
mod mounted;
mod pod;
mod reload;
mod tls;
