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
    explainer_url: str | None = Field(
        None,
        pattern=r"^http://(127\.0\.0\.1|localhost):\d+$",
        description="填解释服务在本机的地址，如 http://127.0.0.1:8090 | use the address of the explanation door on this machine, such as http://127.0.0.1:8090",
    )
    explainer_secret: SecretStr | None = Field(
        None, min_length=16, description="填与解释服务共用的密钥，至少 16 个字符 | give the secret shared with the explanation door, 16 characters or more"
    )
    demo_principals: bool = Field(default=False, description="只用于测试 | for tests only")
