//! Our own API: all that the command line can ask for.

use std::sync::Arc;

use att_decoder::search::{LengthPenalty, SearchChanges, SearchConfig, StrategyConfig};
use att_model::{Candidate, FoundPiece, Translation, TranslationRequest};
use att_studio::{Hypothesis, alignment};
use axum::body::{Body, Bytes};
use axum::extract::State;
use axum::http::{HeaderValue, header};
use axum::response::Response;
use futures_util::stream;
use serde::de::Error;
use serde::{Deserialize, Deserializer, Serialize};

use crate::app::{Answer, App, Ask, Pending, Step};
use crate::body::{Json, Texts};
use crate::failure::{Failure, json, to_json};

/// The body of `POST /v1/translate`.
#[derive(Deserialize)]
#[serde(deny_unknown_fields, expecting = "an object")]
pub(super) struct Asked {
    /// A text, or a list of texts.
    text: Texts,
    /// The model's name; the first one's unless told.
    model: Option<String>,
    /// What the output begins with: one for all texts, or a list with one a text.
    prefix: Option<Texts>,
    /// Phrases that must stand in the output: a list of them for a text, a list of such lists for a list.
    #[serde(default)]
    constraints: Vec<Texts>,
    /// Whether each hypothesis comes with its attention weights.
    #[serde(default)]
    attention: bool,
    /// Whether each hypothesis comes with a hard alignment.
    #[serde(default)]
    alignment: bool,
    /// Whether tokens come as they are found, as server-sent events.
    #[serde(default)]
    stream: bool,
    // What follows changes the model's own search, as on the command line.
    strategy: Option<StrategyConfig>,
    beam_size: Option<usize>,
    n_best: Option<usize>,
    #[serde(default, deserialize_with = "length_penalty")]
    length_penalty: Option<LengthPenalty>,
    coverage_penalty: Option<f64>,
    repetition_penalty: Option<f64>,
    no_repeat_ngram: Option<usize>,
    suppress_unk: Option<bool>,
    min_len: Option<usize>,
    min_len_ratio: Option<f64>,
    max_len: Option<usize>,
    max_len_ratio: Option<f64>,
    replace_unk: Option<bool>,
}

/// As on the command line: `none`, `gnmt:ALPHA` or `power:ALPHA`.
fn length_penalty<'de, D: Deserializer<'de>>(from: D) -> Result<Option<LengthPenalty>, D::Error> {
    let text = Option::<String>::deserialize(from)?;
    let read = |text: String| text.parse().map_err(D::Error::custom);
    text.map(read).transpose()
}

/// What of its findings a client wants to see.
#[derive(Clone, Copy)]
struct Wanted {
    attention: bool,
    alignment: bool,
}

pub(super) async fn translate(
    State(app): State<Arc<App>>,
    Json(asked): Json<Asked>,
) -> Result<Response, Failure> {
    let wanted = Wanted {
        attention: asked.attention,
        alignment: asked.alignment,
    };
    let ask = asked.into_ask(&app)?;
    if ask.streams {
        return Ok(events(app.submit(ask).await?, wanted));
    }
    let answer = app.translate(ask).await?;
    Ok(json(&Translations::new(&answer, wanted)))
}

impl Asked {
    fn into_ask(self, app: &App) -> Result<Ask, Failure> {
        let is_list = matches!(self.text, Texts::Many(_));
        if self.stream && is_list {
            let message = "stream: a list of texts can't be streamed; send one text";
            return Err(Failure::bad_request(message));
        }
        let model = app.store.find(self.model.as_deref())?;
        let changes = SearchChanges {
            strategy: self.strategy,
            beam_size: self.beam_size,
            n_best: self.n_best,
            length_penalty: self.length_penalty,
            coverage_penalty: self.coverage_penalty,
            repetition_penalty: self.repetition_penalty,
            no_repeat_ngram: self.no_repeat_ngram,
            suppress_unk: self.suppress_unk,
            min_len: self.min_len,
            min_len_ratio: self.min_len_ratio,
            max_len: self.max_len,
            max_len_ratio: self.max_len_ratio,
            replace_unk: self.replace_unk,
        };
        let texts = self.text.into_vec();
        let as_many = |field: &str, found: usize| {
            let message = format!(
                "{field}: {found} for {} texts; give one a text",
                texts.len()
            );
            Failure::bad_request(message)
        };
        let prefixes = match self.prefix {
            None => vec![String::new(); texts.len()],
            Some(Texts::One(prefix)) => vec![prefix; texts.len()],
            Some(Texts::Many(prefixes)) if prefixes.len() == texts.len() => prefixes,
            Some(Texts::Many(prefixes)) => return Err(as_many("prefix", prefixes.len())),
        };
        let constraints = match (self.constraints, is_list) {
            (none, _) if none.is_empty() => vec![Vec::new(); texts.len()],
            (phrases, false) => {
                let phrase = |phrase| match phrase {
                    Texts::One(phrase) => Ok(phrase),
                    Texts::Many(_) => Err(Failure::bad_request(
                        "constraints: of one text they are a list of phrases",
                    )),
                };
                vec![phrases.into_iter().map(phrase).collect::<Result<_, _>>()?]
            }
            (lists, true) if lists.len() == texts.len() => {
                let list = |list| match list {
                    Texts::Many(phrases) => Ok(phrases),
                    Texts::One(_) => Err(Failure::bad_request(
                        "constraints: of a list of texts they are a list of lists of phrases",
                    )),
                };
                lists.into_iter().map(list).collect::<Result<_, _>>()?
            }
            (lists, true) => return Err(as_many("constraints", lists.len())),
        };
        let lines = texts.into_iter().zip(prefixes).zip(constraints);
        let line = |((line, prefix), constraints)| TranslationRequest {
            line,
            prefix,
            constraints,
            ..TranslationRequest::default()
        };
        Ok(Ask {
            model,
            lines: lines.map(line).collect(),
            changes,
            streams: self.stream,
            attention: self.attention || self.alignment,
            explains: None,
        })
    }
}

/// The answer.
#[derive(Serialize)]
struct Translations<'a> {
    model: &'a str,
    translations: Vec<OfText<'a>>,
}

/// What became of a text.
#[derive(Serialize)]
struct OfText<'a> {
    /// The best hypothesis's; of a blank text it is empty.
    text: &'a str,
    /// EOS the last.
    src_tokens: &'a [String],
    /// Best first; none of a blank text.
    hypotheses: Vec<Shown<'a>>,
}

#[derive(Serialize)]
struct Shown<'a> {
    #[serde(flatten)]
    hypothesis: Hypothesis<'a>,
    /// For each of `tgt_tokens` a row over `src_tokens`.
    #[serde(skip_serializing_if = "Option::is_none")]
    weights: Option<&'a [Vec<f32>]>,
    /// In the Pharaoh format, EOS left out.
    #[serde(skip_serializing_if = "Option::is_none")]
    alignment: Option<String>,
}

impl<'a> Translations<'a> {
    fn new(answer: &'a Answer, wanted: Wanted) -> Self {
        let of_text = |translation: &'a Translation| OfText {
            text: translation.candidates.first().map_or("", |best| &best.text),
            src_tokens: &translation.src_tokens,
            hypotheses: translation
                .candidates
                .iter()
                .map(|candidate| Shown::new(candidate, &translation.src_tokens, wanted))
                .collect(),
        };
        Self {
            model: &answer.model.name,
            translations: answer.translations.iter().map(of_text).collect(),
        }
    }
}

impl<'a> Shown<'a> {
    fn new(candidate: &'a Candidate, src_tokens: &[String], wanted: Wanted) -> Self {
        let weights = candidate.weights.as_deref();
        let aligned = || alignment(src_tokens, candidate);
        Self {
            hypothesis: candidate.into(),
            weights: weights.filter(|_| wanted.attention),
            alignment: wanted.alignment.then(aligned).flatten(),
        }
    }
}

/// A token as it is streamed.
#[derive(Serialize)]
struct Token<'a> {
    token: &'a str,
    log_prob: f32,
    /// The output up to here.
    text: &'a str,
    /// Over the source tokens.
    #[serde(skip_serializing_if = "Option::is_none")]
    weights: Option<&'a [f32]>,
}

/// Server-sent events: `token` for each token, and at the end `done` with the whole answer, or `error`.
fn events(pending: Pending, wanted: Wanted) -> Response {
    let events = stream::unfold(Some(pending), move |pending| async move {
        let mut pending = pending?;
        let (event, rest) = match pending.next().await {
            Ok(Step::Piece(piece)) => (token_event(&piece, wanted), Some(pending)),
            Ok(Step::Answer(answer)) => (
                event("done", &to_json(&Translations::new(&answer, wanted))),
                None,
            ),
            Err(failure) => (event("error", &failure.to_json()), None),
        };
        Some((Ok::<_, std::convert::Infallible>(event), rest))
    });
    let mut response = Response::new(Body::from_stream(events));
    let headers = response.headers_mut();
    let kind = HeaderValue::from_static("text/event-stream");
    headers.insert(header::CONTENT_TYPE, kind);
    headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-cache"));
    response
}

fn token_event(piece: &FoundPiece, wanted: Wanted) -> Bytes {
    let token = Token {
        token: &piece.token,
        log_prob: piece.log_prob,
        text: &piece.text,
        weights: piece.weights.as_deref().filter(|_| wanted.attention),
    };
    event("token", &to_json(&token))
}

/// JSON has no line breaks, so that it is one line of data.
fn event(name: &str, data: &str) -> Bytes {
    format!("event: {name}\ndata: {data}\n\n").into()
}

/// A model in the answer to `GET /v1/models`.
#[derive(Serialize)]
struct Model<'a> {
    name: &'a str,
    loaded: bool,
    /// How it searches unless told; known of a loaded one.
    search: Option<&'a SearchConfig>,
    /// What it translates between, if that was told.
    source: Option<&'a str>,
    target: Option<&'a str>,
}

pub(super) async fn models(State(app): State<Arc<App>>) -> Response {
    #[derive(Serialize)]
    struct Models<'a> {
        models: Vec<Model<'a>>,
    }
    let listed: Vec<_> = app.store.list().collect();
    let models = listed.iter().map(|listed| {
        let loaded = listed.loaded.as_deref();
        let languages = listed.spec.languages.as_ref();
        Model {
            name: &listed.spec.name,
            loaded: loaded.is_some(),
            search: loaded.map(|loaded| &loaded.translator.directory().search),
            source: languages.map(|languages| languages.source.as_str()),
            target: languages.map(|languages| languages.target.as_str()),
        }
    });
    json(&Models {
        models: models.collect(),
    })
}
