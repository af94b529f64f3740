//! Bodies that no honest client sends, at every endpoint that takes one.

use axum::body::Bytes;
use futures_util::stream;

use super::*;

const PATHS: [&str; 3] = ["/v1/translate", "/translator/translate", "/translate"];

#[tokio::test]
async fn what_is_no_json_is_refused() {
    let server = TestServer::new();
    let deep = "[".repeat(100_000);
    let deep_text = format!("{{\"text\":{}", "[".repeat(100_000));
    for path in PATHS {
        for body in [
            &b""[..],
            b"{",
            b"nonsense",
            b"\0",
            b"{\"text\":\"a\"",
            b"\xff\xfe{}",
            b"{\"text\":\"\xff\"}",
            b"[{\"src\":\"\xc3\x28\"}]",
            b"{\"text\":\"\\ud800\"}",
            b"{\"text\":\"\\udc00\\ud800\"}",
            b"[{\"src\":\"\\ud83d\"}]",
            b"{\"q\":\"\\ud83dx\",\"source\":\"aa\",\"target\":\"bb\"}",
            b"{\"text\":\"a\nb\"}",
            b"{\"text\":\"a\"} {\"text\":\"b\"}",
            b"{\"text\":\"a\",\"text\":\"b\"}",
            b"{\"text\":\"a\",\"beam_size\":1e999}",
            b"{\"text\":\"a\",\"beam_size\":99999999999999999999}",
            b"[[]]",
            b"null",
            b"7",
            deep.as_bytes(),
            deep_text.as_bytes(),
        ] {
            let answer = server.post(path, body.to_vec()).await;
            answer.refused(400, "bad_request", &[]);
        }
        let request = Request::post(path).body(Body::from("{\"text\":\"a\"}"));
        let answer = server.send(request.unwrap()).await;
        answer.refused(415, "not_json", &["Content-Type: application/json"]);
    }
}

#[tokio::test]
async fn a_body_of_ten_megabytes_is_too_large_however_it_comes() {
    let server = TestServer::new();
    let text = format!("{{\"text\":\"{}\"}}", "a".repeat(10 << 20));
    for path in PATHS {
        let answer = server.post(path, text.clone()).await;
        answer.refused(413, "body_too_large", &["1048576"]);
        // Without a length, in chunks.
        let chunk = Bytes::from(vec![b'a'; 1 << 16]);
        let chunks = stream::iter((0..160).map(move |_| Ok::<_, std::io::Error>(chunk.clone())));
        let answer = server.post(path, Body::from_stream(chunks)).await;
        answer.refused(413, "body_too_large", &[]);
        // An endless one is not read to its end.
        let chunk = Bytes::from(vec![b'a'; 1 << 16]);
        let endless = stream::repeat_with(move || Ok::<_, std::io::Error>(chunk.clone()));
        let answer = server.post(path, Body::from_stream(endless)).await;
        answer.refused(413, "body_too_large", &[]);
    }
    let most = format!("{{\"text\":\"a\"}}{}", " ".repeat((1 << 20) - 12));
    assert_eq!(server.post("/v1/translate", most.clone()).await.status, 200);
    let more = server.post("/v1/translate", most + " ").await;
    more.refused(413, "body_too_large", &[]);
}

#[tokio::test]
async fn a_body_that_does_not_come_is_not_waited_for() {
    let server = TestServer::with(|config| {
        config.read_timeout = std::time::Duration::from_millis(50);
    });
    for path in PATHS {
        let never = stream::pending::<Result<Bytes, std::io::Error>>();
        let answer = server.post(path, Body::from_stream(never)).await;
        answer.refused(408, "slow_body", &["0.05 s"]);
    }
}

#[tokio::test]
async fn any_text_is_translated() {
    let server = TestServer::new();
    for text in [
        "\0",
        "a\0b",
        "\u{feff}abc",
        "\u{202e}abc",
        "a\nb\r\nc",
        "🧑‍🚀👩🏽‍🔬",
        "e\u{301}\u{301}\u{301}",
        "</s><pad><unk><s>",
        "\u{10ffff}",
        "مرحبا",
    ] {
        let native = serde_json::json!({"text": text, "attention": true});
        server.translate(native).await.ok();
        let opennmt = serde_json::json!([{"src": text}]).to_string();
        server.post("/translator/translate", opennmt).await.ok();
        let libre = serde_json::json!({"q": text, "source": "aa", "target": "bb"}).to_string();
        server.post("/translate", libre).await.ok();
    }
}
