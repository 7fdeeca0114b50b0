//! The operator's line to a cell: `Control`, over mutual TLS, at the pod's own address.
//!
//! Guarantees: every call ends within its timeout. A cell is dialled by address and verified by
//! name, so that another process that got the address later is not taken for it. Connections are not
//! kept: cells are asked rarely when all is well, and thousands of idle connections cost more.

use std::net::SocketAddr;
use std::time::Duration;

use async_trait::async_trait;
use corallite_proto::v1::control_client::ControlClient;
use corallite_proto::v1::{DrainRequest, StatusRequest, StatusResponse};
use tonic::transport::{Certificate, Channel, ClientTlsConfig, Endpoint, Identity};

use crate::certificates::Pair;

/// Longest that a status may take, connecting included.
const STATUS_TIMEOUT: Duration = Duration::from_secs(3);
/// Longest that a drain may take. A pod is deleted after that all the same; its own stop drains too.
const DRAIN_TIMEOUT: Duration = Duration::from_secs(60);

/// Whom to call, and as whom.
#[derive(Clone, Debug)]
pub struct Line {
    /// Address of the pod's peers' port.
    pub address: SocketAddr,
    /// Name in the cell's certificate.
    pub name: String,
    /// Authorities that the cell's certificate may come from, as PEM.
    pub trust: String,
    /// The operator's certificate and key.
    pub identity: Pair,
}

/// What a cell says of itself.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Report {
    /// Buckets it owns.
    pub buckets: u32,
    /// The configuration it last processed.
    pub config_hash: String,
    /// Why it did not take that as a whole; empty when it did.
    pub config_error: String,
    /// What it waits for before it is ready; empty when it is.
    pub waits_for: String,
    /// The actor types it serves.
    pub behaviors: Vec<BehaviorReport>,
}

/// What a cell says of one actor type.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct BehaviorReport {
    /// Name of the type.
    pub type_name: String,
    /// The version served, from 1.
    pub version: u32,
    /// Why the configured one is not the one served, with file and line.
    pub refused: Option<String>,
}

/// Why a cell did not answer.
#[derive(Debug, thiserror::Error)]
pub enum ControlError {
    /// No connection, or none that both sides trust.
    #[error("cannot connect: {0}")]
    Connect(#[from] tonic::transport::Error),
    /// An answer, but not a good one.
    #[error("{0}")]
    Call(#[from] Box<tonic::Status>),
}

/// Asks cells. The real one is [`Grpc`]; tests bring their own.
#[async_trait]
pub trait Control: Send + Sync {
    /// What the cell serves.
    async fn status(&self, line: &Line) -> Result<Report, ControlError>;
    /// Makes the cell's stop short; returns when that is done.
    async fn drain(&self, line: &Line) -> Result<(), ControlError>;
}

/// Asks cells by gRPC.
#[derive(Clone, Copy, Debug, Default)]
pub struct Grpc;

impl Grpc {
    async fn client(line: &Line, timeout: Duration) -> Result<ControlClient<Channel>, ControlError> {
        let tls = ClientTlsConfig::new()
            .domain_name(&line.name)
            .ca_certificate(Certificate::from_pem(&line.trust))
            .identity(Identity::from_pem(&line.identity.certificate, &line.identity.key));
        let channel = Endpoint::from_shared(format!("https://{}", line.address))?
            .connect_timeout(STATUS_TIMEOUT)
            .timeout(timeout)
            .tls_config(tls)?
            .connect()
            .await?;
        Ok(ControlClient::new(channel))
    }
}

#[async_trait]
impl Control for Grpc {
    async fn status(&self, line: &Line) -> Result<Report, ControlError> {
        let mut client = Self::client(line, STATUS_TIMEOUT).await?;
        let response = client.status(StatusRequest {}).await.map_err(Box::new)?;
        Ok(report(response.into_inner()))
    }

    async fn drain(&self, line: &Line) -> Result<(), ControlError> {
        let mut client = Self::client(line, DRAIN_TIMEOUT).await?;
        client.drain(DrainRequest {}).await.map_err(Box::new)?;
        Ok(())
    }
}

fn report(response: StatusResponse) -> Report {
    Report {
        buckets: u32::try_from(response.buckets.len()).unwrap_or(u32::MAX),
        config_hash: response.config_hash,
        config_error: response.config_error,
        waits_for: response.waits_for,
        behaviors: response
            .behaviors
            .into_iter()
            .map(|behavior| BehaviorReport {
                type_name: behavior.r#type,
                version: behavior.ordinal,
                refused: behavior.refused.map(|refused| refused.message),
            })
            .collect(),
    }
}

#[cfg(test)]
mod tests {
    use corallite_proto::v1::control_server::{Control as Service, ControlServer};
    use corallite_proto::v1::{AssignRequest, AssignResponse, DrainResponse};
    use jiff::Timestamp;
    use tonic::transport::server::TcpIncoming;
    use tonic::transport::{Server, ServerTlsConfig};
    use tonic::{Request, Response, Status};

    use super::*;
    use crate::certificates::{Policy, Turned, turn};

    const NAME: &str = "shop-cells.blue.svc";

    struct Cell;

    #[async_trait]
    impl Service for Cell {
        async fn status(&self, _: Request<StatusRequest>) -> Result<Response<StatusResponse>, Status> {
            Ok(Response::new(StatusResponse { config_hash: "h".into(), ..StatusResponse::default() }))
        }

        async fn drain(&self, request: Request<DrainRequest>) -> Result<Response<DrainResponse>, Status> {
            let shown = request.peer_certs().is_some_and(|certificates| !certificates.is_empty());
            if shown {
                Ok(Response::new(DrainResponse::default()))
            } else {
                Err(Status::permission_denied("who are you"))
            }
        }

        async fn assign(&self, _: Request<AssignRequest>) -> Result<Response<AssignResponse>, Status> {
            Err(Status::unimplemented("one cell"))
        }
    }

    fn keys() -> Turned {
        let names = [format!("*.{NAME}"), NAME.to_owned()];
        turn(None, None, &names, Timestamp::now(), &Policy::default()).expect("keys")
    }

    /// A cell's listener with these keys, on a free port of this machine.
    fn listen(keys: &Turned) -> SocketAddr {
        let _ = rustls::crypto::aws_lc_rs::default_provider().install_default();
        let pair = &keys.leaf.pair;
        let tls = ServerTlsConfig::new()
            .identity(Identity::from_pem(&pair.certificate, &pair.key))
            .client_ca_root(Certificate::from_pem(keys.ring.bundle()));
        let incoming = TcpIncoming::bind("127.0.0.1:0".parse().expect("an address")).expect("a port");
        let address = incoming.local_addr().expect("an address");
        let server = Server::builder().tls_config(tls).expect("tls").add_service(ControlServer::new(Cell));
        tokio::spawn(server.serve_with_incoming(incoming));
        address
    }

    fn line(address: SocketAddr, keys: &Turned, name: &str) -> Line {
        let identity = keys.ring.operator(Timestamp::now()).expect("a certificate");
        Line { address, name: name.to_owned(), trust: keys.ring.bundle(), identity }
    }

    #[tokio::test]
    async fn a_cell_is_asked_by_address_and_known_by_name() {
        let keys = keys();
        let address = listen(&keys);
        let report = Grpc.status(&line(address, &keys, NAME)).await.expect("an answer");
        assert_eq!(report.config_hash, "h");
        Grpc.drain(&line(address, &keys, NAME)).await.expect("the cell saw a certificate");
        let other = Grpc.status(&line(address, &keys, "till-cells.blue.svc")).await;
        assert!(matches!(other, Err(ControlError::Connect(_))), "a cell of another shard was asked");
    }

    #[tokio::test]
    async fn an_operator_with_another_authority_is_not_let_in() {
        let (theirs, ours) = (keys(), keys());
        let address = listen(&theirs);
        let mut line = line(address, &ours, NAME);
        assert!(Grpc.status(&line).await.is_err(), "it trusts a cell of another authority");
        line.trust = theirs.ring.bundle();
        assert!(Grpc.status(&line).await.is_err(), "the cell trusts an operator of another authority");
    }
}
