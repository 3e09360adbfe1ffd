"""An extension's own words on the page."""

from gradio.i18n import I18nData

from modules.texts import LANGUAGES
from modules.ui.i18n import flat


class OwnWords:
    """`t(en, zh)`: a text that the browser puts in, in the visitor's language; `texts` is all of them, for the page."""

    def __init__(self, prefix: str) -> None:
        self._prefix = prefix
        self.texts: dict[str, dict[str, str]] = {language: {} for language in LANGUAGES}

    def __call__(self, en: str, zh: str = "") -> I18nData:
        """Keep the text; what stands for it."""
        key = f"{self._prefix}.{len(self.texts['en'])}"
        self.texts["en"][key] = en
        self.texts["zh"][key] = zh or en
        return I18nData(flat(key))
