//! Every dashboard can be read by Grafana, and asks for what there is.

use std::collections::BTreeSet;

use serde_json::Value;

use crate::{files, metrics, promql};

const FOLDER: &str = "charts/corallite/dashboards";

fn dashboards() -> Vec<(String, Value)> {
    let files = files::all(FOLDER, "json");
    let read = |(name, text): (String, String)| {
        let value = serde_json::from_str(&text).unwrap_or_else(|error| panic!("{name}: {error}"));
        (name, value)
    };
    files.into_iter().map(read).collect()
}

fn items<'a>(object: &'a Value, key: &str) -> impl Iterator<Item = &'a Value> {
    object[key].as_array().into_iter().flatten()
}

/// Queries of panels and variables, each with where it is.
fn queries(dashboard: &Value) -> Vec<(String, String)> {
    let mut found = Vec::new();
    for panel in items(dashboard, "panels") {
        for target in items(panel, "targets") {
            found.push((panel["title"].to_string(), target["expr"].as_str().unwrap().to_owned()));
        }
    }
    for variable in items(&dashboard["templating"], "list").filter(|variable| variable["type"] == "query") {
        let query = variable["query"]["query"].as_str().unwrap();
        assert_eq!(variable["definition"], query, "a variable says two things");
        found.push((format!("variable {}", variable["name"]), query.to_owned()));
    }
    found
}

#[test]
fn every_query_asks_for_what_there_is() {
    for (name, dashboard) in dashboards() {
        let queries = queries(&dashboard);
        assert!(queries.len() > 10, "{name} has {} queries; they are not found", queries.len());
        for (place, query) in queries {
            if let Err(error) = promql::check(&query) {
                panic!("{name}, {place}: {error}\n{query}");
            }
        }
    }
}

#[test]
fn every_metric_is_on_a_dashboard() {
    let queries = dashboards().into_iter().flat_map(|(_, dashboard)| queries(&dashboard));
    let shown: BTreeSet<String> =
        queries.flat_map(|(_, query)| promql::check(&query).unwrap_or_default().series).collect();
    let of = |family: &String, series: &String| {
        let rest = series.strip_prefix(family.as_str());
        rest.is_some_and(|rest| ["", "_total", "_info", "_bucket", "_sum", "_count"].contains(&rest))
    };
    let families = metrics::families();
    let missing: Vec<_> =
        families.iter().filter(|family| !shown.iter().any(|series| of(family, series))).collect();
    assert!(missing.is_empty(), "no dashboard shows {missing:?}");
}

#[test]
fn nothing_has_the_identity_of_another() {
    let (mut uids, mut titles) = (BTreeSet::new(), BTreeSet::new());
    for (name, dashboard) in dashboards() {
        assert_eq!(dashboard["uid"], format!("corallite-{name}"));
        assert!(uids.insert(dashboard["uid"].to_string()) && titles.insert(dashboard["title"].to_string()));
        let (mut ids, mut panels) = (BTreeSet::new(), BTreeSet::new());
        for panel in items(&dashboard, "panels") {
            assert!(ids.insert(panel["id"].as_u64().unwrap()), "{name}: two panels {}", panel["id"]);
            assert!(panels.insert(panel["title"].to_string()), "{name}: two panels {}", panel["title"]);
            let mut references = BTreeSet::new();
            let unique = items(panel, "targets").all(|target| references.insert(target["refId"].to_string()));
            assert!(unique, "{name}, {}: a refId twice", panel["title"]);
        }
    }
}

#[test]
fn panels_use_the_chosen_source_and_say_what_they_show() {
    for (name, dashboard) in dashboards() {
        for panel in items(&dashboard, "panels").filter(|panel| panel["type"] != "row") {
            let place = format!("{name}, {}", panel["title"]);
            assert!(panel["fieldConfig"]["defaults"]["unit"].is_string(), "{place} has no unit");
            for holder in items(panel, "targets").chain([panel]) {
                assert_eq!(holder["datasource"]["uid"], "${datasource}", "{place}");
            }
            for target in items(panel, "targets") {
                assert!(
                    target["legendFormat"].as_str().is_some_and(|it| !it.is_empty()),
                    "{place}: no legend"
                );
            }
        }
        let names: BTreeSet<_> =
            items(&dashboard["templating"], "list").map(|it| it["name"].as_str().unwrap()).collect();
        for (place, query) in queries(&dashboard) {
            for (at, _) in query.match_indices('$') {
                let rest = &query[at + 1..];
                let end = rest.find(|c: char| !c.is_alphanumeric() && c != '_').unwrap_or(rest.len());
                let known = rest[..end].starts_with("__") || names.contains(&rest[..end]);
                assert!(known, "{name}, {place}: no variable {}", &rest[..end]);
            }
        }
    }
}

#[test]
fn panels_do_not_cover_each_other() {
    for (name, dashboard) in dashboards() {
        let mut taken = BTreeSet::new();
        for panel in items(&dashboard, "panels") {
            let grid = |key: &str| panel["gridPos"][key].as_u64().unwrap();
            for x in grid("x")..grid("x") + grid("w") {
                for y in grid("y")..grid("y") + grid("h") {
                    assert!(
                        x < 24 && taken.insert((x, y)),
                        "{name}: {} lies at a taken place",
                        panel["title"]
                    );
                }
            }
        }
    }
}
