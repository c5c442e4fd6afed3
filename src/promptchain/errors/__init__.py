"""Every error that promptchain raises.

::

    PromptChainError
    ├── DefinitionError              the chain is wrong as written
    │   ├── TemplateError            a placeholder or a brace in a prompt
    │   ├── PromptFileError          a prompt file is missing, unreadable or not UTF-8
    │   ├── OutputTypeError          no JSON schema can be made of an output type
    │   ├── LinkError                two stages whose declared types do not fit
    │   └── LoadError                a chain named as ``module:attribute`` cannot be loaded
    ├── ConfigurationError           the surroundings are wrong
    │   ├── MissingKeyError          there is no credential for the API
    │   ├── MissingExtraError        an optional dependency is not installed
    │   ├── UnknownPriceError        a budget in USD, and a model without a known price
    │   └── RealCallForbiddenError   a test reached for the real API
    ├── InputError                   what was handed to a run cannot be used; nothing was sent
    ├── ModelError                   a request did not bring a complete reply
    │   ├── ModelConnectionError     no connection, or it broke
    │   │   └── IncompleteReplyError the stream ended, or was cut, before the reply did
    │   ├── ModelTimeoutError        nothing came for too long
    │   ├── CircuitOpenError         the model failed too often and is left alone; nothing was sent
    │   ├── MalformedReplyError      what came is not the Messages API's language
    │   └── ModelStatusError         the API answered with an error
    │       ├── BadRequestError      400, 413, 422 …: the request itself is refused
    │       │   └── PromptTooLongError the input is longer than the context window
    │       ├── AuthenticationError  401: the key is not accepted
    │       ├── PermissionDeniedError 403: the key may not do this
    │       ├── BillingError         402: the account cannot pay
    │       ├── ModelNotFoundError   404: no such model
    │       ├── ConflictError        409
    │       ├── RateLimitError       429; ``retry_after`` says how long to wait
    │       ├── OverloadedError      529, or an overload inside a stream
    │       └── ServerError          5xx
    ├── ReplyError                   a complete reply that cannot be the answer
    │   ├── RefusalError             the model refused
    │   ├── MaxTokensError           the reply stops at ``max_tokens``
    │   ├── ContextWindowError       the model's context window is full
    │   ├── UnexpectedStopError      another stop reason that a step cannot use
    │   └── OutputError              the reply does not validate against the output type
    ├── GateBlockedError             a gate rejected the value
    ├── GateCrashedError             a gate failed instead of judging
    ├── StepTimeoutError             a step took longer than its timeout
    ├── DeadlineError                a run took longer than its deadline
    ├── BudgetExceededError          a request did not fit into what is left of a budget; it was not sent
    └── StageError                   a function stage raised

Context (the step, the ledger, ids) is attached in one place, ``PromptChainError.locate``, on the way out of
the step and of the run.
"""

from promptchain.errors.base import (
    ConfigurationError,
    DefinitionError,
    InputError,
    LinkError,
    LoadError,
    MissingExtraError,
    MissingKeyError,
    OutputTypeError,
    PromptChainError,
    PromptFileError,
    RealCallForbiddenError,
    TemplateError,
    UnknownPriceError,
)
from promptchain.errors.model import (
    AuthenticationError,
    BadRequestError,
    BillingError,
    CircuitOpenError,
    ConflictError,
    IncompleteReplyError,
    MalformedReplyError,
    ModelConnectionError,
    ModelError,
    ModelNotFoundError,
    ModelStatusError,
    ModelTimeoutError,
    OverloadedError,
    PermissionDeniedError,
    PromptTooLongError,
    RateLimitError,
    ServerError,
)
from promptchain.errors.outcome import (
    BudgetExceededError,
    ContextWindowError,
    DeadlineError,
    GateBlockedError,
    GateCrashedError,
    MaxTokensError,
    OutputError,
    RefusalError,
    ReplyError,
    StageError,
    StepTimeoutError,
    UnexpectedStopError,
)

__all__ = [
    "PromptChainError",
    "DefinitionError",
    "TemplateError",
    "PromptFileError",
    "OutputTypeError",
    "LinkError",
    "LoadError",
    "ConfigurationError",
    "MissingKeyError",
    "MissingExtraError",
    "UnknownPriceError",
    "RealCallForbiddenError",
    "InputError",
    "ModelError",
    "ModelConnectionError",
    "IncompleteReplyError",
    "ModelTimeoutError",
    "CircuitOpenError",
    "MalformedReplyError",
    "ModelStatusError",
    "BadRequestError",
    "PromptTooLongError",
    "AuthenticationError",
    "PermissionDeniedError",
    "BillingError",
    "ModelNotFoundError",
    "ConflictError",
    "RateLimitError",
    "OverloadedError",
    "ServerError",
    "ReplyError",
    "RefusalError",
    "MaxTokensError",
    "ContextWindowError",
    "UnexpectedStopError",
    "OutputError",
    "GateBlockedError",
    "GateCrashedError",
    "StepTimeoutError",
    "DeadlineError",
    "BudgetExceededError",
    "StageError",
]
