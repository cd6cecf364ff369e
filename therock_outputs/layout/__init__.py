"""Where things live: pure data. Nothing here asks a network or reads a file's bytes."""

from __future__ import annotations

from typing import TYPE_CHECKING

from therock_outputs.layout.location import LayoutError, StorageLocation, plain_name
from therock_outputs.lazy import lazily

if TYPE_CHECKING:
    from therock_outputs.layout.buckets import CI_CUTOVER, BucketChoice, choose_bucket, role_arn
    from therock_outputs.layout.distribution import (
        DistributionLayout,
        DistributionPlace,
        DistributionPlaces,
        parse_distribution_layout,
        promotion_date,
    )
    from therock_outputs.layout.names import (
        LOCAL_RUN_ID,
        THEROCK_REPOSITORY,
        PackageFormat,
        Platform,
        ReleaseType,
        Variant,
        is_distribution_bucket,
        parse_package_format,
        parse_platform,
        parse_release_type,
        parse_repository,
        parse_run_id,
        parse_variant,
    )
    from therock_outputs.layout.output_root import WorkflowOutputRoot
    from therock_outputs.layout.versions import (
        PackageVersions,
        compute_versions,
        derive_native_versions,
        format_date,
        parse_date,
        version_date,
    )
    from therock_outputs.layout.workflow_run import WorkflowRun, is_fork_pull_request

__all__ = [
    "CI_CUTOVER",
    "LOCAL_RUN_ID",
    "THEROCK_REPOSITORY",
    "BucketChoice",
    "DistributionLayout",
    "DistributionPlace",
    "DistributionPlaces",
    "LayoutError",
    "PackageFormat",
    "PackageVersions",
    "Platform",
    "ReleaseType",
    "StorageLocation",
    "Variant",
    "WorkflowOutputRoot",
    "WorkflowRun",
    "choose_bucket",
    "compute_versions",
    "derive_native_versions",
    "format_date",
    "is_distribution_bucket",
    "is_fork_pull_request",
    "parse_date",
    "parse_distribution_layout",
    "parse_package_format",
    "parse_platform",
    "parse_release_type",
    "parse_repository",
    "parse_run_id",
    "parse_variant",
    "plain_name",
    "promotion_date",
    "role_arn",
    "version_date",
]

# Loaded when they are first asked for: whoever moves bytes needs to know places, and neither
# versions nor buckets, and is done in the time that it takes to load those.
_HOMES = {
    "BucketChoice": "buckets",
    "CI_CUTOVER": "buckets",
    "DistributionLayout": "distribution",
    "DistributionPlace": "distribution",
    "DistributionPlaces": "distribution",
    "LOCAL_RUN_ID": "names",
    "PackageFormat": "names",
    "PackageVersions": "versions",
    "Platform": "names",
    "ReleaseType": "names",
    "THEROCK_REPOSITORY": "names",
    "Variant": "names",
    "WorkflowOutputRoot": "output_root",
    "WorkflowRun": "workflow_run",
    "choose_bucket": "buckets",
    "compute_versions": "versions",
    "derive_native_versions": "versions",
    "format_date": "versions",
    "is_distribution_bucket": "names",
    "is_fork_pull_request": "workflow_run",
    "parse_date": "versions",
    "parse_distribution_layout": "distribution",
    "parse_package_format": "names",
    "parse_platform": "names",
    "parse_release_type": "names",
    "parse_repository": "names",
    "parse_run_id": "names",
    "parse_variant": "names",
    "promotion_date": "distribution",
    "role_arn": "buckets",
    "version_date": "versions",
}

__getattr__ = lazily(__name__, _HOMES)
