# SPDX-License-Identifier: Apache-2.0
"""Make data/repair_golden.json and data/units_golden.json with the official package.

Needs `qwen-asr==0.0.6` (it brings torch, nagisa and soynlp) in an environment of its own:

    python tests/alignment/make_golden.py
"""

# ruff: noqa: RUF001
from __future__ import annotations

import hashlib
import json
import random
from collections.abc import Sequence
from pathlib import Path

DATA = Path(__file__).parent / "data"
CASES = 10_000
BLOCK = 500
IN_FULL = 200

# What repair and units were made for, and what they were not.
TEXTS = {
    "English": [
        "Pi is 3.14, at 10:30 in the U.S.A.: https://example.org/a?b=c.",
        "“Well-known,” he (word(s)) said; don't – it's the dogs' café's naïve résumé…",
        "100 % sure 😀 ok $5 & 7€ @home #1 1/2 ½ ² Ⅷ ™ ' ''",
    ],
    "French": ["Quoi ? « Oui » – dit-il, aujourd’hui qu'il a 10\u00a0000 francs\u00a0!"],
    "German": ["Straße, Übergrößenträger: z. B. „Äpfel“ und 3,5 kg."],
    "Russian": ["Привет, мир! Ёлка — это ёлка."],
    "Spanish": ["¿ Qué ? ¡Hola, señor!"],
    "Chinese": [
        "你好，世界。我用iPhone手机，2023年",
        "他说：“3.14元”吗？Tom，hello 3，000人々〇𠮷の",
        "甚至出现交易几乎停滞的情况。",
        # First and last letters of the blocks of ideographs, then letters just outside.
        (
            "a\u3400\u4db5\u4e00\u9fa5\uf900\ufad9\U00020000\U0002a6d6\U0002a700\U0002b734\U0002b740\U0002b81d\U0002b820"
            "\U0002cea1a\u3007\ua000\ufb00\U0002ceb0\U00030000"
        ),
    ],
    "Cantonese": ["呢個係 test，唔該晒！"],
    "Korean": [
        "안녕하세요 여러분. 오늘은 날씨가 정말 좋네요!",
        "“대한민국의” 수도는 서울이고, 인구는 3.14만명입니다.",
        "iPhone으로 사진을 찍었어요 ㅋㅋㅋㅋ 진짜?? 韓國말 하지만 그러나",
        "친구들이랑 학교에서 공부했습니다 그리고 집에 돌아갔다고 합니다",
    ],
    "Japanese": [
        "今日はいい天気ですね。",
        "スーパーで買ったＡＢＣ１２３ ｶﾞｲﾄﾞ ㌔ ½ か\u3099 Hello world-wide 3.14！",
        "東京大学の学生は、時々「こんにちは」と言いました。㍿日本",
        "  吾輩は猫である。\n名前はまだ無い。 ",
        "\u200d😀👩\u200d👩\u200d👧 ﷽ é e\u0301 한국어 \u1112\u1161\u11ab x İstanbul",
    ],
    "Arabic": ["مرحبًا، كيف حالك؟ ١٢٣"],
    "Hindi": ["नमस्ते, आप कैसे हैं?"],
    "Thai": ["สวัสดีครับ ผมชื่อ เมือง"],
}
CODES = {
    "English": "en", "French": "fr", "German": "de", "Russian": "ru", "Spanish": "es", "Chinese": "zh",
    "Cantonese": "yue", "Korean": "ko", "Japanese": "ja", "Arabic": "ar", "Hindi": "hi", "Thai": "th",
}  # fmt: skip
SIGNS = {
    "Chinese": "你好世界很高兴𠮷㐀豈〇々のカabcXé\u0301ß39'’-.,，。！？“” \u3000\n\u00a0\x1c\u200d😀½한ש",
    "Korean": "안녕하세요는을를이가에서고다네요합니다그러나학교친구ab3.',!? \u3000韓ㅋ",
    "Japanese": "今日本語東京大学はがをにでとのですますいるスーパーガイド々、。「」！3aé\u0301\u3099ﾞｶ㍿½ \n\u3000😀ｰİ",
}


def pick(rng: random.Random, count: int) -> int:
    """`random()` is the one method whose results are the same in every version of Python."""
    return int(rng.random() * count)


def random_times(case: int) -> list[float]:
    """Make up what an aligner may predict: ordered times with more or fewer out of place."""
    rng = random.Random(case)
    count = 1 + pick(rng, 200 if case % 50 == 0 else 40)
    step = 1 if case % 10 == 0 else 80
    classes = (5, 40, 3750)[pick(rng, 3)]
    values = [float(pick(rng, classes) * step) for _ in range(count)]
    wild = (0.0, 0.05, 0.2, 0.5, 1.0)[pick(rng, 5)]
    ordered = sorted(values)
    return [value if rng.random() < wild else at for value, at in zip(values, ordered, strict=True)]


def block_hash(block: Sequence[Sequence[int]]) -> str:
    """Hash the results of a block of cases."""
    return hashlib.sha256(json.dumps(block, separators=(",", ":")).encode()).hexdigest()


def main() -> None:
    import numpy as np
    from qwen_asr.inference.qwen3_forced_aligner import Qwen3ForceAlignProcessor

    official = Qwen3ForceAlignProcessor()
    results = [official.fix_timestamp(np.array(random_times(case))) for case in range(CASES)]
    golden = {
        "sha256": [block_hash(results[at : at + BLOCK]) for at in range(0, CASES, BLOCK)],
        "cases": [[[int(time) for time in random_times(case)], results[case]] for case in range(IN_FULL)],
    }
    write("repair_golden.json", json.dumps(golden["sha256"]), golden["cases"])

    words = sorted(official.ko_score)
    rows = []
    for language, texts in TEXTS.items():
        rng = random.Random(len(language))
        signs = SIGNS.get(language, "")
        texts = [*texts, *("".join(signs[pick(rng, len(signs))] for _ in range(25)) for _ in range(60 if signs else 0))]
        if language == "Korean":
            texts += [" ".join(words[pick(rng, len(words))] + words[pick(rng, len(words))] for _ in range(6))
                      for _ in range(60)]  # fmt: skip
        rows += [[CODES[language], text, official.encode_timestamp(text, language)[0]] for text in texts]
    write("units_golden.json", json.dumps("language, text, units"), rows)


def write(name: str, head: str, rows: Sequence[object]) -> None:
    lines = [head, *(json.dumps(row, ensure_ascii=False, separators=(",", ":")) for row in rows)]
    (DATA / name).write_text("[\n" + ",\n".join(lines) + "\n]\n", encoding="utf-8", newline="\n")


if __name__ == "__main__":
    main()
