#!/bin/bash
# What the guest runs: it makes itself a root that can be written to and is quick, and in
# it runs what it was told to.  Its results are files in the shared directory; `status` is the last.
#
# guest.sh SHARE MODULES PROJECT PYTHON
set -eu
share=$1 modules=$2 project=$3 python=$4

if [ "${5:-}" != inside ]; then
    mkdir -p /run/vm/root /run/vm/luggage /run/vm/tree /run/vm/memory
    modprobe virtio_blk
    mount -t ext4 -o ro /dev/vda /run/vm/luggage
    # The machine's root once more, this time remembering what was read of it.
    mount -t 9p -o ro,trans=virtio,version=9p2000.L,access=any,msize=512000,cache=loose \
        tree /run/vm/tree
    mount -t tmpfs -o mode=755 memory /run/vm/memory
    mkdir /run/vm/memory/upper /run/vm/memory/work
    exec unshare --mount --propagation private -- bash "$0" "$@" inside
fi

layers=lowerdir=/run/vm/luggage:/run/vm/tree
mount -t overlay -o "$layers,upperdir=/run/vm/memory/upper,workdir=/run/vm/memory/work" \
    root /run/vm/root
cd /run/vm/root
for each in proc sys dev; do
    mount --rbind "/$each" "$each"
done
mount -t tmpfs -o mode=755 run run
mkdir -p run/outside run/tmp ".$share" lib/modules
mount --bind "$share" ".$share"
ln -sfn "$modules" "lib/modules/$(uname -r)"
pivot_root . run/outside
umount -l /run/outside

# What isn't loaded on demand.  br_netfilter is on every machine that has Docker.
for each in br_netfilter fuse sctp; do
    modprobe "$each"
done

cd "$project"
export HOME=/root TMPDIR=/run/tmp PYCNM_TESTS_SLOWNESS=3
status=0
mapfile -t words <"$share/command"
"$python" -m "${words[@]}" >"$share/log" 2>&1 </dev/null || status=$?
echo "$status" >"$share/status"
