"""The simulated Messages API for the benchmarks: two short structured answers, then 200 deltas of text.

A process of its own, so that its CPU is not counted: it prints its address and serves until its standard
input is closed. ``paced`` sends a delta a millisecond, each in a packet of its own, as a real model does;
``burst`` sends as fast as it can, 64 events a write; ``held`` keeps every last step waiting for its first token.
"""

import sys

from promptchain.testing import Answer, MessagesAPI, Pace, RecordedRequest

ANALYSIS = {
    "intent": "explain the Raft consensus algorithm to an engineer who has never met it",
    "key_entities": ["Raft", "leader election", "log replication", "quorum"],
    "complexity": "moderate",
}
DRAFT = {"content": "Raft keeps a replicated log in agreement. " * 12, "confidence": 0.9}
FINAL = Answer(deltas=[f"word{n % 10} " for n in range(200)])
PACES = {
    "burst": Pace(),
    "paced": Pace(between=0.001),
    "held": Pace(first=30.0),
}


def main() -> None:
    mode = sys.argv[1]

    def answer(request: RecordedRequest) -> Answer:
        if request.prompt.startswith("What does this ask for?"):
            return Answer(ANALYSIS, pace=PACES["burst"])
        if request.prompt.startswith("Write the content."):
            return Answer(DRAFT, pace=PACES["burst"])
        return Answer(deltas=FINAL.deltas, pace=PACES[mode])

    with MessagesAPI() as api:
        api.answer_with(answer)
        print(api.url, flush=True)
        sys.stdin.read()


if __name__ == "__main__":
    main()
