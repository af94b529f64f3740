use att_decoder::search::{LengthPenalty, SearchConfig};
use att_model::{TranslationRequest, Translator};
use burn::tensor::Device;
use serde_json::{Value, json};

use super::*;

#[tokio::test]
async fn an_answer_has_all_that_the_translator_says() {
    let server = TestServer::new();
    let answer = server.translate(json!({"text": "abcd"})).await.ok();
    assert_eq!(answer["model"], "letters");
    let path = server.path("letters");
    let expected = alone(&path, &["abcd"], &own_search(&server)).remove(0);
    let found = &answer["translations"][0];
    assert_eq!(found["text"], expected.candidates[0].text);
    assert_eq!(found["src_tokens"], json!(["a", "b", "c", "d", "</s>"]));
    let hypotheses = found["hypotheses"].as_array().unwrap();
    assert_eq!(hypotheses.len(), 2);
    for (found, expected) in hypotheses.iter().zip(&expected.candidates) {
        assert_eq!(found["text"], expected.text);
        assert_eq!(found["tgt_tokens"], json!(expected.tokens));
        close(&found["score"], expected.score);
        close(&found["log_prob"], expected.log_prob);
        close(&found["length"], expected.terms.length);
        let log_probs = found["token_log_probs"].as_array().unwrap();
        assert_eq!(log_probs.len(), expected.tokens.len());
        for (found, expected) in log_probs.iter().zip(&expected.token_log_probs) {
            close(found, f64::from(*expected));
        }
        let keys = found.as_object().unwrap();
        assert!(!keys.contains_key("weights") && !keys.contains_key("alignment"));
    }
}

#[tokio::test]
async fn a_list_has_an_answer_a_text_in_their_order() {
    let server = TestServer::new();
    let texts = ["dcba", "", "a", "  ", "abcdabcd", "a"];
    let answer = server.translate(json!({"text": texts, "model": "other"}));
    let answer = answer.await.ok();
    assert_eq!(answer["model"], "other");
    let path = server.path("other");
    let expected = alone(&path, &texts, &own_search(&server));
    let found = answer["translations"].as_array().unwrap();
    assert_eq!(found.len(), texts.len());
    for ((found, expected), text) in found.iter().zip(&expected).zip(texts) {
        if text.trim().is_empty() {
            assert_eq!(
                *found,
                json!({"text": "", "src_tokens": [], "hypotheses": []})
            );
        } else {
            assert_eq!(found["text"], expected.candidates[0].text);
        }
    }
}

#[tokio::test]
async fn options_are_those_of_the_command_line() {
    let server = TestServer::new();
    let answer = server.translate(json!({
        "text": "abcd", "beam_size": 4, "n_best": 4, "length_penalty": "gnmt:0.8",
        "coverage_penalty": 0.3, "repetition_penalty": 1.3, "no_repeat_ngram": 2, "suppress_unk": true,
        "min_len": 2, "min_len_ratio": 0.25, "max_len": 6, "max_len_ratio": 1.5, "replace_unk": true,
        "strategy": {"kind": "diverse", "groups": 2, "strength": 0.7},
        "prefix": "dd",
    }));
    let answer = answer.await.ok();
    let search: SearchConfig = serde_json::from_value(json!({
        "beam_size": 4, "n_best": 4, "length_penalty": {"kind": "gnmt", "alpha": 0.8},
        "coverage_penalty": 0.3, "repetition_penalty": 1.3, "no_repeat_ngram": 2, "suppress_unk": true,
        "min_len": 2, "min_len_ratio": 0.25, "max_len": 6, "max_len_ratio": 1.5, "replace_unk": true,
        "strategy": {"kind": "diverse", "groups": 2, "strength": 0.7},
    }))
    .unwrap();
    assert_eq!(search.length_penalty, LengthPenalty::Gnmt { alpha: 0.8 });
    let translator = Translator::load(server.path("letters"), &Device::flex()).unwrap();
    let request = TranslationRequest {
        prefix: "dd".into(),
        ..TranslationRequest::new("abcd")
    };
    let expected = translator
        .translate_requests(&[request], &search)
        .unwrap()
        .remove(0);
    let found = answer["translations"][0]["hypotheses"].as_array().unwrap();
    assert_eq!(found.len(), expected.candidates.len());
    for (found, expected) in found.iter().zip(&expected.candidates) {
        assert_eq!(found["text"], expected.text);
        assert!(expected.text.starts_with("dd"));
        close(&found["score"], expected.score);
        close(&found["coverage"], expected.terms.coverage);
        close(&found["repetition"], expected.terms.repetition);
    }
}

#[tokio::test]
async fn samples_are_those_of_their_seed() {
    let server = TestServer::new();
    let ask = json!({"text": "abcd", "n_best": 4, "strategy": {"kind": "sampling", "seed": 9}});
    let one = server.translate(ask.clone()).await.ok();
    assert_eq!(server.translate(ask).await.ok(), one);
}

#[tokio::test]
async fn prefixes_and_phrases_belong_to_their_texts() {
    let server = TestServer::new();
    let answer = server.translate(json!({
        "text": ["abc", "abc"], "prefix": ["d", ""], "constraints": [[], ["ca", "b"]],
    }));
    let answer = answer.await.ok();
    let text = |index: usize| answer["translations"][index]["text"].as_str().unwrap();
    assert!(text(0).starts_with('d'), "{answer}");
    assert!(
        text(1).contains("ca") && text(1).replacen("ca", "", 1).contains('b'),
        "{answer}"
    );
    let answer = server.translate(json!({"text": "abc", "prefix": "d", "constraints": ["ca"]}));
    let answer = answer.await.ok();
    let text = answer["translations"][0]["text"].as_str().unwrap();
    assert!(text.starts_with('d') && text.contains("ca"), "{text}");

    for (body, parts) in [
        (
            json!({"text": ["a", "b"], "prefix": ["c"]}),
            ["prefix", "1 for 2"],
        ),
        (
            json!({"text": ["a", "b"], "constraints": [["c"]]}),
            ["constraints", "1 for 2"],
        ),
        (
            json!({"text": "a", "constraints": [["c"]]}),
            ["constraints", "list of phrases"],
        ),
        (
            json!({"text": ["a"], "constraints": ["c"]}),
            ["constraints", "list of lists"],
        ),
        (
            json!({"text": "a", "constraints": [""]}),
            ["constraints", "no token"],
        ),
        (
            json!({"text": "a", "constraints": ["b"], "strategy": {"kind": "sampling"}}),
            ["constraints", "sampled"],
        ),
    ] {
        server
            .translate(body)
            .await
            .refused(400, "bad_request", &parts);
    }
}

#[tokio::test]
async fn attention_and_alignments_come_where_they_are_asked_for() {
    let server = TestServer::new();
    let ask = json!({"text": "abcd", "attention": true, "alignment": true});
    let answer = server.translate(ask).await.ok();
    let path = server.path("letters");
    let expected = alone(&path, &["abcd"], &own_search(&server)).remove(0);
    let found = answer["translations"][0]["hypotheses"].as_array().unwrap();
    for (found, expected) in found.iter().zip(&expected.candidates) {
        let rows = found["weights"].as_array().unwrap();
        let expected_rows = expected.weights.as_ref().unwrap();
        assert_eq!(rows.len(), expected.tokens.len());
        let mut links = Vec::new();
        for (target, (row, expected_row)) in rows.iter().zip(expected_rows).enumerate() {
            let row = row.as_array().unwrap();
            assert_eq!(row.len(), 5);
            for (found, expected) in row.iter().zip(expected_row) {
                close(found, f64::from(*expected));
            }
            let most = (0..5).max_by(|&a, &b| expected_row[a].total_cmp(&expected_row[b]));
            if most.unwrap() < 4 && target + 1 < rows.len() {
                links.push(format!("{}-{target}", most.unwrap()));
            }
        }
        assert_eq!(found["alignment"], links.join(" "));
    }
    for asked in ["attention", "alignment"] {
        let ask = json!({"text": "abcd", "model": "summary", asked: true});
        let answer = server.translate(ask).await;
        answer.refused(400, "bad_request", &["attention", "'summary'"]);
    }
    server
        .translate(json!({"text": "abcd", "model": "summary"}))
        .await
        .ok();
}

#[tokio::test]
async fn what_is_wrong_is_named() {
    let server = TestServer::new();
    let folder = server.folder.path().display().to_string();
    for (body, status, code, parts) in [
        (
            json!({"text": "a", "model": "none"}),
            404,
            "unknown_model",
            vec!["none", "letters, summary, other"],
        ),
        (
            json!({"text": "a", "model": "../letters"}),
            404,
            "unknown_model",
            vec!["../letters"],
        ),
        (
            json!({"text": "a", "model": format!("{folder}/letters")}),
            404,
            "unknown_model",
            vec![],
        ),
        (
            json!({"text": "a", "beam": 3}),
            400,
            "bad_request",
            vec!["unknown field `beam`", "`beam_size`"],
        ),
        (
            json!({"text": 3}),
            400,
            "bad_request",
            vec!["text: ", "a text or a list of texts"],
        ),
        (json!({"text": null}), 400, "bad_request", vec!["text: "]),
        (json!({}), 400, "bad_request", vec!["missing field `text`"]),
        (json!([]), 400, "bad_request", vec!["expected an object"]),
        (json!({"text": []}), 400, "bad_request", vec!["give one"]),
        (
            json!({"text": "a", "beam_size": "3"}),
            400,
            "bad_request",
            vec!["beam_size: ", "string"],
        ),
        (
            json!({"text": "a", "beam_size": 0}),
            400,
            "bad_request",
            vec!["beam_size: 0"],
        ),
        (
            json!({"text": "a", "beam_size": 1.5}),
            400,
            "bad_request",
            vec!["beam_size: "],
        ),
        (
            json!({"text": "a", "n_best": 4, "beam_size": 2}),
            400,
            "bad_request",
            vec!["n_best", "beam_size"],
        ),
        (
            json!({"text": "a", "length_penalty": "wu:1"}),
            400,
            "bad_request",
            vec!["length_penalty: ", "gnmt:ALPHA"],
        ),
        (
            json!({"text": "a", "length_penalty": "gnmt:-1"}),
            400,
            "bad_request",
            vec!["length_penalty: "],
        ),
        (
            json!({"text": "a", "strategy": {"kind": "guess"}}),
            400,
            "bad_request",
            vec!["strategy", "guess"],
        ),
        (
            json!({"text": "a", "strategy": {"kind": "sampling", "top_q": 1}}),
            400,
            "bad_request",
            vec!["top_q"],
        ),
        (
            json!({"text": "a", "model": "summary", "coverage_penalty": 0.2}),
            400,
            "bad_request",
            vec!["coverage_penalty"],
        ),
        (
            json!({"text": "a", "max_len": 2, "min_len": 3}),
            400,
            "bad_request",
            vec!["min_len"],
        ),
    ] {
        server.translate(body).await.refused(status, code, &parts);
    }
    // Nothing of the machine is told.
    let answer = server
        .translate(json!({"text": "a", "model": "none"}))
        .await;
    assert!(!answer.text.contains(&folder));
}

#[tokio::test]
async fn models_are_listed_with_how_they_search() {
    let server = TestServer::new();
    let models = server.get("/v1/models").await.ok();
    let models = models["models"].as_array().unwrap();
    let name = |model: &Value| model["name"].as_str().unwrap().to_string();
    assert_eq!(
        models.iter().map(name).collect::<Vec<_>>(),
        ["letters", "summary", "other"]
    );
    assert_eq!(models[0]["loaded"], true);
    assert_eq!(models[0]["search"]["beam_size"], 3);
    assert_eq!(models[0]["source"], "aa");
    assert_eq!(models[1]["loaded"], false);
    assert_eq!(models[1]["search"], Value::Null);
    server
        .translate(json!({"text": "a", "model": "summary"}))
        .await
        .ok();
    let models = server.get("/v1/models").await.ok();
    assert_eq!(models["models"][1]["loaded"], true);
}
