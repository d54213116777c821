"""Robots of groups: WeCom, DingTalk, Feishu.

apprise reads the URL (its own, or the robot's, put into its words where it does not know them), checks it and signs for DingTalk; the request is ours. Its
plugins take each answer 200 for a success, but WeCom and DingTalk refuse with 200 and a code in the body, and a notice that was refused must not count as told.
An address, where a person has one, is the mobile number that the robot points at; Feishu's has none.
"""

from typing import Any, Final
from urllib.parse import parse_qs, quote, urlsplit

import orjson
from yarl import URL

from services.notifier.apprised import Unusable, plugin_of
from services.notifier.book import Notice
from services.notifier.channel_settings import BotChannel, Named
from services.notifier.channels import Answer, session_of, system_of
from services.notifier.routes import Way
from services.notifier.sms import post_judged

# By type: apprise's schema, where the service is, the answer's field (Feishu's had another name once), and the codes that say "not so fast" or "our fault".
_SCHEMES: Final = {"wecom": "wecombot", "dingtalk": "dingtalk", "feishu": "feishu"}
_HOSTS: Final = {"wecom": "https://qyapi.weixin.qq.com", "dingtalk": "https://oapi.dingtalk.com", "feishu": "https://open.feishu.cn"}
_FIELDS: Final = {"wecom": ("errcode",), "dingtalk": ("errcode",), "feishu": ("code", "StatusCode")}
_LATER: Final = {
    "wecom": ("-1", "45009", "45033"),
    "dingtalk": ("-1", "130101", "130102", "410100"),
    "feishu": ("9499", "11232", "11233"),
}
# Where the services' own addresses of DingTalk's and Feishu's robots begin.
_DINGTALK_OWN: Final = (_HOSTS["dingtalk"], "/robot/send")
_FEISHU_OWN: Final = (_HOSTS["feishu"], "/open-apis/bot/v2/hook/")


def _in_apprises_words(url: str) -> str:
    """The URL as apprise takes it: of the addresses that the services show for copying it knows WeCom's alone."""
    try:
        parts = urlsplit(url.strip())
    except ValueError:  # such as a bracket too few: apprise says that it is none
        return url
    host = f"{parts.scheme}://{parts.netloc}"
    if (host, parts.path) == _DINGTALK_OWN:
        tokens = parse_qs(parts.query).get("access_token", [])
        return f"dingtalk://{quote(tokens[0], safe='')}" if len(tokens) == 1 else url
    if host == _FEISHU_OWN[0] and parts.path.startswith(_FEISHU_OWN[1]):
        return f"feishu://{quote(parts.path.removeprefix(_FEISHU_OWN[1]), safe='')}"
    return url


class Bot:
    """One robot."""

    def __init__(self, named: Named, config: BotChannel) -> None:
        """Raises `Unusable` where apprise does not take the URL."""
        self.name = named.name
        self.concurrency = config.concurrency
        self.timeout_seconds = config.timeout_seconds
        self._type = config.type
        self._plugin = plugin_of(_in_apprises_words(named.secret("url") or ""))
        if getattr(self._plugin, "secure_protocol", None) != _SCHEMES[config.type]:
            raise Unusable(
                f"环境变量 {config.url_env} 不合规：通道 {named.name} 需要 {config.type} 机器人的地址"
                f" | environment variable {config.url_env} is not valid: channel {named.name} needs the URL of a {config.type} robot"
            )
        host = (config.endpoint or _HOSTS[config.type]).rstrip("/")
        self.way = Way(config.system or f"{config.type}@{system_of(host)}", honours_key=False)
        self._host = host
        self._session = session_of(config.timeout_seconds, config.concurrency)

    def _url(self) -> str:
        plugin = self._plugin
        if self._type == "wecom":
            return f"{self._host}/cgi-bin/webhook/send?key={plugin.key}"
        if self._type == "feishu":
            return f"{self._host}/open-apis/bot/v2/hook/{plugin.token}"
        url = f"{self._host}/robot/send?access_token={plugin.token}"
        if plugin.secret:
            timestamp, sign = plugin.get_signature()
            url += f"&timestamp={timestamp}&sign={sign}"
        return url

    def _body(self, text: str, mobile: str) -> dict[str, Any]:
        if self._type == "feishu":
            return {"msg_type": "text", "content": {"text": text}}
        if self._type == "wecom":
            return {"msgtype": "text", "text": {"content": text, **({"mentioned_mobile_list": [mobile]} if mobile else {})}}
        return {"msgtype": "text", "text": {"content": text}, "at": {"atMobiles": [mobile] if mobile else [], "isAtAll": False}}

    async def send(self, notice: Notice, address: str = "", suffix: str = "") -> Answer:  # noqa: ARG002 - robots know no keys
        """POST it."""
        body = orjson.dumps(self._body(notice.text, address))
        later = _LATER[self._type]
        # Encoded already: DingTalk's signature holds characters that must not be written otherwise.
        url, headers = URL(self._url(), encoded=True), {"Content-Type": "application/json"}
        return await post_judged(self._session, url, body, headers, _FIELDS[self._type], ("0",), later, always=True)

    async def close(self) -> None:
        """Close the connections."""
        await self._session.close()
