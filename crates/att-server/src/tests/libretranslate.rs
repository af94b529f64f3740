use serde_json::json;

use super::*;

async fn ask(server: &TestServer, body: Value) -> Answer {
    server.post("/translate", body.to_string()).await
}

#[tokio::test]
async fn a_text_is_translated_line_by_line() {
    let server = TestServer::new();
    let expected = alone(
        &server.path("letters"),
        &["abcd", "d"],
        &own_search(&server),
    );
    let best = |index: usize| expected[index].candidates[0].text.clone();
    let second = |index: usize| expected[index].candidates[1].text.clone();
    let answer = ask(
        &server,
        json!({"q": "abcd\r\n\nd", "source": "aa", "target": "bb"}),
    );
    let joined = format!("{}\n\n{}", best(0), best(1));
    assert_eq!(answer.await.ok(), json!({"translatedText": joined}));
    let answer = ask(
        &server,
        json!({
            "q": ["abcd", "d"], "source": "aa", "target": "bb", "format": "text", "api_key": "",
            "alternatives": 1,
        }),
    );
    let expected = json!({
        "translatedText": [best(0), best(1)],
        "alternatives": [[second(0)], [second(1)]],
    });
    assert_eq!(answer.await.ok(), expected);
    let blank = ask(&server, json!({"q": "", "source": "aa", "target": "bb"}));
    assert_eq!(blank.await.ok(), json!({"translatedText": ""}));
}

#[tokio::test]
async fn languages_choose_the_model() {
    let server = TestServer::new();
    let languages = server.get("/languages").await.ok();
    let language = |code: &str| json!({"code": code, "name": code, "targets": ["bb"]});
    assert_eq!(languages, json!([language("aa"), language("cc")]));
    let from = async |source: &str| {
        let body = json!({"q": "abcd", "source": source, "target": "bb"});
        ask(&server, body).await
    };
    let expected = alone(&server.path("other"), &["abcd"], &own_search(&server));
    let text = &expected[0].candidates[0].text;
    assert_eq!(from("cc").await.ok()["translatedText"], *text);
    from("auto")
        .await
        .refused(400, "bad_request", &["source", "not detected"]);
    from("bb")
        .await
        .refused(400, "bad_request", &["\"bb\"", "/languages"]);
    let body = json!({"q": "abcd", "source": "aa", "target": "cc"});
    ask(&server, body)
        .await
        .refused(400, "bad_request", &["\"cc\""]);
}

#[tokio::test]
async fn what_is_wrong_is_named() {
    let server = TestServer::new();
    for (body, parts) in [
        (
            json!({"q": "a", "source": "aa"}),
            vec!["missing field `target`"],
        ),
        (json!({"q": 1, "source": "aa", "target": "bb"}), vec!["q: "]),
        (
            json!({"q": "a", "source": "aa", "target": "bb", "format": "html"}),
            vec!["format", "html"],
        ),
        (
            json!({"q": "a", "source": "aa", "target": "bb", "alternatives": -1}),
            vec!["alternatives"],
        ),
        (
            json!({"q": "a", "source": "aa", "target": "bb", "x": 1}),
            vec!["unknown field `x`"],
        ),
        (
            json!({"q": [], "source": "aa", "target": "bb"}),
            vec!["give one"],
        ),
    ] {
        ask(&server, body).await.refused(400, "bad_request", &parts);
    }
    let body = json!({"q": "a", "source": "aa", "target": "bb", "alternatives": 99});
    ask(&server, body)
        .await
        .refused(400, "too_large", &["n_best", "16"]);
}
