"""Which parts each definition becomes in this run, and what files each part holds. Pure."""

from __future__ import annotations

import enum
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field

from therock_outputs.artifacts.names import ArtifactName
from therock_outputs.native_packages.contents import Source, directory_modes, overlay
from therock_outputs.native_packages.definition import Definition, Definitions, Selection
from therock_outputs.native_packages.inventory import Inventory
from therock_outputs.native_packages.package import Content

__all__ = ["Form", "Shape", "Shaper"]


class Form(enum.Enum):
    """How a definition is divided into packages."""

    PLAIN = "plain"
    """One versioned package."""
    SPLIT = "split"
    """The host's side, one package for each GPU target, and one that gathers them."""
    FAMILY = "family"
    """One versioned package for each GPU family of a run that is not split."""


@dataclass(frozen=True, slots=True)
class Shape:
    """What becomes of one definition."""

    definition: Definition
    form: Form
    targets: tuple[str, ...]
    """Targets (split) or families (otherwise) that it may have packages for."""
    common: tuple[Content, ...] = ()
    """What the plain package holds, or the host's side."""
    by_target: Mapping[str, tuple[Content, ...]] = field(default_factory=dict)
    """What the packages of single targets or families hold; those with files only."""
    why: str = ""
    """Why it has this form, in a sentence."""
    why_empty: str = ""
    """Why there are no files at all; empty where there are some, or where there need be none."""

    @property
    def name(self) -> str:
        """The definition's name."""
        return self.definition.name

    @property
    def is_meta(self) -> bool:
        """Whether it only gathers others."""
        return self.definition.metapackage


class Shaper:
    """The rules by which definitions meet a run's archives."""

    def __init__(
        self,
        definitions: Definitions,
        inventory: Inventory,
        targets: tuple[str, ...],
        *,
        split: bool,
    ) -> None:
        self._definitions = definitions
        self._inventory = inventory
        self._targets = targets
        self._split = split
        self._modes = directory_modes(inventory)
        self._served = set(inventory.targets)
        self.used: set[tuple[str, str]] = set()
        """Archive and stage of all that some package takes."""
        self.notes: list[str] = []

    def shapes(self) -> tuple[Shape, ...]:
        """All definitions that are not disabled, in their order."""
        return tuple(self._shape(d) for d in self._definitions if not d.disabled)

    def _shape(self, definition: Definition) -> Shape:
        form, why = self._form(definition)
        targets = () if form is Form.PLAIN else self._targets
        if definition.metapackage:
            return Shape(definition, form, targets, why=why)
        common: tuple[Content, ...] = ()
        if form is not Form.FAMILY:
            common = self._contents(definition, lambda artifact, _: artifact.is_generic)
        by_target = {
            target: contents
            for target in targets
            if (contents := self._contents(definition, self._rule(form, target)))
        }
        empty = "" if common or by_target else self._why_empty(definition)
        if not empty:
            self._note_absent(definition)
        return Shape(definition, form, targets, common, by_target, why, empty)

    # -------------------------------------------------------------------- forms

    def _form(self, definition: Definition) -> tuple[Form, str]:
        """How a definition is divided, and why."""
        if not self._served:
            return Form.PLAIN, "the run has generic archives only, so nothing is divided by GPU"
        if definition.metapackage:
            return self._form_of_metapackage(definition)
        return self._split_form(definition) if self._split else self._family_form(definition)

    def _form_of_metapackage(self, definition: Definition) -> tuple[Form, str]:
        if not definition.gpu:
            return Form.PLAIN, "it gathers others, and its definition says nothing of GPU code"
        form = Form.SPLIT if self._split else Form.FAMILY
        return form, "it gathers others, and its definition says that they have GPU code"

    def _split_form(self, definition: Definition) -> tuple[Form, str]:
        if definition.is_devel:
            return Form.PLAIN, "what others are built with is not divided by GPU in a split run"
        for selection in definition.selections:
            if selection.gpu is False:
                continue
            for archive in self._inventory.of(selection.artifact):
                if not archive.artifact.is_generic:
                    return Form.SPLIT, f"the run has {archive.name}, so it has GPU code of its own"
        return Form.PLAIN, "none of its artifacts has an archive for a GPU target"

    def _family_form(self, definition: Definition) -> tuple[Form, str]:
        if definition.gpu or any(selection.gpu for selection in definition.selections):
            return Form.FAMILY, "its definition says that it has GPU code, and the run is not split"
        archives = [
            archive
            for selection in definition.selections
            for archive in self._inventory.of(selection.artifact)
            if archive.artifact.component in selection.components and selection.gpu is not False
        ]
        # Its definition knows nothing of GPU code, but the run was built otherwise.
        if archives and not any(archive.artifact.is_generic for archive in archives):
            return Form.FAMILY, f"the run has it by family only, as in {archives[0].name}"
        return Form.PLAIN, "its definition says nothing of GPU code, and the run is not split"

    # -------------------------------------------------------------------- files

    @staticmethod
    def _rule(form: Form, target: str) -> Callable[[ArtifactName, Selection], bool]:
        """What the package of one target or family takes."""

        def of_target(artifact: ArtifactName, selection: Selection) -> bool:
            return selection.gpu is not False and artifact.base_target == target

        def of_family(artifact: ArtifactName, selection: Selection) -> bool:
            return artifact.is_generic or of_target(artifact, selection)

        return of_family if form is Form.FAMILY else of_target

    def _contents(
        self, definition: Definition, takes: Callable[[ArtifactName, Selection], bool]
    ) -> tuple[Content, ...]:
        sources = list(self._sources(definition, takes))
        contents = overlay(definition.name, sources, self._modes)
        if contents:
            self.used.update((archive.name.filename, stage) for archive, stage in sources)
        return contents

    def _sources(
        self, definition: Definition, takes: Callable[[ArtifactName, Selection], bool]
    ) -> Iterator[Source]:
        """The stages that a package draws on, each once: generic archives first, by name."""
        for archive in self._inventory.archives:
            artifact = archive.artifact
            chosen = [
                selection
                for selection in definition.selections
                if selection.artifact == artifact.name
                and artifact.component in selection.components
                and takes(artifact, selection)
            ]
            for stage in archive.stages:
                if any(selection.takes_stage(stage) for selection in chosen):
                    yield archive, stage

    # ------------------------------------------------------------------- absence

    def _note_absent(self, definition: Definition) -> None:
        """Tell what a definition names and the run has not: another run, or a slip of the pen."""
        gone = [name for name in definition.artifacts if not any(self._inventory.of(name))]
        if gone:
            place = next(s.place for s in definition.selections if s.artifact == gone[0])
            self.notes.append(
                f"{definition.name}: the run has no artifact {_listed(gone)} ({place})"
            )
        empty = [
            selection
            for selection in definition.selections
            if selection.artifact not in gone and not self._has_stage(selection)
        ]
        if empty:
            names = _listed([f"{s.subdirectory} of {s.artifact}" for s in empty])
            self.notes.append(f"{definition.name}: the run has no stage {names} ({empty[0].place})")

    def _has_stage(self, selection: Selection) -> bool:
        return any(
            selection.takes_stage(stage)
            for archive in self._inventory.of(selection.artifact)
            for stage in archive.stages
        )

    def _why_empty(self, definition: Definition) -> str:
        there = [name for name in definition.artifacts if any(self._inventory.of(name))]
        if not there:
            return f"the run has no archive of {_listed(definition.artifacts)}"
        wanted = [s.subdirectory for s in definition.selections if s.artifact in there]
        return (
            f"the run has {_listed(there, 'and')}, but in the components taken no file of "
            f"{_listed(list(dict.fromkeys(wanted)))}"
        )


def _listed(names: Sequence[str], word: str = "or") -> str:
    return names[0] if len(names) == 1 else f"{', '.join(names[:-1])} {word} {names[-1]}"
