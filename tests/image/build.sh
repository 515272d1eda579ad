#!/usr/bin/env bash
# Builds the Dockerfile without an engine: buildah, on a stand-in for the Lambda base image.
#
# The stand-in carries the real base's name, so the Dockerfile is built as it is. Where the base has it, there
# is CPython 3.13 (/var/lang) and the runtime interface client; beside them the few programs that the build
# runs. What is not there cannot be leaned on. Wheels come from a folder that is filled once, by pip, from
# whatever index this machine has; so the build itself needs no network.
#
# Prints the name of a container of the built image.
set -euo pipefail
cd "$(dirname "$0")/../.."

work=$(realpath -m "${IMAGE_WORK:-build/image}")
base=$(awk '$1 == "FROM" {print $2}' Dockerfile)
image=localhost/lensneg-functions

buildah() { command buildah --storage-driver vfs --root "$work/storage" --runroot "$work/run" "$@"; }
say() { echo "image-check: $*" >&2; }

command -v buildah >/dev/null || { say "buildah is missing; on Debian: apt-get install buildah"; exit 3; }
[ "$(id -u)" = 0 ] || { say "must be run as root: a build without an engine needs chroot and mount"; exit 3; }
python=${PYTHON313:-$(pyenv prefix "$(pyenv latest 3.13 2>/dev/null || echo 3.13.0)" 2>/dev/null || true)/bin/python3.13}
[ -x "$python" ] || python=$(command -v python3.13 || true)
"$python" -c 'import sys; assert sys.version_info[:2] == (3, 13)' 2>/dev/null ||
    { say "CPython 3.13 is missing; name one with PYTHON313=/path/to/python3.13"; exit 3; }
prefix=$("$python" -c 'import sys; print(sys.base_prefix)')
mkdir -p "$work"
free=$(df -Pm "$work" | awk 'NR == 2 {print $4}')
[ "$free" -ge 4000 ] || { say "$work has $free MB free, and the build needs 4000; name another folder with IMAGE_WORK"; exit 3; }
export TMPDIR=$work  # where buildah writes each layer before it stores it

# The wheels, once for each state of the lock files.
wheels=$work/wheels
state=$(cat requirements-lambda.lock requirements-runtime.lock | sha256sum | cut -c1-16)
if [ ! -f "$wheels/.$state" ]; then
    say "fetching wheels"
    rm -rf "$wheels" && mkdir -p "$wheels"
    for lock in requirements-lambda.lock requirements-runtime.lock; do
        "$python" -m pip download --quiet --disable-pip-version-check --no-deps --only-binary :all: \
            --require-hashes -d "$wheels" -r "$lock"
    done
    touch "$wheels/.$state"
fi
printf '[global]\nno-index = true\nfind-links = /wheels\n' > "$work/pip.conf"

# The stand-in base.
say "making the stand-in for $base"
root=$work/base
rm -rf "$root" && mkdir -p "$root"/{bin,etc,proc,dev,sys,var/lang,var/task,var/runtime} && mkdir -m 1777 "$root/tmp"
ln -s bin "$root/sbin" && mkdir "$root/usr" && ln -s ../bin "$root/usr/bin"
copy_with_libraries() {  # a program or library, and every shared library that it needs
    cp --parents -uL "$1" "$root" 2>/dev/null || true
    { ldd "$1" 2>/dev/null | grep -o '/[^ ]*' || true; } | sort -u | while read -r library; do
        cp --parents -uL "$library" "$root"
    done
}
for program in bash env date chmod rm; do
    path=$(command -v "$program")
    install -m 755 "$(readlink -f "$path")" "$root/bin/$program"
    copy_with_libraries "$(readlink -f "$path")"
done
ln -sf bash "$root/bin/sh"
# The C and C++ libraries, which Amazon Linux has and every wheel may take for granted (PEP 600).
for library in libstdc++.so.6 libgcc_s.so.1 libc.so.6 libm.so.6 libdl.so.2 librt.so.1 libpthread.so.0 libutil.so.1; do
    copy_with_libraries "$(ldconfig -p | awk -v name="$library" '$1 == name && /x86-64/ {print $NF; exit}')"
done
(cd "$prefix" && tar -cf - --exclude=test --exclude=idlelib --exclude='*.a' --exclude=__pycache__ \
    --exclude=site-packages bin/python3* lib) | tar -xf - -C "$root/var/lang"
mkdir -p "$root/var/lang/lib/python3.13/site-packages"
cp -r "$prefix"/lib/python3.13/site-packages/pip "$prefix"/lib/python3.13/site-packages/pip-* \
    "$root/var/lang/lib/python3.13/site-packages"
find "$root/var/lang" -name '*.so*' -print0 | while IFS= read -r -d '' library; do
    copy_with_libraries "$library"
done
rm -rf "${root:?}$prefix"
"$python" -m pip install --quiet --disable-pip-version-check --no-index --find-links "$wheels" --no-deps \
    --require-hashes --target "$root/var/lang/lib/python3.13/site-packages" -r requirements-runtime.lock
echo 'root:x:0:0::/:/bin/sh
nobody:x:65534:65534::/:/bin/sh' > "$root/etc/passwd"
cat > "$root/lambda-entrypoint.sh" <<'ENTRY'
#!/bin/sh
date '+started %s.%N' >&2
exec /var/lang/bin/python3 -m awslambdaric "$@"
ENTRY
chmod 755 "$root/lambda-entrypoint.sh"

buildah rm --all >/dev/null  # what earlier builds left: this storage is ours alone
buildah rmi --all --force >/dev/null
container=$(buildah from scratch)
buildah add --quiet "$container" "$root" / >/dev/null
buildah config --env LAMBDA_TASK_ROOT=/var/task --env PATH=/var/lang/bin:/usr/bin:/bin --env LANG=en_US.UTF-8 \
    --env LD_LIBRARY_PATH=/var/lang/lib --workingdir /var/task --entrypoint '["/lambda-entrypoint.sh"]' "$container"
buildah commit --quiet --rm "$container" "$base" >/dev/null
rm -rf "$root"

say "building the Dockerfile"
commit=$("$python" -m lensneg.schema.code_version) && echo "$commit" > COMMIT  # as `make deploy` does
buildah bud --quiet --isolation chroot --pull-never --layers=false --volume "$wheels:/wheels:ro" \
    --volume "$work/pip.conf:/etc/pip.conf:ro" --tag "$image" . >"$work/build.log" 2>&1 ||
    { cat "$work/build.log" >&2; exit 1; }
buildah from --pull-never "$image"
