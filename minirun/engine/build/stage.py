"""One stage of a build: its instructions in order, each step taken from the cache or executed."""

import hashlib
import time
from collections.abc import Callable, Mapping
from concurrent.futures import Future
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

from minirun.archive.chroot import Tree, chroot_writer, layer_writer
from minirun.engine.build.options import BuildOptions, Progress, StepReport
from minirun.engine.build.run import Cancellation, Containers, executed, network_of
from minirun.engine.build.run_mounts import Sources, prepared
from minirun.engine.diff import changes
from minirun.errors import MinirunError
from minirun.image.build import snapshots
from minirun.image.build.snapshots import Snapshot
from minirun.image.build.source_tree import SourceTree
from minirun.image.build.transfer import (
    Download,
    digest_in,
    make_directory,
    owner_of,
    receive,
    select,
    send,
    send_from,
)
from minirun.image.dockerfile.cache_keys import step_key
from minirun.image.dockerfile.stage_state import Outcome, StageState, advance, begin
from minirun.image.dockerfile.stages import Plan, Stage
from minirun.image.dockerfile.steps import (
    Builtin,
    CopyStep,
    ImageOrigin,
    Origin,
    RunStep,
    StageOrigin,
    Step,
    WorkdirStep,
)
from minirun.image.dockerfile.syntax import Add, Copy, Instruction, Run, Workdir
from minirun.image.document import Step as HistoryEntry
from minirun.image.layers import new_blob
from minirun.image.records import Image
from minirun.instance import Instance

_COMMENT = "buildkit.dockerfile.v0"  # what tools take for a history written by a Dockerfile's build
_STEPS = (Add, Copy, Run, Workdir)


@dataclass(frozen=True)
class StageResult:
    """What a stage has led to: its last snapshot, and what the image made of it says."""

    snapshot: Snapshot
    state: StageState
    history: tuple[HistoryEntry, ...]
    author: str


@dataclass(frozen=True)
class Build:
    """What all stages of a build share.

    images: those that the build needs
    results: of the stages, by their index
    """

    plan: Plan
    context: SourceTree
    options: BuildOptions
    images: Mapping[ImageOrigin, Image]
    results: Mapping[int, "Future[StageResult]"]
    containers: Containers
    progress: Progress
    cancellation: Cancellation


class StageBuilder:
    """Builds one stage, in a thread of its own."""

    def __init__(self, instance: Instance, build: Build, stage: Stage) -> None:
        self._instance = instance
        self._build = build
        self._stage = stage
        self._options = build.options
        self._snapshot = Snapshot()
        self._sources = Sources(instance, build.context, self._snapshot_of, build.options, build.cancellation.pause)
        self._source = build.plan.dockerfile.script.source
        self._uncached = build.options.no_cache or stage.name in build.options.uncached_stages
        total = 1 + sum(isinstance(instruction, _STEPS) for instruction in stage.instructions)
        is_only = len(build.plan.dockerfile.stages) == 1 and not stage.start.name
        self._prefix = f"[{'' if is_only else stage.name + ' '}{{}}/{total}]"

    def run(self) -> StageResult:
        """Execute the stage. DockerfileError when an instruction fails."""
        state, history, author = self._begin()
        number = 1
        for instruction in self._stage.instructions:
            self._build.cancellation.check()
            outcome = advance(self._build.plan, self._stage, state, instruction)
            for text in outcome.undefined:
                self._build.progress.warn(f"UndefinedVar: {text} (line {instruction.lines.first})")
            if outcome.step is not None:
                number += 1
                title = f"{self._prefix.format(number)} {_one_line(instruction)}"
                with self._source.blames(instruction.lines), self._build.progress.step(title, instruction) as report:
                    self._snapshot = self._done(outcome, outcome.step, report)
                    if self._snapshot.image is not None:
                        report.made(self._snapshot.image.id)
            else:
                self._build.progress.configured(instruction)
                number += isinstance(instruction, _STEPS)  # WORKDIR / makes nothing
            if outcome.created_by:
                history = (*history, self._entry(outcome))
            state = outcome.state
        return StageResult(self._snapshot, state, history, state.author or author)

    def _begin(self) -> tuple[StageState, tuple[HistoryEntry, ...], str]:
        base = self._stage.base
        if isinstance(base, StageOrigin):
            result = self._build.results[base.index].result()
            self._snapshot = result.snapshot
            self._build.progress.configured(self._stage.start)
            return begin(result.state), result.history, result.author
        if isinstance(base, Builtin):
            self._build.progress.configured(self._stage.start)
            return begin({}), (), ""
        image = self._build.images[base]
        title = f"{self._prefix.format(1)} FROM {base.reference}"
        with self._build.progress.step(title, self._stage.start) as report:
            report.line(f"sha256:{image.id}")
            report.made(image.id)
        self._snapshot = snapshots.of_image(image)
        return begin(image.config), image.document.history, image.document.author

    def _entry(self, outcome: Outcome) -> HistoryEntry:
        """Return the entry of the history. One without a layer has the time of the last layer, as in BuildKit."""
        created = self._created() if self._snapshot.image is None else self._snapshot.created
        if self._options.epoch is not None:
            created = self._options.epoch
        return HistoryEntry(created, outcome.created_by, _COMMENT, outcome.step is not None)

    def _created(self) -> float:
        return time.time() if self._options.epoch is None else float(self._options.epoch)

    def _snapshot_of(self, origin: Origin) -> Snapshot:
        if isinstance(origin, StageOrigin):
            return self._build.results[origin.index].result().snapshot
        return snapshots.of_image(self._build.images[origin]) if isinstance(origin, ImageOrigin) else Snapshot()

    def _done(self, outcome: Outcome, step: Step, report: StepReport) -> Snapshot:
        match step:
            case RunStep():
                return self._run(step, outcome.created_by, report)
            case CopyStep():
                return self._copy(step, outcome.created_by, report)
            case WorkdirStep():
                return self._workdir(step, outcome.created_by, report)
        raise AssertionError(step)

    def _run(self, step: RunStep, description: str, report: StepReport) -> Snapshot:
        network = str(network_of(step, self._options))
        digests = [network, *map("=".join, self._options.extra_hosts)]
        for bound in step.mounts:
            if isinstance(bound.origin, StageOrigin | ImageOrigin):
                digests.append(self._snapshot_of(bound.origin).key)
            elif bound.mount.type == "bind":
                tree = self._build.context
                digests.append(tree.digest(tree.find(bound.mount.source.strip("/") or ".")))
        key = self._key(self._snapshot, step, digests)
        return self._found(key, report) or self._run_uncached(step, key, description, report)

    def _run_uncached(self, step: RunStep, key: str, description: str, report: StepReport) -> Snapshot:
        build = self._build
        with (
            prepared(self._sources, step) as mounts,
            executed(
                self._instance,
                build.containers,
                self._snapshot,
                step,
                mounts,
                self._options,
                report,
                build.cancellation,
            ) as upper,
        ):
            return self._add(self._snapshot, upper, key, description, report)

    def _copy(self, step: CopyStep, description: str, report: StepReport) -> Snapshot:
        if isinstance(step.origin, StageOrigin | ImageOrigin):
            return self._copy_from(step, step.origin, description, report)
        selection = select(self._build.context, step)
        digests = [selection.digest()]
        with ExitStack() as stack:
            downloads: list[Download] = []
            for url in step.urls:
                file = stack.enter_context(new_blob(self._instance))
                downloads.append(_downloaded(url, file, step))
                digests += [downloads[-1].name, _digest_of(file)]
            return self._transferred(
                step, digests, description, report, lambda target: send(selection, step, downloads, target)
            )

    def _copy_from(
        self, step: CopyStep, origin: StageOrigin | ImageOrigin, description: str, report: StepReport
    ) -> Snapshot:
        """Copy from a stage or an image.

        If that was built from the same steps, nothing needs to be read; else the content of what is copied decides.
        """
        source = self._snapshot_of(origin)
        if source.image is None:
            raise MinirunError(f'"/{step.sources[0]}": not found', "the file system that it is copied from is empty")
        key = self._key(self._snapshot, step, ["origin", source.key])
        found = self._found(key, report)
        if found is not None:
            return found
        with snapshots.scratch_tree(self._instance, source.lower) as tree:
            digest = digest_in(tree, step)
            snapshot = self._transferred(
                step, [digest], description, report, lambda target: send_from(tree, step, target)
            )
        return snapshots.remember(self._instance, snapshot, key, description)

    def _transferred(
        self,
        step: CopyStep,
        digests: list[str],
        description: str,
        report: StepReport,
        send_to: Callable[[BinaryIO], None],
    ) -> Snapshot:
        key = self._key(self._snapshot, step, digests)
        found = self._found(key, report)
        if found is not None:
            return found
        if not step.is_linked or self._snapshot.image is None:
            return self._unpacked(self._snapshot, step, key, description, report, send_to)
        # The layer of --link knows nothing of what is below it: it stays when that changes.
        own_key = self._key(Snapshot(), step, digests)
        layer = None if self._uncached else snapshots.cached(self._instance, own_key)
        layer = layer or self._unpacked(Snapshot(), step, own_key, description, report, send_to)
        return snapshots.stack(self._instance, self._snapshot, layer, key, description, self._stage.platform)

    def _unpacked(
        self,
        base: Snapshot,
        step: CopyStep,
        key: str,
        description: str,
        report: StepReport,
        send_to: Callable[[BinaryIO], None],
    ) -> Snapshot:
        with snapshots.scratch_tree(self._instance, base.lower) as tree:
            upper = tree.base / tree.directory / "upper"
            if base.image is None:
                with layer_writer(upper, lambda stream: receive(step, stream)) as target:
                    send_to(target)
            else:
                with chroot_writer(tree, lambda stream: receive(step, stream)) as target:
                    send_to(target)
            return self._add(base, upper, key, description, report)

    def _workdir(self, step: WorkdirStep, description: str, report: StepReport) -> Snapshot:
        key = self._key(self._snapshot, step)
        found = self._found(key, report)
        if found is not None:
            return found
        with snapshots.scratch_tree(self._instance, self._snapshot.lower) as tree:
            upper = tree.base / tree.directory / "upper"
            make = lambda _: make_directory(step.path, owner_of(step.user) or (0, 0))  # noqa: E731
            with layer_writer(upper, make) if self._snapshot.image is None else chroot_writer(tree, make):
                pass
            return self._add(self._snapshot, upper, key, description, report)

    def _key(self, base: Snapshot, step: Step, digests: list[str] | None = None) -> str:
        epoch = [] if self._options.epoch is None else [f"epoch {self._options.epoch}"]
        return step_key(base.key, step, [*(digests or []), *epoch])

    def _found(self, key: str, report: StepReport) -> Snapshot | None:
        found = None if self._uncached else snapshots.cached(self._instance, key)
        if found is not None:
            report.cached()
        return found

    def _add(self, base: Snapshot, upper: Path, key: str, description: str, report: StepReport) -> Snapshot:
        if self._options.explains:
            directory = str(upper.parent.relative_to(self._instance.root))
            for kind, path in changes(Tree(self._instance.root, directory, base.lower)):
                report.line(f"{kind} {path}")
        snapshot = snapshots.add_snapshot(
            self._instance, base, upper, key, description, self._stage.platform, self._created(), self._options.epoch
        )
        if self._options.explains:
            layer = snapshot.layers[-1]
            report.line(f"layer sha256:{layer.diff_id}: {layer.tar_size} bytes as a tar archive")
        return snapshot


def _downloaded(url: str, file: Path, step: CopyStep) -> Download:
    from minirun.image.build.download import download  # the HTTP client takes 60 ms

    return download(url, file, step.checksum, not step.destination.endswith("/"))


def _digest_of(file: Path) -> str:
    with file.open("rb") as content:
        return hashlib.file_digest(content, "sha256").hexdigest()


def _one_line(instruction: Instruction) -> str:
    return " ".join(instruction.text.split())
