use att_core::DeviceSpec;
use att_decoder::search::SearchConfig;
use att_model::Translator;
use att_studio::{NamedAnswer, Request};
use serde::{Deserialize, Serialize};

/// Loaded models by name; asked and answered in JSON, as `POST /v1/explain` is.
#[derive(Default)]
pub struct Models {
    all: Vec<(String, Translator)>,
}

/// Why there is no answer, in JSON as the server writes it: `{"error":"...","code":"bad_request"}`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Failure {
    /// For people.
    #[serde(rename = "error")]
    pub message: String,
    /// For programs: `bad_request`, `unknown_model` or `bad_model`.
    pub code: &'static str,
}

impl Failure {
    fn new(code: &'static str, message: impl ToString) -> Self {
        Self {
            message: message.to_string(),
            code,
        }
    }

    /// As an answer.
    pub fn to_json(&self) -> String {
        json(self)
    }
}

/// What is to be loaded.
#[derive(Deserialize)]
#[serde(deny_unknown_fields, expecting = "an object")]
struct Load {
    /// What requests call it.
    name: String,
    /// Its directory.
    path: String,
}

/// A loaded model, as `GET /v1/models` describes it.
#[derive(Serialize)]
struct Loaded<'a> {
    name: &'a str,
    search: &'a SearchConfig,
}

impl Models {
    /// Loads `{"name": "g2p", "path": "/g2p"}`, in the place of one that had the name. Answers with its name and
    /// how it searches unless told.
    ///
    /// # Errors
    ///
    /// `bad_request` if this is not such an object, `bad_model` if no model can be loaded from there.
    pub fn load(&mut self, request: &str) -> Result<String, Failure> {
        let Load { name, path } = parsed(request)?;
        let bad = |error: &dyn ToString| Failure::new("bad_model", error.to_string());
        let device = DeviceSpec::Flex.init().map_err(|error| bad(&error))?;
        let translator = Translator::load(path, &device).map_err(|error| bad(&error))?;
        self.all.retain(|(other, _)| *other != name);
        self.all.push((name, translator));
        let (name, translator) = self.all.last().expect("it has just been added");
        Ok(json(&Loaded {
            name,
            search: &translator.directory().search,
        }))
    }

    /// Answers a [`Request`]: of the model that it names, or of the first one.
    ///
    /// # Errors
    ///
    /// `bad_request` if it is no request, or something asked for can't be; `unknown_model`.
    pub fn explain(&self, request: &str) -> Result<String, Failure> {
        let request: Request = parsed(request)?;
        let asked = request.model.as_deref();
        let mut fitting = self.all.iter();
        let found = fitting.find(|(name, _)| asked.is_none_or(|asked| asked == name));
        let Some((model, translator)) = found else {
            let asked = asked.unwrap_or("loaded");
            let message = format!("model: there is no model {asked}");
            return Err(Failure::new("unknown_model", message));
        };
        let search = request.search_of(&translator.directory().search);
        let answer = request.answer(translator, &search, &mut ()); // nothing reaches the thread while it computes
        let answer = answer.map_err(|error| Failure::new("bad_request", error))?;
        Ok(json(&NamedAnswer { model, answer }))
    }
}

fn parsed<'a, T: Deserialize<'a>>(text: &'a str) -> Result<T, Failure> {
    serde_json::from_str(text).map_err(|error| Failure::new("bad_request", error))
}

fn json(value: &impl Serialize) -> String {
    serde_json::to_string(value).expect("answers have string keys and no failing field")
}
