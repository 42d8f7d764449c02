# SPDX-License-Identifier: Apache-2.0
"""A new backend project, ready to run: what ``subtitle-host plugins new`` writes."""

from ._names import ProjectNames, project_names
from ._project import LICENSES, NewProject, check_folder, plan_project, write_project

__all__ = [
    "LICENSES",
    "NewProject",
    "ProjectNames",
    "check_folder",
    "plan_project",
    "project_names",
    "write_project",
]
