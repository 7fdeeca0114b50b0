//! The HTTP interface: one warp filter that takes a request apart, and one function that answers it.
//!
//! | request | answer |
//! |---|---|
//! | `POST /v1/actors/{type}/{id}/{command}` `?until=A,B&wait=10s` | `{"reply","seq","position","events"}`, and `"event"` with `until` |
//! | `GET /v1/actors/{type}/{id}` `?atSeq=&consistency=stale` | `{"state","seq","position"}` |
//! | `GET /v1/actors/{type}/{id}/events` `?from=&limit=` | `{"events":[{"seq","name","payload","timeMs","position"}],"next"}` |
//! | `GET /v1/actors/{type}/{id}/query/{name}` `?args=&consistency=stale` | `{"result","seq","position"}` |
//! | `GET /v1/dead` `?limit=&after=` | `{"letters","next"}` |
//! | `GET /v1/dead/{position}` | one letter |
//! | `POST /v1/dead/{position}/replay`, `DELETE /v1/dead/{position}` | 204 |
//!
//! `Idempotency-Key` is taken, or made, and comes back on every answer to a command. A deadline is
//! the header `Request-Timeout` (`250ms`, `10s`, `2m`; a bare number is seconds). Any content type
//! is taken, since the payload is JSON whatever it is called; an empty body stands for `null`.

use std::sync::Arc;
use std::time::Duration;

use bytes::{Buf, Bytes};
use futures_util::Stream;
use hyper::{HeaderMap, Method, StatusCode};
use tracing::Instrument;
use warp::Filter;
use warp::path::FullPath;
use warp::reply::Response;

use super::intake::{CommandInput, EventsInput, ReadInput, ReadInputWhat, command_id, parameter};
use super::reply::{self, IDEMPOTENCY_KEY};
use super::route::{NoRoute, Parameters, Route, duration, route};
use super::{Gateway, Service, body, trace};
use crate::limits::{DEADLINE_MS_DEFAULT, DEADLINE_MS_MAX};
use crate::outcome::{Class, Failure};
use crate::request::Consistency;

const REQUEST_TIMEOUT: &str = "request-timeout";

/// A request taken apart; nothing of it is decoded.
struct Request<B> {
    method: Method,
    path: FullPath,
    query: String,
    headers: HeaderMap,
    body: B,
}

/// The whole interface as one filter: routing is on the raw path, which warp's own path filters do
/// not give.
pub(super) fn filter<S: Service>(
    gateway: Gateway<S>,
) -> impl Filter<Extract = (Response,), Error = warp::Rejection> + Clone {
    let query = warp::query::raw().or(warp::any().map(String::new)).unify();
    warp::method()
        .and(warp::path::full())
        .and(query)
        .and(warp::header::headers_cloned())
        .and(warp::body::stream())
        .then(move |method, path, query, headers, body| {
            let gateway = gateway.clone();
            answer(gateway, Request { method, path, query, headers, body })
        })
}

async fn answer<S, B, D, E>(gateway: Gateway<S>, request: Request<B>) -> Response
where
    S: Service,
    B: Stream<Item = Result<D, E>> + Send + 'static,
    D: Buf + Send + 'static,
    E: Send + 'static,
{
    let commands = request.method == Method::POST && request.path.as_str().starts_with("/v1/actors/");
    if !commands {
        return dispatch(&gateway, request, None).await;
    }
    let given = one_header(&request.headers, IDEMPOTENCY_KEY.as_str());
    match given.and_then(|given| command_id(given, gateway.service.now_ms())) {
        Err(failure) => reply::failure(&failure),
        Ok(id) => {
            let mut response = dispatch(&gateway, request, Some(Arc::clone(&id))).await;
            if let Ok(value) = id.parse() {
                response.headers_mut().insert(IDEMPOTENCY_KEY, value);
            }
            response
        }
    }
}

async fn dispatch<S, B, D, E>(gateway: &Gateway<S>, request: Request<B>, id: Option<Arc<str>>) -> Response
where
    S: Service,
    B: Stream<Item = Result<D, E>> + Send + 'static,
    D: Buf + Send + 'static,
    E: Send + 'static,
{
    let Request { method, path, query, headers, body } = request;
    let route = match route(&method, path.as_str()) {
        Ok(route) => route,
        Err(NoRoute::Method(allow)) => return reply::wrong_method(allow),
        Err(NoRoute::Failed(failure)) => return reply::failure(&failure),
    };
    let parent = headers.get(trace::TRACEPARENT).and_then(|value| value.to_str().ok());
    let span = trace::span(parent, route.operation());
    let answer = async {
        let parameters = Parameters::parse(&query, route.parameters())?;
        let timeout = timeout(&headers)?;
        match (route, id) {
            (Route::Execute { type_name, id, command }, Some(command_id)) => {
                let payload = body::read(&headers, body, timeout.unwrap_or(TIMEOUT_DEFAULT)).await?;
                let address = (&*type_name, &*id, &*command);
                execute(gateway, command_id, address, payload, &parameters, timeout).await
            }
            (route, _) => read(gateway, route, &parameters, timeout).await,
        }
    };
    let answer: Result<Response, Failure> = answer.instrument(span).await;
    answer.unwrap_or_else(|failure| reply::failure(&failure))
}

const TIMEOUT_DEFAULT: Duration = Duration::from_millis(DEADLINE_MS_DEFAULT);

async fn execute<S: Service>(
    gateway: &Gateway<S>,
    command_id: Arc<str>,
    (type_name, id, name): (&str, &str, &str),
    payload: Bytes,
    parameters: &Parameters<'_>,
    timeout: Option<Duration>,
) -> Result<Response, Failure> {
    let until: Vec<&str> =
        parameters.get("until").map(|names| names.split(',').collect()).unwrap_or_default();
    let waited = !until.is_empty();
    let wait = parameters.duration("wait")?;
    let input = CommandInput { type_name, id, name, payload, until, wait, timeout };
    Ok(reply::applied(&gateway.execute(command_id, input).await?, waited))
}

async fn read<S: Service>(
    gateway: &Gateway<S>,
    route: Route<'_>,
    parameters: &Parameters<'_>,
    timeout: Option<Duration>,
) -> Result<Response, Failure> {
    match route {
        Route::Landing => Ok(reply::text(StatusCode::OK, landing())),
        Route::State { type_name, id } => {
            let what = ReadInputWhat::State { at_seq: parameters.number("atSeq")? };
            let consistency = consistency(parameters)?;
            let input = ReadInput { type_name: &type_name, id: &id, what, consistency, timeout };
            Ok(reply::read("state", &gateway.read(input).await?))
        }
        Route::Query { type_name, id, query } => {
            let args = parameters.get("args").map(|args| Bytes::from(args.to_owned())).unwrap_or_default();
            let what = ReadInputWhat::Query { name: &query, args };
            let consistency = consistency(parameters)?;
            let input = ReadInput { type_name: &type_name, id: &id, what, consistency, timeout };
            Ok(reply::read("result", &gateway.read(input).await?))
        }
        Route::Events { type_name, id } => {
            let (from, limit) = (parameters.number("from")?, parameters.number("limit")?);
            let input = EventsInput { type_name: &type_name, id: &id, from, limit, timeout };
            Ok(reply::history(&gateway.events(input).await?))
        }
        Route::DeadLetters => {
            let (after, limit) = (parameters.get("after"), parameters.number("limit")?);
            Ok(reply::dead_letters(&gateway.dead_letters(after, limit, timeout).await?))
        }
        Route::DeadLetter { at } => Ok(reply::dead_letter(&gateway.dead_letter(&at, timeout).await?)),
        Route::ReplayDeadLetter { at } => {
            gateway.replay_dead_letter(&at, timeout).await.map(|()| reply::nothing())
        }
        Route::DropDeadLetter { at } => {
            gateway.drop_dead_letter(&at, timeout).await.map(|()| reply::nothing())
        }
        Route::View | Route::Feed => Err(unserved()),
        // A command without an id cannot come here: ids are made for every POST to actors.
        Route::Execute { .. } => {
            Err(Failure::not_applied(Class::Internal, "Internal", "a command without id"))
        }
    }
}

fn unserved() -> Failure {
    let message = "views and the feed are declared, but not served by this version";
    Failure::not_applied(Class::Unimplemented, "Unimplemented", message)
}

fn consistency(parameters: &Parameters<'_>) -> Result<Consistency, Failure> {
    match parameters.get("consistency") {
        None | Some("strong") => Ok(Consistency::Strong),
        Some("stale") => Ok(Consistency::Stale),
        Some(other) => Err(parameter(format!("consistency is {other:?}; it is strong or stale"))),
    }
}

fn timeout(headers: &HeaderMap) -> Result<Option<Duration>, Failure> {
    let text = one_header(headers, REQUEST_TIMEOUT)?;
    let asked = text.map(|text| duration("Request-Timeout", text)).transpose()?;
    Ok(asked.map(|asked| asked.min(Duration::from_millis(DEADLINE_MS_MAX))))
}

/// The text of a header that may be given once.
fn one_header<'a>(headers: &'a HeaderMap, name: &str) -> Result<Option<&'a str>, Failure> {
    let mut values = headers.get_all(name).iter();
    let Some(value) = values.next() else { return Ok(None) };
    if values.next().is_some() {
        return Err(Failure::malformed("MalformedHeader", format!("the header {name} is given twice")));
    }
    let not_text =
        |_| Failure::malformed("MalformedHeader", format!("the header {name} is not visible ASCII"));
    value.to_str().map(Some).map_err(not_text)
}

fn landing() -> String {
    format!(
        "Corallite {version}: event-sourced virtual actors.\n\n\
         POST   /v1/actors/{{type}}/{{id}}/{{command}}      run a command; ?until=Event&wait=10s\n\
         GET    /v1/actors/{{type}}/{{id}}                the state; ?atSeq=&consistency=stale\n\
         GET    /v1/actors/{{type}}/{{id}}/events         the history; ?from=&limit=\n\
         GET    /v1/actors/{{type}}/{{id}}/query/{{name}}   a query; ?args=<json>\n\
         GET    /v1/dead                            dead letters; ?limit=&after=\n\
         GET    /v1/dead/{{position}}                 one of them\n\
         POST   /v1/dead/{{position}}/replay          send it again\n\
         DELETE /v1/dead/{{position}}                 forget it\n\n\
         The same is served by gRPC as corallite.v1.Actors, with reflection.\n",
        version = env!("CARGO_PKG_VERSION"),
    )
}
