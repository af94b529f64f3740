//! The REST of OpenNMT-py's server (`onmt/bin/server.py`), with its root `/translator`.

use std::sync::Arc;

use att_model::TranslationRequest;
use axum::extract::State;
use axum::response::Response;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::app::{App, Ask};
use crate::body::Json;
use crate::failure::{Failure, json};

/// A text, and the model for it: a number (its place among the server's, from 0) or a name. As there, the
/// first one's counts for all, and it is the first model unless told.
#[derive(Deserialize)]
#[serde(deny_unknown_fields, expecting = "an object")]
pub(super) struct Asked {
    src: String,
    #[serde(default)]
    id: Value,
}

/// A hypothesis.
#[derive(Serialize)]
struct Found<'a> {
    src: &'a str,
    tgt: &'a str,
    n_best: usize,
    /// None where a text has fewer hypotheses than others.
    pred_score: Option<f64>,
}

/// A list for each rank, the best first; in each, one hypothesis a text.
pub(super) async fn translate(
    State(app): State<Arc<App>>,
    Json(asked): Json<Vec<Asked>>,
) -> Result<Response, Failure> {
    let model = match asked.first().map(|asked| &asked.id) {
        Some(id) => find(&app, id)?,
        None => 0, // nothing to translate, which is said later
    };
    if let Some(at) = asked.iter().position(|other| other.id != asked[0].id) {
        let message = format!("[{at}].id: the texts of a request are for one model");
        return Err(Failure::bad_request(message));
    }
    let texts: Vec<String> = asked.into_iter().map(|asked| asked.src).collect();
    let lines = texts.iter().map(TranslationRequest::new);
    let answer = app.translate(Ask {
        model,
        lines: lines.collect(),
        ..Ask::default()
    });
    let answer = answer.await?;
    let n_best = answer.search.n_best;
    let of_rank = |rank: usize| -> Vec<Found> {
        let of_text = texts.iter().zip(&answer.translations);
        let found = of_text.map(|(src, translation)| {
            let candidate = translation.candidates.get(rank);
            Found {
                src,
                tgt: candidate.map_or("", |candidate| &candidate.text),
                n_best,
                pred_score: candidate.map(|candidate| candidate.score),
            }
        });
        found.collect()
    };
    Ok(json(&(0..n_best).map(of_rank).collect::<Vec<_>>()))
}

fn find(app: &App, id: &Value) -> Result<usize, Failure> {
    match id {
        Value::Null => Ok(0),
        Value::String(name) => app.store.find(Some(name)),
        Value::Number(number) => {
            let n = app.store.list().count();
            let place = number
                .as_u64()
                .and_then(|place| usize::try_from(place).ok());
            place
                .filter(|place| *place < n)
                .ok_or_else(|| Failure::unknown_model(number, &format!("0 to {}", n - 1)))
        }
        _ => Err(Failure::bad_request("[0].id: it is a number or a name")),
    }
}

/// A model in the answer to `GET /translator/models`.
#[derive(Serialize)]
struct Model<'a> {
    model_id: usize,
    /// What OpenNMT shows the paths of; here it is the name, which is an id too.
    models: [&'a str; 1],
    loaded: bool,
    opt: Opt,
}

/// How it searches; known of a loaded one.
#[derive(Serialize)]
struct Opt {
    #[serde(skip_serializing_if = "Option::is_none")]
    beam_size: Option<usize>,
    #[serde(skip_serializing_if = "Option::is_none")]
    n_best: Option<usize>,
}

pub(super) async fn models(State(app): State<Arc<App>>) -> Response {
    let models = app.store.list().enumerate().map(|(model_id, listed)| {
        let loaded = listed.loaded.as_deref();
        let search = loaded.map(|loaded| &loaded.translator.directory().search);
        Model {
            model_id,
            models: [&listed.spec.name],
            loaded: search.is_some(),
            opt: Opt {
                beam_size: search.map(|search| search.beam_size),
                n_best: search.map(|search| search.n_best),
            },
        }
    });
    json(&models.collect::<Vec<_>>())
}
