"""The table of registries' vendors.

A new one is its module, or a folder with its settings, and a line here. Pure.
"""

from __future__ import annotations

from collections.abc import Mapping

from updater_core.models import ImageRef, RegistrySettings
from updater_core.registries.vendors.docker_hub import settings as docker_hub
from updater_core.registries.vendors.ecr import settings as ecr
from updater_core.registries.vendors.google import settings as google
from updater_core.registries.vendors.vendor import GENERIC, Vendor

_HERE = "updater_core.registries.vendors"

VENDORS: tuple[Vendor, ...] = (
    docker_hub.VENDOR,
    ecr.VENDOR,
    google.VENDOR,
    Vendor(GENERIC, f"{_HERE}.harbor", spellings=("ghcr", "harbor", "oci", "registry")),
    Vendor("quay", f"{_HERE}.quay", r"quay\.io", GENERIC, spellings=("quay",)),
    Vendor("gitlab", f"{_HERE}.gitlab", r"registry\.gitlab\.com", GENERIC, spellings=("gitlab",)),
)

BY_NAME: Mapping[str, Vendor] = {vendor.name: vendor for vendor in VENDORS}
OF_VENDORS = tuple(option for vendor in VENDORS for option in vendor.options)
REGISTRY_TYPES = tuple(dict.fromkeys(vendor.written for vendor in VENDORS))
REGISTRY_SPELLINGS: Mapping[str, str] = {
    **{name: name for name in REGISTRY_TYPES},
    **{spelling: vendor.written for vendor in VENDORS for spelling in vendor.spellings},
}
ENVIRONMENT = "|".join(vendor.environment for vendor in VENDORS if vendor.environment)


def vendor_of(domain: str) -> Vendor:
    """Return the vendor that a host implies.

    >>> vendor_of("111111111111.dkr.ecr.us-east-1.amazonaws.com").name, vendor_of("ghcr.io").name
    ('ecr', 'generic')
    """
    return next((vendor for vendor in VENDORS if vendor.serves(domain)), BY_NAME[GENERIC])


def registry_type(reference: ImageRef, settings: RegistrySettings) -> str:
    """Return the name of the vendor for a reference: as the settings say, or else as the host says.

    Of the generic ones those by name whose own API says more.

    >>> registry_type(ImageRef("gcr.io", "shop/web"), RegistrySettings())
    'gcr'
    >>> registry_type(ImageRef("quay.io", "shop/web"), RegistrySettings(type="generic"))
    'quay'
    """
    by_host = vendor_of(reference.domain)
    return by_host.name if settings.type in (None, by_host.written) else str(settings.type)


def type_of_option(key: str) -> str | None:
    """Return the registry type that a key of `registry_config` is for; None if it is for all.

    >>> type_of_option("region"), type_of_option("password")
    ('ecr', None)
    """
    for vendor in VENDORS:
        if any(option.key == key for option in vendor.options):
            return vendor.written
    return None
