"""Publish the images: build and push them under a tag of their commit, then give those same bytes their tags.

`./dev publish` runs it, and so does the release workflow, with the tests of the image between the two steps. A tag that
holds a whole version is set once and never again; what a rebuild brings has the date behind it. The others move only
when everything has been pushed, all of them or none; never back, and never to a pre-release.
"""

from __future__ import annotations

import argparse
import json
import os
import re
import subprocess
import sys
import time
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

ROOT = Path(__file__).parents[1]

TRIES = 3
"""How often a registry is asked for the base before it is given up."""

PAUSE = 5.0
"""Seconds between two tries."""

STAND_IN = "localhost/"
"""What the names of images begin with that no registry has: ./dev base makes such a base where none answers."""

LOOPBACK = re.compile(r"(localhost|127\.\d+\.\d+\.\d+|\[::1\])(:\d+)?(/|$)")

FINAL = re.compile(r"(\d+)\.(\d+)\.(\d+)")
"""A version that is no pre-release."""

CREATED = re.compile(r'"created":\s*"(\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d)[.\d]*(?=Z)')
"""When an image was made, in what a registry says of it."""

QUIETLY = ("--progress=quiet", "--prefer-index=false")
"""How imagetools makes a tag of a digest, and not of an index around it."""


class PublishError(Exception):
    """Why nothing more is done."""


@dataclass(frozen=True)
class Tag:
    """A tag, the image that it is to name, by digest, and the digest that it has now (none if it is new)."""

    name: str
    source: str
    current: str

    @property
    def digest(self) -> str:
        """The digest that the tag is to have."""
        return self.source.partition("@")[2]


def docker(*arguments: str, **environment: str) -> str:
    """Run docker, show its messages, and return its output.

    Raises:
        PublishError: when it fails.
    """
    done = subprocess.run(
        ["docker", *arguments],
        cwd=ROOT,
        env={**os.environ, **environment},
        stdout=subprocess.PIPE,
        text=True,
        check=False,
    )
    if done.returncode:
        raise PublishError(f"docker {' '.join(arguments[:3])} … ended with {done.returncode}")
    return done.stdout


def repository(tag: str) -> str:
    """Return what stands before a tag: the registry may have a port."""
    return tag.rpartition(":")[0]


def bake(arguments: list[str], **environment: str) -> dict[str, dict]:
    """Return bake's targets of the group `all`."""
    plan = docker("buildx", "bake", "--print", "all", *arguments, **environment)
    return {name: target for name, target in json.loads(plan)["target"].items() if target.get("tags")}


def manifest(reference: str) -> dict | None:
    """Return what a registry has under a tag or digest, None if it has nothing.

    Raises:
        PublishError: when the registry does not say.
    """
    done = subprocess.run(
        ["docker", "buildx", "imagetools", "inspect", "--format", "{{json .Manifest}}", reference],
        capture_output=True,
        text=True,
        check=False,
    )
    if done.returncode == 0:
        return json.loads(done.stdout)
    if "not found" in done.stderr:
        return None
    raise PublishError(f"{reference}: {done.stderr.strip()}")


def settings_of(reference: str) -> str:
    """Return what a registry has as an image's configuration, in JSON: its labels and times, of each platform."""
    return docker("buildx", "imagetools", "inspect", "--format", "{{json .Image}}", reference)


def platforms(found: dict) -> set[str]:
    """Return the digests of an image's platforms: the attestations beside them say when they were built."""
    inside = found.get("manifests") or [found]
    return {each["digest"] for each in inside if "vnd.docker.reference.type" not in each.get("annotations", {})}


def pinned_base(python: str, image: str, unpinned: bool) -> str:
    """Return the base image with its digest, for what is published as `image`.

    Raises:
        PublishError: when it has none, unless it may be `unpinned` or is a stand-in for a registry of this machine's.
    """
    base = os.environ.get("BASE_IMAGE", "python:{python}-slim-trixie").replace("{python}", python)
    if base.startswith(STAND_IN):
        if not LOOPBACK.match(image):
            raise PublishError(f"{base} is a stand-in for a base that no registry had, and {image} is for others")
        return base
    reason = f"{base}: no such image"
    for tries in range(1, TRIES + 1):
        try:
            if found := manifest(base):
                return f"{base}@{found['digest']}"
            break
        except PublishError as error:
            reason = str(error)
            if tries < TRIES:
                time.sleep(PAUSE)
    if not unpinned:
        raise PublishError(f"the base has no digest, and --unpinned was not given: {reason}")
    print(f"publish: the base is not pinned: {reason}", file=sys.stderr)
    return base


def moved_bases(image: str, unpinned: bool) -> list[str]:
    """Return the published images that are not there, or whose base is another one by now, each with its base."""
    moved = []
    for target in bake([], IMAGE=image).values():
        tag, base = target["tags"][0], pinned_base(target["args"]["PYTHON_VERSION"], image, unpinned)
        if not manifest(tag):
            moved.append(f"{tag} {base}")
            continue
        if base not in settings_of(tag):
            moved.append(f"{tag} {base}")
    return moved


def push(image: str, options: argparse.Namespace) -> dict[str, str]:
    """Build and push everything under the commit's tags; return the digest of each target."""
    if changes := git("status", "--porcelain"):
        raise PublishError(f"there are changes that no commit has:\n{changes}")
    arguments = [
        "--provenance=mode=max",
        # The containerd image store writes the timestamps anew only when it does not keep the image.
        "--set=*.output=type=image,push=true,rewrite-timestamp=true,unpack=false,store=false",
    ]
    if options.sbom:
        arguments.append(f"--sbom=generator={scanner()}")
    if options.platform:
        arguments.append(f"--set=*.platform={options.platform}")
    committed = git("log", "-1", "--format=%ct")
    environment = {"IMAGE": image, "STAGE": stage(), "SOURCE_DATE_EPOCH": committed}
    for name, target in bake([], **environment).items():
        base = pinned_base(target["args"]["PYTHON_VERSION"], image, options.unpinned)
        labels = {"created": created(base, int(committed)), "base.digest": base.partition("@")[2]}
        arguments.append(f"--set={name}.args.BASE_IMAGE={base}")
        arguments += [
            f"--set={name}.labels.org.opencontainers.image.{key}={value}" for key, value in labels.items() if value
        ]
    metadata = options.digests.with_suffix(".metadata.json")
    docker("buildx", "bake", "all", f"--metadata-file={metadata}", *arguments, **environment)
    built = json.loads(metadata.read_text())
    return {name: built[name]["containerimage.digest"] for name in bake([], **environment)}


def scanner() -> str:
    """Return the image that lists what is in an image, which Dependabot keeps current."""
    lines = (ROOT / ".github/tools/Dockerfile").read_text()
    return re.findall(r"^FROM (\S+) AS sbom$", lines, re.MULTILINE)[0]


def created(base: str, committed: int) -> str:
    """Return the later of a commit's time (seconds since 1970) and of its base's: a rebuild's own, and no clock's.

    See https://github.com/opencontainers/image-spec/blob/main/annotations.md
    """
    times = [committed]
    if "@" in base:
        times += [int(datetime.fromisoformat(each).timestamp()) for each in CREATED.findall(settings_of(base))]
    return datetime.fromtimestamp(max(times), UTC).isoformat()


def join(image: str, parts: list[Path]) -> dict[str, str]:
    """Make one image of what was pushed for each platform by itself; return the digest of each target.

    Raises:
        PublishError: when a target was not pushed for each of them.
    """
    pushed = [json.loads(part.read_text()) for part in parts]
    digests = {}
    for name, target in bake([], IMAGE=image, STAGE=stage()).items():
        sources = [f"{image}@{each[name]}" for each in pushed if name in each]
        if len(sources) != len(parts) or not sources:
            raise PublishError(f"{name} was pushed for {len(sources)} of {len(parts)} platforms")
        tag = target["tags"][0]
        docker("buildx", "imagetools", "create", *QUIETLY, "--tag", tag, *sources)
        digests[name] = (manifest(tag) or {})["digest"]
    return digests


def stage() -> str:
    """Return what the tags begin with of what is not tested yet."""
    return f"sha-{git('rev-parse', '--short=12', 'HEAD')}"


def git(*arguments: str) -> str:
    """Return what git says."""
    return subprocess.run(["git", *arguments], cwd=ROOT, stdout=subprocess.PIPE, text=True, check=True).stdout.strip()


def planned(image: str, source: str, digests: dict[str, str]) -> list[Tag]:
    """Return the tags in `image` of what was pushed to `source`, those that never move first."""
    targets = bake([], IMAGE=image)
    tags = [
        Tag(tag, f"{source}@{digests[name]}", (manifest(tag) or {}).get("digest", ""))
        for name, target in targets.items()
        if name in digests
        for tag in target["tags"]
    ]
    return sorted(tags, key=lambda tag: not is_fixed(tag.name, os.environ["VERSION"]))


def is_fixed(tag: str, version: str) -> bool:
    """Tell whether a tag holds the version, and never moves."""
    return tag.rpartition(":")[2].partition("-")[0] == version


def unchanged(tag: Tag) -> bool:
    """Tell whether a tag names the same image already, be it built twice."""
    if not tag.current or tag.current == tag.digest:
        return bool(tag.current)
    return platforms(manifest(tag.name) or {}) == platforms(manifest(tag.source) or {})


def move(tags: list[Tag]) -> None:
    """Set the tags, and put back those that were moved when one of them fails.

    Raises:
        PublishError: which says what could not be set, and what could not be put back.
    """
    moved: list[Tag] = []
    try:
        for tag in tags:
            docker("buildx", "imagetools", "create", *QUIETLY, "--tag", tag.name, tag.source)
            moved.append(tag)
    except PublishError as error:
        for done in reversed(moved):
            if done.current:
                before = f"{repository(done.name)}@{done.current}"
                docker("buildx", "imagetools", "create", *QUIETLY, "--tag", done.name, before)
        raise PublishError(f"{error}; the tags that had moved are what they were") from error


def main() -> int:
    """Publish as the command line says."""
    parser = argparse.ArgumentParser(prog="./dev publish", description=__doc__, add_help=True)
    parser.add_argument("--registry", required=True, help="where to, such as ghcr.io/someone or 127.0.0.1:5000")
    parser.add_argument("--platform", help="such as linux/amd64,linux/arm64; the builder's own unless given")
    parser.add_argument("--sbom", action="store_true", help="attach BuildKit's SBOM, whose scanner is on Docker Hub")
    parser.add_argument("--rebuild", action="store_true", help="leave the tags with the version alone, move the others")
    parser.add_argument("--unpinned", action="store_true", help="build on a base whose digest no registry tells")
    parser.add_argument("--source", help="another registry, where --only push has pushed to: the images are copied")
    parser.add_argument(
        "--only",
        choices=["push", "join", "check", "tag", "compare"],
        help="one of the steps (check: whether the tags can be set); or say which bases moved",
    )
    parser.add_argument(
        "--parts", type=Path, nargs="+", default=[], help="for join: what was pushed for each platform by itself"
    )
    parser.add_argument(
        "--digests", type=Path, default=ROOT / ".cache/digests.json", help="what was pushed, for the second step"
    )
    options = parser.parse_args()
    image = f"{options.registry.rstrip('/')}/paddock"
    try:
        if options.only == "compare":
            print(*moved_bases(image, options.unpinned), sep="\n", end="")
            return 0
        if options.only in (None, "push"):
            options.digests.write_text(json.dumps(push(image, options), indent=2))
        elif options.only == "join":
            options.digests.write_text(json.dumps(join(image, options.parts), indent=2))
        digests = json.loads(options.digests.read_text())
        for name, digest in digests.items():
            print(f"{name} {image}@{digest}")
        if options.only in (None, "check", "tag"):
            source = f"{options.source.rstrip('/')}/paddock" if options.source else image
            tags = planned(image, source, digests)
            changed = to_change(tags, options.rebuild)
            if options.only != "check":
                set_tags(tags, changed, options.rebuild)
    except PublishError as error:
        print(f"publish: {error}", file=sys.stderr)
        return 1
    return 0


def to_change(tags: list[Tag], rebuild: bool) -> list[Tag]:
    """Return the tags that do not name what was pushed yet.

    Raises:
        PublishError: when a tag with the version is there with other contents, and this is no rebuild.
    """
    version = os.environ["VERSION"]
    changed = [tag for tag in tags if not unchanged(tag)]
    taken = [tag for tag in changed if tag.current and is_fixed(tag.name, version)]
    if taken and not rebuild:
        names = ", ".join(tag.name for tag in taken)
        raise PublishError(f"{names}: already published with other contents; a release needs a new version")
    return [tag for tag in changed if tag not in taken]


def set_tags(tags: list[Tag], changed: list[Tag], rebuild: bool) -> None:
    """Give what was pushed its tags, of which `changed` have to be set."""
    version = os.environ["VERSION"]
    if rebuild:
        days = dated(tags, version)
        tags = tags + days
        changed = changed + to_change(days, rebuild)
    newer = {tag: held for tag in changed if not is_fixed(tag.name, version) and (held := holder(tag, version))}
    changed = [tag for tag in changed if tag not in newer]
    move(changed)
    for tag in tags:
        words = f"not set: {newer[tag]}" if tag in newer else f"{tag.current} (as before)"
        print(tag.name, tag.digest if tag in changed else words)


def dated(tags: list[Tag], version: str) -> list[Tag]:
    """Return the tags that a rebuild sets once and never again: those of the version, with the day behind them."""
    day = datetime.now(UTC).strftime("%Y%m%d")
    names = {f"{tag.name}-{day}": tag.source for tag in tags if tag.name.rpartition(":")[2].startswith(f"{version}-py")}
    return [Tag(name, source, (manifest(name) or {}).get("digest", "")) for name, source in names.items()]


def holder(tag: Tag, version: str) -> str:
    """Return why a tag that moves is not for this version; nothing where it is."""
    if not FINAL.fullmatch(version):
        return f"{version} is a pre-release"
    if not tag.current:
        return ""
    held = re.search(r'"org\.opencontainers\.image\.version":\s*"([^"]*)"', settings_of(tag.name))
    return f"it is at {held[1]}" if held and FINAL.fullmatch(held[1]) and ordered(held[1]) > ordered(version) else ""


def ordered(version: str) -> list[int]:
    """Return a final version as what it is ordered by."""
    return [int(part) for part in version.split(".")]


if __name__ == "__main__":
    sys.exit(main())
