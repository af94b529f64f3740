//! The document against what it describes.

use std::collections::BTreeSet;

use serde_json::json;

use super::*;
use crate::api::routes;

fn document() -> Value {
    serde_json::from_str(crate::OPENAPI).unwrap()
}

#[test]
fn each_route_is_described_and_nothing_else() {
    let document = document();
    let described: BTreeSet<(String, String)> = document["paths"]
        .as_object()
        .unwrap()
        .iter()
        .flat_map(|(path, methods)| {
            let methods = methods.as_object().unwrap().keys();
            methods.map(move |method| (method.clone(), path.clone()))
        })
        .collect();
    let routed: BTreeSet<(String, String)> = routes()
        .iter()
        .map(|route| (route.method.into(), route.path.into()))
        .collect();
    assert_eq!(described, routed);
    for route in routes() {
        let security = &document["paths"][route.path][route.method]["security"];
        assert_eq!(
            security.as_array().is_some_and(Vec::is_empty),
            route.open,
            "{}",
            route.path
        );
    }
}

#[test]
fn references_lead_somewhere() {
    fn check(value: &Value, document: &Value) {
        match value {
            Value::Object(object) => {
                if let Some(reference) = object.get("$ref") {
                    let place = reference.as_str().unwrap().strip_prefix('#').unwrap();
                    assert!(document.pointer(place).is_some(), "{place}");
                }
                object.values().for_each(|value| check(value, document));
            }
            Value::Array(list) => list.iter().for_each(|value| check(value, document)),
            _ => {}
        }
    }
    let document = document();
    assert_eq!(document["openapi"], "3.1.0");
    check(&document, &document);
}

/// The keys that a body may have are told where it has another one.
#[tokio::test]
async fn the_keys_of_requests_are_described() {
    let server = TestServer::new();
    for (path, schema, body) in [
        ("/v1/translate", "TranslateRequest", json!({"?": 1})),
        ("/v1/explain", "ExplainRequest", json!({"?": 1})),
        ("/translator/translate", "OpenNmtText", json!([{"?": 1}])),
        ("/translate", "LibreTranslateRequest", json!({"?": 1})),
    ] {
        let answer = server.post(path, body.to_string()).await;
        let message = answer.json()["error"].as_str().unwrap().to_string();
        // unknown field `?`, expected one of `a`, `b` at line 1 column 5
        let known: BTreeSet<&str> = message
            .split('`')
            .skip(1)
            .step_by(2)
            .filter(|key| *key != "?")
            .collect();
        let document = document();
        let described = document["components"]["schemas"][schema]["properties"]
            .as_object()
            .unwrap();
        let described: BTreeSet<&str> = described.keys().map(String::as_str).collect();
        assert_eq!(described, known, "{schema}");
    }
}

/// The keys of answers, errors included.
#[tokio::test]
async fn the_keys_of_answers_are_described() {
    let server = TestServer::new();
    let document = document();
    let described = |schema: &str, found: &Value| {
        let schema = &document["components"]["schemas"][schema];
        let properties = schema["properties"].as_object().unwrap();
        let keys = found.as_object().unwrap().keys();
        for key in keys.clone() {
            assert!(properties.contains_key(key), "{key} in {found}");
        }
        for required in schema["required"].as_array().unwrap() {
            assert!(
                found.get(required.as_str().unwrap()).is_some(),
                "{required} in {found}"
            );
        }
    };
    let ask = json!({"text": "abcd", "attention": true, "alignment": true});
    let answer = server.translate(ask).await.ok();
    described("TranslateResponse", &answer);
    described("Translation", &answer["translations"][0]);
    let hypothesis = &answer["translations"][0]["hypotheses"][0];
    described("Hypothesis", hypothesis);
    let all = document["components"]["schemas"]["Hypothesis"]["properties"]
        .as_object()
        .unwrap();
    assert_eq!(
        all.len(),
        hypothesis.as_object().unwrap().len(),
        "{hypothesis}"
    );
    let ask =
        json!({"text": "abcd", "words": true, "tree": true, "alternatives": 2, "erasure": true});
    let answer = server.post("/v1/explain", ask.to_string()).await.ok();
    described("ExplainResponse", &answer);
    let first = &answer["hypotheses"][0];
    described("Explained", first);
    described("Attention", &first["attention"]);
    described("Erasure", &first["erasure"]);
    described("Alternative", &first["alternatives"][0][0]);
    described("Error", &server.translate(json!({})).await.json());
    described("Model", &server.get("/v1/models").await.ok()["models"][0]);
    let answer = server
        .post("/translator/translate", r#"[{"src":"a"}]"#)
        .await
        .ok();
    described("OpenNmtHypothesis", &answer[0][0]);
    described(
        "OpenNmtModel",
        &server.get("/translator/models").await.ok()[0],
    );
    described("Language", &server.get("/languages").await.ok()[0]);
    let ask = json!({"q": "a", "source": "aa", "target": "bb", "alternatives": 1});
    let answer = server.post("/translate", ask.to_string()).await.ok();
    described("LibreTranslateResponse", &answer);
    assert_eq!(server.get("/openapi.json").await.ok(), document);
}
