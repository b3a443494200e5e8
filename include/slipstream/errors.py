"""Every error that Slipstream raises, grouped by what you can do about it.

    SlipstreamError
    ├── SpecError            mend model.yaml
    ├── BackendError         choose another back end, mend its arguments, or install its extra
    ├── SourceError          mend where the batches come from
    ├── DataError            look at the data
    │   └── ContractFailed   the batch broke the model's contract
    ├── StoreError           look at the store: space, rights, network
    │   ├── NotFound         nothing has that id
    │   ├── ChecksumMismatch the bytes are not those that were written
    │   └── Conflict         somebody else was first: read again, decide again
    │       ├── Superseded   what this call began is another's now: leave it alone
    │       └── Outdated     it was compared with another champion: evaluate again
    ├── BundleError          do not load this model
    ├── StageError           the stage cannot work on these inputs
    ├── DeployError          the endpoint did not take the version
    │   └── TakenBack        it was watched, and an alarm took it back
    └── ValueProblem         whoever sent the value must mend it
        └── RequestError     the caller of the endpoint must mend the request

Each carries a stable snake_case ``code``: tests, JSON bodies and documentation use it. Each class says with
``retryable`` whether the same call may go well another time. Texts read ``<where>: <what>; <what to do>``.
"""

from __future__ import annotations

_ECHO = 80


class SlipstreamError(Exception):
    """The root: ``except SlipstreamError`` catches all that Slipstream raises on purpose."""

    code = "slipstream_error"
    retryable = False

    def __init__(self, message: str, *, code: str | None = None) -> None:
        super().__init__(message)
        self.code = code or type(self).code


class SpecError(SlipstreamError):
    """A model file is wrong; the text names the file, the line and the key.

    Attributes:
        model: The folder of the model file, where it is known.
    """

    code = "spec_invalid"
    model = ""


class BackendError(SlipstreamError):
    """A slot cannot be filled: unknown word, wrong argument or missing extra."""

    code = "unknown_backend"


class SourceError(SlipstreamError):
    """A source cannot be read."""

    code = "source_unreadable"
    retryable = True


class DataError(SlipstreamError):
    """The data is not what the model file says."""

    code = "data_invalid"


class ContractFailed(DataError):
    """A batch broke expectations of the contract; ``failed`` names them."""

    code = "contract_failed"

    def __init__(self, message: str, failed: tuple[str, ...] = ()) -> None:
        super().__init__(message)
        self.failed = failed


class StoreError(SlipstreamError):
    """The store refused: no space, no rights, no network, a wrong URL."""

    code = "storage_not_writable"
    retryable = True


class NotFound(StoreError):
    """Nothing is kept under that id."""

    code = "not_found"
    retryable = False


class ChecksumMismatch(StoreError):
    """The bytes read are not the bytes written."""

    code = "data_checksum_mismatch"
    retryable = False


class Conflict(StoreError):
    """Another writer was first and the precondition no longer holds."""

    code = "conflict"


class Superseded(Conflict):
    """A deployment that this call began was moved or closed by another one; doing it again would undo that."""

    code = "deployment_in_flight"
    retryable = False


class Outdated(Conflict):
    """A version was compared with a champion that serves no more."""

    code = "promotion_stale"
    retryable = False


class BundleError(SlipstreamError):
    """A bundle must not be loaded: digest, signature, format or types are wrong."""

    code = "model_digest_mismatch"


class StageError(SlipstreamError):
    """A stage cannot work on the ids that it was given."""

    code = "stage_input_invalid"


class DeployError(SlipstreamError):
    """A version did not reach the endpoint; what served before serves on."""

    code = "deploy_failed"
    retryable = True


class TakenBack(DeployError):
    """A version was watched and taken back: the answer to the question whether it is good."""

    code = "rolled_back"
    retryable = False


class ValueProblem(SlipstreamError):
    """A value that somebody sent is wrong.

    Attributes:
        field: Its place, such as ``rows[3].price``.
    """

    code = "value_invalid"

    def __init__(self, message: str, *, code: str | None = None, field: str | None = None) -> None:
        super().__init__(message, code=code)
        self.field = field


class RequestError(ValueProblem):
    """A request to the endpoint is refused.

    Attributes:
        status: The HTTP status.
        retry_after: With status 429 or 503: seconds to wait.
    """

    code = "request_invalid"

    def __init__(
        self,
        message: str,
        *,
        code: str | None = None,
        status: int = 400,
        field: str | None = None,
        retry_after: int = 1,
    ) -> None:
        super().__init__(message, code=code, field=field)
        self.status = status
        self.retry_after = retry_after


def shown(value: object) -> str:
    """The value as error texts echo it: escaped, at most 80 characters."""
    text = repr(value)
    return text if len(text) <= _ECHO else text[: _ECHO - 1] + "…"
