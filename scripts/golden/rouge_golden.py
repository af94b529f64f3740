#!/usr/bin/env python3
"""Writes what Google's rouge_score says of some sentences: golden values of att-eval.

    pip install rouge_score==0.1.2 sacrebleu==2.6.0
    python scripts/golden/rouge_golden.py

Output: crates/att-eval/tests/golden/rouge.json, read by crates/att-eval/tests/rouge.rs. The
sentences are those of sacrebleu_golden.py; the words to stem are all suffixes on a few stems.
"""

import importlib.metadata
import json

from rouge_score import rouge_scorer
from nltk.stem import porter

import sacrebleu_golden as sentences

OUTPUT = sentences.OUTPUT.with_name("rouge.json")

STEMS = "at bl ho hop fall fil enjo happ agre f generali hopeful sens analog electr dec vis sky tr oscillat yy commun".split()
SUFFIXES = """
 s ss es sses ies ed eed ied ing ings y ies ying yed ational tional enci anci izer izers bli ably alli ally
 entli ently eli ely ousli ously ization izations ation ations ator ators alism iveness fulness ousness aliti
 ality iviti ivity biliti bility fulli fully logi logy icate ative alize iciti icity ical ful ness al ance ence
 er ic able ible ant ement ment ent ion sion tion ou ism ate iti ous ive ize e ee ll lle
""".split()
IRREGULAR = "sky skies dying lying tying news innings inning outings cannings howe proceed exceed succeed tries died".split()


def main():
    stemmer = porter.PorterStemmer()
    words = [stem + suffix for stem in STEMS for suffix in [""] + SUFFIXES] + IRREGULAR
    stems = {word: stemmer.stem(word) for word in words if len(word) > 3}
    rows = []
    for stem in (False, True):
        scorer = rouge_scorer.RougeScorer(["rouge1", "rouge2", "rougeL"], use_stemmer=stem)
        for hypothesis, *references in sentences.ITEMS:
            scores = scorer.score_multi(references, hypothesis)
            rows.append({
                "hypothesis": hypothesis,
                "references": references,
                "stem": stem,
                **{name: list(score) for name, score in scores.items()},
            })
    version = importlib.metadata.version("rouge_score")
    text = (
        f'{{\n"version": "{version}",\n"stems": {json.dumps(stems)},\n'
        f'"rows": {sentences.lines(rows)}\n}}\n'
    )
    json.loads(text)
    OUTPUT.write_text(text, encoding="utf-8")
    print(f"{OUTPUT}: {len(text)} characters")


if __name__ == "__main__":
    main()
