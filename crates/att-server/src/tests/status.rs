use serde_json::json;

use super::*;

#[tokio::test]
async fn it_says_how_it_does() {
    let server = TestServer::new();
    assert_eq!(server.get("/health").await.ok(), json!({"status": "ok"}));
    assert_eq!(server.get("/ready").await.ok(), json!({"status": "ready"}));
    server
        .translate(json!({"text": ["abcd", "b", " "]}))
        .await
        .ok();
    server.translate(json!({"text": 1})).await;
    server.get("/nowhere").await;
    let page = server.get("/metrics").await;
    assert_eq!(
        page.headers["content-type"],
        "text/plain; version=0.0.4; charset=utf-8"
    );
    for line in [
        "att_http_requests_total{route=\"/v1/translate\",status=\"200\"} 1",
        "att_http_requests_total{route=\"/v1/translate\",status=\"400\"} 1",
        "att_http_requests_total{route=\"other\",status=\"404\"} 1",
        "att_lines_total{model=\"letters\"} 2",
        "att_translations_accepted_total 1",
        "att_translations_answered_total 1",
        "att_translations_cancelled_total 0",
        "att_model_loads_total{model=\"letters\",what=\"loaded\"} 1",
        "att_model_bytes{model=\"other\"} 0",
        "att_queue_lines 0",
    ] {
        assert!(
            page.text.lines().any(|one| one == line),
            "{line}\n{}",
            page.text
        );
    }
    assert!(!page.text.contains("att_model_bytes{model=\"letters\"} 0"));
}

#[tokio::test]
async fn one_that_stops_is_not_ready_and_closes_connections() {
    let server = TestServer::new();
    server.server.stopper().stop();
    server
        .get("/ready")
        .await
        .refused(503, "stopping", &["stops"]);
    let health = server.get("/health").await;
    health.ok();
    assert_eq!(health.headers["connection"], "close");
    // What comes before the connection is closed is still served.
    server.translate(json!({"text": "abcd"})).await.ok();
}

#[tokio::test]
async fn other_paths_and_methods_are_errors_in_json() {
    let server = TestServer::new();
    for path in [
        "/v1",
        "/v1/translate/",
        "/v2/translate",
        "/%00",
        "/..%2f..%2fetc/passwd",
    ] {
        server
            .get(path)
            .await
            .refused(404, "not_found", &["/openapi.json"]);
    }
    let answer = server.get("/v1/translate").await;
    answer.refused(405, "method_not_allowed", &["GET", "use POST"]);
    let answer = server.post("/health", "{}").await;
    answer.refused(405, "method_not_allowed", &["POST"]);
}
