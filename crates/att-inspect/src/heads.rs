use crate::canvas::{BELOW_TITLE, Canvas, MUTED, PADDING, TextStyle, text_width};
use crate::svg::Cells;
use crate::{AttentionRecord, ColorScale, Result, Scale, View};

/// The longer side of a head's map, in pixels.
const PANEL: f64 = 132.0;
const MAX_CELL: f64 = 14.0;
/// Between maps.
const GAP: f64 = 14.0;
/// Above a map, with its name.
const CAPTION: f64 = 18.0;
const SMALL: f64 = 11.0;

/// The weights of all layers and heads as one self-contained SVG: a row of small heat maps for each layer, the
/// lowest first. Each is named as its [`View`]; tokens and weights show on hover.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct SvgHeads {
    /// The title above the maps. Default empty.
    pub title: String,
    /// The colours of the cells. Default [`ColorScale::Blues`].
    pub colors: ColorScale,
    /// Which weight gets the last colour. Default [`Scale::Unit`].
    pub scale: Scale,
}

impl SvgHeads {
    /// The maps as SVG text.
    ///
    /// # Errors
    ///
    /// [`Error::NoSuchView`](crate::Error::NoSuchView) where the record has no weights of layers and heads.
    pub fn render(&self, record: &AttentionRecord) -> Result<String> {
        // Says what is missing.
        record.view(View::Mean)?;
        let (src_len, tgt_len) = (record.map.src_len(), record.map.tgt_len());
        let longest = src_len.max(tgt_len).max(1);
        let side = (PANEL / longest as f64).min(MAX_CELL);
        let width = (side * src_len as f64).max(text_width("00.00", SMALL));
        let height = CAPTION + side * tgt_len as f64;

        let mut canvas = Canvas::default();
        let quiet = TextStyle {
            size: SMALL,
            fill: MUTED,
            ..Default::default()
        };
        let subtitle = "layer.head, from the lowest layer; rows: target, columns: source";
        canvas.text(PADDING, BELOW_TITLE + SMALL, quiet, subtitle);
        let (mut right, mut top) = (
            PADDING + text_width(subtitle, SMALL),
            BELOW_TITLE + SMALL + GAP,
        );
        for (layer, heads) in record.head_weights.iter().enumerate() {
            for head in 0..heads.len() {
                let view = View::Head { layer, head };
                let left = PADDING + (width + GAP) * head as f64;
                canvas.text(left, top + CAPTION - 5.0, quiet, &view.to_string());
                let cells = Cells {
                    colors: self.colors,
                    scale: self.scale,
                    numbers: false,
                    left,
                    top: top + CAPTION,
                    side,
                };
                cells.draw(&mut canvas, &record.view(view)?);
                right = right.max(left + width);
            }
            top += height + GAP;
        }
        Ok(canvas.finish(&self.title, right + PADDING, top - GAP + PADDING))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::record::tests::record_of;

    #[test]
    fn each_head_has_its_map_and_name() {
        let mut record = record_of("a|b", "x", &[0.5, 0.5]);
        assert!(SvgHeads::default().render(&record).is_err());
        let head = |weight: f32| vec![vec![weight, 1.0 - weight]];
        record.head_weights = vec![vec![head(1.0), head(0.5)], vec![head(0.25), head(0.0)]];
        let svg = SvgHeads::default().render(&record).unwrap();
        let xml = roxmltree::Document::parse(&svg).unwrap();
        let texts: Vec<&str> = xml
            .descendants()
            .filter(|node| node.has_tag_name("text"))
            .filter_map(|node| node.text())
            .collect();
        assert_eq!(texts[1..], ["0.0", "0.1", "1.0", "1.1"]);
        let hovers = xml.descendants().filter(|node| node.has_tag_name("title"));
        let hovers: Vec<&str> = hovers.filter_map(|node| node.text()).collect();
        assert_eq!(hovers.len(), 8);
        assert_eq!(hovers[4..6], ["a → x: 0.2500", "b → x: 0.7500"]);
    }
}
