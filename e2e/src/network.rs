//! Addresses of a cluster, and the wires between its nodes.
//!
//! Cluster number `i` has `10.(180+i).0.0/16` to itself: `.0.1` is the machine, on a bridge;
//! `.0.(10+n)` is node `n`, in a network namespace; `.(64+n).0/24` are the pods of node `n`; the
//! upper half are Services. Nothing is routed to the outside: a pod reaches the machine, other pods
//! and Services only. The machine reaches all of them.

use std::net::Ipv4Addr;

use crate::error::Error;
use crate::process::{command, run};

/// Clusters that can run on one machine at the same time.
pub(crate) const CLUSTERS_MAX: u8 = 16;

/// Nodes of one cluster.
pub const NODES_MAX: u8 = 8;

/// The addresses of one cluster.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Network {
    pub(crate) index: u8,
}

impl Network {
    fn address(self, third: u8, fourth: u8) -> Ipv4Addr {
        Ipv4Addr::new(10, 180 + self.index, third, fourth)
    }

    /// The machine's address on the bridge, where the API server and DNS listen.
    pub(crate) fn host(self) -> Ipv4Addr {
        self.address(0, 1)
    }

    /// The address of a node.
    pub(crate) fn node(self, node: u8) -> Ipv4Addr {
        self.address(0, 10 + node)
    }

    /// The pods of a node.
    pub(crate) fn pods(self, node: u8) -> String {
        format!("{}/24", self.address(64 + node, 0))
    }

    /// The pods of all nodes.
    pub(crate) fn all_pods(self) -> String {
        format!("{}/18", self.address(64, 0))
    }

    /// The addresses of Services.
    pub(crate) fn services(self) -> String {
        format!("{}/17", self.address(128, 0))
    }

    /// The first of them: the API server, as pods know it.
    pub(crate) fn api_service(self) -> Ipv4Addr {
        self.address(128, 1)
    }

    fn bridge(self) -> String {
        format!("coral{}", self.index)
    }

    /// The machine's end of the wire to a node.
    pub(crate) fn wire(self, node: u8) -> String {
        format!("coral{}n{node}", self.index)
    }

    /// Makes the bridge. Fails if it is there already: then another cluster has this number.
    pub(crate) fn create(self) -> Result<(), Error> {
        let bridge = self.bridge();
        ip(&["link", "add", &bridge, "type", "bridge"])?;
        ip(&["address", "add", &format!("{}/24", self.host()), "dev", &bridge])?;
        ip(&["link", "set", &bridge, "up"])
    }

    /// Removes the bridge and wires that are left; nothing is fine.
    pub(crate) fn remove(self) {
        for node in 1..=NODES_MAX {
            let _ = ip(&["link", "delete", &self.wire(node)]);
        }
        let _ = ip(&["link", "delete", &self.bridge()]);
    }

    /// Lays a wire from the bridge into the network namespace of the process `holder`, and routes to
    /// and from the pods there. `others` are the nodes that exist, whose namespaces are given by
    /// processes as well.
    pub(crate) fn connect(self, node: u8, holder: u32, others: &[(u8, u32)]) -> Result<(), Error> {
        let (wire, address) = (self.wire(node), self.node(node));
        ip(&["link", "add", &wire, "type", "veth", "peer", "name", "eth0", "netns", &holder.to_string()])?;
        ip(&["link", "set", &wire, "master", &self.bridge(), "up"])?;
        ip_in(holder, &["link", "set", "lo", "up"])?;
        ip_in(holder, &["address", "add", &format!("{address}/24"), "dev", "eth0"])?;
        ip_in(holder, &["link", "set", "eth0", "up"])?;
        ip_in(holder, &["route", "add", "default", "via", &self.host().to_string()])?;
        let via = address.to_string();
        ip(&["route", "replace", &self.pods(node), "via", &via])?;
        if others.is_empty() {
            ip(&["route", "replace", &self.services(), "via", &via])?;
        }
        for &(other, other_holder) in others {
            ip_in(other_holder, &["route", "replace", &self.pods(node), "via", &via])?;
            ip_in(holder, &["route", "replace", &self.pods(other), "via", &self.node(other).to_string()])?;
        }
        run(&mut inside(holder, "sysctl", &["-q", "-w", "net.ipv4.ip_forward=1"])).map(drop)
    }

    /// Takes the wire of a node down, or up again.
    pub(crate) fn set_wire(self, node: u8, up: bool) -> Result<(), Error> {
        ip(&["link", "set", &self.wire(node), if up { "up" } else { "down" }])
    }
}

/// A command in the network and mount namespaces of the process `holder`.
pub(crate) fn inside(holder: u32, program: &str, arguments: &[&str]) -> std::process::Command {
    let target = holder.to_string();
    let mut words = vec!["--target", &target, "--net", "--mount", "--", program];
    words.extend(arguments);
    command("nsenter", words)
}

fn ip(arguments: &[&str]) -> Result<(), Error> {
    run(&mut command("ip", arguments)).map(drop)
}

fn ip_in(holder: u32, arguments: &[&str]) -> Result<(), Error> {
    run(&mut inside(holder, "ip", arguments)).map(drop)
}
