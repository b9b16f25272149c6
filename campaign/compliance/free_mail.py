"""List the domains at which anybody can have a mailbox: `is_free_mail`."""

from __future__ import annotations

#: Kept by hand, after the providers' own lists of their domains. The providers that matter most publish a DMARC policy
#: of reject or quarantine for them, so mail of any other server fails:
#: https://support.google.com/a/answer/81126 ("Don't impersonate Gmail From: headers"), https://senders.yahooinc.com.
_DOMAINS = frozenset(
    (  # noqa: SIM905 - a list would have a line for each
        "gmail.com googlemail.com "
        "yahoo.com ymail.com rocketmail.com aol.com aim.com "
        "outlook.com hotmail.com live.com msn.com passport.com windowslive.com "
        "icloud.com me.com mac.com "
        "proton.me protonmail.com pm.me tuta.com tutanota.com tutanota.de fastmail.com fastmail.fm hushmail.com "
        "mail.com email.com usa.com zohomail.com zohomail.eu rediffmail.com "
        "gmx.com gmx.net gmx.de gmx.at gmx.ch web.de t-online.de freenet.de "
        "orange.fr wanadoo.fr free.fr sfr.fr neuf.fr laposte.net bbox.fr "
        "libero.it virgilio.it tiscali.it alice.it tin.it "
        "comcast.net verizon.net att.net sbcglobal.net bellsouth.net cox.net charter.net earthlink.net "
        "btinternet.com sky.com talktalk.net virginmedia.com ntlworld.com rogers.com shaw.ca bigpond.com "
        "wp.pl o2.pl onet.pl interia.pl seznam.cz centrum.cz telenet.be skynet.be ziggo.nl kpnmail.nl bluewin.ch "
        "mail.ru bk.ru list.ru inbox.ru yandex.ru yandex.com ya.ru rambler.ru ukr.net "
        "qq.com foxmail.com 163.com 126.com yeah.net sina.com sohu.com naver.com daum.net hanmail.net docomo.ne.jp "
        "bol.com.br uol.com.br terra.com.br globo.com optusnet.com.au"
    ).split()
)
#: The national domains of providers that have one in many countries.
_NATIONAL = {
    "yahoo": "ar at be br ca ch cl cn co de dk es fi fr gr hu id ie in it jp kr mx nl no nz pe ph pl pt ro se sg th tr",
    "hotmail": "at be ca ch cl de dk es fi fr gr it jp nl no se",
    "live": "at be ca ch cl cn de dk fi fr ie in it jp nl no pt ru se",
    "outlook": "at be cl cz de dk es fr ie in it jp kr pt sa",
}
_SECOND_LEVEL = frozenset({"co", "com", "ne"})


def is_free_mail(domain: str) -> bool:
    """Return whether anybody can have a mailbox at this domain, given in lower case."""
    if domain in _DOMAINS:
        return True
    brand, *rest = domain.split(".")
    countries = _NATIONAL.get(brand, "").split()
    if len(rest) == 2 and rest[0] in _SECOND_LEVEL:  # yahoo.co.uk, hotmail.com.br
        return bool(countries) and len(rest[1]) == 2
    return len(rest) == 1 and rest[0] in countries
