//! Porter's stemmer (Porter 1980), with the changes of NLTK, whose stemmer `rouge_score` takes.

/// The stem of a word of a to z and 0 to 9, of more than two of them.
pub(super) fn stem(word: &str) -> String {
    if let Some(stem) = irregular(word) {
        return stem.to_owned();
    }
    let mut word = word.to_owned();
    for step in [
        plural,
        past_and_gerund,
        final_y,
        double_suffix,
        ness_and_such,
        bare_suffix,
        final_e,
        double_l,
    ] {
        step(&mut word);
    }
    word
}

fn irregular(word: &str) -> Option<&'static str> {
    Some(match word {
        "sky" | "skies" => "sky",
        "dying" => "die",
        "lying" => "lie",
        "tying" => "tie",
        "news" => "news",
        "innings" | "inning" => "inning",
        "outings" | "outing" => "outing",
        "cannings" | "canning" => "canning",
        "howe" => "howe",
        "proceed" => "proceed",
        "exceed" => "exceed",
        "succeed" => "succeed",
        _ => return None,
    })
}

/// Step 1a.
fn plural(word: &mut String) {
    if word.len() == 4 && word.ends_with("ies") {
        replace(word, "ies", "ie");
        return;
    }
    let rules = [("sses", "ss"), ("ies", "i"), ("ss", "ss"), ("s", "")];
    apply(word, &rules, |_| true);
}

/// Step 1b.
fn past_and_gerund(word: &mut String) {
    if word.ends_with("ied") {
        let to = if word.len() == 4 { "ie" } else { "i" };
        replace(word, "ied", to);
        return;
    }
    if word.ends_with("eed") {
        apply(word, &[("eed", "ee")], |stem| measure(stem) > 0);
        return;
    }
    let cut = ["ed", "ing"].iter().find_map(|suffix| {
        let stem = word.strip_suffix(suffix)?;
        has_vowel(stem).then_some(stem.len())
    });
    let Some(len) = cut else { return };
    word.truncate(len);
    if apply(word, &[("at", "ate"), ("bl", "ble"), ("iz", "ize")], |_| {
        true
    }) {
        return;
    }
    if ends_in_double_consonant(word) {
        if !word.ends_with(['l', 's', 'z']) {
            word.pop();
        }
    } else if measure(word) == 1 && ends_cvc(word) {
        word.push('e');
    }
}

/// Step 1c; NLTK's condition.
fn final_y(word: &mut String) {
    let after_consonant = |stem: &str| stem.len() > 1 && consonants(stem).last() == Some(&true);
    apply(word, &[("y", "i")], after_consonant);
}

/// Step 2.
fn double_suffix(word: &mut String) {
    // NLTK's: what has been cut is looked at again.
    if word
        .strip_suffix("alli")
        .is_some_and(|stem| measure(stem) > 0)
    {
        replace(word, "alli", "al");
        double_suffix(word);
        return;
    }
    let rules = [
        ("ational", "ate"),
        ("tional", "tion"),
        ("enci", "ence"),
        ("anci", "ance"),
        ("izer", "ize"),
        ("bli", "ble"),
        ("alli", "al"),
        ("entli", "ent"),
        ("eli", "e"),
        ("ousli", "ous"),
        ("ization", "ize"),
        ("ation", "ate"),
        ("ator", "ate"),
        ("alism", "al"),
        ("iveness", "ive"),
        ("fulness", "ful"),
        ("ousness", "ous"),
        ("aliti", "al"),
        ("iviti", "ive"),
        ("biliti", "ble"),
        ("fulli", "ful"),
    ];
    if !apply(word, &rules, |stem| measure(stem) > 0)
        && word.ends_with("logi")
        && measure(&word[..word.len() - 3]) > 0
    {
        word.pop();
    }
}

/// Step 3.
fn ness_and_such(word: &mut String) {
    let rules = [
        ("icate", "ic"),
        ("ative", ""),
        ("alize", "al"),
        ("iciti", "ic"),
        ("ical", "ic"),
        ("ful", ""),
        ("ness", ""),
    ];
    apply(word, &rules, |stem| measure(stem) > 0);
}

/// Step 4.
fn bare_suffix(word: &mut String) {
    let suffixes = [
        "al", "ance", "ence", "er", "ic", "able", "ible", "ant", "ement", "ment", "ent", "ion",
        "ou", "ism", "ate", "iti", "ous", "ive", "ize",
    ];
    let Some(suffix) = suffixes.iter().find(|suffix| word.ends_with(**suffix)) else {
        return;
    };
    let stem = &word[..word.len() - suffix.len()];
    if measure(stem) > 1 && (*suffix != "ion" || stem.ends_with(['s', 't'])) {
        word.truncate(stem.len());
    }
}

/// Step 5a.
fn final_e(word: &mut String) {
    apply(word, &[("e", "")], |stem| match measure(stem) {
        0 => false,
        1 => !ends_cvc(stem),
        _ => true,
    });
}

/// Step 5b.
fn double_l(word: &mut String) {
    if word.ends_with("ll") && measure(&word[..word.len() - 1]) > 1 {
        word.pop();
    }
}

/// Takes the first rule whose suffix the word has, if its stem fulfils the condition; whether there
/// is such a rule.
fn apply(word: &mut String, rules: &[(&str, &str)], condition: impl Fn(&str) -> bool) -> bool {
    let Some((suffix, to)) = rules.iter().find(|(suffix, _)| word.ends_with(suffix)) else {
        return false;
    };
    if condition(&word[..word.len() - suffix.len()]) {
        replace(word, suffix, to);
    }
    true
}

fn replace(word: &mut String, suffix: &str, to: &str) {
    word.truncate(word.len() - suffix.len());
    word.push_str(to);
}

/// Whether each letter is a consonant: neither one of aeiou, nor a y behind a consonant.
fn consonants(word: &str) -> Vec<bool> {
    let mut flags: Vec<bool> = Vec::with_capacity(word.len());
    for letter in word.bytes() {
        let is_consonant = match letter {
            b'a' | b'e' | b'i' | b'o' | b'u' => false,
            b'y' => !flags.last().is_some_and(|&before| before),
            _ => true,
        };
        flags.push(is_consonant);
    }
    flags
}

/// m, the number of times that a consonant follows a vowel.
fn measure(word: &str) -> usize {
    let flags = consonants(word);
    flags
        .windows(2)
        .filter(|pair| **pair == [false, true])
        .count()
}

fn has_vowel(word: &str) -> bool {
    consonants(word).contains(&false)
}

fn ends_in_double_consonant(word: &str) -> bool {
    let letters = word.as_bytes();
    letters.len() >= 2
        && letters[letters.len() - 1] == letters[letters.len() - 2]
        && consonants(word).last() == Some(&true)
}

/// Whether it ends consonant, vowel, consonant, the last none of wxy; or is vowel and consonant.
fn ends_cvc(word: &str) -> bool {
    match consonants(word)[..] {
        [false, true] => true,
        [.., true, false, true] => !word.ends_with(['w', 'x', 'y']),
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Porter's own examples, as far as NLTK's changes leave them; the golden values have more.
    #[test]
    fn suffixes_go() {
        for (word, expected) in [
            ("caresses", "caress"),
            ("ponies", "poni"),
            ("dies", "die"),
            ("agreed", "agre"),
            ("plastered", "plaster"),
            ("hopping", "hop"),
            ("filing", "file"),
            ("happy", "happi"),
            ("enjoy", "enjoy"),
            ("relational", "relat"),
            ("geologi", "geolog"),
            ("electrical", "electr"),
            ("adoption", "adopt"),
            ("controlling", "control"),
            ("rate", "rate"),
            ("skies", "sky"),
        ] {
            assert_eq!(stem(word), expected, "{word}");
        }
    }
}
