# SPDX-License-Identifier: Apache-2.0
"""Word lists for judging where a text may be divided. Data only; lower case, without the last full stop."""

from __future__ import annotations

from typing import Final

__all__ = ["ABBREVIATIONS", "ENGLISH_OPENERS", "ENGLISH_TIGHT", "NUMBER_ABBREVIATIONS", "ORDINAL_STOP_LANGUAGES"]

# Titles stand before names, the others before what they belong to.
_ENGLISH_TITLES = (
    "mr mrs ms messrs mx dr prof st ste rev hon fr sr jr gen col maj capt cpt lt cmdr sgt cpl pvt adm gov sen rep pres "
    "supt insp det"
)
_ENGLISH_OTHERS = (
    "mt ft vs cf viz approx dept univ assn bros inc ltd corp figs pp vols ave blvd rd hrs mins lbs jan feb apr aug "
    "sept oct nov dec tue tues wed thu thurs fri"
)
_GERMAN = "hr frl bzw ca evtl ggf inkl nr vgl dipl ing mio mrd tsd"
_ROMANCE = "mm mme mlle env sra srta ud uds dña sig dott avv ecc exmo exma"
_DUTCH = "mevr dhr bijv"

ABBREVIATIONS: Final = frozenset(" ".join((_ENGLISH_TITLES, _ENGLISH_OTHERS, _GERMAN, _ROMANCE, _DUTCH)).split())
"""Words whose full stop does not end a sentence."""

_BEFORE_NUMBERS = "no nos fig art mar ch par p pp vol op ed"
NUMBER_ABBREVIATIONS: Final = frozenset(_BEFORE_NUMBERS.split())
"""Words that are abbreviations only before a number ("No. 5", but "No. I will not.")."""

_ORDINAL_STOP = "cs da de et fi hr hu is lv nb no sk sl sr tr"
ORDINAL_STOP_LANGUAGES: Final = frozenset(_ORDINAL_STOP.split())
"""Languages that write ordinal numbers with a full stop ("3. Oktober"); ISO 639-1."""

_ARTICLES = "a an the my your his its our their no every each"
_PREPOSITIONS = (
    "of to in on at by for with from into onto over under about after before between through during without against "
    "among behind beside beyond near since toward towards until upon via within"
)
_CONJUNCTIONS = "and or but nor if because when while where who which whose that as than although though unless"
_PRONOUNS = "i you he she we they"
_AUXILIARIES = (
    "am is are was were be been have has had do does did will would can could shall should may might must not i'm "
    "you're he's she's it's we're they're i've you've we've they've i'll you'll he'll she'll we'll they'll"
)
_MODIFIERS = "this these those very too only"

ENGLISH_TIGHT: Final = frozenset(
    " ".join((_ARTICLES, _PREPOSITIONS, _CONJUNCTIONS, _PRONOUNS, _AUXILIARIES, _MODIFIERS)).split()
)
"""English words that belong to what follows them; a line should not end with one (Netflix line break rules)."""

ENGLISH_OPENERS: Final = frozenset(" ".join((_ARTICLES, _PREPOSITIONS, _CONJUNCTIONS)).split())
"""English words that open a phrase; a line may well begin with one."""
