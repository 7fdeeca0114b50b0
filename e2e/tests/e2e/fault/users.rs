//! A client that registers users without end, and remembers what it was told.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::{Duration, Instant};

use corallite_e2e::eventually;
use http::StatusCode;
use serde_json::{Value, json};
use tokio::task::JoinHandle;

use crate::support::shop::{READY_WITHIN, Shop};

/// How long it waits before it sends a command again that was not answered.
const RETRY_AFTER: Duration = Duration::from_millis(100);

/// How long one command may remain unanswered, over all its retries.
const GIVE_UP_AFTER: Duration = Duration::from_secs(180);

/// Registers one user after the other, each under its command id until it is applied.
pub struct Users {
    shop: Shop,
    ended: Arc<AtomicBool>,
    registered: Arc<AtomicU64>,
    client: JoinHandle<Vec<Value>>,
}

impl Users {
    /// Starts, and waits until some are registered.
    pub async fn arrive(shop: &Shop) -> Self {
        let (ended, registered) = (Arc::new(AtomicBool::new(false)), Arc::new(AtomicU64::new(0)));
        let client = tokio::spawn(register(shop.clone(), Arc::clone(&ended), Arc::clone(&registered)));
        let users = Self { shop: shop.clone(), ended, registered, client };
        users.more(5).await;
        users
    }

    /// Waits until so many more are registered than now.
    pub async fn more(&self, users: u64) {
        let wanted = self.registered.load(Ordering::SeqCst) + users;
        eventually("more users", READY_WITHIN, async || {
            let now = self.registered.load(Ordering::SeqCst);
            if now >= wanted { Ok(()) } else { Err(format!("{now} of {wanted} users are registered")) }
        })
        .await;
    }

    /// Ends, and asserts that every user is there as it was told, once.
    pub async fn all_there(self) {
        self.ended.store(true, Ordering::SeqCst);
        let positions = self.client.await.unwrap();
        assert!(positions.len() >= 5, "{} users", positions.len());
        for (number, position) in positions.iter().enumerate() {
            let read = self.shop.read(&format!("User/u{number}/query/profile")).await;
            assert_eq!((&read["result"]["name"], &read["seq"]), (&json!(name(number)), &json!(1)), "{read}");
            assert_ne!(*position, Value::Null, "a position");
        }
    }
}

async fn register(shop: Shop, ended: Arc<AtomicBool>, registered: Arc<AtomicU64>) -> Vec<Value> {
    let mut positions = Vec::new();
    while !ended.load(Ordering::SeqCst) {
        let (number, started) = (positions.len(), Instant::now());
        let path = format!("User/u{number}/register");
        let payload = json!({ "email": "u@example.com", "name": name(number) });
        let position = loop {
            match shop.send(&path, &payload, &format!("register-{number}")).await {
                Ok((StatusCode::OK, answer)) => break answer["position"].clone(),
                // Only what may pass is tried again. A refusal would mean that it ran twice.
                Ok((status, answer)) => {
                    let error = &answer["error"];
                    let may_pass = error["retryable"] == true || error["outcome"] == "unknown";
                    assert!(may_pass, "{path}: {status}: {answer}");
                }
                Err(_) => {}
            }
            assert!(started.elapsed() < GIVE_UP_AFTER, "{path} is not answered");
            tokio::time::sleep(RETRY_AFTER).await;
        };
        positions.push(position);
        registered.fetch_add(1, Ordering::SeqCst);
    }
    positions
}

fn name(number: usize) -> String {
    format!("User {number}")
}
