#!/bin/sh
# Prints the tag of the last final release, such as v1.2.0; nothing where there is none.
#
# Needs:  git, in a clone that has the tags.
set -eu

git tag --list 'v*' --sort=-version:refname | grep -Ex 'v[0-9]+\.[0-9]+\.[0-9]+' | head -n 1 || true
