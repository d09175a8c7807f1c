#!/usr/bin/env bash
# Mine a collection with Ray actors on this machine alone.
#
#     clusters/local.sh IMAGES RUN [ACTORS] [further options of `typika mine`]
#
# Ray starts for this command and ends with it. ACTORS: processes that hold a model; a core each.
set -euo pipefail

images=${1:?which images?}
run=${2:?into which run folder?}
actors=${3:-$(nproc)}
shift $(($# < 3 ? $# : 3))

exec "${TYPIKA:-typika}" mine "$images" --out "$run" --ray here --workers "$actors" "$@"
