//! Behaviors that change while the cell runs.

use corallite_crds::{condition, reason};
use corallite_e2e::{Case, eventually};
use k8s_openapi::api::core::v1::{ConfigMap, Pod};
use kube::api::{Patch, PatchParams};
use serde_json::json;

use crate::support::operator::Operator;
use crate::support::shop::{POD, READY_WITHIN, Shop, apply_shop, pod_uid, wait_condition, wait_ready};

/// A user as the example has it, with a profile that tells its version.
const GREETING: &str = r#"export default {
  initial: { status: "none" },
  commands: {
    register(user, { email, name }, ctx) {
      if (user.status !== "none") ctx.reject("AlreadyRegistered", "this user is registered already");
      ctx.emit("UserRegistered", { email, name, registeredAt: ctx.now });
    },
  },
  events: {
    UserRegistered: (user, { email, name, registeredAt }) => ({ status: "registered", email, name, registeredAt }),
  },
  queries: { profile: (user) => ({ greeting: `Hello ${user.name}` }) },
};
"#;

/// Its third line is no JavaScript.
const BROKEN: &str = "export default {\n  initial: { status: \"none\" },\n  commands: {{{ register,\n};\n";

async fn set_user_behavior(case: &Case, text: &str) {
    let patch = Patch::Merge(json!({ "data": { "user.js": text } }));
    case.api::<ConfigMap>().patch("shop-behaviors", &PatchParams::default(), &patch).await.unwrap();
}

async fn wait_greeting(shop: &Shop, greeting: &str) {
    eventually("the new behavior answers", READY_WITHIN, async || {
        let profile = shop.read("User/ann/query/profile").await;
        if profile["result"]["greeting"] == greeting { Ok(()) } else { Err(profile.to_string()) }
    })
    .await;
}

#[tokio::test]
async fn api_a_changed_behavior_reaches_the_cell_without_a_restart() {
    let Some(case) = Case::on_nodes(1).await else { return };
    let _operator = Operator::start(&case, &[]).await;
    apply_shop(&case).await;
    wait_ready(&case).await;
    let shop = Shop::of(&case).await;
    let ann = json!({ "email": "ann@example.com", "name": "Ann" });
    shop.must("User/ann/register", &ann, "register-ann").await;
    let pod = pod_uid(&case).await.unwrap();

    set_user_behavior(&case, GREETING).await;
    wait_greeting(&shop, "Hello Ann").await;
    eventually("the status tells the versions", READY_WITHIN, async || {
        let status = wait_ready(&case).await.status.unwrap();
        let cell = &status.cell_status[0].behaviors;
        if (cell["User"], cell["Order"]) == (2, 1) { Ok(()) } else { Err(format!("{cell:?}")) }
    })
    .await;

    set_user_behavior(&case, BROKEN).await;
    let refused = wait_condition(&case, condition::ACCEPTED, "False", reason::BEHAVIOR_REFUSED).await;
    assert!(refused.message.contains("user.js:3"), "{}", refused.message);
    eventually("an event tells file and line", READY_WITHIN, async || {
        let filter = format!("--field-selector=reason={}", reason::BEHAVIOR_REFUSED);
        let events = case.kubectl(["get", "events", &filter, "-o", "jsonpath={.items[*].message}"]).await;
        if events.contains("user.js:3") { Ok(()) } else { Err(events) }
    })
    .await;
    wait_greeting(&shop, "Hello Ann").await;
    wait_condition(&case, condition::READY, "True", reason::SERVING).await;

    set_user_behavior(&case, &GREETING.replace("Hello", "Welcome")).await;
    wait_greeting(&shop, "Welcome Ann").await;
    wait_condition(&case, condition::ACCEPTED, "True", reason::ACCEPTED).await;

    assert_eq!(pod_uid(&case).await.unwrap(), pod, "the pod was replaced");
    let status = case.api::<Pod>().get(POD).await.unwrap().status.unwrap();
    let restarts: i32 = status.container_statuses.iter().flatten().map(|cell| cell.restart_count).sum();
    assert_eq!(restarts, 0);
}
