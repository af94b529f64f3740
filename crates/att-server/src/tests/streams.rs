use serde_json::json;

use super::*;

/// The events of a stream, by name and data.
fn events(text: &str) -> Vec<(String, Value)> {
    let event = |event: &str| {
        let (name, data) = event.split_once('\n').unwrap();
        let name = name.strip_prefix("event: ").unwrap().to_string();
        let data = data.strip_prefix("data: ").unwrap();
        (name, serde_json::from_str(data).unwrap())
    };
    text.split_terminator("\n\n").map(event).collect()
}

#[tokio::test]
async fn tokens_come_one_by_one_and_then_the_whole_answer() {
    let server = TestServer::new();
    let mut ask = json!({"text": "abcd", "beam_size": 1, "n_best": 1, "attention": true});
    let whole = server.translate(ask.clone()).await.ok();
    ask["stream"] = json!(true);
    let answer = server.translate(ask).await;
    assert_eq!(answer.headers["content-type"], "text/event-stream");
    let mut events = events(&answer.text);
    let (name, done) = events.pop().unwrap();
    assert_eq!((name.as_str(), &done), ("done", &whole));
    let best = &whole["translations"][0]["hypotheses"][0];
    assert_eq!(events.len(), best["tgt_tokens"].as_array().unwrap().len());
    for (index, (name, token)) in events.iter().enumerate() {
        assert_eq!(name, "token");
        assert_eq!(token["token"], best["tgt_tokens"][index]);
        assert_eq!(token["log_prob"], best["token_log_probs"][index]);
        assert_eq!(token["weights"], best["weights"][index]);
    }
    assert_eq!(events.last().unwrap().1["text"], best["text"]);
}

#[tokio::test]
async fn a_single_sample_can_be_streamed_and_attention_is_left_out_unless_asked_for() {
    let server = TestServer::new();
    let answer = server.translate(json!({
        "text": "abcd", "n_best": 1, "strategy": {"kind": "sampling"}, "stream": true,
    }));
    let events = events(&answer.await.text);
    assert!(events.len() >= 2);
    assert!(!events[0].1.as_object().unwrap().contains_key("weights"));
    // Nothing of a blank text.
    let blank = server.translate(json!({"text": " ", "beam_size": 1, "n_best": 1, "stream": true}));
    let blank = self::events(&blank.await.text);
    assert_eq!(blank.len(), 1);
    assert_eq!(blank[0].0, "done");
}

#[tokio::test]
async fn what_can_not_be_streamed_is_refused() {
    let server = TestServer::new();
    for (body, part) in [
        (json!({"text": "a", "stream": true}), "\"beam_size\": 1"),
        (
            json!({"text": "a", "beam_size": 2, "stream": true}),
            "\"beam_size\": 1",
        ),
        (
            json!({"text": ["a"], "beam_size": 1, "n_best": 1, "stream": true}),
            "list",
        ),
    ] {
        server
            .translate(body)
            .await
            .refused(400, "bad_request", &["stream", part]);
    }
}

#[tokio::test]
async fn an_end_in_between_is_an_event() {
    let server = TestServer::with(|config| {
        config.request_timeout = std::time::Duration::from_nanos(1);
    });
    let answer = server.translate(json!({
        "text": "abcd".repeat(100), "min_len": 400, "max_len": 500,
        "beam_size": 1, "n_best": 1, "stream": true,
    }));
    let answer = answer.await;
    assert_eq!(answer.status, 200, "it has begun");
    let events = events(&answer.text);
    let (name, data) = events.last().unwrap();
    assert_eq!((name.as_str(), &data["code"]), ("error", &json!("timeout")));
}
