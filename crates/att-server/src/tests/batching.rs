//! Requests that meet in the queue.

use std::time::{Duration, Instant};

use serde_json::json;
use tokio::task::JoinHandle;

use super::*;
use crate::app::App;
use crate::decoding::Decoding;
use crate::queue::Queue;

/// A server whose threads do not decode before they are started, so that requests meet.
struct Idle {
    server: TestServer,
    app: Arc<App>,
}

impl Idle {
    fn new(change: impl FnOnce(&mut ServerConfig)) -> Self {
        let mut server = TestServer::with(change);
        let running = &server.server.app;
        let app = Arc::new(App {
            config: running.config.clone(),
            store: running.store.clone(),
            queue: Arc::new(Queue::new(running.config.queue_lines)),
            metrics: Arc::default(),
            threads: 1,
            stopping: Default::default(),
        });
        server.router = crate::router::router(app.clone());
        Self { server, app }
    }

    fn ask(&self, body: Value) -> JoinHandle<Answer> {
        let router = self.server.router.clone();
        let request = json_request("/v1/translate", body.to_string());
        tokio::spawn(async move { send(&router, request).await })
    }

    async fn until_waiting(&self, lines: usize) {
        let begun = Instant::now();
        while self.app.queue.len() != lines {
            assert!(
                begun.elapsed() < Duration::from_secs(20),
                "{lines} never wait"
            );
            tokio::time::sleep(Duration::from_millis(2)).await;
        }
    }

    fn decode(&self) -> Decoding {
        let config = ServerConfig {
            threads: Some(1),
            ..self.app.config.clone()
        };
        let (queue, metrics) = (&self.app.queue, &self.app.metrics);
        Decoding::start(queue, metrics, &Device::flex(), &config).unwrap()
    }

    fn metric(&self, name: &str) -> f64 {
        let page = self.app.metrics.page(&crate::metrics::Now {
            queue_lines: 0,
            models: Vec::new(),
        });
        let line = page.lines().find_map(|line| line.strip_prefix(name));
        line.map_or(0.0, |value| value.trim().parse().unwrap())
    }
}

/// Whatever meets in a batch, each gets what it would get alone.
#[tokio::test]
async fn company_changes_no_answer() {
    for lines_join in [false, true] {
        company(lines_join).await;
    }
}

async fn company(lines_join: bool) {
    let idle = Idle::new(|config| {
        config.batch_size = 8;
        config.continuous_batching = Some(lines_join);
    });
    let texts: Vec<String> = (0..40)
        .map(|n| "abcdbacd"[n % 5..].repeat(3)[..n % 11 + 1].to_string())
        .collect();
    let options = [
        json!({}),
        json!({"beam_size": 1, "n_best": 1}),
        json!({"model": "other", "beam_size": 4, "n_best": 3, "length_penalty": "gnmt:1.0"}),
        json!({"model": "summary"}),
        json!({"strategy": {"kind": "sampling", "seed": 3}, "n_best": 2}),
        json!({"attention": true, "prefix": "dd"}),
    ];
    let mut asked = Vec::new();
    for (n, text) in texts.iter().enumerate() {
        let mut body = options[n % options.len()].clone();
        body["text"] = json!(text);
        asked.push((body.clone(), idle.ask(body)));
    }
    idle.until_waiting(texts.len()).await;
    let decoding = idle.decode();
    let others = idle.server.server.router();
    for (body, answer) in asked {
        let together = answer.await.unwrap().ok();
        // The test server's own threads decode it by itself.
        let alone = send(&others, json_request("/v1/translate", body.to_string()));
        let alone = alone.await.ok();
        same(&together, &alone, &body);
    }
    drop(decoding);
    let together = idle.metric("att_batch_lines_sum") / texts.len() as f64;
    assert_eq!(idle.metric("att_batch_lines_count"), texts.len() as f64);
    assert!(together > 2.0, "{together} together");
}

/// The same up to rounding, which is all that a batch may change.
fn same(found: &Value, expected: &Value, of: &Value) {
    match (found, expected) {
        (Value::Number(found), Value::Number(expected)) => {
            let (found, expected) = (found.as_f64().unwrap(), expected.as_f64().unwrap());
            let error = (found - expected).abs();
            assert!(
                error <= 1e-5 * expected.abs().max(1.0),
                "{of}: {found}, not {expected}"
            );
        }
        (Value::Array(found), Value::Array(expected)) => {
            assert_eq!(found.len(), expected.len(), "{of}");
            found.iter().zip(expected).for_each(|(a, b)| same(a, b, of));
        }
        (Value::Object(found), Value::Object(expected)) => {
            assert!(found.keys().eq(expected.keys()), "{of}");
            found
                .values()
                .zip(expected.values())
                .for_each(|(a, b)| same(a, b, of));
        }
        (found, expected) => assert_eq!(found, expected, "{of}"),
    }
}

#[tokio::test]
async fn a_full_queue_says_when_to_come_again() {
    let idle = Idle::new(|config| {
        config.queue_lines = 3;
        config.limits.texts = 3;
    });
    let waiting = [
        idle.ask(json!({"text": ["a", "b"]})),
        idle.ask(json!({"text": "c"})),
    ];
    idle.until_waiting(3).await;
    for body in [json!({"text": "d"}), json!({"text": ["d", "e", "f"]})] {
        let answer = idle.ask(body).await.unwrap();
        answer.refused(429, "queue_full", &["try again in 1 s"]);
        assert_eq!(answer.headers["retry-after"], "1");
    }
    // Nothing waits for a blank text.
    idle.ask(json!({"text": ""})).await.unwrap().ok();
    let _decoding = idle.decode();
    for waiting in waiting {
        waiting.await.unwrap().ok();
    }
    idle.ask(json!({"text": ["d", "e", "f"]}))
        .await
        .unwrap()
        .ok();
}

#[tokio::test]
async fn who_goes_is_taken_out_of_the_queue() {
    let idle = Idle::new(|_| {});
    let goes = idle.ask(json!({"text": ["a", "b"]}));
    let stays = idle.ask(json!({"text": "c"}));
    idle.until_waiting(3).await;
    goes.abort();
    idle.until_waiting(1).await;
    let _decoding = idle.decode();
    stays.await.unwrap().ok();
    assert_eq!(idle.metric("att_translations_cancelled_total"), 1.0);
    assert_eq!(idle.metric("att_batch_lines_sum"), 1.0);
}

#[tokio::test]
async fn a_line_that_joins_does_not_wait_for_those_before_it() {
    let idle = Idle::new(|config| config.continuous_batching = Some(true));
    // Of 500 tokens or more, and of about 28.
    let ask = |text: &str| idle.ask(json!({"text": text, "min_len_ratio": 28, "max_len": 512}));
    let _decoding = idle.decode();
    // The first may end before the second comes, but not each time.
    for _ in 0..100 {
        let long = ask(&"abc".repeat(6));
        tokio::time::sleep(Duration::from_millis(1)).await;
        ask("a").await.unwrap().ok();
        let passed = !long.is_finished();
        long.await.unwrap().ok();
        if passed {
            return;
        }
    }
    panic!("no line has passed the one before it");
}

#[tokio::test]
async fn what_waits_when_the_queue_is_closed_is_still_decoded() {
    let idle = Idle::new(|_| {});
    let waiting = idle.ask(json!({"text": "abcd"}));
    idle.until_waiting(1).await;
    idle.app.queue.close();
    let late = idle.ask(json!({"text": "abcd"})).await.unwrap();
    late.refused(503, "stopping", &["stops"]);
    assert_eq!(late.headers["retry-after"], "1");
    let _decoding = idle.decode();
    waiting.await.unwrap().ok();
}

/// The requests that wait keep the model that they came for; later ones have the new one.
#[tokio::test]
async fn a_model_that_is_loaded_again_loses_no_request() {
    let idle = Idle::new(|_| {});
    let ask = || idle.ask(json!({"text": "abcd", "n_best": 1}));
    let before = ask();
    idle.until_waiting(1).await;
    let path = idle.server.path("letters");
    let search = own_search(&idle.server);
    let old = alone(&path, &["abcd"], &search).remove(0);
    std::fs::remove_dir_all(&path).unwrap();
    crate::test_support::copy_model(&idle.server.path("other"), &path);
    let new = alone(&path, &["abcd"], &search).remove(0);
    let old_model = idle.app.store.get(0).await.unwrap();
    idle.app.store.reload_changed();
    idle.app.store.reload_changed();
    assert!(!Arc::ptr_eq(
        &idle.app.store.get(0).await.unwrap(),
        &old_model
    ));
    let after = ask();
    idle.until_waiting(2).await;
    let _decoding = idle.decode();
    for (answer, expected) in [(before, old), (after, new)] {
        let answer = answer.await.unwrap().ok();
        let found = &answer["translations"][0]["hypotheses"][0];
        close(&found["score"], expected.candidates[0].score);
    }
}
