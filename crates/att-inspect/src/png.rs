use std::collections::BTreeSet;
use std::sync::{Arc, Mutex, OnceLock};

use resvg::tiny_skia::{Pixmap, Transform};
use resvg::usvg::fontdb::{Database, FaceInfo, ID, Style};
use resvg::usvg::{FontResolver, Options, Tree};
use skrifa::{FontRef, MetadataProvider};

use crate::{Error, Result};

/// A picture has no more pixels than this; what would have more is drawn smaller.
const MAX_PIXELS: f32 = 64e6;
/// Letters that an error names at most.
const MAX_NAMED: usize = 8;

/// A drawing of this crate as PNG, `scale` pixels for each of the SVG's, and fewer where it is very large. 2 is
/// sharp on most screens.
///
/// Text is set in fonts of the system: the first of the SVG's own that is there, or else any, and for letters
/// that it lacks one that has them. So the same picture may look a little different on another machine.
///
/// ```
/// use att_inspect::{AttentionMap, SvgHeatmap, png};
///
/// let map = AttentionMap::new(vec!["a".into()], vec!["b".into()], vec![1.0])?;
/// match png(&SvgHeatmap::default().render(&map), 2.0) {
///     Ok(picture) => assert!(picture.starts_with(b"\x89PNG")),
///     Err(error) => assert!(error.to_string().contains("font")),
/// }
/// # Ok::<(), att_inspect::Error>(())
/// ```
///
/// # Errors
///
/// [`Error::Fonts`] where no font of the system has a letter, [`Error::Png`] where the text is no SVG or
/// `scale` not above 0.
pub fn png(svg: &str, scale: f32) -> Result<Vec<u8>> {
    draw(svg, scale, system_fonts())
}

/// The fonts of the system, read once.
fn system_fonts() -> &'static Arc<Database> {
    static FONTS: OnceLock<Arc<Database>> = OnceLock::new();
    FONTS.get_or_init(|| {
        let mut fonts = Database::new();
        fonts.load_system_fonts();
        Arc::new(fonts)
    })
}

fn draw(svg: &str, scale: f32, fonts: &Arc<Database>) -> Result<Vec<u8>> {
    let refused = |reason: String| Error::Png { reason };
    if !(scale > 0.0 && scale.is_finite()) {
        return Err(refused(format!(
            "its scale is {scale}, which must be above 0"
        )));
    }
    let missing = Mutex::new(BTreeSet::new());
    let options = Options {
        fontdb: fonts.clone(),
        font_resolver: resolver(&missing),
        ..Options::default()
    };
    let tree = Tree::from_str(svg, &options).map_err(|error| refused(error.to_string()))?;
    drop(options);
    if fonts.is_empty() {
        return Err(Error::Fonts {
            letters: "any letter".into(),
        });
    }
    let missing = missing.into_inner().unwrap_or_default();
    if !missing.is_empty() {
        return Err(Error::Fonts {
            letters: named(&missing),
        });
    }
    let size = tree.size();
    let most = (MAX_PIXELS / (size.width() * size.height())).sqrt();
    let scale = scale.min(most);
    let pixels = |length: f32| (length * scale).ceil().max(1.0) as u32;
    let mut picture = Pixmap::new(pixels(size.width()), pixels(size.height()))
        .ok_or_else(|| refused("it is too large".into()))?;
    resvg::render(
        &tree,
        Transform::from_scale(scale, scale),
        &mut picture.as_mut(),
    );
    picture
        .encode_png()
        .map_err(|error| refused(error.to_string()))
}

/// Finds a font for everything, as far as there is one, and keeps the letters that have none.
fn resolver(missing: &Mutex<BTreeSet<char>>) -> FontResolver<'_> {
    let by_family = FontResolver::default_font_selector();
    FontResolver {
        select_font: Box::new(move |font, fonts| {
            let found = by_family(font, fonts);
            found
                .or_else(|| plainest(fonts, |face| has_letter(fonts, face.id, 'a')))
                .or_else(|| plainest(fonts, |_| true))
        }),
        select_fallback: Box::new(move |letter, tried, fonts| {
            let fits =
                |face: &FaceInfo| !tried.contains(&face.id) && has_letter(fonts, face.id, letter);
            let found = plainest(fonts, fits);
            if found.is_none() && !is_invisible(letter) {
                // A poisoned set is as good as any.
                let mut missing = missing
                    .lock()
                    .unwrap_or_else(|poisoned| poisoned.into_inner());
                missing.insert(letter);
            }
            found
        }),
    }
}

/// Of the faces that fit, the one that looks the most like ordinary text without serifs.
fn plainest(fonts: &Database, fits: impl Fn(&FaceInfo) -> bool) -> Option<ID> {
    let oddity = |face: &FaceInfo| {
        let name = face.families.first().map_or("", |(name, _)| name);
        let is_sans = name.contains("Sans") || name.contains("Arial") || name.contains("Helvetica");
        (
            face.style != Style::Normal,
            face.monospaced || name.contains("Mono"),
            !is_sans,
            face.weight.0.abs_diff(400),
            // So that the choice does not depend on the order of files.
            name.len(),
            name.to_string(),
        )
    };
    let mut faces: Vec<&FaceInfo> = fonts.faces().collect();
    faces.sort_by_cached_key(|face| oddity(face));
    faces
        .into_iter()
        .find(|face| fits(face))
        .map(|face| face.id)
}

fn has_letter(fonts: &Database, face: ID, letter: char) -> bool {
    let has = |data: &[u8], index| {
        let font = FontRef::from_index(data, index).ok()?;
        font.charmap().map(letter)
    };
    fonts.with_face_data(face, has).flatten().is_some()
}

/// What steers text and is not drawn.
fn is_invisible(c: char) -> bool {
    matches!(c, '\u{ad}' | '\u{61c}' | '\u{200b}'..='\u{200f}' | '\u{2028}'..='\u{202e}')
        || matches!(c, '\u{2060}'..='\u{206f}' | '\u{fe00}'..='\u{fe0f}' | '\u{e0000}'..='\u{e0fff}')
}

/// `'あ', 'い' and 3 more`.
fn named(letters: &BTreeSet<char>) -> String {
    let named = letters.iter().take(MAX_NAMED);
    let named: Vec<String> = named.map(|letter| format!("'{letter}'")).collect();
    let rest = match letters.len().saturating_sub(MAX_NAMED) {
        0 => String::new(),
        more => format!(" and {more} more letters"),
    };
    named.join(", ") + &rest
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::SvgHeatmap;
    use crate::map::tests::map;

    fn heatmap(token: &str) -> String {
        SvgHeatmap::default().render(&map(token, "x", &[1.0]))
    }

    #[test]
    fn a_letter_without_a_font_is_an_error_that_names_it() {
        let fonts = Arc::new(Database::new());
        let error = draw(&heatmap("a"), 1.0, &fonts).unwrap_err().to_string();
        assert!(error.contains("no font"), "{error}");
        if system_fonts().is_empty() {
            return;
        }
        // No font has a letter for private use.
        match png(&heatmap("\u{f1234}"), 1.0) {
            Err(error @ Error::Fonts { .. }) => {
                assert!(error.to_string().contains("'\u{f1234}'"), "{error}");
            }
            other => panic!("{other:?}"),
        }
        let many: BTreeSet<char> = ('a'..='k').collect();
        assert!(
            named(&many).ends_with("'h' and 3 more letters"),
            "{}",
            named(&many)
        );
    }

    #[test]
    fn what_is_no_drawing_is_refused() {
        for (svg, scale) in [
            ("<svg", 1.0),
            ("", 1.0),
            (&*heatmap("a"), 0.0),
            (&heatmap("a"), f32::NAN),
        ] {
            let error = png(svg, scale).unwrap_err().to_string();
            assert!(error.contains("cannot draw the PNG"), "{error}");
        }
    }

    #[test]
    fn a_picture_has_its_size_and_colours() {
        let fonts = system_fonts();
        if fonts.is_empty() {
            return;
        }
        let svg = |width: usize, height: usize| {
            format!(
                r##"<svg xmlns="http://www.w3.org/2000/svg" width="{width}" height="{height}"><rect width="{width}" height="{height}" fill="#08306b"/></svg>"##
            )
        };
        let picture = Pixmap::decode_png(&png(&svg(30, 20), 2.0).unwrap()).unwrap();
        assert_eq!((picture.width(), picture.height()), (60, 40));
        let pixel = picture.pixel(30, 20).unwrap();
        assert_eq!((pixel.red(), pixel.green(), pixel.blue()), (8, 48, 107));
        let huge = svg(30_000, 20_000);
        let picture = Pixmap::decode_png(&png(&huge, 2.0).unwrap()).unwrap();
        assert!(u64::from(picture.width()) * u64::from(picture.height()) <= 64_100_000);
    }
}
