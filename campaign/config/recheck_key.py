"""Find the key that signs the questions of `[recheck]`: `recheck_key_of`."""

from __future__ import annotations

from typing import TYPE_CHECKING

from campaign.config.definition.toml_file import place_of
from campaign.errors import SettingsError

if TYPE_CHECKING:
    from campaign.config.definition import Definition
    from campaign.config.settings import Settings


def recheck_key_of(definition: Definition, settings: Settings) -> bytes | None:
    """Return the key that signs the questions of a campaign; None if it has no `[recheck] url`.

    Raises:
        SettingsError: the campaign needs a key, and CAMPAIGN_RECHECK_KEY is not set.
    """
    if definition.recheck is None or definition.recheck.url is None:
        return None
    if settings.recheck_key is None:
        place = place_of(definition.path, ("recheck", "url"))
        raise SettingsError(
            f"{place}: CAMPAIGN_RECHECK_KEY is not set; [recheck] url needs it, so that the site knows who asks. "
            "Set it to the key that the site has (openssl rand -hex 32 makes one), or remove url."
        )
    return settings.recheck_key.get_secret_value().encode()
