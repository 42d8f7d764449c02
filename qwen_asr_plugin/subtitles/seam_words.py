# SPDX-License-Identifier: Apache-2.0
# ruff: noqa: RUF001
"""Small words by language, for judging where a line may end. Data only; lower case.

For every language: ``opening`` words begin a clause (conjunctions, relative words), ``leading`` words begin a phrase
(prepositions); both bind to what follows them. ``binding`` words only bind to what follows (articles, possessives,
pronouns, auxiliaries, negations), ``bound`` words to what stands before them (postpositions, auxiliaries behind a
verb). What is kept together is what the Netflix line treatment rules name.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

__all__ = ["CHINESE", "JAPANESE_PARTICLES", "LEADING_VOWELS", "SMALL_WORDS", "Chinese", "SmallWords"]


@dataclass(frozen=True, kw_only=True)
class SmallWords:
    """Small words of one language, see the module.

    Attributes:
        opening: Conjunctions and relative words.
        leading: Prepositions.
        binding: Articles, pronouns before a verb, auxiliaries, negations...
        bound: Words that belong to the one before.
    """

    opening: frozenset[str]
    leading: frozenset[str]
    binding: frozenset[str]
    bound: frozenset[str] = frozenset()


def _words(opening: str, leading: str, binding: str, bound: str = "") -> SmallWords:
    return SmallWords(
        opening=frozenset(opening.split()),
        leading=frozenset(leading.split()),
        binding=frozenset(binding.split()),
        bound=frozenset(bound.split()),
    )


SMALL_WORDS: Final[Mapping[str, SmallWords]] = {
    "en": _words(
        "and or but nor so if because when while where who whom whose which that than as although though unless until "
        "since whether before after",
        "of to in on at by for with from into onto over under about between through during without against among "
        "behind beside beyond near toward towards upon via within across around like off out up down",
        "a an the my your his her its our their no every each some any this these those i you he she we they who it "
        "am is are was were be been being have has had do does did will would can could shall should may might must "
        "not don't doesn't didn't won't wouldn't can't couldn't isn't aren't wasn't weren't haven't hasn't hadn't "
        "i'm you're he's she's it's we're they're that's there's i've you've we've they've i'd you'd he'd she'd we'd "
        "they'd i'll you'll he'll she'll we'll they'll let's very too quite rather only just mr mrs ms dr st one two "
        "three four five six seven eight nine ten first second third fourth fifth last next other another same own "
        "such much many more most few several new old good little great big long young small",
    ),
    "de": _words(
        "und oder aber denn sondern doch dass daß weil wenn als ob obwohl während nachdem bevor damit sodass wo wer "
        "wie welche welcher welches deren dessen sowie bis falls da",
        "in im ins an am ans auf aus bei beim mit nach von vom zu zum zur für gegen ohne um über unter vor hinter "
        "neben zwischen durch seit wegen trotz gegenüber statt",
        "der die das den dem des ein eine einen einem einer eines kein keine keinen keinem keiner mein meine meinen "
        "meinem meiner dein deine deinen sein seine seinen seinem seiner ihr ihre ihren ihrem ihrer unser unsere "
        "unseren euer eure dieser diese dieses diesen diesem jeder jede jedes jeden ich du er sie es wir man nicht "
        "nie sehr zu so ist sind war waren hat haben hatte hatten wird werden wurde wurden kann können konnte muss "
        "müssen soll sollen will wollen",
    ),
    "fr": _words(
        "et ou mais donc or ni car que qu qui quand lorsque lorsqu si comme où dont puisque puisqu quoique tandis "
        "parce afin",
        "à au aux de du des d en dans par pour sur sous avec sans chez vers entre contre depuis pendant avant après "
        "jusque jusqu dès malgré selon",
        "le la les l un une mon ma mes ton ta tes son sa ses notre nos votre vos leur leurs ce cet cette ces chaque "
        "quelques aucun aucune je j tu il elle on nous vous ils elles me m te t se s y ne n pas très trop plus moins "
        "suis es est sommes êtes sont ai as a avons avez ont était étaient avait avaient sera seront",
    ),
    "es": _words(
        "y e o u pero sino ni que porque cuando si como donde aunque mientras pues quien quienes cual cuales cuyo cuya",
        "a al ante bajo con contra de del desde durante en entre hacia hasta para por según sin sobre tras",
        "el la los las lo un una unos unas mi mis tu tus su sus nuestro nuestra nuestros nuestras este esta estos "
        "estas ese esa esos esas aquel aquella cada algún alguna ningún ninguna yo tú él ella nosotros ellos ellas "
        "usted ustedes me te se nos os le les no muy más tan he has ha hemos han había habían es son era eran está "
        "están estaba",
    ),
    "it": _words(
        "e ed o oppure ma però né che ch perché quando se come dove mentre anche quindi poiché benché cui chi",
        "a ad al allo alla ai agli alle all da dal dallo dalla dai dagli dalle dall di d del dello della dei degli "
        "delle dell in nel nello nella nei negli nelle nell con col su sul sullo sulla sui sugli sulle sull per tra "
        "fra senza verso dopo prima durante contro",
        "il lo la i gli le l un uno una mio mia miei mie tuo tua tuoi tue suo sua suoi sue nostro nostra nostri "
        "nostre vostro vostra loro questo questa questi queste quel quella quello quei quegli quelle ogni qualche io "
        "tu lui lei noi voi mi ti si ci vi ne non molto più troppo ho hai ha abbiamo avete hanno sono sei è siamo "
        "siete era erano aveva avevano",
    ),
    "pt": _words(
        "e ou mas porém nem que porque quando se como onde embora enquanto pois quem cujo cuja conforme",
        "a ao aos à às ante após até com contra de do da dos das dele dela desde em no na nos nas num numa entre para "
        "pra por pelo pela pelos pelas perante sem sob sobre",
        "o os as um uma uns umas meu minha meus minhas teu tua seu sua seus suas nosso nossa nossos nossas este esta "
        "estes estas esse essa esses essas aquele aquela cada algum alguma nenhum nenhuma eu tu ele ela nós eles elas "
        "você vocês me te se lhe não muito mais tão é são era eram está estão estava tem têm tinha foi foram",
    ),
    "nl": _words(
        "en of maar want dat omdat als toen terwijl hoewel zodat tenzij wie die wat waar wanneer nadat voordat",
        "in op aan bij met van voor naar uit om over onder tegen tussen door na zonder tot sinds tijdens achter naast",
        "de het een mijn jouw je zijn haar ons onze hun deze dit elke elk geen ik jij hij zij ze wij we jullie u men "
        "niet heel erg te is was waren heeft hebben had hadden wordt worden werd kan kunnen zal zullen moet moeten",
    ),
    "ru": _words(
        "и а но или что чтобы если когда потому как где куда который которая которое которые пока хотя ни либо чем",
        "в во на с со к ко по из изо за от ото до для у о об обо при без под над между через перед про около после",
        "не ни мой моя моё мои твой твоя его её наш наша наши ваш ваша их этот эта это эти тот та те каждый я ты он "
        "она оно мы вы они очень самый был была было были будет будут",
        "ли же бы",
    ),
    "ar": _words(
        "و أو ثم لكن أن إن لأن إذا حيث الذي التي الذين عندما كما بينما حتى",
        "في من على إلى عن مع بين عند بعد قبل تحت فوق منذ خلال حول دون",
        "لا لم لن ما هل قد هذا هذه ذلك تلك كل هو هي هم أنا نحن كان كانت",
    ),
    "hi": _words(
        "और या लेकिन पर मगर कि क्योंकि अगर जब तो जो जहाँ ताकि",
        "",
        "मेरा मेरी मेरे तुम्हारा आपका आपकी उसका उसकी यह वह ये वे इस उस एक नहीं न बहुत मैं हम तुम आप",
        "का के की को में से पर ने तक लिए ही भी है हैं हूँ था थी थे हो गा गी गे रहा रही रहे गया गई",
    ),
    "ko": _words(
        "그리고 그러나 하지만 그래서 또는 그런데 왜냐하면 만약",
        "",
        "이 그 저 한 두 세 네 안 못 더 가장 매우 아주 모든 각 내 제 우리 다른 새",
        "것 것이 것을 것은 것도 것입니다 거 수 수가 수도 때 때는 때문에 중 등 뿐 적 적이 있다 있는 있습니다 "
        "없다 없는 없습니다 않다 않는 않습니다 같다 같은 같습니다",
    ),
}
"""Languages with a table, by ISO 639-1 code."""


@dataclass(frozen=True, kw_only=True)
class Chinese:
    """What is known of Chinese words without a dictionary.

    Attributes:
        words: Common words of two characters, which are not torn.
        bound: Characters that belong to what stands before them (particles, measure words).
        binding: Characters that belong to what follows them.
        opening: Characters that begin a clause or a phrase.
        ending: Characters that end one.
        numerals: Characters of written numbers.
        counters: Characters that follow a number.
    """

    words: frozenset[str]
    bound: frozenset[str]
    binding: frozenset[str]
    opening: frozenset[str]
    ending: frozenset[str]
    numerals: frozenset[str]
    counters: frozenset[str]


_CHINESE_WORDS: Final = (
    "我们 你们 他们 她们 它们 咱们 人们 什么 怎么 这么 那么 多么 没有 可以 因为 所以 如果 但是 "
    "可是 而且 或者 虽然 然后 自己 知道 觉得 认为 以为 希望 喜欢 现在 时候 时间 以前 以后 之前 "
    "之后 今天 明天 昨天 今年 明年 去年 早上 晚上 这个 那个 哪个 这些 那些 这里 那里 哪里 这样 "
    "那样 一个 一些 一起 一样 一直 一定 一下 一点 已经 还是 就是 不是 可能 应该 需要 必须 能够 "
    "大家 朋友 先生 女士 老师 学生 孩子 中国 美国 北京 上海 世界 国家 社会 问题 事情 东西 工作 "
    "生活 学习 公司 学校 医院 家里 地方 开始 结束 发现 看到 听到 说话 告诉 帮助 非常 特别 真的 "
    "其实 当然 不过 只是 只有 还有 都是 也是 于是 为了 关于 对于 通过 根据 比如 例如 为什 第一 "
    "第二 第三 电影 电视 电脑 手机 网络 技术 科学 研究 发展 经济 文化 历史 政府 我們 你們 他們 "
    "什麼 怎麼 沒有 因為 時候 時間 這個 那個 現在 知道 問題 ."
)
CHINESE: Final = Chinese(
    words=frozenset(_CHINESE_WORDS.split()),
    bound=frozenset("的了着过吗呢吧啊呀嘛们地得里上中下时着過嗎們個个"),
    binding=frozenset("不没很最更太这那每各一把被给对从向在是和跟与第老小再也都就還还這沒從與"),
    opening=frozenset("但而因所虽雖如并並或却則则和跟与與在从從对對把被为為当當"),
    ending=frozenset("了着过過吗嗎呢吧啊呀嘛"),
    numerals=frozenset("零〇一二三四五六七八九十百千万亿两半几点萬億兩幾點0123456789"),
    counters=frozenset("間年月日号个只本次天元块岁分秒时点人位条张家种件度倍米克章集层楼路個隻歲時條張種層"),
)
"""Simplified and traditional characters."""

JAPANESE_PARTICLES: Final = frozenset("はがをにでともへやのかねよわぞ")
"""One-letter particles; a phrase ends behind them if no kana follows."""

LEADING_VOWELS: Final = frozenset("\u0e40\u0e41\u0e42\u0e43\u0e44\u0ec0\u0ec1\u0ec2\u0ec3\u0ec4")
"""Thai and Lao vowels that are written before the consonant they follow in speech."""
