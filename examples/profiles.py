"""One chain under three profiles and one of its own, without a change to the chain. Offline.

In an application the profile is chosen with ``PROMPTCHAIN_PROFILE=cost`` in the environment; here, to have all
of them in one run, with ``settings=``. Run it with ``python examples/profiles.py``.
"""

import asyncio

from promptchain import AnthropicModel, Chain, Step
from promptchain.settings import Profile, Settings
from promptchain.testing import MessagesAPI

SETTINGS = {
    "as the code says": {},
    "cost": {"PROMPTCHAIN_PROFILE": "cost"},
    "balanced": {"PROMPTCHAIN_PROFILE": "balanced"},
    "accuracy": {"PROMPTCHAIN_PROFILE": "accuracy"},
    "own": {"PROMPTCHAIN_PROFILE": "careful-end"},
    "cost, but for one step": {
        "PROMPTCHAIN_PROFILE": "cost",
        "PROMPTCHAIN_REVIEW_MODEL": "claude-opus-5-5",
    },
}


def memo(claude: AnthropicModel) -> Chain[str, str]:
    return Chain(
        "memo",
        Step("draft", prompt="Write a short memo about this:\n{input}")
        | Step("review", prompt="Make this memo clearer, and shorter:\n{draft}"),
        model=claude,
        profiles={
            "careful-end": Profile(
                model="claude-haiku-5-5",
                effort="low",
                steps={"review": {"model": "claude-sonnet-5-5", "effort": "high"}},
            )
        },
    )


async def main() -> None:
    with MessagesAPI() as api:
        # A profile changes the model's name; the address and the key stay those of this one.
        chain = memo(AnthropicModel("claude-haiku-4-5", base_url=api.url, api_key="simulated"))
        for title, variables in SETTINGS.items():
            before = len(api.bill)
            result = await chain.run("The office moves to Kiel in May.", settings=Settings.read(variables))
            asked = [
                f"{sent.model} {sent.received.get('output_config', {}).get('effort', '')}".strip()
                for sent in api.bill[before:]
            ]
            print(f"{title:24} {' | '.join(asked):52} USD {result.cost:.6f}")


if __name__ == "__main__":
    asyncio.run(main())
