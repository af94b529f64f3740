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
import random

import sacrebleu
from sacrebleu.metrics.bleu import BLEU
from sacrebleu.metrics.chrf import CHRF
from sacrebleu.metrics.ter import TER
from sacrebleu.significance import PairedTest

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
    ("It's, he said, the mayor's.", "It's, &amp;quot;he&amp;quot; said, the mayor's, too."),
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

# What a system may make of news and talk, by chance but the same each time: the outputs of a better
# and of a worse system for each of these, beside one to three references.
SENTENCES = [
    "The European Commission said on Tuesday that it would cut its growth forecast for 2024 from 1.4% to 0.8%.",
    "\"We have not seen anything like this since 1987,\" said the mayor, who had visited the flooded villages by boat.",
    "Prices rose by 3.5 per cent in March; analysts had expected only 2.9 per cent (see table 4).",
    "He didn't know whether the team's captain, the 31-year-old goalkeeper, could play on Sunday.",
    "In the end, about 12,000 people - mostly students - marched from the station to the old town hall.",
    "The new bridge, which cost $1.2bn, connects the islands of Lolland and Fehmarn.",
    "Please send the signed form to office@example.org before 5 p.m. on Friday, or call +49 30 123456.",
    "Researchers at the university found that bees can count to four and recognise human faces.",
    "What happened next surprised everyone: the judge laughed, stood up and left the room.",
    "Die Regierung hat am Mittwoch beschlossen, die Steuer auf Strom ab dem 1. Januar 2025 um 1,5 Cent zu senken.",
    "Als der Zug endlich ankam, war es schon dunkel, und niemand wartete mehr auf dem Bahnsteig.",
    "„Das ist doch kein Problem“, sagte sie und schloss die Tür hinter sich.",
    "Le président s'est rendu à Lyon, où il a rencontré des ouvriers de l'usine « Bosch » menacée de fermeture.",
    "L’économie a reculé de 0,2 % au deuxième trimestre, selon l'Insee.",
    "El ministro aseguró que \"no habrá más recortes\" durante los próximos 18 meses.",
    "Президент заявил, что переговоры начнутся в понедельник, 14 мая, в 10:30.",
    "Η κυβέρνηση ανακοίνωσε νέα μέτρα για τους ΑΓΡΟΤΕΣ της Θεσσαλίας.",
    "ŞIRKETIN İSTANBUL'daki merkezi 2019’da açıldı.",
    "中国外交部发言人周三表示,双方将于2024年5月在北京举行第十二轮会谈。",
    "这本书的价格是35.80元,比去年便宜了百分之十五。",
    "東京都は11日、新たに1,234人の感染を確認したと発表した。",
    "彼は「ありがとう」と言って、静かに部屋を出ていった。",
    "한국은행은 기준금리를 연 3.50%로 동결했다고 11일 밝혔다.",
    "أعلن الوزير أن المشروع سيبدأ في 2025، وسيكلف 3.5 مليون دولار.",
    "नई दिल्ली में मंगलवार को तापमान 45.2 डिग्री तक पहुंच गया।",
    "It's the first time that \u201csmart\u201d meters\u2014all 2,500 of them\u2014have been read remotely\u2026",
]
WORDS = "the of and in a to he that not very more , . - ( ) \" 's 2024 1,000 die der und nicht le de 的 。 は και и".split()


def noisy(text, rate, rng):
    """The text with about that share of its words changed."""
    is_spaced = text.count(" ") > 3
    units = text.split() if is_spaced else list(text)
    if rng.random() < 0.5 * rate and len(units) > 6:
        # A block goes elsewhere.
        start = rng.randrange(len(units) - 3)
        block = [units.pop(start) for _ in range(rng.randint(1, 4)) if start < len(units)]
        at = rng.randrange(len(units) + 1)
        units[at:at] = block
    out = []
    for unit in units:
        change = rng.choices(
            ["keep", "drop", "double", "replace", "typo", "case", "mark", "swap"],
            [1 / rate, 1, 0.3, 1.5, 0.7, 0.5, 0.7, 0.7],
        )[0]
        if change in ("keep", "double", "swap"):
            out += [unit] * (2 if change == "double" else 1)
            if change == "swap" and len(out) > 1:
                out[-2:] = out[:-3:-1]
        elif change == "replace":
            out.append(rng.choice(WORDS))
        elif change == "typo":
            at = rng.randrange(len(unit))
            out.append(unit[:at] + rng.choice("aeiouxq") + unit[at + 1:])
        elif change == "case":
            out.append(unit.upper() if rng.random() < 0.5 else unit.lower())
        elif change == "mark":
            out.append(unit.strip(".,;\"") or unit if rng.random() < 0.5 else unit + rng.choice(",.!…。"))
    return (" " if is_spaced else "").join(out)


def noisy_items(rng):
    """Items with two hypotheses: `[worse, better, *references]`."""
    for text in SENTENCES * 3:
        references = [text] + [noisy(text, 0.1, rng) for _ in range(rng.randrange(3))]
        source = rng.choice(references)
        yield ["" if rng.random() < 0.02 else noisy(source, rate, rng) for rate in (0.35, 0.25)] + references
    # For the limits of TER's search: far shifts, many equal words, lengths that differ much.
    for hyp_len, ref_len, vocab in [
        (80, 80, 60), (120, 110, 100), (130, 60, 40), (30, 140, 30), (60, 60, 3), (40, 45, 8), (3, 120, 5), (150, 4, 4), (1, 90, 90),
    ]:
        words = [f"w{i}" for i in range(vocab)]
        reference = [rng.choice(words) for _ in range(ref_len)]
        blocks = [reference[i:i + 7] for i in range(0, ref_len, 7)]
        hypotheses = []
        for _ in range(2):
            rng.shuffle(blocks)
            mixed = [word for block in blocks for word in block]
            mixed = (mixed * (1 + hyp_len // ref_len))[:hyp_len]
            hypotheses.append(" ".join(w if rng.random() < 0.9 else rng.choice(words) for w in mixed))
        yield hypotheses + [" ".join(reference)]


NOISY = list(noisy_items(random.Random(7)))
BASELINE = len(ITEMS)
ITEMS += [(worse, *references) for worse, _, *references in NOISY]
SYSTEM = len(ITEMS)
ITEMS += [(better, *references) for _, better, *references in NOISY]

# Items and how many of their references to use. Every option is tried on the large corpora.
LARGE = {
    "first reference": (range(BASELINE), 1),
    "all references": (range(BASELINE), None),
    "two references": ([i for i, item in enumerate(ITEMS[:BASELINE]) if len(item) > 2], 2),
    "baseline": (range(BASELINE, SYSTEM), None),
    "system": (range(SYSTEM, len(ITEMS)), None),
}
CORPORA = LARGE | {
    "no 4-gram": ([i for i, item in enumerate(ITEMS) if i < BASELINE and item[0].startswith(("red", "on the", "alpha"))], None),
    "no match": ([i for i, item in enumerate(ITEMS) if item[0] == "yes"], None),
    "empty": ([i for i, item in enumerate(ITEMS) if item[0] == ""], None),
    **{f"item {i}": ([i], None) for i in range(BASELINE)},
}

TOKENIZERS = ["13a", "intl", "zh", "char", "none"]
SMOOTHINGS = [("exp", None), ("floor", None), ("floor", 0.5), ("add-k", None), ("add-k", 2), ("none", None)]


TER_OPTIONS = [
    (),
    ("normalized",),
    ("no_punct",),
    ("asian_support",),
    ("case_sensitive",),
    ("normalized", "asian_support"),
    ("no_punct", "asian_support"),
    ("normalized", "no_punct", "asian_support", "case_sensitive"),
]


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


def ter_row(name, **options):
    metric = TER(**options)
    # Once for corpus and segments: TER is slow in Python.
    statistics = metric._extract_corpus_statistics(*corpus(name))
    score = metric._aggregate_and_compute(statistics)
    return {
        "corpus": name,
        **options,
        "score": score.score,
        "edits": score.num_edits,
        "ref_len": score.ref_length,
        "segments": [metric._compute_score_from_stats(row).score for row in statistics],
        "display": str(score),
        "signature": str(metric.get_signature()),
    }


def segment_scores(name, metric):
    """The score of each item, as `sentence_score` has it."""
    items, limit = CORPORA[name]
    return [metric.sentence_score(ITEMS[i][0], list(ITEMS[i][1:])[:limit]).score for i in items]


METRICS = {
    "bleu": lambda: BLEU(effective_order=True),
    "bleu intl": lambda: BLEU(effective_order=True, tokenize="intl", lowercase=True),
    "chrf": lambda: CHRF(),
    "chrf++": lambda: CHRF(word_order=2),
    "ter": lambda: TER(),
}


def segments_row(name, metric):
    return {"corpus": name, "metric": metric, "scores": segment_scores(name, METRICS[metric]())}


def confidence_row(name, metric):
    scorer = METRICS[metric]()
    score = scorer.corpus_score(*corpus(name), n_bootstrap=1000)
    return {
        "corpus": name,
        "metric": metric,
        "mean": float(score._mean),
        "half_width": float(score._ci),
        "signature": str(scorer.get_signature()),
    }


def paired_row(test, samples, systems, metric):
    references = corpus(systems[0])[1]
    named = [(name, corpus(name)[0]) for name in systems]
    signatures, scores = PairedTest(named, {metric: METRICS[metric]()}, references, test, samples)()
    (name,) = signatures
    baseline, system = scores[name]
    return {
        "test": test,
        "samples": samples,
        "metric": metric,
        "systems": systems,
        "baseline": float(baseline.score),
        "system": float(system.score),
        "p_value": float(system.p_value),
        "mean": system.mean and float(system.mean),
        "half_width": system.ci and float(system.ci),
        "signature": str(signatures[name]),
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


def ter_rows():
    for name in CORPORA:
        for on in TER_OPTIONS if name in LARGE else TER_OPTIONS[:1]:
            options = ("normalized", "no_punct", "asian_support", "case_sensitive")
            yield ter_row(name, **{option: option in on for option in options})


def paired_rows():
    for systems in (["baseline", "system"], ["system", "baseline"], ["system", "system"]):
        for metric in METRICS:
            yield paired_row("bs", 1000, systems, metric)
            yield paired_row("ar", 1000, systems, metric)


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
        "ter": lines(ter_rows()),
        "segments": lines(
            segments_row(name, metric) for name in LARGE for metric in METRICS if metric != "ter"
        ),
        "confidence": lines(confidence_row(name, metric) for name in LARGE for metric in METRICS),
        "paired": lines(paired_rows()),
    }
    body = ",\n".join(f'"{key}": {value}' for key, value in parts.items())
    text = f'{{\n"version": "{sacrebleu.__version__}",\n{body}\n}}\n'
    json.loads(text)
    OUTPUT.parent.mkdir(parents=True, exist_ok=True)
    OUTPUT.write_text(text, encoding="utf-8")
    print(f"{OUTPUT}: {len(text)} characters")


if __name__ == "__main__":
    main()
