"""Read the settings from the environment and from `.env` in the working directory: `load_settings`.

An error names the setting and what to type, but never the setting's value, which may be a secret.
"""

from __future__ import annotations

import os
import stat
from datetime import timedelta
from pathlib import Path
from typing import Annotated, Any
from urllib.parse import urlsplit

from pydantic import Field, SecretStr, ValidationError, field_validator
from pydantic_settings import BaseSettings, NoDecode, SettingsConfigDict

from campaign.config.duration import parse_duration
from campaign.config.imap_url import ImapServer, parse_imap_url
from campaign.config.server_url import host_and_port, is_loopback
from campaign.config.smtp_url import SmtpServer, Tls, parse_smtp_url
from campaign.errors import SettingsError

__all__ = ["CLERK_API", "Settings", "SmtpServer", "Tls", "is_loopback", "load_settings", "parse_smtp_url"]

_ENV_FILE = ".env"
#: The origin of Clerk's Backend API.
CLERK_API = "https://api.clerk.com"


class Settings(BaseSettings):
    """The settings from the environment; an empty variable counts as unset."""

    model_config = SettingsConfigDict(
        env_file=_ENV_FILE,
        env_file_encoding="utf-8-sig",
        env_ignore_empty=True,
        extra="ignore",
        frozen=True,
        hide_input_in_errors=True,
        populate_by_name=True,
        validate_default=False,
    )

    #: Clerk's secret key, `sk_live_…` or `sk_test_…`.
    clerk_secret_key: SecretStr | None = None
    #: The origin of the Backend API: no trailing slash, no `/v1`.
    clerk_api_url: str = CLERK_API
    #: `pk_live_…` or `pk_test_…`, for the sandbox's landing page.
    clerk_publishable_key: str | None = None
    #: The mail server (`CAMPAIGN_SMTP_URL`).
    smtp: Annotated[SmtpServer | None, NoDecode] = Field(default=None, alias="CAMPAIGN_SMTP_URL")
    #: The mailbox that gets the bounces (`CAMPAIGN_IMAP_URL`).
    imap: Annotated[ImapServer | None, NoDecode] = Field(default=None, alias="CAMPAIGN_IMAP_URL")
    #: The file of the send log.
    log: Path = Field(default=Path("send-log.db"), alias="CAMPAIGN_LOG")
    #: The file with the private key that signs the mails of a campaign with `[dkim]`.
    dkim_key: Path | None = Field(default=None, alias="CAMPAIGN_DKIM_KEY")
    #: The folder of the sandbox.
    sandbox: Path = Field(default=Path(".campaign"), alias="CAMPAIGN_SANDBOX")
    #: How long to wait for the reply to the final dot (RFC 5321 §4.5.3.2.6 asks for 10 minutes).
    reply_timeout: timedelta = Field(default=timedelta(minutes=10), alias="CAMPAIGN_REPLY_TIMEOUT")

    @field_validator("clerk_secret_key")
    @classmethod
    def _is_secret_key(cls, key: SecretStr | None) -> SecretStr | None:
        if key is not None:
            _require_key(key.get_secret_value(), kinds=("sk_live_", "sk_test_"), called="Clerk's secret key")
        return key

    @field_validator("clerk_publishable_key")
    @classmethod
    def _is_publishable_key(cls, key: str | None) -> str | None:
        if key is not None:
            _require_key(key, kinds=("pk_live_", "pk_test_"), called="Clerk's publishable key")
        return key

    @field_validator("clerk_api_url")
    @classmethod
    def _is_origin(cls, url: str) -> str:
        return _origin(url)

    @field_validator("smtp", mode="before")
    @classmethod
    def _is_smtp_url(cls, value: Any) -> Any:  # noqa: ANN401 - any value from the environment
        return parse_smtp_url(value) if isinstance(value, str) else value

    @field_validator("imap", mode="before")
    @classmethod
    def _is_imap_url(cls, value: Any) -> Any:  # noqa: ANN401 - any value from the environment
        return parse_imap_url(value) if isinstance(value, str) else value

    @field_validator("reply_timeout", mode="before")
    @classmethod
    def _is_duration(cls, value: Any) -> Any:  # noqa: ANN401 - any value from the environment
        return parse_duration(value) if isinstance(value, str) else value

    @field_validator("reply_timeout")
    @classmethod
    def _is_a_wait(cls, value: timedelta) -> timedelta:
        if not timedelta(0) < value <= timedelta(hours=1):
            raise ValueError('it must be more than 0 and at most "1h"; RFC 5321 asks for "10m"')
        return value

    @field_validator("log", "sandbox", "dkim_key")
    @classmethod
    def _is_path(cls, value: Path | None) -> Path | None:
        if "\0" in str(value):
            raise ValueError("a path cannot contain a NUL character")
        return value


def load_settings() -> Settings:
    """Return the settings from the environment and from `.env` in the working directory; the environment wins.

    Raises:
        SettingsError: a variable is invalid, other users may write `.env`, or `.env` would send a key from the
            environment elsewhere. The text has one line for each fault, and no line contains a value.
    """
    # Raised after the `except`, so that no traceback or debugger finds the values through `__context__`.
    try:
        problems = _env_file_problems()
        settings = Settings()
        if not (problems := problems or _source_problems(settings)):
            return settings
    except ValidationError as error:
        problems = [_sentence(fault["loc"], fault["msg"]) for fault in error.errors(include_input=False)]
    except UnicodeDecodeError:
        problems = [f"{_ENV_FILE} is not UTF-8 text; save it as UTF-8."]
    except OSError as error:
        problems = [f"{_ENV_FILE} cannot be read: {error.strerror}."]
    raise SettingsError("\n".join(problems))


def _env_file_problems() -> list[str]:
    """Return a problem if other users may write `.env`, which decides where mail and keys go."""
    file = Path(_ENV_FILE)
    if file.is_file() and file.stat().st_mode & stat.S_IWOTH:
        return [f"{_ENV_FILE} can be written by every user of this machine; type: chmod 600 {_ENV_FILE}"]
    return []


def _source_problems(settings: Settings) -> list[str]:
    """Return a problem if the environment's secret key would go to an origin that a file of the folder names."""
    given = {name.upper() for name, value in os.environ.items() if value}
    if (
        settings.clerk_secret_key is not None
        and "CLERK_SECRET_KEY" in given
        and "CLERK_API_URL" not in given
        and settings.clerk_api_url != CLERK_API
    ):
        problem = (
            f"CLERK_API_URL: it is from {_ENV_FILE}, and CLERK_SECRET_KEY is from the environment. The key is not sent "
            f"to an address that a file in this folder names: set both in the environment, or both in {_ENV_FILE}."
        )
        return [problem]
    return []


def _sentence(location: tuple[int | str, ...], message: str) -> str:
    variable = str(location[0]).upper() if location else "The environment"
    return f"{variable}: {message.removeprefix('Value error, ').rstrip('.')}."


def _require_key(key: str, *, kinds: tuple[str, str], called: str) -> None:
    if not key.startswith(kinds) or key in kinds:
        raise ValueError(f"{called} must begin with {kinds[0]} or {kinds[1]}; copy it from Clerk's dashboard, API keys")
    if not (key.isascii() and key.isprintable()) or " " in key:
        raise ValueError(f"{called} contains a space or a character that is not allowed in a key; copy it again")


def _origin(url: str) -> str:
    """Return scheme, host and port of Clerk's Backend API; refuse any other part except the path `/v1`."""
    example = "write an origin such as https://api.clerk.com"
    if not (url.isascii() and url.isprintable()) or set(url) & set(' \\"<>'):
        raise ValueError(f"it contains a character that is not allowed in a URL; {example}")
    try:
        parts = urlsplit(url)
    except ValueError:
        # The message of `urlsplit` quotes the URL with user and password.
        raise ValueError(f"it is not a URL; {example}") from None
    try:
        host, port = host_and_port(parts)
    except ValueError as error:
        raise ValueError(f"{error}; {example}") from None
    if parts.scheme not in {"https", "http"}:
        raise ValueError(f"it is not an https:// URL; {example}")
    if "@" in parts.netloc or "?" in url or "#" in url or parts.path.rstrip("/") not in {"", "/v1"}:
        raise ValueError(f"it cannot contain a user, a query or a path other than /v1; {example}")
    if parts.scheme == "http" and not is_loopback(host):
        raise ValueError("http:// would send the secret key unencrypted; write https://")
    shown = f"[{host}]" if ":" in host else host
    return f"{parts.scheme}://{shown}" if port is None else f"{parts.scheme}://{shown}:{port}"
