"""One repository of a registry: its manifests, blobs and tags."""

import io
import json
import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from http import HTTPStatus
from typing import Any, TypeVar

from minirun.image import manifests
from minirun.image.manifests import Descriptor, ImageIndex, ImageManifest, Manifest, parse_manifest
from minirun.image.platforms import Platform
from minirun.image.reference import Reference, digest_of, is_digest_of
from minirun.image.registry.blob_stream import BlobStream
from minirun.image.registry.errors import CancelledError, RegistryError, UnreachableError
from minirun.image.registry.session import Session, expect
from minirun.image.registry.uploads import OpenAt, Upload

T = TypeVar("T")
ACCEPTED = (*manifests.MANIFESTS, *manifests.INDEXES)
_SMALL = 8 << 20  # bytes of a blob that is read into memory: an image's configuration
_MOST_NESTED = 16  # indexes that are read for one image
_MOST_PAGES = 1000
_PAGE = 4 << 20
_NEXT = re.compile(r'<([^>]*)>\s*;[^,]*\brel="?next"?')


@dataclass(frozen=True)
class FoundImage:
    """The image for a platform.

    top: what the name leads to, an index or the manifest itself; RepoDigests are made of its digest
    manifest, image: the manifest for the platform, as it was sent and as it was read
    """

    top: Manifest
    manifest: Manifest
    image: ImageManifest


class Repository:
    """A repository at a registry; used from several threads.

    Reading asks the mirrors first, in the order of the configuration; writing goes to the registry itself.
    """

    def __init__(self, reference: Reference, sessions: list[Session]) -> None:
        self.reference = reference
        self._sessions = sessions
        self._read = self._scope("pull")
        self._write = self._scope("pull,push")

    def _scope(self, actions: str, path: str = "") -> tuple[str, ...]:
        return (f"repository:{path or self.reference.path}:{actions}",)

    def _path(self, rest: str) -> str:
        return f"/v2/{self.reference.path}/{rest}"

    def find(self, target: str, platform: Platform) -> FoundImage:
        """Find the image for a platform by tag or digest, also in nested indexes. RegistryError if there is none."""
        top = self.manifest(target)
        fetched = [top]
        found = self._descend(top, platform, fetched)
        if found is None:
            document = parse_manifest(top, self._name(target))
            offered = ", ".join(document.platforms) if isinstance(document, ImageIndex) else ""
            message = f"no matching manifest for {platform} in the manifest list entries"
            raise RegistryError(message, f"there is one for {offered}" if offered else "")
        return FoundImage(top, *found)

    def _descend(
        self, manifest: Manifest, platform: Platform, fetched: list[Manifest]
    ) -> tuple[Manifest, ImageManifest] | None:
        document = parse_manifest(manifest, self._name(manifest.digest))
        if isinstance(document, ImageManifest):
            return manifest, document
        for entry in document.chosen(platform):
            if entry.media_type not in ACCEPTED:
                continue
            if len(fetched) > _MOST_NESTED:
                raise RegistryError(f"{self._name(manifest.digest)}: its indexes are nested too deeply")
            inner = self.manifest(entry.digest)
            fetched.append(inner)
            if found := self._descend(inner, platform, fetched):
                return found
        return None

    def manifest(self, target: str, accepted: tuple[str, ...] = ACCEPTED) -> Manifest:
        """Read the manifest or index of a tag or digest, and check its digest. RegistryError in Docker's words."""
        return self._first(lambda session: self._manifest(session, target, accepted))

    def _manifest(self, session: Session, target: str, accepted: tuple[str, ...]) -> Manifest:
        headers = {"Accept": ", ".join(accepted)}
        try:
            response = expect(session.send("GET", self._path(f"manifests/{target}"), self._read, headers), (200,))
        except RegistryError as error:
            raise self._pull_error(error, target) from None
        raw = response.content(manifests.LONGEST)
        stated = target if ":" in target else response.header("Docker-Content-Digest") or digest_of(raw)
        if not is_digest_of(stated, raw):
            raise RegistryError(f"{self._name(target)}: the manifest that the registry sent is not {stated[:200]}")
        return Manifest(manifests.media_type_of(response.header("Content-Type"), raw), stated, raw)

    def blob(self, blob: Descriptor, start: int = 0, mirrors: bool = True) -> BlobStream:
        """Read the raw bytes of a blob from `start` on. RegistryError if there is none.

        The caller checks the digest, and may ask again without `mirrors` if it is wrong.
        """
        path, upstream = self._path(f"blobs/{blob.digest}"), self._upstream
        return self._first(lambda session: BlobStream(session, upstream, path, self._read, blob, start), mirrors)

    def read_blob(self, blob: Descriptor) -> bytes:
        """Read a small blob, such as an image's configuration, and check its digest."""
        if blob.size > _SMALL:
            raise RegistryError(f"{blob.digest} is too large: {blob.size} bytes")
        for mirrors in (True, False):
            with self.blob(blob, mirrors=mirrors) as stream:
                raw = stream.readall()
            if is_digest_of(blob.digest, raw):
                return raw
        raise RegistryError(f"the blob that the registry sent is not {blob.digest}")

    def has_blob(self, blob: Descriptor) -> bool:
        """Whether the registry itself has a blob in this repository."""
        response = self._upstream.send("HEAD", self._path(f"blobs/{blob.digest}"), self._write)
        response.discard()
        if response.status == HTTPStatus.NOT_FOUND:
            return False
        self._expect_push(lambda: expect(response, (200,)))
        return True

    def upload(self, blob: Descriptor, open_at: OpenAt, mount_from: str = "") -> bool:
        """Send a blob.

        open_at: opens the blob at a byte; called again when a connection fails, and the file is closed each time
        mount_from: the path of a repository at the same registry that has the blob. Nothing is sent if the registry
            can mount it from there.

        Returns whether it was mounted. RegistryError in Docker's words.
        """
        upload = Upload(self._upstream, self._path("blobs/uploads/"), self._write, blob, open_at)

        def send() -> bool:
            location = (
                upload.mount(mount_from, self._write + self._scope("pull", mount_from))
                if mount_from
                else upload.begin()
            )
            if location:
                upload.send(location)
            return not location

        return self._expect_push(send)

    def put_manifest(self, target: str, manifest: Manifest) -> None:
        """Write a manifest or index under a tag or its digest. RegistryError in Docker's words."""
        path, headers = self._path(f"manifests/{target}"), {"Content-Type": manifest.media_type}

        def send() -> None:
            body = manifest.raw
            response = self._upstream.send("PUT", path, self._write, headers, lambda: io.BytesIO(body), len(body))
            expect(response, (200, 201, 202)).discard()
            stated = response.header("Docker-Content-Digest")
            if stated and stated.partition(":")[0] == manifest.digest.partition(":")[0] and stated != manifest.digest:
                raise RegistryError(f"the registry stored {stated} instead of {manifest.digest}")

        self._expect_push(send)

    def tags(self) -> list[str]:
        """The tags of the repository. RegistryError if the registry has no such repository."""
        try:
            return list(listed(self._upstream, self._path("tags/list"), self._read, "tags"))
        except RegistryError as error:
            raise self._pull_error(error, "") from None

    def all_tags(self) -> list[Reference]:
        """The images of the repository by their tags."""
        return [Reference(self.reference.domain, self.reference.path, tag) for tag in self.tags()]

    @property
    def _upstream(self) -> Session:
        return self._sessions[-1]

    def _first(self, read: Callable[[Session], T], mirrors: bool = True) -> T:
        """Read from the first server that has it. The error of the last one, the registry itself, is what is raised."""
        for session in self._sessions[:-1] if mirrors else []:
            if session.failure is None:
                try:
                    return read(session)
                except CancelledError:
                    raise
                except UnreachableError as error:
                    session.failure = error  # not asked again by this command
                except RegistryError:
                    pass
        return read(self._upstream)

    def _name(self, target: str) -> str:
        return f"{self.reference.familiar_repository}{'@' if ':' in target else ':'}{target}"

    def _pull_error(self, error: RegistryError, target: str) -> RegistryError:
        """In the words of Docker's pull."""
        familiar = self.reference.familiar_repository
        message, hint = error.message, error.hint
        if error.word == "DENIED":
            reason = message.removeprefix("denied: ")
            message = (
                f"pull access denied for {familiar}, repository does not exist or may require 'docker login': {reason}"
            )
            hint = "check the name; minirun login has the credentials for a private one"
        elif error.word == "MANIFEST_UNKNOWN" or (error.status == HTTPStatus.NOT_FOUND and not error.word and target):
            message = f"manifest for {self._name(target)} not found: {message if error.word else 'manifest unknown'}"
        elif error.word == "NAME_UNKNOWN":
            message = f"repository {familiar} not found: {message}"
        elif error.word == "UNAUTHORIZED":
            hint = "minirun login has the credentials"
        else:
            return error
        return RegistryError(message, hint, error.status, error.word)

    def _expect_push(self, send: Callable[[], T]) -> T:
        try:
            return send()
        except RegistryError as error:
            if error.word in ("DENIED", "UNAUTHORIZED") and not error.hint:
                error.hint = (
                    f"minirun login {self.reference.domain} with an account that may push {self.reference.path}"
                )
            raise


def listed(session: Session, path: str, scopes: tuple[str, ...], key: str) -> Iterator[str]:
    """Read a list that a registry gives page by page (Link: <...>; rel="next")."""
    for _ in range(_MOST_PAGES):
        response = expect(session.send("GET", path, scopes), (200,))
        link = _NEXT.search(response.header("Link"))
        try:
            data: Any = json.loads(response.content(_PAGE))
        except (ValueError, RecursionError):
            data = None
        page = data.get(key) if isinstance(data, dict) else False
        if page is not None and not (isinstance(page, list) and all(isinstance(one, str) for one in page)):
            raise RegistryError(f"{response.url}: the answer is not a list of {key}")
        yield from page or []
        if not link:
            return
        path = session.absolute(link.group(1), path)
