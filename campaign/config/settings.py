"""Read the settings from the environment and from `.env`, beside the campaign file or here: `load_settings`.

An error names the setting and what to type, but never the setting's value, which may be a secret.
"""

from __future__ import annotations

import os
from datetime import timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

from pydantic import Field, PrivateAttr, SecretStr, ValidationError, field_validator
from pydantic_settings import BaseSettings, DotEnvSettingsSource, NoDecode, SettingsConfigDict

from campaign.config.clerk_values import PUBLISHABLE_KEYS, SECRET_KEYS, parse_origin, require_key
from campaign.config.env_file import env_file_of, folder_of, misspelt, sources_to_refuse, writable_by_others
from campaign.config.imap_url import ImapServer, parse_imap_url
from campaign.config.postgres_url import PostgresUrl, parse_log
from campaign.config.secret_files import read_secret_file, require_command, require_signing_key
from campaign.config.server_url import is_loopback
from campaign.config.smtp_url import SmtpServer, Tls, parse_ehlo_name, parse_smtp_url, with_login
from campaign.errors import SettingsError
from campaign.schedule.duration import parse_duration

if TYPE_CHECKING:
    from collections.abc import Callable

__all__ = ["CLERK_API", "Settings", "SmtpServer", "Tls", "is_loopback", "load_settings", "parse_smtp_url"]

#: The name of the send log beside a campaign file.
LOG_NAME = "send-log.db"
#: The fields with a path: in `.env`, a relative path is relative to the folder of that file.
_PATHS = ("log", "dkim_key", "sandbox")
#: The origin of Clerk's Backend API.
CLERK_API = "https://api.clerk.com"


class Settings(BaseSettings):
    """The settings from the environment; an empty variable counts as unset."""

    model_config = SettingsConfigDict(
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
    #: The send log, a file or a database; None: `send-log.db` beside the campaign file (`log_of`).
    log: Annotated[Path | PostgresUrl | None, NoDecode] = Field(default=None, alias="CAMPAIGN_LOG")
    #: The file with the private key that signs the mails of a campaign with `[dkim]`.
    dkim_key: Path | None = Field(default=None, alias="CAMPAIGN_DKIM_KEY")
    #: The key with which the questions of `[recheck]` are signed (HMAC-SHA-256).
    recheck_key: SecretStr | None = Field(default=None, alias="CAMPAIGN_RECHECK_KEY")
    #: The folder of the sandbox.
    sandbox: Path = Field(default=Path(".campaign"), alias="CAMPAIGN_SANDBOX")
    #: How long to wait for the reply to the final dot (RFC 5321 §4.5.3.2.6 asks for 10 minutes).
    reply_timeout: timedelta = Field(default=timedelta(minutes=10), alias="CAMPAIGN_REPLY_TIMEOUT")

    _dotenv: Path | None = PrivateAttr(default=None)

    @property
    def dotenv(self) -> Path | None:
        """The `.env` that was read; None if there was none."""
        return self._dotenv

    def log_of(self, file: Path | None) -> Path | PostgresUrl:
        """Return the send log of a campaign file, from whichever folder the command is typed.

        Args:
            file: the campaign file; None: the current folder instead of the file's.
        """
        return self.log or (Path() if file is None else folder_of(file)) / LOG_NAME

    @field_validator("clerk_secret_key")
    @classmethod
    def _is_secret_key(cls, key: SecretStr | None) -> SecretStr | None:
        if key is not None:
            require_key(key.get_secret_value(), kinds=SECRET_KEYS, called="Clerk's secret key")
        return key

    @field_validator("recheck_key")
    @classmethod
    def _is_signing_key(cls, key: SecretStr | None) -> SecretStr | None:
        require_signing_key(None if key is None else key.get_secret_value())
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

    @field_validator("log", mode="before")
    @classmethod
    def _is_log(cls, value: Any) -> Any:  # noqa: ANN401 - any value from the environment
        return parse_log(value) if isinstance(value, str) else value

    @field_validator("smtp_token_command")
    @classmethod
    def _is_command(cls, command: str | None) -> str | None:
        return None if command is None else require_command(command)

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
    def _is_path(cls, value: Path | PostgresUrl | None) -> Path | PostgresUrl | None:
        if "\0" in str(value):
            raise ValueError("a path cannot contain a NUL character")
        return value


def load_settings(file: Path | None = None) -> Settings:
    """Return the settings from the environment and from `.env`; the environment wins.

    `.env` is read beside the campaign file or, if there is none, in the current folder.

    Args:
        file: the campaign file; None for a command without one.

    Raises:
        SettingsError: a variable is invalid or misspelt, other users may write `.env`, or `.env` would send a key from
            the environment elsewhere. The text has one line for each fault, and no line contains a value.
    """
    dotenv, problems = env_file_of(file), list[str]()
    # Raised after the `except`, so that no traceback or debugger finds the values through `__context__`.
    try:
        problems = writable_by_others(dotenv) or _misspelt(dotenv)
        settings = Settings(_env_file=dotenv)
        if not (problems := problems or _source_problems(settings, dotenv)):
            settings, problems = _with_secrets(settings)
        if not problems:
            return _placed(settings, dotenv)
    except ValidationError as error:
        problems += [_sentence(fault["loc"], fault["msg"]) for fault in error.errors(include_input=False)]
    except UnicodeDecodeError:
        problems = [f"{dotenv} is not UTF-8 text; save it as UTF-8."]
    except OSError as error:
        problems = [f"{dotenv} cannot be read: {error.strerror}."]
    raise SettingsError("\n".join(problems))


def _placed(settings: Settings, dotenv: Path | None) -> Settings:
    """Return the settings with the relative paths of `.env` beneath its folder, and with the file's name."""
    if dotenv is not None:
        here = _given()
        chosen = {name: getattr(settings, name) for name in _PATHS if _variable(name) not in here}
        found = {
            name: dotenv.parent / value
            for name, value in chosen.items()
            if name in settings.model_fields_set and isinstance(value, Path)
        }
        settings = settings.model_copy(update=found)
    settings._dotenv = dotenv  # noqa: SLF001 - its own class
    return settings


def _given() -> set[str]:
    """Return the names of the environment's variables that have a value, in upper case."""
    return {name.upper() for name, value in os.environ.items() if value}


def _variable(field: str) -> str:
    """Return the name of a field's variable."""
    return (Settings.model_fields[field].alias or field).upper()


def _misspelt(dotenv: Path | None) -> list[str]:
    """Return a problem for each variable whose name is almost that of a setting: it would have no effect."""
    lines = DotEnvSettingsSource(Settings, env_file=dotenv).env_vars if dotenv else {}
    places = dict.fromkeys((name.upper() for name, value in lines.items() if value), str(dotenv))
    places |= dict.fromkeys(_given(), "the environment")
    return misspelt(places, {_variable(field) for field in Settings.model_fields})


def _source_problems(settings: Settings, dotenv: Path | None) -> list[str]:
    """Return the problems of a `.env` that would send secrets of the environment elsewhere, or reach for more.

    A `.env` belongs to the folder of the campaign file, or in which the program is started. Either may be another
    person's.
    """
    log = settings.log if isinstance(settings.log, PostgresUrl) else None
    files = {
        "CLERK_SECRET_KEY_FILE": settings.clerk_secret_key_file is not None,
        "CAMPAIGN_SMTP_PASSWORD_FILE": settings.smtp_password_file is not None,
        "CAMPAIGN_SMTP_TOKEN_COMMAND": settings.smtp_token_command is not None,
        "CAMPAIGN_LOG": log is not None and log.names_a_file,
    }
    destinations = {
        "CLERK_API_URL": settings.clerk_api_url != CLERK_API and ("CLERK_SECRET_KEY", "CLERK_SECRET_KEY_FILE"),
        "CAMPAIGN_SMTP_URL": settings.smtp and ("CAMPAIGN_SMTP_PASSWORD_FILE", "CAMPAIGN_SMTP_TOKEN_COMMAND"),
        "CAMPAIGN_LOG": log and not log.has_password and ("PGPASSWORD", "PGPASSFILE"),
    }
    return sources_to_refuse(
        [name for name, is_set in files.items() if is_set],
        {name: secrets for name, secrets in destinations.items() if secrets},
        given=_given(),
        env_file=dotenv,
    )


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
