"""What goes wrong with AWS, in our words: which kind of error it is, and what a person can do. Pure.

Codes are those of the ECR API reference ("Common Errors", DescribeImages), of STS and of SSO; classes are
botocore's, known by name, so that nothing has to be imported to distinguish them. What AWS or a credential
process wrote is quoted only if it cannot hold a secret: a signature error repeats the request's headers, a
session token among them.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from datetime import datetime

from updater_core.errors import AuthFailed, NotFound, RateLimited, RegistryError
from updater_core.net import untrusted_json

_MOST_QUOTED = 200
_CLOCK = re.compile(r"signature (expired|not yet current)|is (earlier|later) than|skew", re.IGNORECASE)
_MISSING_TAG = re.compile(r"image(?:Tag|Digest):'([^']+)'")
_PRINCIPAL = re.compile(r"User: (arn:[\w:/@.+=,*-]+)")
_ACTION = re.compile(r"perform: ([\w-]+:\w+)")
_ACRONYMS = {"AssumeRole": "sts", "AssumeRoleWithWebIdentity": "sts", "GetCallerIdentity": "sts"}

_DENIED = {
    "AccessDenied",
    "AccessDeniedException",
    "UnauthorizedOperation",
    "NotAuthorized",
    "ForbiddenException",
}
_THROTTLED = {
    "Throttling", "ThrottlingException", "ThrottledException", "TooManyRequestsException",
    "RequestLimitExceeded",
    "RequestThrottled", "RequestThrottledException", "SlowDown",
}  # fmt: skip
_SIGNATURE = {
    "InvalidSignatureException", "SignatureDoesNotMatch", "IncompleteSignature",
    "IncompleteSignatureException",
    "RequestTimeTooSkewed", "RequestExpired",
}  # fmt: skip
_UNKNOWN_KEY = {
    "UnrecognizedClientException", "InvalidClientTokenId", "InvalidAccessKeyId", "InvalidToken",
    "MissingAuthenticationToken", "MissingAuthenticationTokenException", "OptInRequired",
}  # fmt: skip
_EXPIRED = {
    "ExpiredToken", "ExpiredTokenException", "TokenRefreshRequired", "UnauthorizedException",
    "InvalidIdentityToken",
    "InvalidGrantException", "IDPRejectedClaim",
}  # fmt: skip
_UNKNOWN_QUESTION = {
    "UnknownOperationException",
    "InvalidAction",
    "NotImplemented",
}  # of what stands in for AWS
_SSO_ERRORS = {"SSOError", "LoginError", "TokenRetrievalError", "NoAuthTokenError"}
_NO_REGION_ERRORS = {"NoRegionError", "InvalidRegionError", "UnknownRegionError"}
_FILE_ERRORS = {"ConfigParseError", "ConfigNotFound", "InvalidConfigError", "UnknownCredentialError"}
_FETCH_ERRORS = {"CredentialRetrievalError", "MetadataRetrievalError", "RefreshWithMFAUnsupportedError"}
_NETWORK_ERRORS = {"ConnectionError", "HTTPClientError", "EndpointProviderError", "BaseEndpointResolverError"}


@dataclass(frozen=True, slots=True)
class Fault:
    """An error before it is about a repository.

    `is_everywhere`: the account's other repositories would meet it too; `is_about_login`: the credentials are
    to be read afresh before the next try.
    """

    kind: type[RegistryError]
    words: str
    remedy: str = ""
    is_everywhere: bool = False
    is_about_login: bool = False

    def error(self, domain: str, repository: str, retry_at: datetime) -> RegistryError:
        """Return the error for one repository; `retry_at` counts only if a pause was asked for."""
        message = f"{repository}: {self.words}"
        if self.kind is RateLimited:
            return RateLimited(domain, message, retry_at, self.remedy)
        return self.kind(domain, message, self.remedy)


class MalformedCredentials(Exception):
    """What should give credentials (a program, a file, a cache of AWS) gave something else.

    `args[0]`: what fell out of botocore, by its name alone, for its text may quote them.
    """


class MalformedAnswer(Exception):
    """An answer that botocore cannot take apart; `args[0]` is as above."""


@dataclass(frozen=True, slots=True)
class Asked:
    """What was asked when it went wrong: `ecr:DescribeImages`, the region, and in whose name, in words."""

    action: str
    region: str
    who: str


def fault_of(error: Exception, asked: Asked) -> Fault:
    """Return the fault behind an exception of botocore's, or behind one that fell out of it."""
    code = code_of(getattr(error, "response", None))
    return _answered(error, code, asked) if code is not None else _unanswered(error, asked)


def code_of(response: object) -> str | None:
    """Return the error code in a parsed response; None if there is no response, empty if it was a success."""
    if not isinstance(response, dict):
        return None
    message = response.get("Error")
    code = str(message.get("Code", "")) if isinstance(message, dict) else ""
    # Some answers carry the namespace of the error in front of a `#`.
    return code.rpartition("#")[2] or ("429" if _status(response) == 429 else "")


def result_of(code: str | None) -> str:
    """Return the word under which an exchange is counted.

    >>> result_of("ThrottlingException"), result_of(""), result_of(None)
    ('rate_limited', 'ok', 'unreachable')
    """
    if not code:
        return "unreachable" if code is None else "ok"
    if code in _DENIED:
        return "denied"
    if code in _SIGNATURE | _UNKNOWN_KEY | _EXPIRED:
        return "unauthorized"
    if code in _THROTTLED or code == "429":
        return "rate_limited"
    return "not_found" if code.endswith("NotFoundException") else "error"


def is_image_missing(error: Exception) -> bool:
    """Return whether AWS says that one of the images asked for is not there."""
    return code_of(getattr(error, "response", None)) == "ImageNotFoundException"


def missing_images(error: Exception) -> frozenset[str]:
    """Return the tags and digests that AWS names as missing; it names the first one only."""
    # `null` stands for the half of the id that was not given.
    return frozenset(_MISSING_TAG.findall(_message(error))) - {"null"}


def _answered(error: Exception, code: str, asked: Asked) -> Fault:
    if code in _DENIED:
        return _denied(error, asked)
    if code in _THROTTLED or code == "429":
        remedy = "check less often, or ask AWS for a higher quota of this API"
        return Fault(RateLimited, f"AWS throttles {asked.action} in {asked.region} ({code})", remedy)
    if code in _SIGNATURE:
        return _bad_signature(error, code, asked)
    if code in _UNKNOWN_KEY:
        remedy = (
            "check the key; China, GovCloud and regions to be enabled first take only keys that they know"
        )
        return _login(f"AWS does not know {asked.who} in {asked.region} ({code})", remedy)
    if code in _EXPIRED:
        return _login(f"{asked.who}: expired or refused ({code})", _renewal(asked))
    if code in ("RepositoryNotFoundException", "RegistryNotFoundException"):
        remedy = (
            f"check the repository's name, the account, and that it is in {asked.region}; what runs now stays"
        )
        return Fault(NotFound, f"there is no such repository in {asked.region}", remedy)
    if code in _UNKNOWN_QUESTION or _status(getattr(error, "response", None)) == 501:
        remedy = "check AWS_ENDPOINT_URL: what answers there is not the API of ECR, or only a part of it"
        return Fault(
            NotFound, f"{asked.action} is not known in {asked.region} ({code or 'status 501'})", remedy
        )
    return Fault(
        RegistryError, f"{asked.action} in {asked.region}: {code or 'no error code'}{_quoted(error)}"
    )


def _denied(error: Exception, asked: Asked) -> Fault:
    message = _message(error)
    principal, said = _PRINCIPAL.search(message), _ACTION.search(message)
    operation = str(getattr(error, "operation_name", ""))
    guessed = f"{_ACRONYMS[operation]}:{operation}" if operation in _ACRONYMS else asked.action
    action = said[1] if said else guessed
    who = principal[1] if principal else asked.who
    # This one right is not about a repository; IAM takes it for `*` alone.
    place = "*" if action.endswith("GetAuthorizationToken") else "this repository"
    remedy = (
        f"allow {action} on {place} in the IAM policy; a repository of another account has to allow it "
        "as well"
    )
    return Fault(AuthFailed, f"{who} may not {action} in {asked.region}", remedy)


def _bad_signature(error: Exception, code: str, asked: Asked) -> Fault:
    if _CLOCK.search(_message(error)) or code in ("RequestTimeTooSkewed", "RequestExpired"):
        words = f"AWS refuses the time of our request ({code}): this machine's clock is wrong"
        return _login(words, "set the host's clock, best by NTP")
    return _login(
        f"AWS refuses the signature of {asked.who} ({code})",
        "check the secret key: it belongs to another access key",
    )


def _unanswered(error: Exception, asked: Asked) -> Fault:
    # By name and not by class: to import botocore costs memory, also on a host without ECR.
    names = {kind.__name__ for kind in type(error).__mro__}
    if isinstance(error, MalformedCredentials):
        remedy = "check ~/.aws/config; try `aws sts get-caller-identity` as the updater's user"
        return _login(f"{asked.who}: what should give its credentials gives something else ({error})", remedy)
    if isinstance(error, MalformedAnswer):
        words = f"{asked.action} in {asked.region}: the answer cannot be read ({error})"
        return Fault(RegistryError, words, untrusted_json.IN_THE_WAY)
    if names & {"NoCredentialsError", "PartialCredentialsError"}:
        lack = (
            "no AWS credentials were found"
            if "NoCredentialsError" in names
            else "half of an AWS key is missing"
        )
        remedy = (
            "give this machine a role; or set AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY, or the aws_ keys "
            "of registry_config; or write registry_type generic to log in as `docker login` does"
        )
        return _login(f"{lack} ({asked.who})", remedy)
    if "ProfileNotFound" in names:
        return _login(
            f"{asked.who} is not in the AWS configuration files", "check aws_profile, HOME, AWS_CONFIG_FILE"
        )
    if names & _SSO_ERRORS:
        return _login(f"{asked.who}: the AWS login session has ended", _renewal(asked))
    if names & _FETCH_ERRORS:
        remedy = "try `aws sts get-caller-identity` as the updater's user"
        return _login(f"{asked.who}: the credentials could not be fetched ({type(error).__name__})", remedy)
    if names & _FILE_ERRORS:
        return _login(
            f"the AWS configuration files are not usable ({type(error).__name__})", "fix ~/.aws/config"
        )
    return _unreached(error, names, asked)


def _unreached(error: Exception, names: set[str], asked: Asked) -> Fault:
    if names & _NO_REGION_ERRORS:
        return _everywhere("no usable AWS region is known", "set registry_config.region")
    if "ProxyConnectionError" in names:
        return _everywhere("the proxy of the environment does not answer", "check HTTPS_PROXY and NO_PROXY")
    if names & {"SSLError"}:
        remedy = "name the file with its authority's certificate in AWS_CA_BUNDLE"
        return _everywhere(f"the TLS certificate of the ECR API in {asked.region} is not trusted", remedy)
    if names & _NETWORK_ERRORS:
        remedy = (
            f"check that there is a region {asked.region}, and that its ECR API can be reached from "
            "this machine"
        )
        return _everywhere(f"the ECR API in {asked.region} does not answer ({type(error).__name__})", remedy)
    if isinstance(error, ImportError):
        return _everywhere("boto3 is not installed", "install what requirements.txt names")
    if isinstance(error, OSError):  # a token file, or a program that should print credentials
        return _login(
            f"{asked.who}: {error.filename} cannot be used ({error.strerror})", "check the AWS configuration"
        )
    return _everywhere(f"{asked.action} in {asked.region}: {type(error).__name__}", "")


def _everywhere(words: str, remedy: str) -> Fault:
    return Fault(RegistryError, words, remedy, is_everywhere=True)


def _login(words: str, remedy: str) -> Fault:
    return Fault(AuthFailed, words, remedy, is_everywhere=True, is_about_login=True)


def _renewal(asked: Asked) -> str:
    return f"renew them ({asked.who}): `aws sso login`, a fresh token, or a role, which renews itself"


def _status(response: object) -> object:
    metadata = response.get("ResponseMetadata") if isinstance(response, dict) else None
    return metadata.get("HTTPStatusCode") if isinstance(metadata, dict) else None


def _message(error: Exception) -> str:
    response = getattr(error, "response", None)
    message = response.get("Error") if isinstance(response, dict) else None
    return str(message.get("Message", "")) if isinstance(message, dict) else ""


def _quoted(error: Exception) -> str:
    words = " ".join(_message(error).split())[:_MOST_QUOTED]
    return f" ({words})" if words else ""
