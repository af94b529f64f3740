/// What a browser may do with the page: run its own scripts, and ask where it came from. Nothing else, so that
/// no text of a model or a person can become more than text.
pub const CONTENT_SECURITY_POLICY: &str = "default-src 'none'; script-src 'self'; style-src 'self'; \
    img-src 'self'; connect-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'";

/// A file of the page.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PageFile {
    /// Its name beside the others.
    pub name: &'static str,
    /// Its media type.
    pub kind: &'static str,
    /// What is in it.
    pub text: &'static str,
}

macro_rules! files {
    ($($name:literal)*) => {
        &[$(PageFile {
            name: $name,
            kind: kind($name),
            text: include_str!(concat!("../page/", $name)),
        }),*]
    };
}

/// All files of the page, `index.html` the first. They find each other by relative names, and what answers is
/// in `backend.js` alone, so they can lie anywhere.
pub const FILES: &[PageFile] = files! {
    "index.html" "studio.css" "icon.svg"
    "studio.js" "backend.js" "dom.js" "address.js" "pane.js" "heatmap.js" "step.js" "hypotheses.js" "numbers.js"
    "tree.js" "difference.js"
};

/// The media type of a file's name.
const fn kind(name: &str) -> &'static str {
    // No other function of text can be called here.
    match name.as_bytes() {
        [.., b'h', b't', b'm', b'l'] => "text/html; charset=utf-8",
        [.., b'c', b's', b's'] => "text/css; charset=utf-8",
        [.., b's', b'v', b'g'] => "image/svg+xml",
        _ => "text/javascript; charset=utf-8",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_is_fetched_from_elsewhere_and_nothing_is_made_of_text() {
        for file in FILES {
            for part in file.text.split("://").skip(1) {
                // What names SVG is a name, not an address to fetch.
                assert!(
                    part.starts_with("www.w3.org/2000/svg"),
                    "{}: {part}",
                    file.name
                );
            }
            for bad in [
                "innerHTML",
                "outerHTML",
                "insertAdjacentHTML",
                "document.write",
                "eval(",
                "new Function",
                "@import",
                "url(",
                "//cdn",
            ] {
                assert!(!file.text.contains(bad), "{} has {bad}", file.name);
            }
        }
    }

    #[test]
    fn the_page_has_no_script_or_style_of_its_own_and_all_its_files() {
        let page = FILES[0].text;
        assert_eq!(FILES[0].kind, "text/html; charset=utf-8");
        for bad in ["<style", " style=", " onclick=", " onload=", "javascript:"] {
            assert!(!page.contains(bad), "{bad}");
        }
        for tag in page.split("<script").skip(1) {
            assert!(
                tag.contains("src=\"") && tag.contains("></script>"),
                "{tag}"
            );
        }
        let known = |name: &str| FILES.iter().any(|file| file.name == name);
        for start in ["src=\"", "href=\""] {
            for rest in page.split(start).skip(1) {
                let name = rest.split('"').next().unwrap();
                assert!(known(name) || name.starts_with('#'), "{name}");
            }
        }
        for file in FILES.iter().filter(|file| file.name.ends_with(".js")) {
            for rest in file.text.split(" from \"./").skip(1) {
                let name = rest.split('"').next().unwrap();
                assert!(known(name), "{}: {name}", file.name);
            }
        }
    }
}
