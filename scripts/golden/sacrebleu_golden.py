#!/usr/bin/env python3
"""Writes what sacreBLEU says of the sentences below: the golden values of att-eval.

    pip install sacrebleu==2.6.0
    python scripts/golden/sacrebleu_golden.py

Output: crates/att-eval/tests/golden/sacrebleu.json, read by crates/att-eval/tests/sacrebleu.rs.
All sentences are made up for this file.
"""

import itertools
import json
import pathlib

import sacrebleu
from sacrebleu.metrics.bleu import BLEU
from sacrebleu.metrics.chrf import CHRF

OUTPUT = (
    pathlib.Path(__file__).resolve().parents[2]
    / "crates/att-eval/tests/golden/sacrebleu.json"
)

# Hypothesis, then one or several references.
ITEMS = [
    # Plain sentences, near and far.
    ("The cat sat on the mat.", "The cat sat on the mat.", "A cat was sitting on the mat."),
    ("The quick fox jumps over a lazy dog.", "The quick brown fox jumps over the lazy dog."),
    ("It rained all day in the small town.", "All day long it was raining in the little town.", "The small town had rain all day."),
    ("She gave him the book yesterday.", "Yesterday she gave the book to him.", "She gave him the book yesterday evening.", "He got the book from her yesterday."),
    ("We will meet again at the station tomorrow morning.", "We will meet at the station again tomorrow morning."),
    # Punctuation and quotes.
    ('"Stop!", he cried; "you can\'t go there..."', '"Stop!" he shouted, "you can\'t go in there ..."'),
    ("Well - as I said (twice!) - it's over: done.", "Well, as I have said (twice), it's over - done."),
    ("“Curly quotes” and ‘single ones’ – with dashes — too…", "\"Curly quotes\" and 'single ones' - with dashes - too..."),
    ("What?! No... really?!?", "What? No... Really?!"),
    ("e.g. this, i.e. that, etc.", "e.g. this, i.e., that etc."),
    ("path/to/file_name.txt & user@example.org #tag $HOME ~tilde ^caret `tick` a*b+c=d|e\\f{g}[h]<i>", "path/to/file-name.txt & user@example.com #tag $HOME ~tilde ^caret `tick` a*b+c=d|e\\f{g}[h]<i>"),
    # Numbers.
    ("In 2023 it cost 1,234.56 dollars, not 1.234,56 euros.", "In 2023, it cost 1,234.56 dollars and not 1.234,56 euros."),
    ("Version 1.2.3-beta of 3-4 units, 50% off, -5 degrees.", "Version 1.2.3 beta of 3 - 4 units, 50 % off, at -5 degrees."),
    ("He ran 10,5 km in 45 min. 30.", "He ran 10.5 km in 45 min, 30 sec.", "He ran 10,5 kilometres in 45 min. and 30."),
    ("Call 555-0199, ext. 7, at 9:30.", "Call 555-0199 ext. 7 at 9.30."),
    # Hyphens and words in compounds.
    ("a well-known state-of-the-art method", "a well known, state-of-the-art method"),
    ("re-enter the so-called co-op", "reenter the so called coop", "re-enter the so-called coop"),
    # XML entities and mteval's oddities.
    ("Tom &amp; Jerry say &quot;hi&quot; &lt;b&gt;now&lt;/b&gt;", "Tom & Jerry say \"hi\" <b>now</b>"),
    ("&amp;lt; is not &lt; and AT&T stays", "< is not < and AT&T stays"),
    ("a <skipped>gap and a line-\nbreak\nhere", "a gap and a linebreak here"),
    # German and other European languages.
    ("Der alte Mann geht über die schöne Brücke.", "Der alte Mann ging über die schöne, große Brücke.", "Ein alter Mann geht über eine schöne Brücke."),
    ("Straßenbahnhaltestelle: „Grüße aus Köln!“", "Strassenbahnhaltestelle: „Grüsse aus Köln!“"),
    ("STRASSE und Straße, ΟΔΥΣΣΕΥΣ und İstanbul", "straße und Strasse, οδυσσευς und istanbul"),
    ("L'été, c'est l'eau qu'on boit à 20 °C ; n'est-ce pas ?", "L’été, c’est l’eau que l’on boit à 20°C, n’est-ce pas ?"),
    ("¿Dónde está el niño? ¡Aquí!", "¿Dónde está la niña? ¡Aquí está!"),
    ("Příliš žluťoučký kůň", "Příliš žluťoučký kůň úpěl ďábelské ódy"),
    # Chinese, Japanese, emoji, other marks.
    ("今天天气很好,我们去公园吧。", "今天天气很好,我们一起去公园吧!", "今天天氣真好,我們去公園吧。"),
    ("我 喜欢 读书。", "我喜欢看书。"),
    ("東京は「とても」大きい・です。", "東京は とても大きいです。"),
    ("nice 👍🏽 work 🎉🎉 family 👨‍👩‍👧", "good 👍🏽 work 🎉 family 👨‍👩‍👧‍👦"),
    ("price: 5€, £3.50, ½ cup, ² ≈ 4 × 3 ÷ 2 © ™", "price: 5 €, £3,50, ½ cup, ² ≈ 4 x 3 ÷ 2 © ™"),
    ("हिन्दी में एक वाक्य।", "हिंदी में एक छोटा वाक्य।"),
    # White space of all kinds.
    ("  two  spaces\tand\ta tab  ", "two spaces and a tab"),
    ("no\u00a0break\u2009thin\u3000wide\u001fseparator", "no break thin wide separator"),
    # Lengths.
    ("", "Nothing was said at all."),
    ("", ""),
    ("Something was said.", ""),
    ("word", "word"),
    ("Word", "word", "words"),
    ("yes", "no"),
    ("This hypothesis goes on and on and on and on, far beyond what was asked for.", "This hypothesis goes on.", "This goes on and on."),
    ("Short.", "This reference is much longer than the hypothesis that it belongs to."),
    # Smoothing: matches, but none of four words in a row.
    ("red one blue two green three", "red 1 blue 2 green 3", "one red two blue three green"),
    ("on the in of a with", "the on of in with a"),
    ("alpha beta x gamma delta y", "gamma delta z alpha beta w"),
    ("the the the the", "the cat the dog"),
]

# Items and how many of their references to use. Every option is tried on the large corpora.
LARGE = {
    "first reference": (range(len(ITEMS)), 1),
    "all references": (range(len(ITEMS)), None),
    "two references": ([i for i, item in enumerate(ITEMS) if len(item) > 2], 2),
}
CORPORA = LARGE | {
    "no 4-gram": ([i for i, item in enumerate(ITEMS) if item[0].startswith(("red", "on the", "alpha"))], None),
    "no match": ([i for i, item in enumerate(ITEMS) if item[0] == "yes"], None),
    "empty": ([i for i, item in enumerate(ITEMS) if item[0] == ""], None),
    **{f"item {i}": ([i], None) for i in range(len(ITEMS))},
}

TOKENIZERS = ["13a", "intl", "char", "none"]
SMOOTHINGS = [("exp", None), ("floor", None), ("floor", 0.5), ("add-k", None), ("add-k", 2), ("none", None)]


def corpus(name):
    """The corpus as hypotheses, and as sacreBLEU's streams of references, padded with None."""
    items, limit = CORPORA[name]
    references = [list(ITEMS[i][1:])[:limit] for i in items]
    return [ITEMS[i][0] for i in items], list(itertools.zip_longest(*references))


def bleu_row(name, **options):
    metric = BLEU(**options)
    hypotheses, references = corpus(name)
    score = metric.corpus_score(hypotheses, references)
    value = options["smooth_value"]
    return {
        "corpus": name,
        **options,
        "smooth_value": BLEU.SMOOTH_DEFAULTS[options["smooth_method"]] if value is None else value,
        "score": score.score,
        "precisions": score.precisions,
        "bp": score.bp,
        "hyp_len": score.sys_len,
        "ref_len": score.ref_len,
        "display": str(score),
        "signature": str(metric.get_signature()),
    }


def chrf_row(name, **options):
    metric = CHRF(**options)
    hypotheses, references = corpus(name)
    score = metric.corpus_score(hypotheses, references)
    return {
        "corpus": name,
        **options,
        "score": score.score,
        "display": str(score),
        "signature": str(metric.get_signature()),
    }


def tokens_row(text):
    return {
        "text": text,
        **{name: BLEU(tokenize=name).tokenizer(text).split() for name in TOKENIZERS},
    }


def bleu_rows():
    for name in CORPORA:
        options = {
            "tokenize": TOKENIZERS,
            "smooth": SMOOTHINGS,
            "effective_order": (False, True),
            "lowercase": (False, True),
        }
        if name not in LARGE:
            options["lowercase"] = (False,)
        if name.startswith("item "):
            options["smooth"] = (("exp", None),)
            options["effective_order"] = (True,)
        for tokenizer, smooth, effective_order, lowercase in itertools.product(*options.values()):
            yield bleu_row(
                name, tokenize=tokenizer, smooth_method=smooth[0], smooth_value=smooth[1],
                effective_order=effective_order, lowercase=lowercase,
            )


def chrf_rows():
    for name in CORPORA:
        options = {
            "char_order": (6, 3),
            "word_order": (0, 2),
            "beta": (2, 1),
            "lowercase": (False, True),
            "whitespace": (False, True),
            "eps_smoothing": (False, True),
        }
        if name not in LARGE:
            options |= {"char_order": (6,), "beta": (2,), "lowercase": (False,), "whitespace": (False,)}
        for values in itertools.product(*options.values()):
            yield chrf_row(name, **dict(zip(options, values)))


def lines(rows):
    """One row a line, so that a change shows as a line in a diff."""
    return "[\n" + ",\n".join(json.dumps(row, ensure_ascii=False) for row in rows) + "\n]"


def main():
    texts = dict.fromkeys(text for item in ITEMS for text in item)
    parts = {
        "corpora": "{\n" + ",\n".join(
            f"{json.dumps(name)}: " + json.dumps(
                [[ITEMS[i][0], list(ITEMS[i][1:])[:limit]] for i in items], ensure_ascii=False
            )
            for name, (items, limit) in CORPORA.items()
        ) + "\n}",
        "tokens": lines(map(tokens_row, texts)),
        "bleu": lines(bleu_rows()),
        "chrf": lines(chrf_rows()),
    }
    body = ",\n".join(f'"{key}": {value}' for key, value in parts.items())
    text = f'{{\n"version": "{sacrebleu.__version__}",\n{body}\n}}\n'
    json.loads(text)
    OUTPUT.parent.mkdir(parents=True, exist_ok=True)
    OUTPUT.write_text(text, encoding="utf-8")
    print(f"{OUTPUT}: {len(text)} characters")


if __name__ == "__main__":
    main()
