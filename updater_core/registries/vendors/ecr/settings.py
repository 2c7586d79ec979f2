"""What can be said of Amazon ECR in a service's `registry_config`. Pure."""

from __future__ import annotations

from dataclasses import dataclass

from updater_core.registries.vendors.ecr.hosts import HOSTS
from updater_core.registries.vendors.vendor import Vendor
from updater_core.vocabulary.options import kinds
from updater_core.vocabulary.options.option import REGISTRY, Needs, Option
from updater_core.vocabulary.secret import Secret


@dataclass(frozen=True, slots=True)
class EcrSettings:
    """A service's settings for ECR. Without a key or a profile, boto3's own chain finds the credentials."""

    region: str | None = None
    aws_access_key_id: str | None = None
    aws_secret_access_key: Secret | None = None
    aws_session_token: Secret | None = None
    aws_profile: str | None = None
    aws_pull_through_cache: bool = False

    @property
    def names_an_account(self) -> bool:
        """Return whether it says in whose name AWS is asked."""
        return bool(self.aws_access_key_id or self.aws_profile)


OPTIONS = (
    Option(REGISTRY, "region", kinds.TEXT, None,
           "ECR: the region, for a host that names none; otherwise it must agree with the host.",
           ("us-east-1",),
           settings=EcrSettings, see="[Amazon ECR](registries.md#amazon-ecr)"),
    Option(REGISTRY, "aws_access_key_id", kinds.TEXT, None,
           "ECR: a static key, in place of `username`. Without one, boto3's own chain finds the credentials.",
           ("${AWS_ACCESS_KEY_ID}",), settings=EcrSettings, needs=Needs("aws_secret_access_key"),
           is_login=True),
    Option(REGISTRY, "aws_secret_access_key", kinds.SECRET, None, "ECR: the secret of that key.",
           ("${AWS_SECRET_ACCESS_KEY}",), settings=EcrSettings, needs=Needs("aws_access_key_id")),
    Option(REGISTRY, "aws_session_token", kinds.SECRET, None, "ECR: the token of temporary keys.",
           ("${AWS_SESSION_TOKEN}",), settings=EcrSettings,
           needs=Needs("aws_access_key_id",
                       "it belongs to keys; write aws_access_key_id and its secret too")),
    Option(REGISTRY, "aws_profile", kinds.TEXT, None,
           "ECR: a profile of the AWS files, in place of `username`.", ("production",), settings=EcrSettings,
           is_login=True),
    Option(REGISTRY, "aws_pull_through_cache", kinds.FLAG, False,
           "ECR: the image's repository caches another registry, so the registry itself is asked for its "
           "tags. Needed only if the account may not read its own rules "
           "(`ecr:DescribePullThroughCacheRules`).",
           (True,),
           settings=EcrSettings),
)  # fmt: skip

VENDOR = Vendor(
    "ecr",
    "updater_core.registries.vendors.ecr.client",
    HOSTS,
    title="ECR",
    spellings=("aws",),
    options=OPTIONS,
    environment=r"AWS_\w+",
    variables=("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "AWS_DEFAULT_REGION", "AWS_CA_BUNDLE"),
    reader="boto3, for ECR.",
)
