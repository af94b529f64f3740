use serde_json::json;

use super::*;

#[tokio::test]
async fn a_list_for_each_rank_has_a_hypothesis_for_each_text() {
    let server = TestServer::new();
    let texts = ["abcd", "", "d"];
    let ask = json!([{"src": "abcd", "id": 2}, {"src": "", "id": 2}, {"src": "d", "id": 2}]);
    let answer = server
        .post("/translator/translate", ask.to_string())
        .await
        .ok();
    let path = server.path("other");
    let expected = alone(&path, &texts, &own_search(&server));
    let ranks = answer.as_array().unwrap();
    assert_eq!(ranks.len(), 2);
    for (rank, found) in ranks.iter().enumerate() {
        for (index, text) in texts.iter().enumerate() {
            let found = &found[index];
            assert_eq!((&found["src"], &found["n_best"]), (&json!(text), &json!(2)));
            if text.is_empty() {
                assert_eq!(
                    (&found["tgt"], &found["pred_score"]),
                    (&json!(""), &Value::Null)
                );
            } else {
                let expected = &expected[index].candidates[rank];
                assert_eq!(found["tgt"], expected.text);
                close(&found["pred_score"], expected.score);
            }
        }
    }
}

#[tokio::test]
async fn a_model_has_a_number_and_a_name() {
    let server = TestServer::new();
    let ask = async |id: Value| {
        let body = json!([{"src": "abcd", "id": id}]).to_string();
        server.post("/translator/translate", body).await
    };
    let first = ask(json!(0)).await.ok();
    assert_eq!(ask(json!("letters")).await.ok(), first);
    let unasked = server.post("/translator/translate", r#"[{"src":"abcd"}]"#);
    assert_eq!(unasked.await.ok(), first);
    assert_ne!(ask(json!("other")).await.ok(), first);
    for id in [json!(3), json!(-1), json!(1.5), json!(100), json!("x")] {
        ask(id).await.refused(404, "unknown_model", &["model"]);
    }
    ask(json!([0]))
        .await
        .refused(400, "bad_request", &["[0].id"]);

    let models = server.get("/translator/models").await.ok();
    assert_eq!(models[0]["model_id"], 0);
    assert_eq!(models[0]["models"], json!(["letters"]));
    assert_eq!(models[0]["loaded"], true);
    assert_eq!(models[0]["opt"], json!({"beam_size": 3, "n_best": 2}));
    assert_eq!(
        (&models[1]["loaded"], &models[1]["opt"]),
        (&json!(false), &json!({}))
    );
}

#[tokio::test]
async fn what_is_wrong_is_named() {
    let server = TestServer::new();
    for (body, parts) in [
        ("[]", vec!["give one"]),
        ("{}", vec!["expected a sequence"]),
        ("[{}]", vec!["[0]", "missing field `src`"]),
        (r#"[{"src":"a"},{"src":7}]"#, vec!["[1].src"]),
        (r#"[{"src":"a","ids":7}]"#, vec!["unknown field `ids`"]),
        (
            r#"[{"src":"a","id":0},{"src":"a","id":1}]"#,
            vec!["[1].id", "one model"],
        ),
    ] {
        let answer = server.post("/translator/translate", body).await;
        answer.refused(400, "bad_request", &parts);
    }
}
