"""What the gateway can be told from outside."""

import ssl
from ipaddress import ip_network
from pathlib import Path
from typing import Annotated, Final, Self
from urllib.parse import urlsplit

from pydantic import AfterValidator, Field, SecretStr, model_validator

from schemas.shapes import CHANNEL
from services.gateway.places import Places
from services.links.settings import LinkKeySettings
from services.runtime import LOOPBACK, PREFIX, DatabaseUrl, ServiceSettings
from services.tariff import TariffSettings
from services.vault.settings import VaultSettings

ISSUER: Final = r"^(https://[^\s?#]+|http://(127\.0\.0\.1|localhost)(:\d+)?[^\s?#]*)$"
"""Who can be the OpenID provider, which `deploy account` asks, too."""


def _networks(value: str) -> str:
    for address in value.split(","):
        ip_network(address.strip(), strict=False)
    return value


class Settings(LinkKeySettings, TariffSettings, VaultSettings, ServiceSettings):
    """`LASTMETRE_WEB_PORT` and the rest; `database` is the role of requests, `board_database` the role of the one writer of the board.

    With `LASTMETRE_VAULT_DATABASE` (and its keys) the door is shown to the confirmed helper; without, a worker tells it.
    """

    web_host: str = Field(LOOPBACK, description="填监听地址 | use the address to listen at")
    web_port: Annotated[int, Field(ge=0, le=65535)] = Field(0, description="填 0（任一空闲端口）至 65535 | use a port from 0 (any free one) to 65535")
    board_database: DatabaseUrl = Field(description="填写看板写入角色的 PostgreSQL 连接串 | give the PostgreSQL connection string of the board's writer")
    public_url: str | None = Field(
        None,
        pattern=r"^https?://[^\s/]+(:\d+)?$",
        description="填居民和志愿者看到的网址，如 https://example.org | use the address that people see, such as https://example.org",
    )
    pool_max: int = Field(8, ge=1, le=200, description="填 1 至 200 个数据库连接 | use 1 to 200 database connections")
    answer_seconds: float = Field(5.0, gt=0, le=60, description="填等待匹配结果的秒数 | use the seconds for which a decision is awaited")
    explainer_url: str | None = Field(
        None,
        pattern=r"^http://(127\.0\.0\.1|localhost):\d+$",
        description="填解释服务在本机的地址，如 http://127.0.0.1:8090 | use the address of the explanation door on this machine, such as http://127.0.0.1:8090",
    )
    explainer_secret: SecretStr | None = Field(
        None, min_length=16, description="填与解释服务共用的密钥，至少 16 个字符 | give the secret shared with the explanation door, 16 characters or more"
    )
    door_secret: SecretStr | None = Field(
        None,
        min_length=32,
        description="填 32 个以上随机字符，用于派生 webhook 的密钥；不填则没有 webhook"
        " | give 32 random characters or more, from which the webhooks' secrets are derived; without it there are no webhooks",
    )
    receipt_secrets: dict[Annotated[str, Field(pattern=CHANNEL)], Annotated[SecretStr, Field(min_length=16)]] = Field(
        {},
        description='填各通道回执的密钥，至少 16 个字符，写成 JSON，如 {"sms": "…"}'
        ' | give the secret of each channel\'s receipts, 16 characters or more, as JSON such as {"sms": "…"}',
    )
    webhook_private: bool = Field(default=False, description="只用于测试：允许内部地址 | for tests only: allow addresses of inner networks")
    webhook_backoff_seconds: float = Field(1.0, gt=0, le=60, description="填首次重试前的秒数 | use the seconds before the first retry")
    webhook_give_up_seconds: float = Field(
        3 * 86_400.0, gt=0, le=30 * 86_400, description="填持续失败多少秒后停用 | use the seconds of failure after which a webhook is disabled"
    )
    demo_principals: bool = Field(default=False, description="只用于测试 | for tests only")
    places: Path | None = Field(None, description="填地名文件的路径，或不设 | use the path of the file with the names of places, or leave it unset")
    identity_keys: Path = Field(
        description="填写网关密钥文件的路径，新建：python3 -m deploy account new-keys | give the path of the gateway's key file; make one: "
        "python3 -m deploy account new-keys"
    )
    password_memory_kib: int = Field(28 * 1024, ge=8, le=1024 * 1024, description="填每次密码计算的内存（KiB） | use the memory of one password's hash in KiB")
    rate_factor: float = Field(1.0, ge=0, le=1000, description="填限流倍数，0 为不限 | use a factor for the rate limits, 0 for none")
    trusted_proxies: Annotated[str, AfterValidator(_networks)] | None = Field(
        None, description="填可信反向代理的地址，逗号分隔 | give the addresses of trusted reverse proxies, with commas between"
    )
    oidc_issuer: str | None = Field(
        None,
        pattern=ISSUER,
        description="填 OpenID 提供方的 issuer，须为 https | give the OpenID provider's issuer, which must be https",
    )
    oidc_ca: Path | None = Field(None, description="填签发提供方证书的 CA 文件（PEM）路径 | use the path of the CA's PEM file")
    oidc_session_hours: float = Field(24.0, gt=0, le=720, description="填大于 0、至多 720 的小时数 | use hours, more than 0 and 720 at most")
    oidc_client_id: str = Field("lastmetre", min_length=1, description="填在提供方登记的客户端编号 | give the client id that the provider knows us by")
    oidc_client_secret: SecretStr | None = Field(None, description="填客户端密钥，没有则不填 | give the client's secret, where it has one")
    oidc_audience: str | None = Field(
        None, min_length=1, description="填访问令牌的受众，须不同于客户端编号 | give the audience of access tokens, another than the client id"
    )

    @model_validator(mode="after")
    def _is_consistent(self) -> Self:
        if self.oidc_audience is not None and self.oidc_audience == self.oidc_client_id:
            # Else an id token, which every browser has held, would open the API.
            raise ValueError("LASTMETRE_OIDC_AUDIENCE 须不同于 LASTMETRE_OIDC_CLIENT_ID | LASTMETRE_OIDC_AUDIENCE must differ from LASTMETRE_OIDC_CLIENT_ID")
        set_for_it = [f"{PREFIX}{name.upper()}" for name in ("oidc_client_secret", "oidc_audience", "oidc_ca") if getattr(self, name) is not None]
        if self.oidc_issuer is None and set_for_it:
            raise ValueError(
                f"缺少环境变量 LASTMETRE_OIDC_ISSUER：已设置 {'、'.join(set_for_it)}，填 OpenID 提供方的 issuer"
                f" | environment variable LASTMETRE_OIDC_ISSUER is missing: there is {', '.join(set_for_it)}, so give the issuer"
            )
        if self.oidc_ca is not None:
            try:
                self.provider_tls()
            except OSError as fault:
                raise ValueError(
                    f"环境变量 LASTMETRE_OIDC_CA 不合规：文件 {self.oidc_ca} 不是可读的 PEM 证书（{fault.strerror}）：填签发提供方证书的 CA 文件路径"
                    f" | environment variable LASTMETRE_OIDC_CA is not valid: the file {self.oidc_ca} is no PEM certificate that can be read"
                    f" ({fault.strerror}): use the path of the file of the CA that signed the provider's certificate"
                ) from None
        if self.explainer_url is not None and self.explainer_secret is None:
            raise ValueError(
                "缺少环境变量 LASTMETRE_EXPLAINER_SECRET：已设置 LASTMETRE_EXPLAINER_URL，填与解释服务共用的密钥"
                " | environment variable LASTMETRE_EXPLAINER_SECRET is missing: LASTMETRE_EXPLAINER_URL is set, so give the secret shared with the door"
            )
        if self.demo_principals and not self.is_of_this_machine:
            raise ValueError("LASTMETRE_DEMO_PRINCIPALS 只能在本机测试时使用 | LASTMETRE_DEMO_PRINCIPALS is for tests on this machine only")
        Places.read(self.places)
        return self

    def provider_tls(self) -> ssl.SSLContext:
        """Who must answer as the OpenID provider: somebody whom the authority knows, or one of the system's, by the name that we call.

        Raises:
            OSError: the authority's file is not there or holds no certificate.
        """
        return ssl.create_default_context(cafile=self.oidc_ca)

    @property
    def address(self) -> str:
        """Where people reach the gateway; never what a request says."""
        return self.public_url or f"http://{self.web_host}:{self.web_port}"

    @property
    def is_of_this_machine(self) -> bool:
        """Whether nobody reaches it from elsewhere: only there is a demonstration's account let in."""
        return self.web_host == LOOPBACK and urlsplit(self.address).hostname in {LOOPBACK, "localhost"}

    @property
    def is_https(self) -> bool:
        """Whether browsers reach it over TLS."""
        return self.address.startswith("https://")
