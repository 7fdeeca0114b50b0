//! An API server in memory: enough of one for the requests that reconciles make. It counts writes, and
//! what it is told by server-side apply it merges and versions as the real one does.

use std::collections::BTreeMap;
use std::sync::Arc;

use http_body_util::BodyExt;
use hyper::{Method, Request, Response, StatusCode};
use kube::Client;
use kube::client::Body;
use parking_lot::Mutex;
use serde_json::{Value, json};

/// Objects by path, such as `/apis/apps/v1/namespaces/blue/statefulsets/shop`.
#[derive(Default)]
pub struct State {
    pub objects: BTreeMap<String, Value>,
    /// Requests as `METHOD path`, reads included.
    pub requests: Vec<String>,
    /// Requests whose path contains the text get the code instead of an answer.
    pub refuse: Option<(&'static str, u16)>,
    /// What somebody in the cluster does to every object that is applied.
    pub insist: Option<fn(&mut Value)>,
    version: u64,
    uids: u64,
}

#[derive(Clone, Default)]
pub struct Fake(pub Arc<Mutex<State>>);

impl Fake {
    pub fn client(&self) -> Client {
        let state = Arc::clone(&self.0);
        let service = tower::service_fn(move |request: Request<Body>| {
            let state = Arc::clone(&state);
            async move {
                let (parts, body) = request.into_parts();
                let bytes = body.collect().await.map_err(|error| error.to_string())?.to_bytes();
                let body = serde_json::from_slice(&bytes).unwrap_or(Value::Null);
                let (code, answer) = state.lock().answer(&parts.method, parts.uri.path(), body);
                let body = Body::from(serde_json::to_vec(&answer).expect("JSON"));
                let response = Response::builder().status(code).body(body).expect("a response");
                Ok::<_, String>(response)
            }
        });
        Client::new(service, "default")
    }

    /// Requests that change something, since the last call; with the reads dropped.
    pub fn writes(&self) -> Vec<String> {
        let requests = std::mem::take(&mut self.0.lock().requests);
        requests.into_iter().filter(|request| !request.starts_with("GET")).collect()
    }

    pub fn put(&self, path: &str, mut object: Value) {
        let mut state = self.0.lock();
        state.stamp(&mut object);
        state.objects.insert(path.to_owned(), object);
    }

    pub fn get(&self, path: &str) -> Option<Value> {
        self.0.lock().objects.get(path).cloned()
    }

    pub fn remove(&self, path: &str) {
        self.0.lock().objects.remove(path).expect("it was there");
    }

    pub fn edit(&self, path: &str, edit: impl FnOnce(&mut Value)) {
        let mut object = self.get(path).expect("it is there");
        edit(&mut object);
        self.put(path, object);
    }

    pub fn refuse(&self, what: Option<(&'static str, u16)>) {
        self.0.lock().refuse = what;
    }

    /// The objects below a collection, such as `statefulsets`.
    pub fn list(&self, plural: &str) -> Vec<Value> {
        let state = self.0.lock();
        let part = format!("/{plural}/");
        state
            .objects
            .iter()
            .filter(|(path, _)| path.contains(&part))
            .map(|(_, object)| object.clone())
            .collect()
    }
}

impl State {
    fn stamp(&mut self, object: &mut Value) {
        self.version += 1;
        object["metadata"]["resourceVersion"] = self.version.to_string().into();
        if object["metadata"]["uid"].is_null() {
            self.uids += 1;
            object["metadata"]["uid"] = format!("uid-{}", self.uids).into();
        }
    }

    fn answer(&mut self, method: &Method, path: &str, body: Value) -> (StatusCode, Value) {
        self.requests.push(format!("{method} {path}"));
        if let Some((part, code)) = self.refuse
            && path.contains(part)
            && *method != Method::GET
        {
            return failure(code, "refused by the test");
        }
        match *method {
            Method::GET => self
                .objects
                .get(path)
                .map_or_else(|| failure(404, "not found"), |o| (StatusCode::OK, o.clone())),
            Method::PATCH => self.apply(path, body),
            Method::POST => self.create(path, body),
            Method::PUT => self.replace(path, body),
            Method::DELETE => self.delete(path, &body),
            _ => failure(405, "not supported here"),
        }
    }

    fn apply(&mut self, path: &str, body: Value) -> (StatusCode, Value) {
        let (key, body) = match path.strip_suffix("/status") {
            Some(key) => (key, json!({ "metadata": body["metadata"], "status": body["status"] })),
            None => (path, body),
        };
        let before = self.objects.get(key).cloned();
        if before.is_none() && path.ends_with("/status") {
            return failure(404, "not found");
        }
        for field in ["resourceVersion", "uid"] {
            let (asked, is) =
                (&body["metadata"][field], before.as_ref().map(|before| &before["metadata"][field]));
            if !asked.is_null() && Some(asked) != is {
                return failure(409, field);
            }
        }
        let mut after = before.clone().unwrap_or_else(|| json!({}));
        if path.ends_with("/status") {
            after["status"] = body["status"].clone();
        } else {
            super::super::build::merge_for_tests(&mut after, body);
        }
        if let Some(insist) = self.insist {
            insist(&mut after);
        }
        if before.as_ref() != Some(&after) {
            self.stamp(&mut after);
            self.objects.insert(key.to_owned(), after.clone());
        }
        (StatusCode::OK, after)
    }

    fn create(&mut self, path: &str, mut body: Value) -> (StatusCode, Value) {
        let name = body["metadata"]["name"].as_str().unwrap_or_default().to_owned();
        let key = format!("{path}/{name}");
        if self.objects.contains_key(&key) {
            return failure(409, "already exists");
        }
        self.stamp(&mut body);
        self.objects.insert(key, body.clone());
        (StatusCode::CREATED, body)
    }

    fn replace(&mut self, path: &str, mut body: Value) -> (StatusCode, Value) {
        let Some(before) = self.objects.get(path) else { return failure(404, "not found") };
        if body["metadata"]["resourceVersion"] != before["metadata"]["resourceVersion"] {
            return failure(409, "resourceVersion");
        }
        self.stamp(&mut body);
        self.objects.insert(path.to_owned(), body.clone());
        (StatusCode::OK, body)
    }

    fn delete(&mut self, path: &str, body: &Value) -> (StatusCode, Value) {
        let Some(object) = self.objects.get(path) else { return failure(404, "not found") };
        for field in ["resourceVersion", "uid"] {
            let asked = &body["preconditions"][field];
            if !asked.is_null() && *asked != object["metadata"][field] {
                return failure(409, field);
            }
        }
        (StatusCode::OK, self.objects.remove(path).expect("it is there"))
    }
}

fn failure(code: u16, message: &str) -> (StatusCode, Value) {
    let reason = match code {
        404 => "NotFound",
        409 => "Conflict",
        _ => "Test",
    };
    let status = json!({
        "kind": "Status", "apiVersion": "v1", "status": "Failure",
        "message": message, "reason": reason, "code": code,
    });
    (StatusCode::from_u16(code).expect("a code"), status)
}
