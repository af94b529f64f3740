use serde::Serialize;

use crate::canvas::escape;
use crate::color::Rgb;
use crate::label::labels;
use crate::{AttentionRecord, ColorScale, Result, View, mean_entropy};

const PAGE: &str = include_str!("../assets/page.html");
const STYLE: &str = include_str!("../assets/page.css");
const SCRIPT: &str = include_str!("../assets/page.js");

/// A page to look at the attention of one sentence or a whole test set: self-contained HTML that fetches
/// nothing, for light and dark screens, small and large ones, by pointer and by keys.
///
/// Pointing at a word of the target lights what it looks at, at one of the source what looks at it; below
/// stands the heat map. Of several sentences there is a list that can be sorted and filtered by length, entropy,
/// score and words.
///
/// A script draws what is chosen from data in the page, where a weight is rounded to a 255th: 1,000 sentences of
/// 25 by 25 tokens take 1 MB a view.
///
/// ```
/// use att_inspect::{AttentionPage, AttentionRecord, View};
///
/// let record: AttentionRecord = serde_json::from_str(
///     r#"{"text":"K","src_tokens":["C"],"tgt_tokens":["K"],"weights":[[1.0]]}"#
/// )?;
/// let mut page = AttentionPage::new("Attention", vec![View::Weights]);
/// page.add(&record)?;
/// assert!(page.render().starts_with("<!doctype html>"));
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Debug, Clone)]
pub struct AttentionPage {
    title: String,
    about: String,
    views: Vec<View>,
    sentences: Vec<Sentence>,
    /// Of the weights.
    size: usize,
}

/// A record as the script reads it.
#[derive(Debug, Clone, Serialize)]
struct Sentence {
    id: String,
    model: Option<String>,
    score: Option<f64>,
    text: String,
    src: Vec<String>,
    tgt: Vec<String>,
    /// Of each view, in nats.
    entropy: Vec<f64>,
    /// Of each view, row after row, a byte a weight, in base64.
    weights: Vec<String>,
}

/// All that the script reads.
#[derive(Serialize)]
struct Data<'a> {
    about: &'a str,
    views: Vec<String>,
    sentences: &'a [Sentence],
    /// Colours from weight 0 to 1, on light pages and on dark ones.
    light: Vec<[u8; 3]>,
    dark: Vec<[u8; 3]>,
}

impl AttentionPage {
    /// A page without sentences; `views` can be chosen in it, the first of them to begin with.
    ///
    /// # Panics
    ///
    /// If there is no view.
    pub fn new(title: impl Into<String>, views: Vec<View>) -> Self {
        assert!(!views.is_empty(), "a page shows at least one view");
        Self {
            title: title.into(),
            about: String::new(),
            views,
            sentences: Vec::new(),
            size: 0,
        }
    }

    /// A line below the title, such as where the sentences come from.
    #[must_use]
    pub fn about(mut self, about: impl Into<String>) -> Self {
        self.about = about.into();
        self
    }

    /// Adds a record's tokens and weights as they are.
    ///
    /// # Errors
    ///
    /// [`Error::NoSuchView`](crate::Error::NoSuchView) where it lacks one of the views.
    pub fn add(&mut self, record: &AttentionRecord) -> Result<()> {
        let maps = self.views.iter().map(|view| record.view(*view));
        let maps = maps.collect::<Result<Vec<_>>>()?;
        let byte = |weight: &f32| (weight.min(1.0) * 255.0).round() as u8;
        let bytes = |weights: &[f32]| base64(&weights.iter().map(byte).collect::<Vec<u8>>());
        let weights: Vec<String> = maps.iter().map(|map| bytes(map.weights())).collect();
        self.size += weights.iter().map(String::len).sum::<usize>();
        self.sentences.push(Sentence {
            id: record.id.clone().unwrap_or_default(),
            model: record.model.clone(),
            score: record.score.filter(|score| score.is_finite()),
            text: record.text.clone(),
            src: labels(record.map.src_tokens(), usize::MAX),
            tgt: labels(record.map.tgt_tokens(), usize::MAX),
            entropy: maps.iter().map(mean_entropy).collect(),
            weights,
        });
        Ok(())
    }

    /// How large the page's data have become, in bytes, about.
    pub fn size(&self) -> usize {
        self.size
    }

    /// The page as HTML.
    pub fn render(&self) -> String {
        let stops = |colors: ColorScale| {
            let stops = colors.stops().iter();
            stops.map(|Rgb(r, g, b)| [*r, *g, *b]).collect()
        };
        let data = Data {
            about: &self.about,
            views: self.views.iter().map(View::to_string).collect(),
            sentences: &self.sentences,
            light: stops(ColorScale::Blues),
            dark: stops(ColorScale::Viridis),
        };
        let data = serde_json::to_string(&data).expect("finite numbers and strings");
        // No text can end the element that holds it; in JSON `<` stands in strings alone.
        let data = data.replace('<', "\\u003c");
        let title = escape(&self.title).replace('{', "&#123;");
        // Data come last, so that they are not searched for places.
        PAGE.replace("{title}", &title)
            .replace("{style}", STYLE)
            .replace("{script}", SCRIPT)
            .replace("{data}", &data)
    }
}

/// RFC 4648, section 4.
fn base64(bytes: &[u8]) -> String {
    const DIGITS: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    let mut text = String::with_capacity(bytes.len().div_ceil(3) * 4);
    for three in bytes.chunks(3) {
        let byte = |at: usize| u32::from(three.get(at).copied().unwrap_or(0));
        let bits = byte(0) << 16 | byte(1) << 8 | byte(2);
        for digit in 0..4 {
            let index = (bits >> (18 - 6 * digit)) as usize & 63;
            text.push(match digit > three.len() {
                true => '=',
                false => char::from(DIGITS[index]),
            });
        }
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::record::tests::record_of;

    /// The data of a page, as a script would read them.
    fn data(page: &str) -> serde_json::Value {
        let (_, rest) = page
            .split_once(r#"<script type="application/json" id="data">"#)
            .unwrap();
        serde_json::from_str(rest.split_once("</script>").unwrap().0).unwrap()
    }

    #[test]
    fn base64_is_that_of_the_standard() {
        let cases = [
            ("", ""),
            ("f", "Zg=="),
            ("fo", "Zm8="),
            ("foo", "Zm9v"),
            ("foob", "Zm9vYg=="),
            ("fooba", "Zm9vYmE="),
            ("foobar", "Zm9vYmFy"),
        ];
        for (bytes, expected) in cases {
            assert_eq!(base64(bytes.as_bytes()), expected);
        }
        assert_eq!(base64(&[0xff, 0xef, 0xbe]), "/+++");
    }

    #[test]
    fn a_page_has_all_sentences_and_views() {
        let mut record = record_of("a|b", "x", &[0.2, 0.8]);
        record.head_weights = vec![vec![vec![vec![1.0, 0.0]], vec![vec![0.0, 1.0]]]];
        let views = record.views();
        let mut page = AttentionPage::new("T", views).about("somewhere");
        page.add(&record).unwrap();
        page.add(&record).unwrap();
        let data = data(&page.render());
        assert_eq!(
            data["views"],
            serde_json::json!(["weights", "mean", "0", "0.0", "0.1"])
        );
        assert_eq!(data["sentences"].as_array().unwrap().len(), 2);
        let sentence = &data["sentences"][1];
        assert_eq!(sentence["src"], serde_json::json!(["a", "b"]));
        // 0.2 and 0.8 of 255 are 51 and 204.
        assert_eq!(sentence["weights"][0], base64(&[51, 204]));
        assert_eq!(sentence["weights"][3], base64(&[255, 0]));
        assert!((sentence["entropy"][1].as_f64().unwrap() - 2f64.ln()).abs() < 1e-6);
        assert_eq!(page.size(), 2 * 5 * 4);

        let mut one = AttentionPage::new("T", vec![View::Layer(3)]);
        assert!(one.add(&record).is_err());
    }

    #[test]
    fn no_text_leaves_its_place() {
        let evil = "</script><img src=x onerror=alert(1)>{script}{data}<!--";
        let mut record = record_of(evil, evil, &[1.0]);
        record.model = Some(evil.into());
        record.id = Some(evil.into());
        let mut page = AttentionPage::new(evil, vec![View::Weights]).about(evil);
        page.add(&record).unwrap();
        let html = page.render();
        assert_eq!(html.matches("</script>").count(), 2);
        assert!(!html.contains("<img") && !html.contains("<!--"));
        assert_eq!(data(&html)["sentences"][0]["text"], evil);
        assert_eq!(
            data(&html)["sentences"][0]["src"],
            serde_json::json!([evil])
        );
    }

    #[test]
    fn the_script_of_a_sentence_decides_the_order_of_its_words() {
        // HTML's `dir=auto` passes over elements that have a `dir`.
        assert!(SCRIPT.contains(r#"line.dir = "auto""#) && !SCRIPT.contains("word.dir"));
        assert!(STYLE.contains("unicode-bidi: plaintext"));
    }

    #[test]
    fn an_address_that_is_refused_does_not_end_the_script() {
        assert!(SCRIPT.contains("try { history.replaceState("));
    }

    #[test]
    fn nothing_is_fetched() {
        let page = AttentionPage::new("T", vec![View::Weights]).render();
        for word in [
            "http:", "https:", "src=", "href=", "@import", "url(", "fetch(", "XMLHttp",
        ] {
            assert!(!page.contains(word), "{word}");
        }
    }
}
