"""The steps of a release. Each also runs without those before it, from what they left."""

from __future__ import annotations

from therock_outputs.release.chain import Step
from therock_outputs.release.fetch_step import fetch, plan_fetch_step
from therock_outputs.release.native_step import make_native_packages, plan_native_step
from therock_outputs.release.python_step import make_python_packages, plan_python_step
from therock_outputs.release.tarballs_step import make_tarballs, plan_tarballs_step
from therock_outputs.release.upload_step import plan_upload_step, upload

__all__ = ["STEPS"]

STEPS = (
    Step("fetch", "Fetch the run's artifacts", fetch, plan_fetch_step),
    Step("tarballs", "Build tarballs", make_tarballs, plan_tarballs_step),
    Step("python", "Build Python packages", make_python_packages, plan_python_step),
    Step("native", "Build deb and rpm packages", make_native_packages, plan_native_step),
    Step("upload", "Upload", upload, plan_upload_step),
)
"""The whole chain, in its order."""
