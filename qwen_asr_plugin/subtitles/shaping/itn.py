# SPDX-License-Identifier: Apache-2.0
"""Inverse text normalisation for Chinese: numerals that readers expect as digits become digits.

Of the libraries for this, none both leaves 第一 and 一个 alone and knows ranges, times and ratios, and none says which
characters it replaced, which is what keeps the times (docs/dependencies.md has the comparison).
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from dataclasses import replace
from typing import Final

from .edits import Edit
from .idioms import IDIOMS
from .numerals import DIGITS, UNITS, digit_string, split_values, value

__all__ = ["find_numerals"]

# Same length on both sides, so that positions stay.
_SIMPLIFIED: Final = str.maketrans("兩萬億點幾號時鐘個隻層樓塊歲倍", "两万亿点几号时钟个只层楼块岁倍")
_TRADITIONAL: Final = str.maketrans("万亿", "萬億")
_TRADITIONAL_UNIT: Final = re.compile("[萬億]")

_RUN: Final = f"[{''.join(DIGITS)}{''.join(UNITS)}]{{1,40}}"
_START: Final = re.compile(_RUN)
_ANY: Final = re.compile(rf"{_RUN}|几")
_FUZZY: Final = re.compile(rf"(?:{_RUN})?几(?:{_RUN}|分之|几)*|{_RUN}分之几|百分之百")
_PER_CENT: Final = re.compile(rf"(百|千)分之({_RUN})(?:点([零〇幺一二三四五六七八九]+))?")
_FRACTION: Final = re.compile(rf"({_RUN})分之({_RUN})")
_TIME: Final = re.compile(rf"({_RUN})点({_RUN})分(?:({_RUN})秒)?(?!之)")
_DATE: Final = re.compile(rf"(?:({_RUN})年)?({_RUN})月(?:({_RUN})[日号])?")
_RATIO: Final = re.compile(rf"({_RUN})比({_RUN})(?![大小多少高低好强长短重轻快慢远近])")
_DOTTED: Final = re.compile(r"[零〇幺一二三四五六七八九]+(?:点[零〇幺一二三四五六七八九]+){2,}")
_DECIMAL: Final = re.compile(rf"({_RUN})点([零〇幺一二三四五六七八九]+)(?![十百千])(?P<big>万亿|万|亿)?")
_NO_DECIMAL: Final = re.compile(r"[一两](?:些|下|边|旁|刻|线|滴|直|起|个|位|共|般|切|定|样)|[三四五六七八九](?:个|位)")
_MONEY: Final = re.compile(rf"({_RUN})块([一二三四五六七八九])(?![个只块角毛张十百千万分])")
_RANGE: Final = re.compile(
    r"(?P<head>.*?)(?P<low>[一二两三四五六七八])(?P<high>[二三四五六七八九])(?P<unit>[十百千]?)(?P<big>[万亿]?)"
)
_BIG: Final = re.compile(r"(?:(?P<yi>.+)亿)?零?(?:(?P<wan>.+)万)?")

# What one digit from three on must count to be written as a digit.
_COUNTED: Final = re.compile(
    r"千米每小时|千米|千克|克(?![拉里莱罗服])|[个只秒年天人层楼倍块次米岁元]|分(?!之|外|明)|时(?!候|而)|点钟"
)
_TEN_COUNTS: Final = re.compile(r"千米每小时|千米|千克|克(?![拉里莱罗服])|[个只秒年天人层楼倍块次米岁元日号]|分钟|点钟")
_SYMBOLS: Final = re.compile(r"千米每小时|千克|克(?![拉里莱罗服])")
_SYMBOL: Final = {"千米每小时": "km/h", "千克": "kg", "克": "g"}
_NAMES_DAYS: Final = frozenset("第周期拜初高")

_Found = tuple[int, list[Edit]]


def find_numerals(text: str) -> list[Edit]:
    """Find the Chinese numerals of a text that are to be written with digits.

    Written so are values (一百二十三: 123, 三百万: 300万), decimals, strings of digits, percentages, fractions, ratios,
    times with minutes, dates, ranges (三五百: 300~500), numbers in a row (十五十六: 15 16), and the units km/h, kg and
    g after a number. Left alone are one, two and a single digit that counts nothing, 一百, 一千, 一万, 一亿, ordinals
    and week days of one digit, what is vague (几百, 十几个, 百分之百, 八点半), and idioms.

    Args:
        text: Simplified or traditional Chinese; other scripts are left alone.

    Returns:
        The changes in the order of the text.
    """
    plain = text.translate(_SIMPLIFIED)
    edits: list[Edit] = []
    at = 0
    while True:
        start = _ANY.search(plain, at)
        if start is None:
            return edits
        at = start.start()
        before = plain[at - 1 : at]
        if before.isdigit() or (before == "." and plain[at - 2 : at - 1].isdigit()):
            at = start.end()
            continue
        at, found = _classify(plain, at)
        edits += (_in_script_of(text, edit) for edit in found)


def _in_script_of(text: str, edit: Edit) -> Edit:
    if _TRADITIONAL_UNIT.search(text, edit.begin, edit.end):
        return replace(edit, text=edit.text.translate(_TRADITIONAL))
    return edit


def _classify(text: str, at: int) -> _Found:
    """Say what the numeral at `at` becomes and where to go on."""
    left_alone = IDIOMS.match(text, at) or _FUZZY.match(text, at)
    if left_alone:
        return left_alone.end(), []
    for kind in _KINDS:
        found = kind(text, at)
        if found is not None:
            return found
    return _plain(text, at)


def _per_cent(text: str, at: int) -> _Found | None:
    match = _PER_CENT.match(text, at)
    number = match and _decimal(match[2], match[3])
    if not (match and number):
        return None
    return match.end(), [Edit(begin=at, end=match.end(), text=number + ("%" if match[1] == "百" else "‰"))]


def _fraction(text: str, at: int) -> _Found | None:
    match = _FRACTION.match(text, at)
    if match is None:
        return None
    below, above = value(match[1]), value(match[2])
    if not below or above is None:
        return None
    return match.end(), [Edit(begin=at, end=match.end(), text=f"{above}/{below}")]


def _time(text: str, at: int) -> _Found | None:
    match = _TIME.match(text, at)
    if match is None:
        return None
    hour, minute = value(match[1]), value(match[2].lstrip("零〇") or "零")
    second = value(match[3].lstrip("零〇") or "零") if match[3] else 0
    if hour is None or minute is None or second is None or hour > 24 or minute > 59 or second > 59:
        return None
    if match[3] is None and len(match[2]) == 1 and minute < 10:  # 九点五分 is a score; five past nine is 九点零五分
        return None
    shown = f"{hour:02}:{minute:02}" + (f":{second:02}" if match[3] else "")
    return match.end(), [Edit(begin=at, end=match.end(), text=shown)]


def _date(text: str, at: int) -> _Found | None:
    match = _DATE.match(text, at)
    if match is None:
        return None
    year = None if match[1] is None else digit_string(match[1]) or value(match[1])
    month, day = value(match[2]), None if match[3] is None else value(match[3])
    if month is None or not 1 <= month <= 12 or (match[1] and not year) or (match[3] and not 1 <= (day or 0) <= 31):
        return None
    if match[1] is None and match[3] is None and month < 3:
        return match.end(), []
    parts = ((1, year), (2, month), (3, day))
    return match.end(), [
        Edit(begin=match.start(part), end=match.end(part), text=str(number)) for part, number in parts if match[part]
    ]


def _ratio(text: str, at: int) -> _Found | None:
    match = _RATIO.match(text, at)
    if match is None:
        return None
    left, right = value(match[1]), value(match[2])
    if left is None or right is None:
        return None
    return match.end(), [Edit(begin=at, end=match.end(), text=f"{left}:{right}")]


def _dotted(text: str, at: int) -> _Found | None:
    match = _DOTTED.match(text, at)
    if match is None:
        return None
    return match.end(), [
        Edit(begin=at, end=match.end(), text=".".join(digit_string(part) or "" for part in match[0].split("点")))
    ]


def _with_point(text: str, at: int) -> _Found | None:
    match = _DECIMAL.match(text, at)
    if match is None:
        return None
    if len(match[2]) == 1 and match["big"] is None and _NO_DECIMAL.match(text, match.start(2)):
        return match.start(2), []
    number = _decimal(match[1], match[2])
    if number is None:
        return None
    return _with_symbol(text, at, match.end(2), number)


def _money(text: str, at: int) -> _Found | None:
    match = _MONEY.match(text, at)
    number = match and value(match[1])
    if not (match and number):
        return None
    return match.end(), [
        Edit(begin=at, end=match.end(1), text=str(number)),
        Edit(begin=match.start(2), end=match.end(), text=str(DIGITS[match[2]])),
    ]


_KINDS: Final[tuple[Callable[[str, int], _Found | None], ...]] = (
    *(_per_cent, _fraction, _time, _date, _dotted, _with_point, _ratio, _money),
)


def _decimal(whole: str, fraction: str | None) -> str | None:
    number = value(whole)
    before = digit_string(whole) if number is None else str(number)
    if before is None or fraction is None:
        return before
    return f"{before}.{digit_string(fraction)}"


def _plain(text: str, at: int) -> _Found:
    """Read one run of numeral signs that stands by itself."""
    match = _START.match(text, at)
    run = match[0] if match else ""
    end = at + len(run)
    if run.endswith("千") and text.startswith(("米", "克"), end) and len(run) > 1 and run != "一千":
        thousands = value(run[:-1])  # 五千米: the kilometre is the unit
        if thousands is not None:
            return _with_symbol(text, at, end - 1, str(thousands))
    shown = "".join(_shown(run, text, at))
    return _with_symbol(text, at, end, shown) if shown else (end, [])


def _shown(run: str, text: str, at: int) -> Iterator[str]:
    """Yield what a run of numeral signs becomes; nothing where it stays."""
    following = at + len(run)
    if len(run) == 1:
        counts = _TEN_COUNTS if run == "十" else _COUNTED
        if (value(run) or 0) > 2 and text[at - 1 : at] not in _NAMES_DAYS and counts.match(text, following):
            yield str(value(run))
        return
    digits = digit_string(run)
    if digits is not None:
        if len(run) > 2 or "幺" in run or (text.startswith("年", following) and run not in ("一二", "三五")):
            yield digits
        return
    spread = _range(run)
    number = value(run)
    if spread is not None:
        yield spread
    elif number is not None:
        if len(run) > 2 or run[0] != "一":
            yield _with_big_units(run, number)
    else:
        several = split_values(run)
        if several is not None:
            yield " ".join(map(str, several))


def _range(run: str) -> str | None:
    match = _RANGE.fullmatch(run)
    if match is None:
        return None
    head, unit = match["head"], match["unit"]
    low, high = DIGITS[match["low"]], DIGITS[match["high"]]
    if head:
        if high != low + 1 or UNITS.keys().isdisjoint(head):
            return None
    elif not (unit or match["big"]) or not (high == low + 1 or (low, high) == (3, 5)):
        return None
    ends = [value(f"{head}{match[part]}{unit}") for part in ("low", "high")]
    return None if None in ends else f"{ends[0]}~{ends[1]}{match['big']}"


def _with_big_units(run: str, number: int) -> str:
    """Write round tens of thousands and hundreds of millions as such, everything else in digits."""
    match = _BIG.fullmatch(run)
    if match is None or not (match["yi"] or match["wan"]):
        return str(number)
    high, low = divmod(number, UNITS["亿"])
    return (f"{high}亿" if match["yi"] else "") + (f"{low // UNITS['万']}万" if match["wan"] else "")


def _with_symbol(text: str, at: int, end: int, number: str) -> _Found:
    unit = _SYMBOLS.match(text, end)
    if unit is None:
        return end, [Edit(begin=at, end=end, text=number)]
    return unit.end(), [Edit(begin=at, end=unit.end(), text=number + _SYMBOL[unit[0]])]
