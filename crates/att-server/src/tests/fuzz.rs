//! Whatever is sent to any endpoint, the answer is JSON, and no request is a bug of the server.

use proptest::prelude::*;
use proptest::test_runner::{Config, TestRunner};
use serde_json::json;

use super::*;

/// Any JSON, small.
fn any_json() -> impl Strategy<Value = Value> {
    let leaf = prop_oneof![
        Just(Value::Null),
        any::<bool>().prop_map(Value::from),
        any::<i64>().prop_map(Value::from),
        any::<u64>().prop_map(Value::from),
        any::<f64>().prop_map(Value::from),
        (-3i64..20).prop_map(Value::from),
        any_text().prop_map(Value::from),
    ];
    leaf.prop_recursive(3, 16, 4, |inner| {
        prop_oneof![
            prop::collection::vec(inner.clone(), 0..4).prop_map(Value::from),
            prop::collection::btree_map(any_text(), inner, 0..4)
                .prop_map(|map| map.into_iter().collect()),
        ]
    })
}

/// A few characters, some of them those of the models.
fn any_text() -> impl Strategy<Value = String> {
    let char = prop_oneof![
        4 => prop::sample::select(vec!['a', 'b', 'c', 'd', ' ']),
        1 => any::<char>(),
    ];
    prop::collection::vec(char, 0..8).prop_map(|chars| chars.into_iter().collect())
}

/// A request as it should be, in part: of some keys the values are those of the second list, or anything.
fn almost(required: Value, keys: Vec<(&'static str, Vec<Value>)>) -> impl Strategy<Value = Value> {
    let n = keys.len();
    let value = move |index: usize| {
        let (key, good) = keys[index].clone();
        let good = prop::sample::select(good);
        let any = prop_oneof![6 => good.boxed(), 1 => any_json().boxed()];
        any.prop_map(move |value| (key.to_string(), value))
    };
    let values = prop::collection::vec((0..n).prop_flat_map(value), 0..4);
    values.prop_map(move |values| {
        let mut body = required.clone();
        for (key, value) in values {
            body[key] = value;
        }
        body
    })
}

fn native() -> impl Strategy<Value = Value> {
    let keys = vec![
        (
            "text",
            vec![json!("abcd"), json!(["a", "", "dcb"]), json!("")],
        ),
        (
            "model",
            vec![
                json!("letters"),
                json!("summary"),
                json!("none"),
                Value::Null,
            ],
        ),
        ("prefix", vec![json!("d"), json!(["a"]), json!("ß")]),
        (
            "constraints",
            vec![json!(["b"]), json!([["a", "b"]]), json!([])],
        ),
        ("attention", vec![json!(true), json!(false)]),
        ("alignment", vec![json!(true), json!(false)]),
        ("stream", vec![json!(true), json!(false)]),
        (
            "strategy",
            vec![
                json!({"kind": "beam"}),
                json!({"kind": "diverse", "groups": 2}),
                json!({"kind": "sampling", "top_k": 3, "top_p": 0.5, "temperature": 0.1}),
                json!({"kind": "sampling", "top_k": u64::MAX, "seed": u64::MAX, "temperature": 1e-300}),
            ],
        ),
        ("beam_size", vec![json!(1), json!(4), json!(0), json!(17)]),
        (
            "n_best",
            vec![json!(1), json!(4), json!(0), json!(u64::MAX)],
        ),
        (
            "length_penalty",
            vec![
                json!("none"),
                json!("gnmt:1e308"),
                json!("power:0.5"),
                json!("power:nan"),
            ],
        ),
        (
            "coverage_penalty",
            vec![json!(0.5), json!(1e308), json!(-1)],
        ),
        (
            "repetition_penalty",
            vec![json!(1.5), json!(1e308), json!(1e-308), json!(0)],
        ),
        ("no_repeat_ngram", vec![json!(2), json!(u64::MAX)]),
        ("suppress_unk", vec![json!(true)]),
        ("min_len", vec![json!(3), json!(512)]),
        ("min_len_ratio", vec![json!(2.0), json!(1e308)]),
        ("max_len", vec![json!(1), json!(12)]),
        ("max_len_ratio", vec![json!(0), json!(1e308)]),
        ("replace_unk", vec![json!(true)]),
    ];
    almost(json!({"text": "abcd", "max_len": 12}), keys)
}

fn explain() -> impl Strategy<Value = Value> {
    let keys = vec![
        ("text", vec![json!("abcd"), json!(""), json!("ß a")]),
        ("model", vec![json!("summary"), json!("none"), Value::Null]),
        (
            "search",
            vec![
                json!({"beam_size": 2}),
                json!({"n_best": 17}),
                json!({"max_len": 3, "length_penalty": {"kind": "gnmt", "alpha": 0.6}}),
                json!({"strategy": {"kind": "sampling", "top_k": 2}, "n_best": 2}),
                json!({"beams": 2}),
            ],
        ),
        (
            "pinned",
            vec![
                json!(["d", "a"]),
                json!(["<unk>"]),
                json!(["</s>"]),
                json!(["zz"]),
                json!(vec!["a"; 17]),
            ],
        ),
        (
            "edits",
            vec![
                json!([{"step": 1, "weights": [0, 0, 1, 0, 0]}]),
                json!([{"step": 0, "weights": [0.5, 1e38, 1e38, 1e38, 1e38]}]),
                json!([{"step": u64::MAX, "weights": [1, 1, 1, 1, 1]}]),
                json!([{"step": 0, "weights": [1]}]),
                json!([{"step": 0, "weights": [1e-40, 0, 0, 0, 0]}]),
            ],
        ),
        ("erasure", vec![json!(true)]),
        ("heads", vec![json!(true)]),
        ("words", vec![json!(true)]),
        ("tree", vec![json!(true)]),
        ("alternatives", vec![json!(3), json!(51), json!(u64::MAX)]),
    ];
    almost(json!({"text": "abcd", "search": {"max_len": 12}}), keys)
}

fn libretranslate() -> impl Strategy<Value = Value> {
    let keys = vec![
        (
            "q",
            vec![json!("ab\ncd"), json!(["a", "b\n\nc"]), json!("\n")],
        ),
        ("source", vec![json!("cc"), json!("auto"), json!("zz")]),
        ("target", vec![json!("bb"), json!("zz")]),
        ("format", vec![json!("text"), json!("html")]),
        ("alternatives", vec![json!(0), json!(3), json!(u64::MAX)]),
        ("api_key", vec![json!("")]),
    ];
    almost(json!({"q": "abcd", "source": "aa", "target": "bb"}), keys)
}

fn opennmt() -> impl Strategy<Value = Value> {
    let keys = vec![
        ("src", vec![json!("abcd"), json!("")]),
        ("id", vec![json!(0), json!("other"), json!(7), Value::Null]),
    ];
    prop::collection::vec(almost(json!({"src": "abcd"}), keys), 0..4).prop_map(Value::from)
}

/// Sends each body to each endpoint that takes one.
fn check(cases: u32, bodies: impl Strategy<Value = impl AsRef<[u8]> + std::fmt::Debug>) {
    let server = TestServer::with(|config| config.limits.max_len = 16);
    let mut runtime = tokio::runtime::Builder::new_current_thread();
    let runtime = runtime.enable_all().build().unwrap();
    let config = Config {
        cases,
        failure_persistence: None,
        ..Config::default()
    };
    TestRunner::new(config)
        .run(&bodies, |body| {
            for path in [
                "/v1/translate",
                "/v1/explain",
                "/translator/translate",
                "/translate",
            ] {
                let answer = server.post(path, body.as_ref().to_vec());
                let answer = runtime.block_on(answer);
                let status = answer.status.as_u16();
                prop_assert!(
                    [200, 400, 404].contains(&status),
                    "{status} {}",
                    answer.text
                );
                if answer.headers["content-type"] == "text/event-stream" {
                    prop_assert!(answer.text.contains("event: done"), "{}", answer.text);
                    continue;
                }
                let json = serde_json::from_str::<Value>(&answer.text);
                prop_assert!(json.is_ok(), "{}", answer.text);
                if status != 200 {
                    let json = json.unwrap();
                    prop_assert!(json["error"].is_string() && json["code"].is_string());
                }
            }
            Ok(())
        })
        .unwrap();
    let (accepted, answered) = server.server.app.metrics.totals();
    assert_eq!(accepted, answered, "all that is accepted is answered");
}

#[test]
fn any_bytes() {
    check(300, prop::collection::vec(any::<u8>(), 0..64));
}

#[test]
fn any_value() {
    check(300, any_json().prop_map(|json| json.to_string()));
}

#[test]
fn almost_a_request_of_our_own() {
    check(200, native().prop_map(|json| json.to_string()));
}

#[test]
fn almost_a_request_to_explain() {
    check(200, explain().prop_map(|json| json.to_string()));
}

#[test]
fn almost_a_request_of_opennmt() {
    check(100, opennmt().prop_map(|json| json.to_string()));
}

#[test]
fn almost_a_request_of_libretranslate() {
    check(100, libretranslate().prop_map(|json| json.to_string()));
}

/// A good request with a byte changed, left out or put in.
#[test]
fn a_byte_that_is_wrong() {
    let good = json!({"text": ["abcd", "b"], "beam_size": 2, "prefix": "d", "attention": true})
        .to_string();
    let n = good.len();
    let changed = (0..n, any::<u8>(), 0..3u8).prop_map(move |(at, byte, how)| {
        let mut body = good.clone().into_bytes();
        match how {
            0 => body[at] = byte,
            1 => drop(body.remove(at)),
            _ => body.insert(at, byte),
        }
        body
    });
    check(300, changed);
}
