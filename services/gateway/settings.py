"""What the gateway can be told from outside."""

from typing import Annotated

from pydantic import Field, SecretStr

from services.runtime import LOOPBACK, ServiceSettings


class Settings(ServiceSettings):
    """`LASTMETRE_WEB_PORT` and the rest; `database` is the role of requests, `board_database` the role of the one writer of the board."""

    web_host: str = Field(LOOPBACK, description="填监听地址 | use the address to listen at")
    web_port: Annotated[int, Field(ge=0, le=65535)] = Field(0, description="填 0（任一空闲端口）至 65535 | use a port from 0 (any free one) to 65535")
    board_database: SecretStr = Field(
        min_length=1, description="填写看板写入角色的 PostgreSQL 连接串 | give the PostgreSQL connection string of the board's writer"
    )
    public_url: str | None = Field(
        None,
        pattern=r"^https?://[^\s/]+(:\d+)?$",
        description="填居民和志愿者看到的网址，如 https://example.org | use the address that people see, such as https://example.org",
    )
    pool_max: int = Field(16, ge=1, le=200, description="填 1 至 200 个数据库连接 | use 1 to 200 database connections")
    answer_seconds: float = Field(5.0, gt=0, le=60, description="填等待匹配结果的秒数 | use the seconds for which a decision is awaited")
    door_secret: SecretStr | None = Field(
        None,
        min_length=32,
        description="填 32 个以上随机字符，用于派生 webhook 的密钥；不填则没有 webhook"
        " | give 32 random characters or more, from which the webhooks' secrets are derived; without it there are no webhooks",
    )
    receipt_secrets: dict[str, SecretStr] = Field(
        {},
        description='填各通道回执的密钥，如 {"sms": "…"} | give the secret of each channel\'s receipts, such as {"sms": "…"}',
    )
    webhook_private: bool = Field(default=False, description="只用于测试：允许内部地址 | for tests only: allow addresses of inner networks")
    webhook_backoff_seconds: float = Field(1.0, gt=0, le=60, description="填首次重试前的秒数 | use the seconds before the first retry")
    webhook_give_up_seconds: float = Field(
        3 * 86_400.0, gt=0, le=30 * 86_400, description="填持续失败多少秒后停用 | use the seconds of failure after which a webhook is disabled"
    )
    demo_principals: bool = Field(default=False, description="只用于测试 | for tests only")
