use att_studio::{CONTENT_SECURITY_POLICY, FILES};
use serde_json::json;

use super::*;

#[tokio::test]
async fn a_sentence_is_explained_as_it_is_translated() {
    let server = TestServer::new();
    let ask = json!({"text": "abcd", "tree": true, "alternatives": 2, "search": {"beam_size": 3}});
    let found = server.post("/v1/explain", ask.to_string()).await.ok();
    let expected =
        json!({"text": "abcd", "beam_size": 3, "n_best": 3, "attention": true, "alignment": true});
    let expected = server.translate(expected).await.ok();
    assert_eq!(found["model"], "letters");
    let expected = &expected["translations"][0];
    assert_eq!(found["src_tokens"], expected["src_tokens"]);
    let (hypotheses, others) = (&found["hypotheses"], &expected["hypotheses"]);
    assert_eq!(hypotheses.as_array().unwrap().len(), 3);
    for (found, expected) in hypotheses
        .as_array()
        .unwrap()
        .iter()
        .zip(others.as_array().unwrap())
    {
        for key in ["text", "tgt_tokens"] {
            assert_eq!(found[key], expected[key]);
        }
        close(&found["score"], expected["score"].as_f64().unwrap());
        assert_eq!(found["attention"]["alignment"], expected["alignment"]);
        let rows = found["attention"]["weights"].as_array().unwrap();
        assert_eq!(rows.len(), expected["weights"].as_array().unwrap().len());
    }
    assert!(found["tree"]["nodes"].as_array().unwrap().len() > 3);

    let other = json!({"text": "abcd", "model": "summary", "pinned": ["d", "c"]});
    let found = server.post("/v1/explain", other.to_string()).await.ok();
    assert_eq!(found["model"], "summary");
    let tokens = found["hypotheses"][0]["tgt_tokens"].as_array().unwrap();
    assert_eq!(tokens[..2], ["d", "c"]);
    assert!(found["hypotheses"][0].get("attention").is_none());
    let blank = server.post("/v1/explain", r#"{"text": " "}"#).await.ok();
    assert_eq!(blank["hypotheses"], json!([]));
}

#[tokio::test]
async fn explanations_have_the_limits_of_translations() {
    let server = TestServer::with(|config| {
        config.limits.chars = 30;
        config.limits.tokens = 10;
        config.limits.beam_size = 4;
        config.limits.max_len = 12;
    });
    for (ask, parts) in [
        (json!({"text": "a".repeat(11)}), ["text: 11 tokens", "10"]),
        (
            json!({"text": "a".repeat(31)}),
            ["text: 31 characters", "30"],
        ),
        (
            json!({"text": "a", "search": {"beam_size": 5}}),
            ["beam_size: 5", "4"],
        ),
        (
            json!({"text": "a", "search": {"n_best": 5}}),
            ["n_best: 5", "4"],
        ),
        (
            json!({"text": "a", "search": {"max_len": 13}}),
            ["max_len: 13", "12"],
        ),
        (
            json!({"text": "a", "pinned": vec!["a"; 13]}),
            ["pinned: 13 tokens", "12"],
        ),
        (
            json!({"text": "a", "pinned": ["a".repeat(30)]}),
            ["31 characters", "30"],
        ),
    ] {
        let answer = server.post("/v1/explain", ask.to_string()).await;
        answer.refused(400, "too_large", &parts);
    }
    for (ask, parts) in [
        (json!({"text": "a", "pinned": ["zz"]}), ["pinned", "zz"]),
        (
            json!({"text": "a", "edits": [{"step": 0, "weights": [1]}]}),
            ["edits: step 0", "2 source tokens"],
        ),
        (
            json!({"text": "a", "edits": [{"step": 0, "weights": [1, 1]}], "model": "summary"}),
            ["edits", "no attention"],
        ),
        (
            json!({"text": "a", "alternatives": 51}),
            ["alternatives: 51", "50"],
        ),
        (
            json!({"text": "a", "search": {"beams": 2}}),
            ["search", "beams"],
        ),
        (json!({"text": ["a"]}), ["text", "string"]),
    ] {
        let answer = server.post("/v1/explain", ask.to_string()).await;
        answer.refused(400, "bad_request", &parts);
    }
    let unknown = server
        .post("/v1/explain", r#"{"text": "a", "model": "x"}"#)
        .await;
    unknown.refused(404, "unknown_model", &["letters"]);
}

#[tokio::test]
async fn the_page_and_its_files_are_served_and_may_fetch_nothing_from_elsewhere() {
    let server = TestServer::new();
    for (path, name) in [("/studio/", "index.html")]
        .into_iter()
        .map(|(path, name)| (path.to_string(), name))
        .chain(
            FILES
                .iter()
                .map(|file| (format!("/studio/{}", file.name), file.name)),
        )
    {
        let answer = server.get(&path).await;
        assert_eq!(answer.status, StatusCode::OK, "{path}");
        let file = FILES.iter().find(|file| file.name == name).unwrap();
        assert_eq!(answer.text, file.text);
        assert_eq!(answer.headers["content-type"], file.kind);
        assert_eq!(
            answer.headers["content-security-policy"],
            CONTENT_SECURITY_POLICY
        );
        assert_eq!(answer.headers["x-content-type-options"], "nosniff");
    }
    for path in ["/", "/studio"] {
        let answer = server.get(path).await;
        assert_eq!(answer.status, StatusCode::TEMPORARY_REDIRECT);
        assert_eq!(answer.headers["location"], "/studio/");
    }
    for path in [
        "/studio/none.js",
        "/studio/..%2f..%2fCargo.toml",
        "/studio/a/b",
    ] {
        server.get(path).await.refused(404, "not_found", &[]);
    }
    let answer = server.post("/studio/studio.js", "{}").await;
    answer.refused(405, "method_not_allowed", &["use GET"]);
}
