//! What a browser calls: plain functions on buffers, without bindings that a tool would have to make.
//!
//! A [`Buffer`] is bytes at a place that stays. Whoever is given one by a function frees it; whoever gives one
//! to a function has it no more. Texts are UTF-8.
//!
//! ```js
//! const bytes = new TextEncoder().encode('{"name":"g2p","path":"/g2p"}');
//! const request = att_buffer_new(bytes.length);
//! new Uint8Array(memory.buffer, att_buffer_data(request), bytes.length).set(bytes);
//! const answer = att_load(request);
//! const text = new Uint8Array(memory.buffer, att_buffer_data(answer), att_buffer_len(answer));
//! console.log(new TextDecoder().decode(text));
//! att_buffer_free(answer);
//! ```
//!
//! The models are those of the thread that calls.

use std::cell::RefCell;

use crate::{Failure, Models};

/// Bytes that caller and callee hand to each other.
pub struct Buffer(Vec<u8>);

thread_local! {
    static MODELS: RefCell<Models> = RefCell::default();
}

/// A buffer of zeros.
#[unsafe(no_mangle)]
pub extern "C" fn att_buffer_new(len: usize) -> *mut Buffer {
    give(vec![0; len])
}

/// Where its bytes are: as long as it lives, and writable.
///
/// # Safety
///
/// `buffer` must be one that a function of this module has returned and none has taken.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn att_buffer_data(buffer: *mut Buffer) -> *mut u8 {
    // SAFETY: the caller's; it is a box's then, and nobody else has it.
    unsafe { &mut *buffer }.0.as_mut_ptr()
}

/// How many bytes they are.
///
/// # Safety
///
/// As of [`att_buffer_data`].
#[unsafe(no_mangle)]
pub unsafe extern "C" fn att_buffer_len(buffer: *const Buffer) -> usize {
    // SAFETY: as in `att_buffer_data`.
    unsafe { &*buffer }.0.len()
}

/// Takes a buffer back.
///
/// # Safety
///
/// As of [`att_buffer_data`].
#[unsafe(no_mangle)]
pub unsafe extern "C" fn att_buffer_free(buffer: *mut Buffer) {
    // SAFETY: the caller's.
    drop(unsafe { take(buffer) });
}

/// [`Models::load`]: takes the request and returns the answer, which is a [`Failure`] where there is none.
///
/// # Safety
///
/// As of [`att_buffer_data`].
#[unsafe(no_mangle)]
pub unsafe extern "C" fn att_load(request: *mut Buffer) -> *mut Buffer {
    // SAFETY: the caller's.
    let request = unsafe { take(request) };
    answer(&request, |request| {
        MODELS.with_borrow_mut(|models| models.load(request))
    })
}

/// [`Models::explain`]: takes the request and returns the answer, which is a [`Failure`] where there is none.
///
/// # Safety
///
/// As of [`att_buffer_data`].
#[unsafe(no_mangle)]
pub unsafe extern "C" fn att_explain(request: *mut Buffer) -> *mut Buffer {
    // SAFETY: the caller's.
    let request = unsafe { take(request) };
    answer(&request, |request| {
        MODELS.with_borrow(|models| models.explain(request))
    })
}

fn answer(request: &[u8], respond: impl FnOnce(&str) -> Result<String, Failure>) -> *mut Buffer {
    let text = std::str::from_utf8(request).map_err(|error| Failure {
        message: format!("the request is not UTF-8: {error}"),
        code: "bad_request",
    });
    let answer = text.and_then(respond);
    give(answer.unwrap_or_else(|failure| failure.to_json()).into())
}

fn give(bytes: Vec<u8>) -> *mut Buffer {
    Box::into_raw(Box::new(Buffer(bytes)))
}

/// # Safety
///
/// `buffer` must be from [`give`], and this the only time that it is taken.
unsafe fn take(buffer: *mut Buffer) -> Vec<u8> {
    // SAFETY: the caller's.
    unsafe { Box::from_raw(buffer) }.0
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::test_support::model;
    use serde_json::{Value, json};

    /// As a worker calls.
    fn call(function: unsafe extern "C" fn(*mut Buffer) -> *mut Buffer, text: &[u8]) -> Value {
        let request = att_buffer_new(text.len());
        // SAFETY: each buffer is from the line before, is used as long as it is here, and taken once; the bytes of
        // the one are as many as were asked for, those of the other as many as it says.
        unsafe {
            std::ptr::copy_nonoverlapping(text.as_ptr(), att_buffer_data(request), text.len());
            let answer = function(request);
            let bytes = std::slice::from_raw_parts(att_buffer_data(answer), att_buffer_len(answer));
            let value = serde_json::from_slice(bytes).unwrap();
            att_buffer_free(answer);
            value
        }
    }

    #[test]
    fn a_request_is_answered_as_the_studio_does() {
        let folder = tempfile::tempdir().unwrap();
        model(folder.path());
        let load = json!({ "name": "m", "path": folder.path() }).to_string();
        let loaded = call(att_load, load.as_bytes());
        assert_eq!(loaded["name"], "m");
        assert_eq!(loaded["search"]["beam_size"], 4);

        let text = r#"{"text":"ab d","model":"m","tree":true,"erasure":true,"alternatives":2}"#;
        let answer = call(att_explain, text.as_bytes());
        let translator =
            att_model::Translator::load(folder.path(), &burn::tensor::Device::flex()).unwrap();
        let request: att_studio::Request = serde_json::from_str(text).unwrap();
        let search = request.search_of(&translator.directory().search);
        let expected = request.answer(&translator, &search, &mut ()).unwrap();
        // Both from their texts, in which 32 bits are written as such.
        let expected = serde_json::to_string(&expected).unwrap();
        let expected: Value = serde_json::from_str(&expected).unwrap();
        for key in ["src_tokens", "hypotheses", "tree"] {
            assert_eq!(answer[key], expected[key], "{key}");
        }
        assert_eq!(answer["model"], "m");
        assert_eq!(answer["hypotheses"].as_array().unwrap().len(), 4);
        // Without a name it is the first one.
        let answer = call(att_explain, br#"{"text":"a"}"#);
        assert_eq!(answer["model"], "m");
    }

    #[test]
    fn what_can_not_be_is_an_error_in_json() {
        let refused = |function, text: &[u8], code: &str, expected: &str| {
            let answer = call(function, text);
            assert_eq!(answer["code"], code, "{answer}");
            let error = answer["error"].as_str().unwrap();
            assert!(error.contains(expected), "{error}");
        };
        let folder = tempfile::tempdir().unwrap();
        let load = |path: &std::path::Path| json!({ "name": "m", "path": path }).to_string();
        let missing = load(&folder.path().join("nothing"));
        refused(att_load, missing.as_bytes(), "bad_model", "config.toml");
        refused(att_load, b"{", "bad_request", "line 1");
        refused(att_load, br#"{"name":"m"}"#, "bad_request", "path");
        refused(att_load, &[255], "bad_request", "UTF-8");
        refused(att_explain, br#"{"text":"a"}"#, "unknown_model", "no model");

        model(folder.path());
        call(att_load, load(folder.path()).as_bytes());
        refused(att_explain, b"", "bad_request", "EOF");
        refused(att_explain, br#"{"txt":"a"}"#, "bad_request", "txt");
        refused(
            att_explain,
            br#"{"text":"a","model":"n"}"#,
            "unknown_model",
            "n",
        );
        let pinned = br#"{"text":"a","pinned":["nothing"]}"#;
        refused(att_explain, pinned, "bad_request", "nothing");
    }
}
