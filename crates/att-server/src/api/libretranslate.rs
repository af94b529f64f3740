//! The part of LibreTranslate's API that translates text.

use std::collections::BTreeMap;
use std::sync::Arc;

use att_decoder::search::SearchChanges;
use att_model::{Translation, TranslationRequest};
use axum::extract::State;
use axum::response::Response;
use serde::{Deserialize, Serialize};

use crate::app::{App, Ask};
use crate::body::{Json, Texts};
use crate::failure::{Failure, json};

/// The body of `POST /translate`.
#[derive(Deserialize)]
#[serde(deny_unknown_fields, expecting = "an object")]
pub(super) struct Asked {
    /// A text or a list of texts; each line of a text is translated by itself.
    q: Texts,
    /// A code; `auto` where one model alone translates into the target.
    source: String,
    /// A code.
    target: String,
    /// `text`.
    format: Option<String>,
    /// How many translations are wanted beside the best.
    #[serde(default)]
    alternatives: usize,
    /// Clients send it; what counts is the header `Authorization`.
    #[serde(rename = "api_key")]
    _api_key: Option<String>,
}

/// A text's, or a list with those of the texts.
#[derive(Serialize)]
#[serde(untagged)]
enum OneOrMany<T> {
    One(T),
    Many(Vec<T>),
}

impl<T> OneOrMany<T> {
    /// - `texts`: what was asked for
    /// - `of`: one a text
    fn like(is_list: bool, mut of: Vec<T>) -> Self {
        if is_list || of.len() != 1 {
            Self::Many(of)
        } else {
            Self::One(of.remove(0))
        }
    }
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Translated {
    translated_text: OneOrMany<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    alternatives: Option<OneOrMany<Vec<String>>>,
}

pub(super) async fn translate(
    State(app): State<Arc<App>>,
    Json(asked): Json<Asked>,
) -> Result<Response, Failure> {
    if let Some(format) = asked.format.filter(|format| format != "text") {
        let message = format!("format: {format:?} is not supported; use \"text\"");
        return Err(Failure::bad_request(message));
    }
    let model = find(&app, &asked.source, &asked.target)?;
    let is_list = matches!(asked.q, Texts::Many(_));
    let texts: Vec<Vec<String>> = asked
        .q
        .into_vec()
        .iter()
        .map(|text| lines_of(text))
        .collect();
    let n_best = asked.alternatives.saturating_add(1);
    let answer = app.translate(Ask {
        model,
        lines: texts
            .iter()
            .flatten()
            .map(TranslationRequest::new)
            .collect(),
        changes: SearchChanges {
            n_best: (n_best > 1).then_some(n_best),
            ..SearchChanges::default()
        },
        ..Ask::default()
    });
    let mut translations = answer.await?.translations.into_iter();
    let of_texts: Vec<Vec<Translation>> = texts
        .iter()
        .map(|lines| translations.by_ref().take(lines.len()).collect())
        .collect();
    let best = of_texts.iter().map(|lines| joined(lines, 0));
    let alternatives = of_texts.iter().map(|lines| {
        let most = lines.iter().map(|line| line.candidates.len()).max();
        let ranks = 1..n_best.min(most.unwrap_or(0));
        ranks.map(|rank| joined(lines, rank)).collect()
    });
    Ok(json(&Translated {
        translated_text: OneOrMany::like(is_list, best.collect()),
        alternatives: (n_best > 1).then(|| OneOrMany::like(is_list, alternatives.collect())),
    }))
}

/// A text is one line at least.
fn lines_of(text: &str) -> Vec<String> {
    let lines = text.split('\n');
    lines
        .map(|line| line.trim_end_matches('\r').to_string())
        .collect()
}

/// The lines of a text at a rank; of a line that has fewer, its last.
fn joined(lines: &[Translation], rank: usize) -> String {
    let at_rank = |line: &Translation| {
        let candidate = line.candidates.get(rank).or(line.candidates.last());
        candidate.map_or(String::new(), |candidate| candidate.text.clone())
    };
    lines.iter().map(at_rank).collect::<Vec<_>>().join("\n")
}

/// The model that translates between two languages.
fn find(app: &App, source: &str, target: &str) -> Result<usize, Failure> {
    let of_model = app
        .store
        .list()
        .enumerate()
        .filter_map(|(place, listed)| Some((place, listed.spec.languages.as_ref()?)));
    let fits = of_model.filter(|(_, languages)| {
        languages.target == target && (source == "auto" || languages.source == source)
    });
    let places: Vec<usize> = fits.map(|(place, _)| place).collect();
    match places[..] {
        [place] => Ok(place),
        [] => Err(Failure::bad_request(format_args!(
            "no model translates from {source:?} into {target:?}; GET /languages lists what can be"
        ))),
        // The server's start has seen to it that a pair has one model.
        _ => Err(Failure::bad_request(
            "source: languages are not detected, and several are translated into the target; name one",
        )),
    }
}

/// A source language in the answer to `GET /languages`.
#[derive(Serialize)]
struct Language<'a> {
    code: &'a str,
    name: &'a str,
    targets: Vec<&'a str>,
}

pub(super) async fn languages(State(app): State<Arc<App>>) -> Response {
    let listed: Vec<_> = app.store.list().collect();
    let mut targets: BTreeMap<&str, Vec<&str>> = BTreeMap::new();
    for languages in listed
        .iter()
        .filter_map(|listed| listed.spec.languages.as_ref())
    {
        let of_source = targets.entry(&languages.source).or_default();
        of_source.push(&languages.target);
    }
    let languages = targets.into_iter().map(|(code, targets)| Language {
        code,
        name: code,
        targets,
    });
    json(&languages.collect::<Vec<_>>())
}
