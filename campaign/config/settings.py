"""Read the settings from the environment and from `.env` in the working directory: `load_settings`.

An error names the setting and what to type, but never the setting's value, which may be a secret.
"""

from __future__ import annotations

import os
import shlex
import stat
from datetime import timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

from pydantic import Field, SecretStr, ValidationError, field_validator
from pydantic_settings import BaseSettings, NoDecode, SettingsConfigDict

from campaign.config.clerk_values import PUBLISHABLE_KEYS, SECRET_KEYS, parse_origin, require_key
from campaign.config.duration import parse_duration
from campaign.config.imap_url import ImapServer, parse_imap_url
from campaign.config.secret_files import read_secret_file
from campaign.config.server_url import is_loopback
from campaign.config.smtp_url import SmtpServer, Tls, parse_ehlo_name, parse_smtp_url, with_login
from campaign.errors import SettingsError

if TYPE_CHECKING:
    from collections.abc import Callable

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
    #: A file with the secret key, instead of it; with `load_settings` its content is in `clerk_secret_key`.
    clerk_secret_key_file: Path | None = None
    #: The origin of the Backend API: no trailing slash, no `/v1`.
    clerk_api_url: str = CLERK_API
    #: `pk_live_…` or `pk_test_…`, for the sandbox's landing page.
    clerk_publishable_key: str | None = None
    #: The mail server (`CAMPAIGN_SMTP_URL`).
    smtp: Annotated[SmtpServer | None, NoDecode] = Field(default=None, alias="CAMPAIGN_SMTP_URL")
    #: The mailbox that gets the bounces (`CAMPAIGN_IMAP_URL`).
    imap: Annotated[ImapServer | None, NoDecode] = Field(default=None, alias="CAMPAIGN_IMAP_URL")
    #: A file with the mail server's password; with `load_settings` its content is in `smtp`.
    smtp_password_file: Path | None = Field(default=None, alias="CAMPAIGN_SMTP_PASSWORD_FILE")
    #: A command that prints an OAuth access token for the mail server; with `load_settings` it is in `smtp`.
    smtp_token_command: str | None = Field(default=None, alias="CAMPAIGN_SMTP_TOKEN_COMMAND")
    #: The name for EHLO; None: the machine's own host name, or the sender's domain.
    ehlo: str | None = Field(default=None, alias="CAMPAIGN_EHLO")
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
            require_key(key.get_secret_value(), kinds=SECRET_KEYS, called="Clerk's secret key")
        return key

    @field_validator("clerk_publishable_key")
    @classmethod
    def _is_publishable_key(cls, key: str | None) -> str | None:
        if key is not None:
            require_key(key, kinds=PUBLISHABLE_KEYS, called="Clerk's publishable key")
        return key

    @field_validator("clerk_api_url")
    @classmethod
    def _is_origin(cls, url: str) -> str:
        return parse_origin(url)

    @field_validator("smtp", mode="before")
    @classmethod
    def _is_smtp_url(cls, value: Any) -> Any:  # noqa: ANN401 - any value from the environment
        return parse_smtp_url(value) if isinstance(value, str) else value

    @field_validator("imap", mode="before")
    @classmethod
    def _is_imap_url(cls, value: Any) -> Any:  # noqa: ANN401 - any value from the environment
        return parse_imap_url(value) if isinstance(value, str) else value

    @field_validator("smtp_token_command")
    @classmethod
    def _is_command(cls, command: str | None) -> str | None:
        try:
            words = [] if command is None else shlex.split(command)
        except ValueError as error:
            raise ValueError(f"it is not a command line: {error}") from None
        if command is not None and not words:
            raise ValueError("write a command that prints an access token")
        return command

    @field_validator("ehlo")
    @classmethod
    def _is_host_name(cls, name: str | None) -> str | None:
        return None if name is None else parse_ehlo_name(name)

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

    @field_validator("log", "sandbox", "dkim_key", "clerk_secret_key_file", "smtp_password_file")
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
            settings, problems = _with_secrets(settings)
        if not problems:
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
    """Return the problems of a `.env` that would send secrets of the environment elsewhere, or reach for more.

    A `.env` belongs to the folder in which the program is started, and that folder may be another person's.
    """
    given = {name.upper() for name, value in os.environ.items() if value}
    problems = [
        f"{name}: set it in the environment, not in {_ENV_FILE}: a file in this folder must not run a command or name "
        "a file whose content is sent away."
        for name, value in {
            "CLERK_SECRET_KEY_FILE": settings.clerk_secret_key_file,
            "CAMPAIGN_SMTP_PASSWORD_FILE": settings.smtp_password_file,
            "CAMPAIGN_SMTP_TOKEN_COMMAND": settings.smtp_token_command,
        }.items()
        if value is not None and name not in given
    ]
    destinations = {
        "CLERK_API_URL": (settings.clerk_api_url != CLERK_API, ("CLERK_SECRET_KEY", "CLERK_SECRET_KEY_FILE")),
        "CAMPAIGN_SMTP_URL": (
            settings.smtp is not None,
            ("CAMPAIGN_SMTP_PASSWORD_FILE", "CAMPAIGN_SMTP_TOKEN_COMMAND"),
        ),
    }
    for destination, (is_set, secrets) in destinations.items():
        if is_set and destination not in given:
            problems += [
                f"{destination}: it is from {_ENV_FILE}, and {secret} is from the environment. The secret is not sent "
                f"to an address that a file in this folder names: set {destination} in the environment, too."
                for secret in secrets
                if secret in given
            ]
    return problems


def _with_secrets(settings: Settings) -> tuple[Settings, list[str]]:
    """Return the settings with the secrets that files hold and the command for a token, and the problems."""
    read: dict[str, Any] = {}
    problems: list[str] = []
    sources: tuple[tuple[str, str, Callable[[], Any]], ...] = (
        ("clerk_secret_key", "CLERK_SECRET_KEY_FILE", lambda: _secret_key(settings)),
        ("password", "CAMPAIGN_SMTP_PASSWORD_FILE", lambda: _password(settings)),
        ("smtp", "CAMPAIGN_SMTP_URL", lambda: _server(settings, read["password"]) if "password" in read else None),
    )
    for field, variable, value in sources:
        try:
            read[field] = value()
        except ValueError as error:
            problems.append(_sentence((variable,), str(error)))
    read.pop("password", None)
    return settings.model_copy(update=read), problems


def _secret_key(settings: Settings) -> SecretStr | None:
    if settings.clerk_secret_key_file is None:
        return settings.clerk_secret_key
    if settings.clerk_secret_key is not None:
        raise ValueError("CLERK_SECRET_KEY is set, too; unset one of the two")
    key = read_secret_file(settings.clerk_secret_key_file)
    require_key(key, kinds=SECRET_KEYS, called="Clerk's secret key")
    return SecretStr(key)


def _password(settings: Settings) -> str | None:
    return None if settings.smtp_password_file is None else read_secret_file(settings.smtp_password_file)


def _server(settings: Settings, password: str | None) -> SmtpServer | None:
    if settings.smtp is not None:
        return with_login(settings.smtp, password=password, token_command=settings.smtp_token_command)
    if password or settings.smtp_token_command:
        raise ValueError("it is not set, but a password or token for it is; write smtp://user@smtp.example.com:587")
    return None


def _sentence(location: tuple[int | str, ...], message: str) -> str:
    variable = str(location[0]).upper() if location else "The environment"
    return f"{variable}: {message.removeprefix('Value error, ').rstrip('.')}."
