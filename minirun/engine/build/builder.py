"""build: plan the stages of a Dockerfile, run them side by side, and record the image that the last one leads to."""

import signal
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import closing
from dataclasses import dataclass
from typing import cast

from minirun.engine.build.options import BuildOptions, Progress
from minirun.engine.build.run import ENDING_SIGNALS, BuildEndsError, Cancellation, Containers
from minirun.engine.build.run_mounts import remove_left_secrets
from minirun.engine.build.stage import Build, StageBuilder, StageResult
from minirun.engine.start import WaitingShim
from minirun.image import document, records
from minirun.image.build import cache
from minirun.image.build.context import BuildContext
from minirun.image.build.snapshots import check_layers
from minirun.image.dockerfile.source import Lines
from minirun.image.dockerfile.stages import Plan, Stage, make_plan, origins_in
from minirun.image.dockerfile.steps import ImageOrigin
from minirun.image.dockerfile.syntax import Dockerfile
from minirun.image.document import Config
from minirun.image.layers import sweep
from minirun.image.records import Image
from minirun.instance import Instance


@dataclass(frozen=True)
class Built:
    """The result of a build: the image, and the tags that it got."""

    image: Image
    tags: tuple[str, ...]


def build(
    instance: Instance,
    shim: WaitingShim,
    context: BuildContext,
    dockerfile: Dockerfile,
    options: BuildOptions,
    progress: Progress,
) -> Built:
    """Build an image from a parsed Dockerfile and its context.

    shim: one that waits; each RUN is given a fork of it
    MinirunError when a step fails, DockerfileError with its lines. What the steps before it have led to stays in the
    cache, nothing else stays.
    """
    sweep(instance)
    remove_left_secrets()
    with cache.in_use(instance):
        plan, images = _plan(dockerfile, options)
        results: dict[int, Future[StageResult]] = {}
        with Cancellation() as cancellation:
            containers = Containers(instance, shim)
            shared = Build(plan, context.tree, options, images, results, containers, progress, cancellation)
            with ThreadPoolExecutor(options.stages_at_once, "stage", _leave_signals_to_the_main_thread) as threads:
                for stage in plan.stages:  # each comes after those that it waits for
                    results[stage.index] = threads.submit(_build_stage, instance, shared, stage)
                containers.serve(list(results.values()), cancellation)
        _raise_failure(list(results.values()))
        with progress.step("exporting to image") as report:
            image = _export(instance, plan, results[plan.target.index].result(), options)
            report.line(f"writing image sha256:{image.id}")
            for tag in options.tags:
                report.line(f"naming to {tag}")
    cache.remove_unused(instance)
    return Built(image, options.tags)


def _plan(dockerfile: Dockerfile, options: BuildOptions) -> tuple[Plan, dict[ImageOrigin, Image]]:
    """Plan until all images are known: the ONBUILD triggers of one may need another."""
    images: dict[ImageOrigin, Image] = {}
    while True:
        triggers = {origin.reference: image.config.get("OnBuild", ()) for origin, image in images.items()}
        plan = make_plan(
            dockerfile, options.build_args, options.platform, options.build_platform, options.target, triggers
        )
        missing = plan.images - images.keys()
        if not missing:
            return plan, images
        for origin in sorted(missing, key=lambda origin: origin.reference):
            with dockerfile.script.source.blames(_lines_of(plan, origin)):
                images[origin] = options.fetch(origin.reference, origin.platform)


def _lines_of(plan: Plan, origin: ImageOrigin) -> Lines:
    """Return the lines that ask for an image."""
    stage = next(stage for stage in plan.stages if origin in stage.images)
    if stage.base == origin:
        return stage.start.lines
    names = [name for name, meant in stage.origins.items() if meant == origin]
    return next(
        instruction.lines
        for instruction in stage.instructions
        if any(name in origins_in(instruction) for name in names)
    )


def _leave_signals_to_the_main_thread() -> None:
    """One that another thread receives would not end the main thread's wait."""
    signal.pthread_sigmask(signal.SIG_BLOCK, ENDING_SIGNALS)


def _build_stage(instance: Instance, shared: Build, stage: Stage) -> StageResult:
    """Build a stage in a thread, with a connection of its own to the records.

    It is closed here, and not some time later: the API's process may fork a shim for another build then.
    """
    shared.cancellation.check()
    own = Instance(instance.root)
    with closing(own.store):
        return StageBuilder(own, shared, stage).run()


def _raise_failure(stages: list["Future[StageResult]"]) -> None:
    """Raise the error of the stage that failed, if one did: the others were ended because of it."""
    failed = [error for stage in stages if (error := stage.exception()) is not None]
    if failed:
        raise next((error for error in failed if not isinstance(error, BuildEndsError)), failed[0])


def _export(instance: Instance, plan: Plan, result: StageResult, options: BuildOptions) -> Image:
    config = {name: value for name, value in result.state.config.items() if value}
    if options.labels:
        config["Labels"] = {**config.get("Labels", {}), **options.labels}
    layers = result.snapshot.layers
    created = result.history[-1].created if result.history else result.snapshot.created
    platform = plan.target.platform
    new = document.build(
        cast(Config, config),
        tuple(layer.diff_id for layer in layers),
        result.history,
        created,
        platform.architecture,
        result.author,
        variant=platform.variant,
    )
    store = instance.store
    with store.write():
        check_layers(instance, layers)
        image = records.add(store, new, layers)
        for tag in options.tags:
            records.tag(store, tag, image.id)
            store.add_event("image", "tag", f"sha256:{image.id}", {"name": tag})
    return image
