"""What the notifier can be told from outside."""

from pathlib import Path
from typing import Self

from pydantic import Field, SecretStr, model_validator

from schemas.instants import MINUTE_US
from services.links.settings import LinkSettings
from services.notifier.channel_settings import Named, channels_of, is_web_address
from services.notifier.notices import Language
from services.notifier.visits import Limits
from services.notifier.watch import Timing
from services.runtime import ServiceSettings
from services.tariff import TariffSettings
from services.vault.settings import VaultSettings

CONSOLE = "console"


class Settings(LinkSettings, TariffSettings, ServiceSettings, VaultSettings):
    """`LASTMETRE_CHANNEL` and the rest, the links' and the vault's own among them; limits are settings so that tests can shorten them."""

    channel: SecretStr = Field(
        SecretStr(CONSOLE), description="填 console、http(s) 地址或通道名称 | use console, an http(s) URL or a channel's name"
    )  # a URL may carry a token, so it is never shown
    channels: SecretStr | None = Field(None, description="填描述各通道的 TOML 或 JSON 文件路径 | use the path of a TOML or JSON file that describes channels")
    directory: Path | None = Field(None, description="填通讯录 TOML 文件路径 | use the path of the directory, a TOML file")
    urgent_hours: float = Field(12.0, ge=0, le=168, description="填 0 至 168 小时 | use 0 to 168 hours")
    read_minutes: float = Field(30.0, gt=0, le=10080, description="填 0 至 10080 分钟 | use 0 to 10080 minutes")
    webhook_secret: SecretStr | None = Field(None, min_length=16, description="填写至少 16 个字符的密钥 | give a secret of at least 16 characters")
    webhook_timeout_seconds: float = Field(5.0, gt=0, le=60, description="填 0 至 60 秒 | use 0 to 60 seconds")
    webhook_attempts_max: int = Field(8, ge=1, le=100, description="填 1 至 100 次 | use 1 to 100 attempts")
    webhook_backoff_seconds: float = Field(1.0, gt=0, description="填大于 0 的秒数 | use more than 0 seconds")
    webhook_backoff_max_seconds: float = Field(300.0, gt=0, description="填大于 0 的秒数 | use more than 0 seconds")
    webhook_concurrency: int = Field(64, ge=1, le=1000, description="填 1 至 1000 | use 1 to 1000")
    instance: str | None = Field(
        None,
        pattern=r"^[A-Za-z0-9._-]{1,100}$",
        description="填本进程固定且唯一的名称 | use a name that is this process's own and stays the same when it starts again",
    )
    language: Language = Field("zh-CN", description="填 zh-CN 或 en | use zh-CN or en")
    batch_max: int = Field(1000, ge=1, description="填大于 0 的事件数 | use more than 0 events")
    poll_seconds: float = Field(1.0, gt=0, description="填大于 0 的秒数 | use more than 0 seconds")
    in_hand_max: int = Field(5000, ge=1, description="填大于 0 的通知数 | use more than 0 notices")
    lag_seconds_max: float = Field(30.0, gt=0, description="填大于 0 的秒数 | use more than 0 seconds")

    finish_minutes: int = Field(60, ge=0, description="填等待志愿者报告的分钟数 | use the minutes for which the helper's own report is awaited")
    acknowledge_minutes: int = Field(2880, ge=0, description="填等待居民反馈的分钟数 | use the minutes for which the resident's word is awaited")
    report_minutes: int = Field(4320, ge=0, description="填服务结束后等待任何报告的分钟数 | use the minutes after the slot for which any report is awaited")

    remind_red_minutes: int = Field(30, ge=0, le=10080, description="填上门前的分钟数，0 为不提醒 | use minutes before the visit, 0 for no reminder")
    remind_yellow_minutes: int = Field(120, ge=0, le=10080, description="填上门前的分钟数，0 为不提醒 | use minutes before the visit, 0 for no reminder")
    remind_blue_minutes: int = Field(1200, ge=0, le=10080, description="填上门前的分钟数，0 为不提醒 | use minutes before the visit, 0 for no reminder")
    not_started_minutes: int = Field(
        15, ge=0, le=1440, description="填开始后多少分钟无人报到即告警 | use the minutes after the start for which a report is awaited"
    )
    not_finished_minutes: int = Field(
        30, ge=0, le=1440, description="填结束后多少分钟未报告即告警 | use the minutes after the end for which a report is awaited"
    )
    alarm_worker_minutes: int = Field(15, ge=0, le=1440, description="填中心户长之后多少分钟通知社区 | use the minutes after which the worker is told as well")
    ask_report_minutes: int = Field(10, ge=0, le=10080, description="填结束后多少分钟请志愿者报告 | use the minutes after the end until the helper is asked")
    ask_feedback_minutes: int = Field(30, ge=0, le=10080, description="填结束后多少分钟请居民反馈 | use the minutes after the end until the resident is asked")
    late_cancel_minutes: int = Field(
        240, ge=0, le=10080, description="填多少分钟内取消算临时取消 | use the minutes before a visit within which calling off is late"
    )
    centre_households: str = Field(
        "中心户", pattern=r"[^\s,]", description="填中心户组织名称中的词，多个用逗号分隔 | use words in organisations' names, with commas between"
    )

    @property
    def timing(self) -> Timing:
        """When what is said about a visit."""
        reminders = (self.remind_red_minutes * MINUTE_US, self.remind_yellow_minutes * MINUTE_US, self.remind_blue_minutes * MINUTE_US)
        return Timing(
            reminders,
            self.not_started_minutes * MINUTE_US,
            self.not_finished_minutes * MINUTE_US,
            self.alarm_worker_minutes * MINUTE_US,
            self.ask_report_minutes * MINUTE_US,
            self.ask_feedback_minutes * MINUTE_US,
        )

    @property
    def household_words(self) -> tuple[str, ...]:
        """What the `organisation` of a centre household contains, one of them."""
        return tuple(word.strip() for word in self.centre_households.split(",") if word.strip())

    @property
    def limits(self) -> Limits:
        """How long each side of a visit may stay silent."""
        return Limits(self.finish_minutes * MINUTE_US, self.acknowledge_minutes * MINUTE_US, self.report_minutes * MINUTE_US)

    @property
    def webhook(self) -> str | None:
        """The webhook's URL, or None where notices go to the console."""
        value = self.channel.get_secret_value()
        return None if value == CONSOLE or value in self.named_channels else value

    @property
    def named_channels(self) -> dict[str, Named]:
        """The channels of `LASTMETRE_CHANNELS`, by name."""
        return {} if self.channels is None else channels_of(self.channels.get_secret_value())

    @model_validator(mode="after")
    def _channels_hold(self) -> Self:
        names = self.named_channels  # their own complaints come first
        if CONSOLE in names and names[CONSOLE].config.type != CONSOLE:
            raise ValueError("通道名称 console 只能用于 console 类型 | a channel named console must be of type console")
        return self

    @model_validator(mode="after")
    def _people_are_in_one_place(self) -> Self:
        if self.vault_database is None:
            return self
        if self.directory is not None:
            raise ValueError(
                "环境变量 LASTMETRE_DIRECTORY 与 LASTMETRE_VAULT_DATABASE 只能设一个：人员在保险箱中"
                " | give either LASTMETRE_DIRECTORY or LASTMETRE_VAULT_DATABASE: with a vault, people are in it"
            )
        if self.vault_keys is None:
            raise ValueError(
                "缺少环境变量 LASTMETRE_VAULT_KEYS：填写密钥文件的路径 | environment variable LASTMETRE_VAULT_KEYS is missing: give the path of the key file"
            )
        return self

    @model_validator(mode="after")
    def _webhook_is_signed(self) -> Self:
        url = self.webhook
        if url is None:
            return self
        if not is_web_address(url):
            raise ValueError(
                "环境变量 LASTMETRE_CHANNEL 不合规：填 console、http(s) 地址或 LASTMETRE_CHANNELS 中的通道名称"
                " | environment variable LASTMETRE_CHANNEL is not valid: use console, an http(s) URL or the name of a channel of LASTMETRE_CHANNELS"
            )
        if self.webhook_secret is None:
            raise ValueError(
                "缺少环境变量 LASTMETRE_WEBHOOK_SECRET：使用 webhook 时必须填写签名密钥"
                " | environment variable LASTMETRE_WEBHOOK_SECRET is missing: a webhook needs a secret to sign with"
            )
        return self
