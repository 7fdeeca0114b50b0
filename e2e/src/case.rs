//! One test's place in the cluster: a namespace, and what is done there most.

use std::fmt::Debug;
use std::time::Duration;

use k8s_openapi::api::core::v1::{Namespace, ServiceAccount};
use kube::api::{Api, ApiResource, DynamicObject, Patch, PatchParams, PostParams};
use kube::core::{GroupVersionKind, NamespaceResourceScope};
use kube::discovery::{Scope, pinned_kind};
use kube::{Client, Resource, ResourceExt};
use serde::de::DeserializeOwned;
use serde_json::Value;
use tokio::sync::{RwLock, RwLockReadGuard, RwLockWriteGuard};

use crate::capability::missing_for_nodes;
use crate::cluster::{Cluster, FIELD_MANAGER};
use crate::error::{Context, Error};
use crate::image::Image;
use crate::{eventually, report, say};

/// How long a new namespace may take to be usable.
const NAMESPACE_WITHIN: Duration = Duration::from_secs(30);

/// Letters of the test's name in the namespace's; with the rest it stays below 63.
const NAME_LETTERS_MAX: usize = 40;

/// A namespace of its own for one test, deleted at its end. If the test fails, what happened in it
/// is printed first.
pub struct Case {
    cluster: &'static Cluster,
    client: Client,
    namespace: String,
    _turn: Turn,
}

/// Who may run meanwhile. Held until the namespace was deleted.
enum Turn {
    Shared { _guard: RwLockReadGuard<'static, ()> },
    Alone { _guard: RwLockWriteGuard<'static, ()> },
}

impl Turn {
    async fn wait(alone: bool) -> Self {
        static TURNS: RwLock<()> = RwLock::const_new(());
        if alone {
            Self::Alone { _guard: TURNS.write().await }
        } else {
            Self::Shared { _guard: TURNS.read().await }
        }
    }
}

impl Case {
    /// For tests of the API server alone: no pod will run. The CRDs are installed.
    ///
    /// # Panics
    /// When no cluster could be started, or it does not answer.
    pub async fn api_only() -> Self {
        Self::begin(Turn::wait(false).await).await
    }

    /// For tests whose pods run: at least so many nodes are ready. `None`, said loudly, if this
    /// machine cannot run nodes.
    ///
    /// # Panics
    /// When no cluster could be started, it does not answer, or its nodes do not become ready; with
    /// `CORALLITE_E2E_REQUIRE_NODES` also instead of `None`.
    pub async fn on_nodes(nodes: u8) -> Option<Self> {
        Self::begin_on_nodes(nodes, false).await
    }

    /// As [`on_nodes`](Self::on_nodes), for tests that break what others rely on (the API server, a
    /// node, cluster-wide objects): no other case exists meanwhile, and the cluster is one that was
    /// started for these tests. `None`, said loudly, on an existing cluster.
    ///
    /// # Panics
    /// As [`on_nodes`](Self::on_nodes).
    pub async fn alone_on_nodes(nodes: u8) -> Option<Self> {
        let cluster = blocking(Cluster::shared).await;
        if !cluster.is_own() {
            say(&format!("SKIPPED {}: it would break a cluster that is not its own", test_name()));
            return None;
        }
        Self::begin_on_nodes(nodes, true).await
    }

    async fn begin_on_nodes(nodes: u8, alone: bool) -> Option<Self> {
        let cluster = blocking(Cluster::shared).await;
        let missing = if cluster.is_own() { missing_for_nodes() } else { Vec::new() };
        if !missing.is_empty() {
            let why = format!("no nodes on this machine: {}", missing.join("; "));
            let required =
                std::env::var_os("CORALLITE_E2E_REQUIRE_NODES").is_some_and(|value| !value.is_empty());
            assert!(!required, "{why}");
            say(&format!("SKIPPED {}: {why}", test_name()));
            return None;
        }
        let turn = Turn::wait(alone).await;
        blocking(move || cluster.have_nodes(nodes)).await;
        let case = Self::begin(turn).await;
        let accounts = case.api::<ServiceAccount>();
        eventually("the namespace has its service account", NAMESPACE_WITHIN, async || {
            accounts.get("default").await.map(drop).map_err(|error| error.to_string())
        })
        .await;
        Some(case)
    }

    async fn begin(turn: Turn) -> Self {
        let cluster = blocking(Cluster::shared).await;
        blocking(|| cluster.install_crds()).await;
        let client = done(cluster.client().await);
        let namespace = done(create_namespace(&client).await);
        Self { cluster, client, namespace, _turn: turn }
    }

    /// The namespace's name.
    #[must_use]
    pub fn namespace(&self) -> &str {
        &self.namespace
    }

    /// A client of the administrator.
    #[must_use]
    pub fn client(&self) -> Client {
        self.client.clone()
    }

    /// The cluster, for what concerns all of it.
    #[must_use]
    pub fn cluster(&self) -> &'static Cluster {
        self.cluster
    }

    /// The objects of one kind in the namespace.
    #[must_use]
    pub fn api<K>(&self) -> Api<K>
    where
        K: Resource<Scope = NamespaceResourceScope, DynamicType = ()> + Clone + DeserializeOwned + Debug,
    {
        Api::namespaced(self.client(), &self.namespace)
    }

    /// Applies objects (YAML documents) by server-side apply, in order. Those that name no namespace
    /// get this one.
    ///
    /// # Errors
    /// The first refusal; later objects were not applied.
    ///
    /// # Panics
    /// When the text is not YAML, or of a kind that the API server does not know.
    pub async fn apply(&self, manifests: &str) -> Result<Vec<DynamicObject>, kube::Error> {
        let documents: Vec<Value> =
            serde_yaml::from_multiple(manifests).unwrap_or_else(|error| panic!("{error}"));
        let mut applied = Vec::new();
        for document in documents.into_iter().filter(|document| !document.is_null()) {
            applied.push(self.apply_object(document).await?);
        }
        Ok(applied)
    }

    /// Applies one object, as [`apply`](Self::apply) does.
    ///
    /// # Errors
    /// The refusal.
    ///
    /// # Panics
    /// When it is of a kind that the API server does not know.
    pub async fn apply_object(&self, object: Value) -> Result<DynamicObject, kube::Error> {
        let api = self.api_of(&object).await;
        let name = object["metadata"]["name"].as_str().unwrap_or_default().to_owned();
        api.patch(&name, &PatchParams::apply(FIELD_MANAGER).force(), &Patch::Apply(object)).await
    }

    /// Runs kubectl in this namespace, from the workspace's root folder, and returns what it printed.
    ///
    /// # Panics
    /// When it fails, with what it said.
    pub async fn kubectl<const N: usize>(&self, arguments: [&str; N]) -> String {
        self.try_kubectl(arguments).await.unwrap_or_else(|error| panic!("{error}"))
    }

    /// As [`kubectl`](Self::kubectl).
    ///
    /// # Errors
    /// When it fails, with what it said.
    pub async fn try_kubectl<const N: usize>(&self, arguments: [&str; N]) -> Result<String, Error> {
        let cluster = self.cluster;
        let mut all = vec!["--namespace".to_owned(), self.namespace.clone()];
        all.extend(arguments.map(str::to_owned));
        spawn(move || cluster.kubectl(all)).await
    }

    /// Makes an image known to all nodes.
    ///
    /// # Panics
    /// When a node refuses it.
    pub async fn load(&self, image: Image) {
        let cluster = self.cluster;
        blocking(move || cluster.load(&image)).await;
    }

    async fn api_of(&self, object: &Value) -> Api<DynamicObject> {
        let text = |key: &str| object[key].as_str().unwrap_or_default();
        let (group, version) = text("apiVersion").split_once('/').unwrap_or(("", text("apiVersion")));
        let kind = GroupVersionKind::gvk(group, version, text("kind"));
        let (resource, capabilities): (ApiResource, _) = pinned_kind(&self.client, &kind)
            .await
            .unwrap_or_else(|error| panic!("the API server does not know {kind:?}: {error}"));
        let namespace = object["metadata"]["namespace"].as_str().unwrap_or(&self.namespace);
        match capabilities.scope {
            Scope::Namespaced => Api::namespaced_with(self.client(), namespace, &resource),
            Scope::Cluster => Api::all_with(self.client(), &resource),
        }
    }
}

impl Drop for Case {
    fn drop(&mut self) {
        if std::thread::panicking() {
            report::print(self.cluster, &self.namespace);
        }
        let deleted = self.cluster.kubectl(["delete", "namespace", &self.namespace, "--wait=false"]);
        if let Err(error) = deleted {
            say(&format!("namespace {} stays: {error}", self.namespace));
        }
    }
}

async fn create_namespace(client: &Client) -> Result<String, Error> {
    let namespaces: Api<Namespace> = Api::all(client.clone());
    let letters = test_name().rsplit("::").next().unwrap_or_default().replace('_', "-");
    let letters: String = letters.chars().filter(|c| c.is_ascii_alphanumeric() || *c == '-').collect();
    let mut namespace = Namespace::default();
    let letters = &letters[..letters.len().min(NAME_LETTERS_MAX)];
    namespace.metadata.generate_name = Some(format!("e2e-{}-", letters.trim_matches('-').to_lowercase()));
    let created = namespaces.create(&PostParams::default(), &namespace).await;
    created.map(|namespace| namespace.name_any()).context(|| "creating a namespace".into())
}

/// The test harness names threads after their tests.
fn test_name() -> String {
    std::thread::current().name().unwrap_or("test").to_owned()
}

async fn spawn<T: Send + 'static>(work: impl FnOnce() -> T + Send + 'static) -> T {
    match tokio::task::spawn_blocking(work).await {
        Ok(value) => value,
        Err(panicked) => std::panic::resume_unwind(panicked.into_panic()),
    }
}

async fn blocking<T: Send + 'static>(work: impl FnOnce() -> Result<T, Error> + Send + 'static) -> T {
    done(spawn(work).await)
}

fn done<T>(result: Result<T, Error>) -> T {
    result.unwrap_or_else(|error| panic!("{error}"))
}
