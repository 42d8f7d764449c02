# SPDX-License-Identifier: Apache-2.0
"""Language codes of ISO 639 and what they have in common."""

from __future__ import annotations

from typing import Final, Literal

__all__ = ["LANGUAGE_FORMS", "LanguageForm", "convert_language", "is_language", "language_meaning"]

LanguageForm = Literal["iso639-1", "iso639-2b", "iso639-2t", "iso639-3"]
"""Two letters; three letters, bibliographic (ger) or terminological (deu); three letters of ISO 639-3."""

LANGUAGE_FORMS: Final[tuple[LanguageForm, ...]] = ("iso639-1", "iso639-2b", "iso639-2t", "iso639-3")

# ISO 639-1, 639-2/T (which is 639-3, too), 639-2/B where it differs; English name where it is one word.
_TABLE: Final = """
aa/aar=afar ab/abk=abkhazian ae/ave=avestan af/afr=afrikaans ak/aka=akan am/amh=amharic an/arg=aragonese ar/ara=arabic
as/asm=assamese av/ava=avaric ay/aym=aymara az/aze=azerbaijani ba/bak=bashkir be/bel=belarusian bg/bul=bulgarian
bi/bis=bislama bm/bam=bambara bn/ben=bengali bo/bod/tib=tibetan br/bre=breton bs/bos=bosnian ca/cat=catalan
ce/che=chechen ch/cha=chamorro co/cos=corsican cr/cre=cree cs/ces/cze=czech cu/chu cv/chv=chuvash cy/cym/wel=welsh
da/dan=danish de/deu/ger=german dv/div=divehi dz/dzo=dzongkha ee/ewe=ewe el/ell/gre=greek en/eng=english
eo/epo=esperanto es/spa=spanish et/est=estonian eu/eus/baq=basque fa/fas/per=persian ff/ful=fulah fi/fin=finnish
fj/fij=fijian fo/fao=faroese fr/fra/fre=french fy/fry ga/gle=irish gd/gla gl/glg=galician gn/grn=guarani
gu/guj=gujarati gv/glv=manx ha/hau=hausa he/heb=hebrew hi/hin=hindi ho/hmo hr/hrv=croatian ht/hat=haitian
hu/hun=hungarian hy/hye/arm=armenian hz/her=herero ia/ina id/ind=indonesian ie/ile=interlingue ig/ibo=igbo ii/iii
ik/ipk=inupiaq io/ido=ido is/isl/ice=icelandic it/ita=italian iu/iku=inuktitut ja/jpn=japanese jv/jav=javanese
ka/kat/geo=georgian kg/kon=kongo ki/kik=kikuyu kj/kua=kuanyama kk/kaz=kazakh kl/kal=kalaallisut km/khm=khmer
kn/kan=kannada ko/kor=korean kr/kau=kanuri ks/kas=kashmiri ku/kur=kurdish kv/kom=komi kw/cor=cornish ky/kir=kirghiz
la/lat=latin lb/ltz=luxembourgish lg/lug=ganda li/lim=limburgan ln/lin=lingala lo/lao=lao lt/lit=lithuanian
lu/lub=luba-katanga lv/lav=latvian mg/mlg=malagasy mh/mah=marshallese mi/mri/mao=maori mk/mkd/mac=macedonian
ml/mal=malayalam mn/mon=mongolian mr/mar=marathi ms/msa/may=malay mt/mlt=maltese my/mya/bur=burmese na/nau=nauru
nb/nob nd/nde ne/nep=nepali ng/ndo=ndonga nl/nld/dut=dutch nn/nno no/nor=norwegian nr/nbl nv/nav=navajo
ny/nya=chichewa oc/oci=occitan oj/oji=ojibwa om/orm=oromo or/ori=odia os/oss=ossetian pa/pan=panjabi pi/pli=pali
pl/pol=polish ps/pus=pushto pt/por=portuguese qu/que=quechua rm/roh=romansh rn/run=rundi ro/ron/rum=romanian
ru/rus=russian rw/kin=kinyarwanda sa/san=sanskrit sc/srd=sardinian sd/snd=sindhi se/sme sg/sag=sango
sh/hbs=serbo-croatian si/sin=sinhala sk/slk/slo=slovak sl/slv=slovenian sm/smo=samoan sn/sna=shona so/som=somali
sq/sqi/alb=albanian sr/srp=serbian ss/ssw=swati st/sot su/sun=sundanese sv/swe=swedish sw/swa=swahili ta/tam=tamil
te/tel=telugu tg/tgk=tajik th/tha=thai ti/tir=tigrinya tk/tuk=turkmen tl/tgl=tagalog tn/tsn=tswana to/ton
tr/tur=turkish ts/tso=tsonga tt/tat=tatar tw/twi=twi ty/tah=tahitian ug/uig=uighur uk/ukr=ukrainian ur/urd=urdu
uz/uzb=uzbek ve/ven=venda vi/vie=vietnamese vo/vol wa/wln=walloon wo/wol=wolof xh/xho=xhosa yi/yid=yiddish
yo/yor=yoruba za/zha=zhuang zh/zho/chi=chinese zu/zul=zulu
"""
# Withdrawn codes, and ISO 639-3 codes of the variety that a code of the table is used for.
_OTHER_NAMES: Final = """
in/id iw/he ji/yi mo/ro mol/ro scr/hr scc/sr cmn/zh arb/ar pes/fa zsm/ms fil/tl ekk/et lvs/lv nob/no nb/no
mandarin/zh farsi/fa filipino/tl castilian/es flemish/nl cantonese/yue
"""
_OTHER: Final = {other: code for other, _, code in (entry.partition("/") for entry in _OTHER_NAMES.split())}
_UNDETERMINED: Final = "und"


def _rows() -> dict[str, tuple[str, str, str]]:
    rows: dict[str, tuple[str, str, str]] = {}
    for entry in _TABLE.split():
        codes, _, name = entry.partition("=")
        two, terminological, *rest = codes.split("/")
        row = (two, terminological, rest[0] if rest else terminological)
        rows |= dict.fromkeys((*row, name) if name else row, row)
    return rows


_ROWS: Final = _rows()


def convert_language(tag: str, form: LanguageForm) -> str:
    """Write the language of a tag in one of the standards; script and region behind it stay.

    A language the standard has no code for keeps the code it has (``yue`` has none with two letters).
    """
    primary, hyphen, rest = tag.partition("-")
    row = _ROWS.get(primary.lower())
    if row is None:
        return tag
    code = {"iso639-1": row[0], "iso639-2b": row[2]}.get(form, row[1])
    return f"{code}{hyphen}{rest}"


def language_meaning(tag: str) -> str:
    """Return one and the same text for all tags that mean the same: ``en`` for ``eng``, ``EN`` and ``English``."""
    primary, hyphen, rest = tag.lower().replace("_", "-").partition("-")
    primary = _ROWS[primary][0] if primary in _ROWS else primary
    return f"{_OTHER.get(primary, primary)}{hyphen}{rest}"


def is_language(tag: str) -> bool:
    """Say whether a part of a file name is a language: a code of ISO 639-1 or 639-2, ``und``, or an English name."""
    primary = tag.lower().replace("_", "-").partition("-")[0]
    return primary in _ROWS or primary in _OTHER or primary in (_UNDETERMINED, "yue")
