use std::collections::BTreeSet;

use serde_json::Value;

use super::*;
use crate::domain::report::MOST_LISTED;

/// What is described. The rest of the router is not.
const GROUPS: [&str; 9] = [
    "/api/alerts",
    "/api/audit",
    "/api/datasets",
    "/api/events",
    "/api/hunts",
    "/api/privacy/",
    "/api/reputation",
    "/api/security/",
    "/api/users/",
];

fn json() -> Value {
    serde_json::to_value(document()).unwrap()
}

/// Methods and paths of the router, from its source.
fn routed() -> BTreeSet<(String, String)> {
    let mut routed = BTreeSet::new();
    for route in include_str!("../mod.rs").split(".route(").skip(1) {
        let path = route.split('"').nth(1).unwrap();
        for method in ["get", "post", "put", "delete"] {
            let is_called = route.contains(&format!(" {method}(")) || route.contains(&format!(".{method}("));
            if is_called {
                routed.insert((method.to_owned(), path.to_owned()));
            }
        }
    }
    routed
}

fn described() -> BTreeSet<(String, String)> {
    let document = json();
    let paths = document["paths"].as_object().unwrap();
    let methods = paths.iter().flat_map(|(path, item)| {
        item.as_object().unwrap().keys().map(|method| (method.clone(), path.clone())).collect::<Vec<_>>()
    });
    methods.collect()
}

#[test]
fn every_route_of_these_groups_is_described_and_nothing_else() {
    let routed: BTreeSet<_> =
        routed().into_iter().filter(|(_, path)| GROUPS.iter().any(|group| path.starts_with(group))).collect();
    assert!(routed.len() > 30 && routed.contains(&("put".to_owned(), "/api/alerts/{id}".to_owned())), "{routed:?}");
    assert_eq!(described(), routed);
    assert_eq!(groups().into_iter().map(|(_, routes)| routes.len()).sum::<usize>(), routed.len());
}

#[test]
fn it_is_openapi_3_1_at_one_server() {
    let document = json();
    assert_eq!(
        (document["openapi"].as_str(), &document["servers"]),
        (Some("3.1.0"), &serde_json::json!([{"url": "/"}]))
    );
}

/// Calls for every value of a key, wherever it is.
fn walk(value: &Value, key: &str, found: &mut Vec<String>) {
    match value {
        Value::Array(items) => items.iter().for_each(|item| walk(item, key, found)),
        Value::Object(items) => {
            found.extend(items.get(key).and_then(Value::as_str).map(str::to_owned));
            items.values().for_each(|item| walk(item, key, found));
        }
        _ => {}
    }
}

#[test]
fn every_reference_leads_somewhere_and_every_operation_has_a_name_of_its_own() {
    let document = json();
    let mut references = Vec::new();
    walk(&document, "$ref", &mut references);
    assert!(references.len() > 100, "{}", references.len());
    for reference in references {
        let place = reference.strip_prefix('#').unwrap();
        assert!(document.pointer(place).is_some(), "{reference}");
    }
    let mut ids = Vec::new();
    walk(&document, "operationId", &mut ids);
    let different: BTreeSet<_> = ids.iter().collect();
    assert_eq!((ids.len(), different.len()), (described().len(), described().len()));
}

#[test]
fn bounds_are_those_of_the_code() {
    let document = json();
    for path in ["/api/alerts", "/api/events", "/api/reputation"] {
        let parameters = document["paths"][path]["get"]["parameters"].as_array().unwrap();
        let limit = parameters.iter().find(|parameter| parameter["name"] == "limit").unwrap();
        assert_eq!((&limit["schema"]["minimum"], &limit["schema"]["maximum"]), (&1.into(), &MOST_LISTED.into()));
        assert_eq!((limit["in"].as_str(), limit["required"].as_bool()), (Some("query"), Some(false)));
    }
    let ids = &document["components"]["schemas"]["BulkUpdate"]["properties"]["ids"];
    assert_eq!(ids["maxItems"], MOST_LISTED);
    let statuses = &document["components"]["schemas"]["AlertStatus"]["enum"];
    let names = crate::domain::http::alert::Status::ALL.map(crate::domain::http::alert::Status::name);
    assert_eq!(*statuses, serde_json::json!(names));
}

#[test]
fn what_is_not_known_is_not_taken_where_the_type_refuses_it() {
    let document = json();
    for name in ["AlertRequest", "AlertUpdate", "BulkUpdate", "DatasetRequest", "Event", "IpRequest", "RuleForm"] {
        assert_eq!(document["components"]["schemas"][name]["additionalProperties"], false, "{name}");
    }
    assert_eq!(document["components"]["schemas"]["AlertRequest"]["required"], serde_json::json!(["title"]));
    assert_eq!(document["components"]["schemas"]["Event"]["required"], serde_json::json!(["type"]));
}
