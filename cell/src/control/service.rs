//! `Control` on the wire: what the cell says of itself, and how it is prepared for a stop.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use corallite_proto::v1;
use corallite_proto::v1::control_server::Control;
use tonic::{Request, Response};

use super::OPERATOR_NAME;
use super::listen::Peer;
use crate::config::follow::Report;
use crate::served::{OwnedBucket, Served, ServedBehavior};
use crate::store::StoreError;

/// Longest wait for everything to be written out.
const DRAIN_MAX: Duration = Duration::from_secs(20);

/// What `Control` reports. Clones share it.
#[derive(Clone)]
pub struct Status {
    cell: Arc<str>,
    served: Served,
    config: Report,
    draining: Arc<AtomicBool>,
}

impl Status {
    /// The status of the cell called `cell`.
    #[must_use]
    pub fn new(cell: &str, served: Served, config: Report) -> Self {
        Self { cell: cell.into(), served, config, draining: Arc::default() }
    }

    /// The cell was asked to stop, or to prepare for it.
    pub fn drain(&self) {
        self.draining.store(true, Ordering::Release);
    }
}

#[tonic::async_trait]
impl Control for Status {
    async fn status(
        &self,
        request: Request<v1::StatusRequest>,
    ) -> Result<Response<v1::StatusResponse>, tonic::Status> {
        check_operator(&request)?;
        let buckets = self.served.buckets().await.map_err(|error| unreadable(&error))?;
        let (config_hash, config_error) = self.config.get();
        Ok(Response::new(v1::StatusResponse {
            cell: self.cell.to_string(),
            session: format!("{:032x}", self.served.session().0),
            buckets: buckets.iter().map(bucket).collect(),
            config_hash,
            draining: self.draining.load(Ordering::Acquire),
            behaviors: self.served.behaviors().iter().map(behavior).collect(),
            config_error: config_error.unwrap_or_default(),
            waits_for: self.served.cell().ready().err().unwrap_or_default(),
            version: env!("CARGO_PKG_VERSION").to_owned(),
        }))
    }

    async fn drain(
        &self,
        request: Request<v1::DrainRequest>,
    ) -> Result<Response<v1::DrainResponse>, tonic::Status> {
        check_operator(&request)?;
        if !self.draining.swap(true, Ordering::AcqRel) {
            tracing::info!("a drain was asked for");
        }
        match self.served.written_out(DRAIN_MAX).await {
            // No other cell can open an embedded store: this one serves until it is stopped.
            Ok(Some(buckets_kept)) => {
                Ok(Response::new(v1::DrainResponse { buckets_released: 0, buckets_kept }))
            }
            Ok(None) => {
                let sentence =
                    "not everything is written out yet; ask again, or stop the cell, which writes the rest";
                Err(tonic::Status::unavailable(sentence))
            }
            Err(error) => Err(unreadable(&error)),
        }
    }

    async fn assign(
        &self,
        request: Request<v1::AssignRequest>,
    ) -> Result<Response<v1::AssignResponse>, tonic::Status> {
        check_operator(&request)?;
        let sentence = "a shard with an embedded store has one cell, which serves every bucket: there is nothing to assign";
        Err(tonic::Status::unimplemented(sentence))
    }
}

fn check_operator<T>(request: &Request<T>) -> Result<(), tonic::Status> {
    match request.extensions().get::<Peer>() {
        Some(Peer { is_operator: true }) => Ok(()),
        _ => Err(tonic::Status::permission_denied(format!(
            "Control is for the operator: the client certificate lacks the DNS name {OPERATOR_NAME}"
        ))),
    }
}

fn unreadable(error: &StoreError) -> tonic::Status {
    tonic::Status::unavailable(format!("the store cannot be read: {error}"))
}

fn bucket(owned: &OwnedBucket) -> v1::BucketStatus {
    v1::BucketStatus { bucket: owned.bucket.0, epoch: owned.epoch, next_offset: owned.next_offset }
}

fn behavior(behavior: &ServedBehavior) -> v1::BehaviorStatus {
    let refused = behavior.refused.as_ref().map(|error| v1::RefusedBehavior {
        message: error.to_string(),
        file: error.file.to_string(),
        line: error.line,
    });
    v1::BehaviorStatus {
        r#type: behavior.type_name.to_string(),
        ordinal: behavior.ordinal,
        content: behavior.content.iter().map(|byte| format!("{byte:02x}")).collect(),
        refused,
    }
}
