//! The gRPC interface: thin, since what a request means is in [`super::Gateway`] and what its fields
//! are in [`super::convert`].
//!
//! Guarantees: every failure of a method of `Actors` is a status whose details are a
//! `corallite.v1.Error`. Messages are bounded in both directions. `Views` and `Feed` are declared
//! and answer `UNIMPLEMENTED`; `Control` is not on this listener. Deadlines are the caller's
//! `grpc-timeout`; nothing here cuts a call off by itself, so that late answers still say what became
//! of the command.

use std::convert::Infallible;
use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use corallite_proto::v1;
use corallite_proto::v1::actors_server::{Actors, ActorsServer};
use corallite_proto::v1::feed_server::{Feed, FeedServer};
use corallite_proto::v1::views_server::{Views, ViewsServer};
use hyper::body::Incoming;
use tonic::codegen::Service as _;
use tonic::metadata::MetadataMap;
use tonic::service::{Routes, RoutesBuilder};
use tonic::{Request, Response, Status, Streaming};
use tonic_health::server::{HealthReporter, HealthService};
use tonic_reflection::server::v1::{ServerReflection, ServerReflectionServer};
use tracing::{Instrument, Span};

use super::intake::command_id;
use super::stream::CommandStream;
use super::{Gateway, Service, convert, trace};
use crate::limits::{EVENTS_PAGE_MAX, PAYLOAD_BYTES_MAX};
use crate::outcome::{Class, Failure};

/// Room for what surrounds a payload in a message, so that a payload a little over its limit is
/// answered with the limit's own error.
const REQUEST_BYTES_MAX: usize = PAYLOAD_BYTES_MAX + (64 << 10);
/// A page of the largest events.
const RESPONSE_BYTES_MAX: usize = EVENTS_PAGE_MAX as usize * PAYLOAD_BYTES_MAX;

type Reply<T> = Result<Response<T>, Status>;

/// The services of the public listener.
#[derive(Clone)]
pub(super) struct Services<S: Service> {
    /// Asked for first: going through the router costs as much as reading a small command.
    actors: ActorsServer<Wire<S>>,
    others: Routes,
}

impl<S: Service> Services<S> {
    pub fn new(gateway: Gateway<S>, health: HealthReporter) -> Self {
        let actors = ActorsServer::new(Wire { gateway })
            .max_decoding_message_size(REQUEST_BYTES_MAX)
            .max_encoding_message_size(RESPONSE_BYTES_MAX);
        let mut others: RoutesBuilder = Routes::builder();
        others
            .add_service(ViewsServer::new(Unserved).max_decoding_message_size(REQUEST_BYTES_MAX))
            .add_service(FeedServer::new(Unserved).max_decoding_message_size(REQUEST_BYTES_MAX))
            .add_service(tonic_health::pb::health_server::HealthServer::new(
                HealthService::from_health_reporter(health),
            ));
        match reflection() {
            Ok(service) => {
                others.add_service(service);
            }
            // The descriptors are compiled in and a test reads them; a cell without them still serves.
            Err(error) => tracing::error!(%error, "reflection is not served"),
        }
        Self { actors, others: others.routes().prepare() }
    }
}

fn reflection() -> Result<ServerReflectionServer<impl ServerReflection>, tonic_reflection::server::Error> {
    tonic_reflection::server::Builder::configure()
        .register_encoded_file_descriptor_set(corallite_proto::DESCRIPTORS)
        .register_encoded_file_descriptor_set(tonic_health::pb::FILE_DESCRIPTOR_SET)
        .with_service_name("corallite.v1.Actors")
        .with_service_name("corallite.v1.Views")
        .with_service_name("corallite.v1.Feed")
        .with_service_name("grpc.health.v1.Health")
        .with_service_name("grpc.reflection.v1.ServerReflection")
        .build_v1()
}

type Answered = Pin<Box<dyn Future<Output = Result<hyper::Response<tonic::body::Body>, Infallible>> + Send>>;

impl<S: Service> hyper::service::Service<hyper::Request<Incoming>> for Services<S> {
    type Response = hyper::Response<tonic::body::Body>;
    type Error = Infallible;
    type Future = Answered;

    fn call(&self, request: hyper::Request<Incoming>) -> Self::Future {
        if request.uri().path().starts_with("/corallite.v1.Actors/") {
            return self.actors.clone().call(request);
        }
        Box::pin(self.others.clone().call(request))
    }
}

/// `Actors` on the wire.
pub(super) struct Wire<S> {
    gateway: Gateway<S>,
}

/// What a call says about itself beside its message.
struct Call {
    timeout: Option<Duration>,
    span: Span,
}

fn call(metadata: &MetadataMap, operation: &'static str) -> Result<Call, Status> {
    let timeout = convert::grpc_timeout(metadata).map_err(status)?;
    let parent = metadata.get(trace::TRACEPARENT).and_then(|value| value.to_str().ok());
    Ok(Call { timeout, span: trace::span(parent, operation) })
}

fn status(failure: Failure) -> Status {
    convert::status(failure, "")
}

#[tonic::async_trait]
impl<S: Service> Actors for Wire<S> {
    type ExecuteStreamStream = CommandStream<S>;

    async fn execute(&self, request: Request<v1::ExecuteRequest>) -> Reply<v1::ExecuteResponse> {
        let call = call(request.metadata(), "Execute")?;
        let message = request.into_inner();
        let given = convert::given(&message.command_id);
        let id = command_id(given, self.gateway.service.now_ms()).map_err(status)?;
        let input = convert::command(&message, call.timeout);
        match self.gateway.execute(Arc::clone(&id), input).instrument(call.span).await {
            Ok(applied) => Ok(Response::new(convert::applied(applied, &id))),
            Err(failure) => Err(convert::status(failure, &id)),
        }
    }

    async fn execute_stream(
        &self,
        request: Request<Streaming<v1::ExecuteStreamRequest>>,
    ) -> Reply<Self::ExecuteStreamStream> {
        Ok(Response::new(CommandStream::new(self.gateway.clone(), request.into_inner())))
    }

    async fn get(&self, request: Request<v1::GetRequest>) -> Reply<v1::GetResponse> {
        let call = call(request.metadata(), "Get")?;
        let input = convert::get(request.get_ref(), call.timeout);
        let answer = self.gateway.read(input).instrument(call.span).await;
        answer.map(|answer| Response::new(convert::state(answer))).map_err(status)
    }

    async fn query(&self, request: Request<v1::QueryRequest>) -> Reply<v1::QueryResponse> {
        let call = call(request.metadata(), "Query")?;
        let input = convert::query(request.get_ref(), call.timeout);
        let answer = self.gateway.read(input).instrument(call.span).await;
        answer.map(|answer| Response::new(convert::query_result(answer))).map_err(status)
    }

    async fn events(&self, request: Request<v1::EventsRequest>) -> Reply<v1::EventsResponse> {
        let call = call(request.metadata(), "Events")?;
        let input = convert::events(request.get_ref(), call.timeout);
        let page = self.gateway.events(input).instrument(call.span).await;
        page.map(|page| Response::new(convert::history(page))).map_err(status)
    }

    async fn list_dead_letters(
        &self,
        request: Request<v1::ListDeadLettersRequest>,
    ) -> Reply<v1::ListDeadLettersResponse> {
        let call = call(request.metadata(), "ListDeadLetters")?;
        let (after, limit) = convert::dead_page(request.get_ref());
        let page = self.gateway.dead_letters(after, limit, call.timeout).instrument(call.span).await;
        page.map(|page| Response::new(convert::dead_letters(page))).map_err(status)
    }

    async fn get_dead_letter(
        &self,
        request: Request<v1::GetDeadLetterRequest>,
    ) -> Reply<v1::GetDeadLetterResponse> {
        let call = call(request.metadata(), "GetDeadLetter")?;
        let at = &request.get_ref().position;
        let letter =
            self.gateway.dead_letter(at, call.timeout).instrument(call.span).await.map_err(status)?;
        Ok(Response::new(v1::GetDeadLetterResponse { letter: Some(convert::dead_letter(letter)) }))
    }

    async fn replay_dead_letter(
        &self,
        request: Request<v1::ReplayDeadLetterRequest>,
    ) -> Reply<v1::ReplayDeadLetterResponse> {
        let call = call(request.metadata(), "ReplayDeadLetter")?;
        let at = &request.get_ref().position;
        self.gateway.replay_dead_letter(at, call.timeout).instrument(call.span).await.map_err(status)?;
        Ok(Response::new(v1::ReplayDeadLetterResponse {}))
    }

    async fn drop_dead_letter(
        &self,
        request: Request<v1::DropDeadLetterRequest>,
    ) -> Reply<v1::DropDeadLetterResponse> {
        let call = call(request.metadata(), "DropDeadLetter")?;
        let at = &request.get_ref().position;
        self.gateway.drop_dead_letter(at, call.timeout).instrument(call.span).await.map_err(status)?;
        Ok(Response::new(v1::DropDeadLetterResponse {}))
    }
}

/// Services that are declared for later versions.
struct Unserved;

fn unserved(what: &str) -> Status {
    let message = format!("{what} are declared, but not served by this version");
    status(Failure::not_applied(Class::Unimplemented, "Unimplemented", message))
}

#[tonic::async_trait]
impl Views for Unserved {
    type WatchStream = tokio_stream::Empty<Result<v1::WatchResponse, Status>>;

    async fn query(&self, _: Request<v1::ViewsQueryRequest>) -> Reply<v1::ViewsQueryResponse> {
        Err(unserved("views"))
    }

    async fn watch(&self, _: Request<v1::WatchRequest>) -> Reply<Self::WatchStream> {
        Err(unserved("views"))
    }
}

#[tonic::async_trait]
impl Feed for Unserved {
    type SubscribeStream = tokio_stream::Empty<Result<v1::SubscribeResponse, Status>>;

    async fn subscribe(&self, _: Request<v1::SubscribeRequest>) -> Reply<Self::SubscribeStream> {
        Err(unserved("subscriptions to the feed"))
    }
}
