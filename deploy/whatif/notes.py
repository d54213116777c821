"""What a reader must know to trust the numbers, for the page and for the terminal: what was kept, what was drawn, what each measure means."""

from deploy.tools.wording import Words
from deploy.whatif.months import GENERATED, JOURNAL, Month


def assumption(month: Month) -> Words:
    """Where the answers come from: the one thing that must be said wherever the numbers stand."""
    if month.kind == GENERATED:
        return (
            "志愿者的答复由生成器按心愿和志愿者抽定：十次里约九次答应，同一对在每种策略下说的话都一样。",
            "Helpers answer as the generator says: about nine times in ten yes, and the same for a wish and a helper under every policy.",
        )
    return (
        f"答复是模拟的：每位志愿者答应的可能性由记录的 {month.learnt or 0:,} 次答复（加上先验）估计，再按种子、心愿和志愿服务抽定，因此每种策略下都一样。",
        (
            f"Answers are simulated: each volunteer's chance to accept is estimated from {month.learnt or 0:,} recorded answers and a prior, and their word "
            "is drawn from the seed, the wish and the offer, so it is the same under every policy."
        ),
    )


def notes(month: Month) -> list[Words]:
    """All of them, in the order in which they are shown."""
    found = [
        (
            "匹配核心按事件时间，用每种策略重新决定同样的心愿、志愿服务、撤回、暂停和认领。",
            "The matcher's own core decides the same wishes, offers, withdrawals, suspensions and claims again, in event time, under each policy.",
        ),
        assumption(month),
        (
            "确认通知立即送达双方，没有人联系不上。",
            "Both sides are told of a match at once, and nobody is out of reach.",
        ),
    ]
    if month.kind != GENERATED:
        found.append(
            (
                f"记录中属于原有匹配的 {month.skipped:,} 个事件（答复、批准、上门、确认）只用来估计，不重放；换了策略，那些匹配未必存在。",
                (
                    f"{month.skipped:,} recorded events that belong to matches of their own time (answers, approvals, visits, confirmations) are learnt from "
                    "and not replayed: under another policy those matches may not come about."
                ),
            )
        )
    if month.kind == JOURNAL:
        found.append(
            (
                "日志里看得出谁被问了多久、谁没有答复、谁后来来不了，这些也照样模拟。",
                "A journal also tells how long answers took, who gave none and who called off later; all of that is simulated alike.",
            )
        )
    return [
        *found,
        (
            "等待只算得到过提议的心愿；满足率低的策略，等待可能因此显得短，要两样一起看。",
            "Waits are of wishes that had a proposal: a policy that fills fewer may look quick for that reason, so read both together.",
        ),
        (
            "权重：一次匹配 1000，加上远近 0 至 400、技能合适 0 至 200。质量：成立的匹配的权重，除以所有名额都配到最好时的权重。",
            "Weight: 1000 for a match, up to 400 for nearness and 200 for skills that fit. Quality: the weight of what stood ÷ what all places could weigh.",
        ),
        (
            "最久的可帮心愿：从有人帮得上、也愿意来的那一刻起，到首次提议或心愿结束，最长的一次。",
            "Oldest feasible wish: the longest from the moment at which somebody could help and would, up to the first proposal or the wish's end.",
        ),
        (
            "基尼系数：0 为人人一样多，越接近 1 越集中。发布过志愿服务的人都算在内。",
            "Gini: 0 where everyone has as many tasks, towards 1 where few have all. Everyone who posted an offer counts.",
        ),
        (
            "很小的差别可能只是运气：换几个 --seed 再看。",
            "A small difference may be chance: look again with other values of --seed.",
        ),
    ]
