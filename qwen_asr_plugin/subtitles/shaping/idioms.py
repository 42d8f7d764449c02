# SPDX-License-Identifier: Apache-2.0
"""Chinese expressions whose numerals count nothing, or are never written with digits."""

from __future__ import annotations

import re
from typing import Final

__all__ = ["IDIOMS"]

_EXPRESSIONS: Final = """
一点一滴 一点一点 一五一十 一十八般 一二·九 一二九运动 一百八十度大转弯 一千零一夜 一万个为什么
七七事变 七十二变 七十二行 七老八十 七七八八 三七二十一 三三两两 三五成群 三五好友 三五知己 三十而立 三十六计
三十六策 三百六十行 三百六十五里路 三千世界 三千宠爱 三人行 三人成虎 三天两头 三年五载 三个臭皮匠 三个代表 三年级 三只手
二一添作五 二十八宿 二十四孝 二十四史 二百五 五一劳动节 五一节 五一假期 五四运动 五四青年节 五四精神 五十步笑百步
五十而知天命 五千年 五天工作制 五年计划 五年规划 五层楼高 八一建军节 八一电影制片厂 八百里加急 八九不离十 八九十
六一儿童节 六一节 六十四卦 六十甲子 九一八事变 九一八 九九归一 九九八十一难 九九重阳 九十九道弯 九层之台 四个现代化
四十不惑 四人帮 四时八节 十一五 十二五 十三五 十四五 十五五 十二生肖 十二时辰 十三点 十八般武艺 十八罗汉 十八层地狱
十里八乡 十里洋场 十年树木 十年寒窗 十年九不遇 十年一剑 十年如一日 十天半月 十天半个月 十人九 十万八千里 十万火急
十个指头 千百年 万一 万万 万千 千万 千千万万 百十来 百八十 百万富翁 百二秦关
"""
_LONGEST_FIRST: Final = sorted(_EXPRESSIONS.split(), key=len, reverse=True)

# 二百五十 is a number that begins like one of them.
IDIOMS: Final = re.compile(f"(?:{'|'.join(map(re.escape, _LONGEST_FIRST))})(?![十百千万亿点])")
