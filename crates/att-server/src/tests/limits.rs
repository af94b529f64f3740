use serde_json::json;

use super::*;
use crate::Limits;

#[tokio::test]
async fn what_is_more_than_allowed_is_named() {
    let server = TestServer::with(|config| {
        config.limits = Limits {
            texts: 3,
            chars: 40,
            tokens: 10,
            beam_size: 4,
            max_len: 20,
            ..Limits::default()
        };
    });
    for (body, parts) in [
        (
            json!({"text": ["a", "a", "a", "a"]}),
            ["text: 4 texts", "3"],
        ),
        (
            json!({"text": ["a".repeat(9), "ä".repeat(32)]}),
            ["41 characters", "40"],
        ),
        (
            json!({"text": "a", "prefix": "a".repeat(40)}),
            ["41 characters", "40"],
        ),
        (
            json!({"text": "a", "constraints": ["a".repeat(20), "a".repeat(20)]}),
            ["41 characters", "40"],
        ),
        (json!({"text": "a".repeat(11)}), ["11 tokens", "10"]),
        (json!({"text": "a", "beam_size": 5}), ["beam_size: 5", "4"]),
        (json!({"text": "a", "n_best": 5}), ["n_best: 5", "4"]),
        (json!({"text": "a", "max_len": 21}), ["max_len: 21", "20"]),
        (json!({"text": "a", "min_len": 21}), ["min_len: 21", "20"]),
    ] {
        server
            .translate(body)
            .await
            .refused(400, "too_large", &parts);
    }
    let most = json!({"text": ["a".repeat(10), "b".repeat(10), "c".repeat(10)], "beam_size": 4, "max_len": 20});
    server.translate(most).await.ok();
}

#[tokio::test]
async fn time_is_limited_too() {
    let server = TestServer::with(|config| {
        config.request_timeout = std::time::Duration::from_nanos(1);
    });
    let slow = json!({"text": "abcd".repeat(100), "min_len": 400, "max_len": 500});
    let answer = server.translate(slow).await;
    answer.refused(504, "timeout", &["s"]);
    // Nobody decodes for it any more.
    assert_eq!(server.server.app.queue.len(), 0);
}
